"""The outbox's bound also holds for processes that only hand over, by what the owner counts."""

from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing
from handing_in_memory import SharedMemory

from gateway_core import DeadlinePassed, Disposition, GatewayClosed, Overloaded, Send
from gateway_core.testing import FakeChannel, open_test_gateway

FULL = {"outbox_capacity": 3}


def slow():
    async def script(_):
        await trio.sleep(10)

    return FakeChannel(script=script)


def text(priority="normal"):
    return Send(instance_id="bot", external_room_id="r", text="text", priority=priority)


@asynccontextmanager
async def filled(outbox):
    """A process that only hands over, and the tickets of what fills the outbox."""
    async with (
        open_test_gateway(slow(), outbox=outbox, **FULL),
        open_test_gateway(outbox=outbox, serve=False, **FULL) as producer,
    ):
        tickets = [await producer.enqueue("bot", f"{n}", "text") for n in range(3)]
        await trio.sleep(3)
        yield producer, tickets


async def test_what_is_handed_over_waits_until_the_owner_counts_less(autojump_clock):
    async with filled(SharedMemory()) as (producer, tickets):
        with pytest.raises(Overloaded, match="the outbox is full: 3 of 3"):
            await producer.submit(text(), wait=False)
        tickets.append(await producer.submit(text("urgent"), wait=False))
        before = trio.current_time()
        tickets.append(await producer.enqueue("bot", "other", "waits"))
        assert 6 <= trio.current_time() - before <= 10
        receipts = [await ticket.receipt() for ticket in tickets]
    assert {Disposition.DELIVERED} == {receipt.disposition for receipt in receipts}


async def test_it_gives_up_at_its_deadline_and_as_the_gateway_closes(autojump_clock):
    async def waits(producer):
        with pytest.raises(GatewayClosed):
            await producer.enqueue("bot", "other", "text")
        ended.set()

    ended = trio.Event()
    async with trio.open_nursery() as nursery, filled(SharedMemory()) as (producer, _):
        with pytest.raises(DeadlinePassed, match="the outbox"):
            await producer.enqueue("bot", "other", "text", ttl=2)
        nursery.start_soon(waits, producer)
        await trio.testing.wait_all_tasks_blocked()
    assert ended.is_set()


async def test_a_bound_that_cannot_be_read_stops_nothing(autojump_clock):
    outbox = SharedMemory()
    async with filled(outbox) as (producer, _):
        with pytest.raises(Overloaded):
            await producer.submit(text(), wait=False)
        outbox.away = True
        with pytest.raises(Overloaded):
            await producer.submit(text(), wait=False)
        outbox.back()
        await trio.sleep(10)
        assert (await producer.send("bot", "other", "text")).delivered


async def test_what_the_owner_counted_long_ago_refuses_nothing(autojump_clock):
    async with filled(SharedMemory()) as (producer, _):
        with pytest.raises(Overloaded):
            await producer.submit(text(), wait=False)
        await trio.sleep(60)
        ticket = await producer.submit(text(), wait=False)
        assert (await ticket.receipt()).delivered
