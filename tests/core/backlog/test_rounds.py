"""How often the outbox is asked for what waits in it, and how soon what it has is in memory."""

from __future__ import annotations

import trio

from gateway_core import Send
from gateway_core.testing import FakeChannel, MemoryOutbox, open_test_gateway, virtual_wall

MANY = 1_200


class Counting(MemoryOutbox):
    """Counts how often it is asked what is scheduled, and what it was read of all that waits.

    pages, read  how often it was asked for that, and how many messages it gave
    """

    asked = pages = read = 0

    async def scheduled(self, **query):
        self.asked += 1
        return await super().scheduled(**query)

    async def page(self, instance_id, **query):
        found = await super().page(instance_id, **query)
        self.pages += 1
        self.read += len(found)
        return found


def message(room, **more):
    return Send(instance_id="bot", external_room_id=room, text="hello", ttl=10_000.0, **more)


async def leave(outbox, *envelopes):
    """A previous run that accepted these, and sent none of them."""
    async with open_test_gateway(FakeChannel(), outbox=outbox, drain_timeout=0) as gateway:
        gateway.suspend("bot")
        for envelope in envelopes:
            await gateway.submit(envelope)


async def test_a_backlog_comes_in_page_after_page_without_a_pause(autojump_clock):
    """Several pages of rooms that the platform keeps waiting: all are in memory at once."""
    outbox = MemoryOutbox()
    await leave(outbox, *[message(f"room {n}") for n in range(MANY)])
    began = trio.current_time()
    channel = FakeChannel(latency=100.0)
    async with open_test_gateway(channel, outbox=outbox, drain_timeout=0) as gateway:
        while sum(p.unfinished for p in gateway.statistics().partitions) < MANY:  # noqa: ASYNC110 - no event tells it
            await trio.sleep(0.01)
        assert trio.current_time() - began < 0.5


async def test_each_message_of_a_backlog_is_read_once(autojump_clock):
    """Of one class, as nearly all are: nothing lower comes before that it would have to pass."""
    outbox, rooms = Counting(), 100
    await leave(outbox, *[message(f"room {n % rooms}") for n in range(MANY)])
    outbox.pages = outbox.read = 0
    channel = FakeChannel(latency=100.0)
    async with open_test_gateway(channel, outbox=outbox, drain_timeout=0) as gateway:
        while sum(p.unfinished for p in gateway.statistics().partitions) < MANY:  # noqa: ASYNC110 - no event tells it
            await trio.sleep(0.01)
        assert MANY <= outbox.read <= MANY + 10  # a few more, to see what class comes next
        assert outbox.pages < rooms  # and not room by room


async def test_what_is_not_due_is_not_asked_for(autojump_clock):
    """An hour of rounds beside a message that is due after it."""
    outbox = Counting()
    async with open_test_gateway(FakeChannel(), outbox=outbox, drain_timeout=0) as gateway:
        await gateway.submit(message("later", not_before=virtual_wall() + 4_000.0))
        await trio.sleep(3_600)
        assert outbox.asked <= 2
        await trio.sleep(500)
    assert 0 == len(outbox)


async def test_what_a_previous_run_accepted_counts_once(autojump_clock):
    outbox = MemoryOutbox()
    await leave(outbox, message("one"), message("other"))
    async with open_test_gateway(FakeChannel(), outbox=outbox) as gateway:
        await gateway.send("bot", "one", "new")
        (counts,) = gateway.statistics().instances
        assert (3, 2) == (counts.accepted, counts.recovered)
