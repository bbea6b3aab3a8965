"""Streams that are written in a process which only hands over, on a real server."""

import asyncio  # noqa: TID251 - what an application runs on
import threading
from functools import partial

import pytest
import trio
from postgres_proxy import between
from postgres_runs import ran

from gateway_contrib.postgres import PostgresOutbox, PostgresSettings
from gateway_core import GatewayConfig, Instance, aio, blocking
from gateway_core.deliveries.growing.growth import BROKEN_OFF
from gateway_core.producers import written
from gateway_core.testing import FakeChannel, FakeSettings, open_test_gateway, virtual_wall

PLACE = ("bot", "room")
PATIENCE = 60.0
"""Seconds that nothing takes unless it hangs."""


class Shared:
    """One schema, and whoever opens it."""

    def __init__(self, server, schema):
        self.server, self.schema = server, schema
        self.channel = FakeChannel()

    def outbox(self, url=None):
        settings = PostgresSettings(lease=60, schema=self.schema, poll=0.01)
        return PostgresOutbox(url or self.server.url(), settings, wall_clock=virtual_wall)

    def owner(self):
        return open_test_gateway(self.channel, outbox=self.outbox())

    def producer(self, url=None):
        return open_test_gateway(FakeChannel(), outbox=self.outbox(url), serve=False)

    async def until(self, *texts):
        """Wait until that stands in the room."""
        while list(texts) != self.channel.texts("room"):  # noqa: ASYNC110 - another process's
            await trio.sleep(0.01)

    def ran(self, sql):
        return ran(self.server, self.schema, sql)


@pytest.fixture
async def shared(server, emptied_schema):
    with trio.fail_after(PATIENCE):
        yield Shared(server, emptied_schema)


async def test_it_is_seen_to_grow_and_leaves_nothing_in_the_table(shared):
    async with shared.owner(), shared.producer() as producer:
        async with producer.stream(PLACE) as out:
            out.write("The answer")
            await shared.until("The answer")
            out.write(" is ")
            await shared.until("The answer is")
            receipt = await out.finish("The answer is 42")
        assert (out.ticket.id, True) == (receipt.envelope_id, receipt.delivered)
    assert ["The answer is 42"] == shared.channel.texts("room")
    assert [(0,)] == shared.ran("SELECT count(*) FROM handed WHERE answered_at IS NULL")
    assert [(0,)] == shared.ran("SELECT count(*) FROM handed WHERE envelope <> ''")


async def test_the_next_owner_goes_on_with_it(shared):
    async with shared.producer() as producer, producer.stream(PLACE) as out:
        async with shared.owner():
            out.write("one")
            await shared.until("one")
        out.write(", two")
        async with shared.owner():
            await shared.until("one, two")
            out.write(", three")
            await shared.until("one, two, three")
            assert (await out.finish()).delivered
    assert [("send", "room")] + [("edit", "room")] * (len(shared.channel.made) - 1) == [
        (made.attempt.operation, made.attempt.room) for made in shared.channel.made
    ]


async def test_its_whole_text_waits_in_the_table_for_an_owner(shared):
    """Its process is gone by then."""
    async with shared.producer() as producer:
        out = await producer.stream(PLACE).__aenter__()
        out.write("one")
        while out.ticket is None:  # noqa: ASYNC110 - it is accepted by another task
            await trio.sleep(0.01)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(out.finish, "one, two")
            while [(1,)] != shared.ran(  # noqa: ASYNC110 - a row
                "SELECT count(*) FROM handed WHERE envelope LIKE '%ended%'"
            ):
                await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
    async with shared.owner():
        await shared.until("one, two")
    assert 1 == len(shared.channel.made)


async def test_it_is_broken_off_once_its_process_is_silent(shared, monkeypatch):
    """Cut off from the server it says nothing more; what it says later comes too late."""
    monkeypatch.setattr(written, "LOOK", 0.5)
    with between(shared.server) as (proxy, url):
        async with shared.owner(), shared.producer(url) as producer:
            out = await producer.stream(PLACE).__aenter__()
            out.write("half")
            await shared.until("half")
            proxy.cut()
            await shared.until("half […]")
            proxy.join()
            receipt = await out.finish("whole")
    assert ((BROKEN_OFF,), True) == (receipt.degradations, out.stopped)
    assert ["half […]"] == shared.channel.texts("room")


async def test_the_server_is_away_for_a_moment(shared):
    """What is written meanwhile is told once it is there again, and the whole text as well."""
    with between(shared.server) as (proxy, url):
        async with shared.owner(), shared.producer(url) as producer:
            async with producer.stream(PLACE) as out:
                out.write("before")
                await shared.until("before")
                proxy.cut()
                out.write(", while")
                await trio.sleep(0.5)
                proxy.join()
                await shared.until("before, while")
                proxy.cut()
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(out.finish, "whole")
                    await trio.sleep(0.5)
                    proxy.join()
            assert out.receipt.delivered
    assert ["whole"] == shared.channel.texts("room")


async def test_asyncio_and_code_that_blocks_stream_alike(shared):
    """Each in a thread of its own, beside an owner on trio."""
    config = GatewayConfig(instances=[Instance("bot", "fake", FakeSettings())])
    given = {"plugins": [("fake", FakeChannel())], "serve": False}
    wall = partial(sum, (virtual_wall(),))

    def see(text):
        """Wait, in a thread, until it is shown; the test's patience bounds that."""
        while [text] != shared.channel.texts("room")[-1:]:
            threading.Event().wait(0.01)

    async def waiting():
        opening = aio.open_gateway(config, outbox=shared.outbox(), wall_clock=wall, **given)
        async with opening as gateway, gateway.stream(PLACE) as out:
            out.write("on ")
            await asyncio.to_thread(see, "on")
            out.write("asyncio")

    def blocking_one():
        opening = blocking.open_gateway(config, outbox=shared.outbox(), wall_clock=wall, **given)
        with opening as gateway, gateway.stream(PLACE) as out:
            out.write("that ")
            see("that")
            out.write("blocks")

    async with shared.owner():
        await trio.to_thread.run_sync(asyncio.run, waiting())
        await trio.to_thread.run_sync(blocking_one)
    assert ["on asyncio", "that blocks"] == shared.channel.texts("room")
