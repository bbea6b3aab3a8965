"""Messages that collapse: a newer one takes the place of an older that still waits."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from gateway_core import Disposition, ErrorClass, Invalid, Limit, Reason, Verdict
from gateway_core.testing import Failure, FakeChannel, MemoryOutbox, open_test_gateway

GONE, SENT = Disposition.SUPERSEDED, Disposition.DELIVERED


def slow(seconds=1.0):
    """One message a room in so many seconds."""
    return FakeChannel(limits=lambda room, _: [Limit(f"room {room}", 1, seconds, of="room")])


async def ends(tickets):
    return [(await ticket.receipt()).disposition for ticket in tickets]


@pytest.mark.parametrize("outbox", [None, MemoryOutbox], ids=["memory", "outbox"])
async def test_of_5000_alerts_the_newest_arrives_at_once(engine, autojump_clock, outbox):
    """At one message a second all of them would take 83 minutes, and most would be too late."""
    channel = slow()
    made = outbox() if outbox is not None else None
    async with engine(channel, outbox=made) as gateway:
        tickets = [
            await gateway.enqueue("bot", "r", f"cpu is at {n} %", collapse="cpu")
            for n in range(5_000)
        ]
        found = await ends(tickets)
        assert trio.current_time() < 10
    assert channel.texts("r")[-1] == "cpu is at 4999 %"
    assert SENT is found[-1]
    assert len(channel.texts("r")) == found.count(SENT)
    assert {SENT, GONE} == set(found)
    assert found.count(SENT) <= 10


async def test_a_newer_one_stands_where_the_older_stood(engine, autojump_clock):
    channel = slow()
    async with engine(channel, drain_timeout=60) as gateway:
        for text, collapse in [
            ("first", None), ("old", "a"), ("between", None), ("new", "a"), ("other", "b"),
        ]:  # fmt: skip
            await gateway.enqueue("bot", "r", text, collapse=collapse)
    assert ["first", "new", "between", "other"] == channel.texts("r")


async def test_of_what_waits_at_the_head_the_class_of_the_newer_counts(engine, autojump_clock):
    channel = FakeChannel(limits=lambda *_: [Limit("account", 1, 1.0)])
    async with engine(channel, partition_count=1, drain_timeout=60) as gateway:
        await gateway.send("bot", "first", "x")
        await gateway.enqueue("bot", "a", "a", priority="normal")
        await gateway.enqueue("bot", "b", "old", priority="bulk", collapse="c")
        await gateway.enqueue("bot", "b", "new", priority="urgent", collapse="c")
    assert ["first", "b", "a"] == [made.attempt.room for made in channel.made]


async def test_what_has_started_is_not_replaced(engine, autojump_clock):
    channel = FakeChannel(latency=5.0)
    async with engine(channel) as gateway:
        first = await gateway.enqueue("bot", "r", "1", collapse="a")
        await trio.sleep(1)
        rest = [await gateway.enqueue("bot", "r", text, collapse="a") for text in "23"]
        assert [SENT, GONE, SENT] == await ends([first, *rest])
    assert ["1", "3"] == channel.texts("r")


async def test_rooms_threads_and_keys_are_apart(engine, autojump_clock):
    channel = FakeChannel(limits=lambda *_: [Limit("account", 1, 1.0)])
    places = [("r", None, "a"), ("s", None, "a"), ("r", "t", "a"), ("r", None, "b")]
    async with engine(channel) as gateway:
        await gateway.send("bot", "q", "x")
        tickets = [
            await gateway.enqueue("bot", room, "x", thread=thread, collapse=collapse)
            for room, thread, collapse in places
        ]
        assert [SENT] * 4 == await ends(tickets)


async def test_lanes_of_their_own_collapse_as_well(engine, autojump_clock):
    channel = FakeChannel(limits=lambda *_: [Limit("account", 1, 1.0)])
    async with engine(channel) as gateway:
        await gateway.send("bot", "q", "x")
        tickets = [
            await gateway.enqueue("bot", "r", text, collapse="a", order="none") for text in "123"
        ]
        assert [GONE, GONE, SENT] == await ends(tickets)
    assert ["3"] == channel.texts("r")


async def test_a_scheduled_one_that_comes_in_after_a_newer_one_is_the_older(engine, autojump_clock):
    channel = slow(10.0)
    async with engine(channel) as gateway:
        await gateway.send("bot", "r", "x")
        wall = gateway._clock.wall()
        older = await gateway.enqueue("bot", "r", "older", collapse="a", not_before=wall + 5)
        await trio.sleep(1)
        newer = await gateway.enqueue("bot", "r", "newer", collapse="a")
        assert [GONE, SENT] == await ends([older, newer])
        assert (await gateway.send("bot", "r", "y")).ref
    assert ["x", "newer", "y"] == channel.texts("r")


async def test_whoever_waits_for_an_older_one_hears_that_it_was_superseded(engine, autojump_clock):
    async with engine(slow()) as gateway, trio.open_nursery() as nursery:
        await gateway.send("bot", "r", "x")
        found = []

        async def send(text):
            found.append((text, (await gateway.send("bot", "r", text, collapse="a")).disposition))

        nursery.start_soon(send, "old")
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(send, "new")
    assert [("old", GONE), ("new", SENT)] == found


async def test_over_a_restart_the_newest_is_left(autojump_clock):
    """What waits in the outbox collapses as it comes in."""
    outbox, after = MemoryOutbox(), slow()
    async with open_test_gateway(slow(), outbox=outbox, drain_timeout=0) as gateway:
        await gateway.send("bot", "r", "x")
        gateway.suspend("bot")
        for text in "12345":
            await gateway.enqueue("bot", "r", text, collapse="a")
    async with open_test_gateway(after, outbox=outbox):
        await trio.sleep(30)
    assert ["5"] == after.texts("r")


@pytest.mark.parametrize("collapse", ["", 5, "a\nb"])
async def test_a_wrong_name_is_refused_by_its_field(engine, autojump_clock, collapse):
    async with engine(FakeChannel()) as gateway:
        with pytest.raises(Invalid, match="collapse"):
            await gateway.send("bot", "r", "x", collapse=collapse)


async def test_what_had_begun_in_a_previous_run_does_not_replace_a_newer_one(autojump_clock):
    """The newer one, which is urgent and needs no order, comes in before it."""

    async def refused(_):
        raise Failure(
            Verdict(error_class=ErrorClass.RETRYABLE, reason=Reason.PLATFORM_ERROR, dispatched="no")
        )

    outbox, after = MemoryOutbox(), slow()
    async with open_test_gateway(
        FakeChannel(script=refused), outbox=outbox, drain_timeout=0
    ) as gateway:
        await gateway.enqueue("bot", "r", "old", collapse="a")
        await trio.sleep(0.1)
        gateway.suspend("bot")
        await gateway.enqueue("bot", "r", "new", collapse="a", order="none", priority="urgent")
    await trio.sleep(60)
    async with open_test_gateway(after, outbox=outbox):
        await trio.sleep(60)
    assert {"old", "new"} == set(after.texts("r"))


@pytest.mark.parametrize("times", [1, 3])
async def test_what_took_an_older_ones_place_has_it_in_the_next_run_as_well(autojump_clock, times):
    """What was accepted between the two stays behind it, between its parts too."""
    outbox, before, after = MemoryOutbox(), slow(), slow()
    async with open_test_gateway(before, outbox=outbox, drain_timeout=0) as gateway:
        await gateway.enqueue("bot", "r", "first")
        await gateway.enqueue("bot", "r", "alert 0", collapse="a")
        await gateway.enqueue("bot", "r", "between")
        for n in range(times):
            await gateway.enqueue("bot", "r", f"alert {n + 1}", collapse="a")
    async with open_test_gateway(after, outbox=outbox):
        await trio.sleep(60)
    assert [f"alert {times}", "between"] == after.texts("r")[-2:]
