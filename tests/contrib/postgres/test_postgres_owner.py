"""One process owns the outbox; others stand by, and take over when it leaves or dies."""

import re
import signal
import time
from contextlib import contextmanager
from functools import partial

import attrs
import postgres_child
import psycopg
import pytest
import trio
from postgres_children import child, stop
from postgres_runs import locked, ran
from structlog.testing import capture_logs

from gateway_contrib.postgres import PostgresOutbox, PostgresSettings
from gateway_contrib.postgres.connections.membership import Owner, Watched
from gateway_core import OutboxError
from gateway_core.outboxes import StepRecord
from gateway_core.testing.outbox_contract import Entries, receipt_of, texts

LEASE = 5.0
BOUND = LEASE + 3.0
"""Seconds within which a killed owner is followed."""
SLACK = 20.0
"""Seconds that a machine under load may add."""


@pytest.fixture
def schema(emptied_schema):
    return emptied_schema


def outbox_at(server, schema, **settings):
    settings = {"lease": LEASE} | settings
    return PostgresOutbox(server.url(), PostgresSettings(schema=schema, **settings))


@pytest.fixture
def entry():
    return Entries()


async def begun(entered, outbox, left=None):
    async with outbox:
        entered.set()
        if left is not None:
            await left.wait()


async def test_the_second_is_refused_or_stands_by_until_the_first_leaves(server, schema):
    entered = trio.Event()
    with capture_logs() as logs, trio.fail_after(SLACK):
        async with trio.open_nursery() as nursery:
            async with outbox_at(server, schema, lease=60):
                with pytest.raises(OutboxError, match=r"is owned by another process: .*process \d"):
                    await outbox_at(server, schema, owner_wait=0).__aenter__()
                nursery.start_soon(begun, entered, outbox_at(server, schema, lease=60))
                while not logs:  # noqa: ASYNC110 - what is looked at has no event
                    await trio.sleep(0.01)
                await trio.sleep(1.2)
                assert not entered.is_set()
            await entered.wait()
    told = [log for log in logs if log["event"] == "gateway.outbox_stands_by"]
    assert 1 == len(told)
    assert re.search(r"process \d+", told[0]["owner"])
    (taken,) = [log for log in logs if log["event"] == "gateway.outbox_taken_over"]
    assert 1.2 <= taken["seconds"] < SLACK


@contextmanager
def killed(owner, server, schema):
    owner.process.kill()
    yield


@contextmanager
def stopped(owner, server, schema):
    stop(owner.process)
    yield
    owner.process.send_signal(signal.SIGCONT)


@contextmanager
def stopped_in_a_transaction(owner, server, schema):
    """It waits for a lock, and has it only once the process has stopped."""
    with locked(server, schema, "envelopes"):
        owner.process.stdin.write("append b\n")
        looks = (_held(server, schema) for _ in range(1000))
        assert any(looks)
        stop(owner.process)
    yield
    owner.process.send_signal(signal.SIGCONT)


async def followed(server, schema, how):
    """Seconds until the next one owned it, what it found, and what the one before answered.

    Each has a clock that is wrong by an hour, into another direction.
    """
    with child(server, schema, LEASE) as owner:
        assert ["owns", "stored a"] == [owner.heard(), owner.ask("append a")]
        outbox = PostgresOutbox(
            server.url(), PostgresSettings(schema=schema, lease=LEASE),
            wall_clock=lambda: time.time() + 2 * postgres_child.BEHIND,
        )  # fmt: skip
        async with trio.open_nursery() as nursery:
            entered, left = trio.Event(), trio.Event()
            nursery.start_soon(begun, entered, outbox, left)
            await trio.sleep(1.0)
            assert not entered.is_set()
            ended = how(owner, server, schema)
            await trio.to_thread.run_sync(ended.__enter__)
            since = trio.current_time()
            with trio.fail_after(BOUND + SLACK):
                await entered.wait()
            took, answers = trio.current_time() - since, []
            ended.__exit__(None, None, None)
            if how is not killed:
                answers.append(await trio.to_thread.run_sync(owner.ask, "append c"))
                while not {"lost", "refused"} <= {answer.split()[0] for answer in answers}:
                    answers.append(await trio.to_thread.run_sync(owner.heard))
            found = texts(await outbox.page("bot"))
            left.set()
    return took, found, answers


async def test_an_owner_that_dies_or_is_stopped_is_followed_and_writes_no_more(server):
    """Within its lease and three seconds; let on, it hears that the account is another's."""
    results = {}

    async def one(how):
        results[how] = await followed(server, f"gateway_{how.__name__}", how)

    async with trio.open_nursery() as nursery:
        for how in (killed, stopped, stopped_in_a_transaction):
            nursery.start_soon(one, how)
    for how, (took, found, answers) in results.items():
        assert took < BOUND + SLACK
        assert ["a"] == found
        assert how is killed or "lost bot" in answers


