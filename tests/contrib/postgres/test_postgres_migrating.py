"""Making and upgrading the schema, while another session holds the lock for it."""

from contextlib import contextmanager

import pytest
import trio
from structlog.testing import capture_logs

from gateway_contrib.postgres import PostgresOutbox, PostgresSettings

SLACK = 20.0
"""Seconds that may pass on a busy machine."""
WAITS = "gateway.outbox_migration_waits"
OLDER = "UPDATE format SET version = version - 1"
OPEN = """SELECT count(*) FROM pg_stat_activity WHERE application_name = 'gateway'
    AND xact_start < clock_timestamp() - interval '50 ms'"""


def outbox_at(server, schema, **settings):
    return PostgresOutbox(server.url(), PostgresSettings(schema=schema, **settings))


@contextmanager
def held(server, schema):
    """Hold the lock, as every role can that may log in."""
    with server.connect() as connection:
        key = f"hashtextextended('gateway {schema}', 0)"
        connection.execute(f"SELECT pg_advisory_lock({key})")
        yield


async def opened(outbox, entered=None):
    async with outbox:
        if entered is not None:
            entered.set()


def waits_in(logs):
    return [log for log in logs if log["event"] == WAITS]


@pytest.fixture(params=["owner", "handover"])
def opening(request, server, schema):
    """Opens an outbox, or its handover, in a schema that is not there."""

    async def opening():
        outbox = outbox_at(server, schema)
        await opened(outbox if request.param == "owner" else outbox.handover())

    return opening


async def test_no_lock_is_needed_if_the_schema_is_up_to_date(server, schema, opening):
    await opened(outbox_at(server, schema))
    with held(server, schema), trio.fail_after(SLACK), capture_logs() as logs:
        await opening()
    assert [] == waits_in(logs)


async def test_an_opening_that_waits_for_the_lock_says_so_once(server, schema, opening):
    """It can be cancelled, and no transaction stays open, which would hold back a clean-up."""
    with held(server, schema), capture_logs() as logs, trio.fail_after(SLACK):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(opening)
            while not waits_in(logs):  # noqa: ASYNC110 - what is looked at has no event
                await trio.sleep(0.01)
            await trio.sleep(0.5)
            assert [(0,)] == server.execute(OPEN)
            nursery.cancel_scope.cancel()
    assert 1 == len(waits_in(logs))


async def test_an_opening_continues_once_the_lock_is_free(server, schema):
    entered = trio.Event()
    with trio.fail_after(SLACK):
        async with trio.open_nursery() as nursery:
            with held(server, schema):
                nursery.start_soon(opened, outbox_at(server, schema), entered)
                await trio.sleep(0.3)
                assert not entered.is_set()
            await entered.wait()


async def test_a_schema_that_another_process_upgraded_meanwhile_is_used(server, schema):
    await opened(outbox_at(server, schema))
    server.ran(schema, OLDER)
    with trio.fail_after(SLACK), capture_logs() as logs:
        async with trio.open_nursery() as nursery:
            with held(server, schema):
                nursery.start_soon(opened, outbox_at(server, schema))
                while not waits_in(logs):  # noqa: ASYNC110 - what is looked at has no event
                    await trio.sleep(0.01)
                server.ran(schema, OLDER.replace("-", "+"))


async def test_processes_that_open_at_once_on_an_empty_schema_all_open(server, schema):
    entered = [trio.Event() for _ in range(4)]
    with trio.fail_after(SLACK):
        async with trio.open_nursery() as nursery:
            for each in entered:
                outbox = outbox_at(server, schema, accounts="spread")
                nursery.start_soon(opened, outbox, each)
    assert all(each.is_set() for each in entered)