async def test_it_is_had_again_once_the_other_has_left(server, schema, entry):
    lost = []
    async with outbox_at(server, schema, lease=60) as first:
        first.lost = lost.append
        await first.recover("bot")
        await first.append(entry("a"), lambda: None)
        ran(server, schema, "DELETE FROM members")  # as whoever stands by would
        async with outbox_at(server, schema, lease=60) as second:
            theirs = entry("b")
            await second.append(attrs.evolve(theirs, sequence=1 << 60), lambda: None)
            with pytest.raises(OutboxError, match="belongs to another process now"):
                await first.append(entry("refused"), lambda: None)
            assert ["bot"] == lost
            with capture_logs() as logs:
                for account in ("bot", "other", "bot"):
                    with pytest.raises(OutboxError, match="is owned by another process"):
                        await first.recover(account)
            assert ["gateway.outbox_stands_by"] == [log["event"] for log in logs]
        with capture_logs() as logs:
            recovery = await first.recover("bot")
            await first.recover("other")
        assert ["gateway.outbox_taken_over"] == [log["event"] for log in logs]
        assert (theirs.id, 1 << 60) == (recovery.last_id, recovery.sequence)
        await first.append(attrs.evolve(entry("c"), sequence=1 + (1 << 60)), lambda: None)
        assert ["a", "b", "c"] == texts(await first.page("bot"))


async def test_what_was_told_before_another_owned_it_is_not_written_after(server, schema, entry):
    """It would undo what the other has recorded: here that an attempt began."""
    one, two = entry("a"), entry("b")
    async with outbox_at(server, schema, lease=60) as first:
        await first.recover("bot")
        for each in (one, two):
            await first.append(each, lambda: None)
        ran(server, schema, "DELETE FROM members")  # as whoever stands by would
        async with outbox_at(server, schema, lease=60) as second:
            first.finished(receipt_of(two))
            first.attempt_ended(one.id, StepRecord(serial=0, number=0))
            with pytest.raises(OutboxError, match="belongs to another process now"):
                await first.flush()
            for each in (one, two):
                begun = StepRecord(serial=0, number=1, started=True)
                await second.attempt_started(each.id, begun)
            first.finished(receipt_of(two))
        await first.recover("bot")
        await first.append(entry("c"), lambda: None)
        found = await first.page("bot")
        assert ["a", "b", "c"] == texts(found)
        assert [[True], [True], []] == [[it.started for it in each.records] for each in found]


async def test_one_account_that_another_took_is_lost_alone(server, schema, entry):
    """The epoch of each account is its own."""
    lost = []
    async with outbox_at(server, schema, lease=60) as outbox:
        outbox.lost = lost.append
        for account in ("bot", "other"):
            await outbox.recover(account)
            await outbox.append(entry("first", instance=account), lambda: None)
        stored = (await outbox.page("bot"))[0].entry
        ran(server, schema, """UPDATE accounts SET member = gen_random_uuid(), epoch = epoch + 1
            WHERE account = 'bot'""")  # fmt: skip
        with pytest.raises(OutboxError, match="account bot belongs to another process"):
            await outbox.attempt_started(stored.id, StepRecord(serial=0, number=1, started=True))
        await outbox.append(entry("second", instance="other"), lambda: None)
        assert ["bot"] == lost
        assert ["first", "second"] == texts(await outbox.page("other"))
        ran(server, schema, "UPDATE accounts SET member = (SELECT member FROM members)")


async def test_a_takeover_waits_for_the_transaction_of_the_owner(server, schema, entry):
    """It holds its account's row; a renewal of the lease is not held up by that."""
    async with outbox_at(server, schema, lease=60) as outbox:
        await outbox.append(entry("a"), lambda: None)
        with locked(server, schema, "keys"):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(outbox.append, entry("b", key="k"), lambda: None)
                with trio.fail_after(SLACK):
                    while not _held(server, schema):  # noqa: ASYNC110 - likewise
                        await trio.sleep(0.05)
                assert await trio.to_thread.run_sync(outbox._membership.renew)
                nursery.cancel_scope.cancel()


def _held(server, schema):
    """Whether a takeover would wait, as it changes the epoch."""
    with server.connect() as connection, connection.transaction(force_rollback=True):
        connection.execute(f"SET LOCAL search_path = {schema}")
        connection.execute("SET LOCAL lock_timeout = '50ms'")
        try:
            connection.execute("UPDATE accounts SET epoch = epoch + 1 WHERE account = ''")
        except psycopg.errors.LockNotAvailable:
            return True
        return False


def test_silence_is_counted_from_the_last_sign_of_life():
    watched = Watched()
    owner = partial(Owner, member=None, name="", lease=10.0)
    seen = [watched.silent(owner(counter=n), at) for n, at in
            [(1, 0.0), (1, 10.9), (2, 10.95), (2, 21.9), (2, 22.0)]]  # fmt: skip
    assert [False, False, False, False, True] == seen


async def test_no_attempt_begins_that_the_lease_does_not_cover(server, schema, entry):
    """Its process slept, say: what was recorded in vain did not begin."""
    one = entry("a")
    async with outbox_at(server, schema, lease=60) as outbox:
        await outbox.append(one, lambda: None)
        assert outbox.covers("bot")
        outbox._membership._covered = 0.0
        assert not outbox.covers("bot")
        with pytest.raises(OutboxError, match="lease"):
            await outbox.attempt_started(one.id, StepRecord(serial=0, number=1, started=True))
        await trio.to_thread.run_sync(outbox._membership.renew)
        (stored,) = await outbox.page("bot")
        assert [False] == [record.started for record in stored.records]
        await outbox.attempt_started(one.id, StepRecord(serial=0, number=1, started=True))
