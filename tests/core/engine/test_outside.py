"""What a durable outbox keeps outside memory, beside all else that may happen at the same time."""

from __future__ import annotations

import math
from functools import partial

import pytest
import trio

from gateway_core import (
    Delete,
    Disposition,
    Edit,
    GatewayClosed,
    Instance,
    KeyRef,
    Limit,
    OutboxError,
    Overloaded,
    Reason,
    Scope,
)
from gateway_core.testing import EPOCH, FakeChannel, FakeSettings, MemoryOutbox, open_test_gateway

TINY = {"partition_count": 1, "drain_timeout": 0}


class Slow(MemoryOutbox):
    """One that takes its time for looking up and appending; `broken`: it cannot look up."""

    broken = False

    def __init__(self) -> None:
        super().__init__()

    async def find(self, what):
        found = self.look_up(what)
        await trio.sleep(0.01)
        if self.broken:
            raise OutboxError("an I/O error")
        return found

    async def append(self, entry, kept):
        await trio.sleep(0.01)
        await MemoryOutbox.append(self, entry, kept)


@pytest.fixture
def outbox():
    return Slow()


def level(gateway) -> str:
    return gateway.statistics().partitions[0].level


# -- how much it may keep


async def test_it_never_keeps_more_than_its_capacity(say, outbox, autojump_clock):
    channel = FakeChannel(latency=1.0)
    async with open_test_gateway(channel, outbox=outbox, outbox_capacity=2) as gateway:
        kept = []
        async with trio.open_nursery() as nursery:
            for n in range(7):
                nursery.start_soon(lambda n=n: gateway.send("bot", "r", f"{n}", key=f"{n}"))
            for _ in range(100):
                kept.append(len(outbox))
                await trio.sleep(0.1)
        assert 2 == max(kept)
        assert 7 == len(channel.texts("r"))


async def test_a_place_that_is_not_used_goes_to_the_next_who_waits(say, outbox, autojump_clock):
    """Whoever was woken for it may find that its key is taken, or be refused."""
    channel = FakeChannel(latency=1.0)
    async with (
        open_test_gateway(channel, outbox=outbox, outbox_capacity=1) as gateway,
        trio.open_nursery() as nursery,
    ):
        await gateway.submit(say.message(text="first"))
        for _ in range(3):  # one of them takes the place, and the others join it
            nursery.start_soon(lambda: gateway.send("bot", "r", "x", key="k"))
            await trio.sleep(0.01)
        with trio.fail_after(30):
            assert (await gateway.send("bot", "r", "y")).delivered


async def test_a_place_whose_look_up_failed_goes_to_the_next(say, outbox, autojump_clock):
    async with (
        open_test_gateway(FakeChannel(latency=1.0), outbox=outbox, outbox_capacity=1) as gateway,
        trio.open_nursery() as nursery,
    ):
        first = await gateway.submit(say.message(text="first"))

        async def fails() -> None:
            with pytest.raises(OutboxError):
                await gateway.submit(say.message(text="x", key="k"))

        nursery.start_soon(fails)
        await trio.sleep(0.1)
        nursery.start_soon(lambda: gateway.send("bot", "r", "y"))
        await trio.sleep(0.1)
        outbox.broken = True
        await first.receipt()
        await trio.sleep(0.1)
        assert 2 == gateway.statistics().accepted


async def test_whoever_joins_needs_no_place(say, outbox, autojump_clock):
    async with open_test_gateway(
        FakeChannel(latency=1.0), outbox=outbox, outbox_capacity=1
    ) as gateway:
        first = await gateway.submit(say.message(key="k"), wait=False)
        joined = await gateway.submit(say.message(key="k"), wait=False)
        assert first.id == joined.id
        with pytest.raises(Overloaded, match="the outbox is full: 1 of 1"):
            await gateway.submit(say.message(key="other"), wait=False)


async def test_those_who_wait_for_a_place_have_it_in_order(say, outbox, autojump_clock):
    channel = FakeChannel(latency=1.0)
    async with open_test_gateway(channel, outbox=outbox, outbox_capacity=1) as gateway:
        async with trio.open_nursery() as nursery:
            for n in range(6):
                nursery.start_soon(lambda n=n: gateway.send("bot", "r", f"{n}"))
                await trio.sleep(0.4)  # most come as others wait
        assert [f"{n}" for n in range(6)] == channel.texts("r")


async def test_those_who_wait_for_a_place_hear_that_it_closes(say, outbox, autojump_clock):
    async with (
        open_test_gateway(FakeChannel(latency=1.0), outbox=outbox, outbox_capacity=1) as gateway,
        trio.open_nursery() as nursery,
    ):
        await gateway.submit(say.message())

        async def refused() -> None:
            with pytest.raises(GatewayClosed):
                await gateway.submit(say.message())

        for _ in range(3):
            nursery.start_soon(refused)
        await trio.sleep(0.1)
        gateway.quiet()


async def test_the_pressure_is_of_what_stays_in_memory(say, outbox, autojump_clock):
    async with open_test_gateway(outbox=outbox, partition_bound=1, **TINY) as gateway:
        await gateway.submit(say.message(not_before=EPOCH + 1000))
        assert "nominal" == level(gateway)
        gateway.suspend("bot")
        await gateway.submit(say.message())
        assert "nominal" == level(gateway)


# -- what ends or changes while pages are read


async def test_what_is_cancelled_as_its_page_is_read_stays_cancelled(
    say, outbox, monkeypatch, autojump_clock
):
    """However few ended ones are remembered."""
    channel = FakeChannel()
    async with open_test_gateway(channel, outbox=outbox, **TINY) as gateway:
        sent = await gateway.send("bot", "r", "original")
        gateway.suspend("bot")
        edit = Edit(instance_id="bot", external_room_id="r", target=sent.ref, text="edited")
        await gateway.submit(edit)
        tickets = [await gateway.submit(say.message(text=text)) for text in ("one", "two")]
    async with open_test_gateway(channel, outbox=outbox, history=1, **TINY) as gateway:
        await trio.sleep(0.005)  # the page is read, and what it edits is looked up
        with monkeypatch.context() as quick:
            quick.setattr(Slow, "find", MemoryOutbox.find)
            assert [True, True] == [await gateway.cancel(ticket.id) for ticket in tickets]
        await trio.sleep(60)
        assert ["edited"] == channel.texts("r")
        statistics = gateway.statistics()
        assert statistics.conserved
        assert 0 == statistics.stored


async def test_what_is_sent_as_it_is_looked_up_is_not_cancelled(say, outbox, autojump_clock):
    """However few ended ones are remembered, and however old the outbox's answer is."""
    channel = FakeChannel()
    async with open_test_gateway(channel, outbox=outbox, **TINY) as gateway:
        gateway.suspend("bot")
        tickets = [await gateway.submit(say.message(text=f"{n}")) for n in range(9)]
    bounds = {"history": 1, "room_bound": 2}
    async with open_test_gateway(channel, outbox=outbox, **bounds, **TINY) as gateway:
        assert not await gateway.cancel(tickets[5].id)
        assert "delivered" == outbox.look_up(tickets[5].id).receipt.disposition
        await trio.sleep(1)
        assert [f"{n}" for n in range(9)] == channel.texts("r")
        assert gateway.statistics().conserved
        assert 0 == gateway.statistics().stored
        assert (await gateway.status(tickets[5].id)).receipt.delivered


async def test_what_a_previous_run_had_begun_is_not_cancelled(say, outbox, autojump_clock):
    """The platform may have it; what waits after it may be cancelled."""
    async with open_test_gateway(FakeChannel(latency=1e6), outbox=outbox, **TINY) as gateway:
        tickets = [await gateway.submit(say.message()) for _ in range(2)]
        await trio.sleep(1)
    async with open_test_gateway(FakeChannel(), outbox=outbox, instances=(), **TINY) as gateway:
        assert [False, True] == [await gateway.cancel(ticket.id) for ticket in tickets]
        assert 1 == gateway.statistics().stored
        assert gateway.statistics().conserved


async def test_what_only_the_outbox_has_is_asked_of_it(say, outbox, autojump_clock):
    """By its id and by its key; what it cannot say is an error of its own."""
    later = say.message(key="k", not_before=EPOCH + 100)
    async with open_test_gateway(FakeChannel(), outbox=outbox, **TINY) as gateway:
        ticket = await gateway.submit(later)
    key = KeyRef(instance_id="bot", external_room_id="r", key="k")
    async with open_test_gateway(FakeChannel(), outbox=outbox, **TINY) as gateway:
        for name in (ticket.id, key):
            status = await gateway.status(name)
            assert (ticket.id, "schedule") == (status.envelope_id, status.cause)
        assert await gateway.status("0" * 30) is None
        assert not await gateway.cancel("0" * 30)
        outbox.broken = True
        for ask in (gateway.status, gateway.cancel):
            with pytest.raises(OutboxError, match="an I/O error"):
                await ask(ticket.id)
        outbox.broken = False
        assert await gateway.cancel(ticket.id)
        assert not await gateway.cancel(ticket.id)


async def test_a_schedule_takes_its_place_behind_what_waits_outside(say, outbox, autojump_clock):
    channel = FakeChannel()
    async with open_test_gateway(channel, outbox=outbox, **TINY) as gateway:
        await gateway.submit(say.message(text="scheduled", not_before=EPOCH + 30))
        gateway.suspend("bot")
        for text in ("one", "two"):
            await gateway.submit(say.message(text=text))
        await trio.sleep(60)
        await gateway.submit(say.message(text="last"))
        gateway.resume("bot")
        await trio.sleep(60)
        assert ["one", "two", "scheduled", "last"] == channel.texts("r")


async def test_bulk_that_was_outside_makes_room_as_well(say, outbox, autojump_clock):
    channel = FakeChannel(limits=lambda _room, _operation: [Limit("account", 1, 10.0)])
    bounds = {"partition_bound": 2, "instance_bound": 2, "room_bound": 2}
    async with open_test_gateway(channel, outbox=outbox, shed=True, **bounds, **TINY) as gateway:
        bulk = [await gateway.submit(say.message(f"{n}", priority="bulk")) for n in range(6)]
        await trio.sleep(25)
        assert [True, True, True] == [ticket.ended for ticket in bulk[:3]]
        urgent = await gateway.submit(say.message("u", priority="urgent"))
        assert 1 == gateway.statistics().dispositions[Disposition.SHED]
        with trio.fail_after(10):
            assert (await urgent.receipt()).delivered


# -- instances that come, go, and stay


async def test_what_was_due_while_its_instance_was_to_go_is_sent_if_it_stays(
    say, outbox, autojump_clock
):
    channel = FakeChannel(script=say.script(100.0))
    async with open_test_gateway(channel, outbox=outbox, **TINY) as gateway:
        await gateway.submit(say.message("hangs"))
        later = await gateway.submit(say.message(not_before=EPOCH + 20, ttl=1000))
        late = await gateway.submit(say.message("other", not_before=EPOCH + 900, ttl=30))
        with trio.move_on_after(50):
            await gateway.remove_instance("bot", drain=math.inf)
        assert [False, False] == [later.ended, late.ended]
        await trio.sleep(1)
        assert (await later.receipt()).delivered
        assert Disposition.EXPIRED is (await late.receipt()).disposition
        assert 51 == pytest.approx(trio.current_time(), abs=0.1)


async def test_what_expired_while_its_instance_was_away_ends_as_it_is_back(
    say, outbox, autojump_clock
):
    async with open_test_gateway(outbox=outbox, instances=["bot", "other"], **TINY) as gateway:
        late = await gateway.submit(say.message(not_before=EPOCH + 900, ttl=30))
        await gateway.remove_instance("bot")
        await trio.sleep(100)
        assert not late.ended
        gateway.add_instance(Instance("bot", "fake", FakeSettings()))
        await trio.sleep(1)
        assert late.ended


async def test_an_instance_that_comes_later_knows_what_earlier_lives_learned(
    say, outbox, autojump_clock
):
    """Rooms that moved, and what the platform closed."""
    moved = say.busy()
    moved.verdict = type(moved.verdict)(
        error_class=moved.verdict.error_class, reason=Reason.ROOM_MOVED, moved_to="new"
    )
    limited = say.limited(100.0, Scope.INSTANCE)
    channel = FakeChannel(script=say.script(moved, None, limited))
    async with open_test_gateway(channel, outbox=outbox, **TINY) as gateway:
        await gateway.send("bot", "old", "x")
        await gateway.submit(say.message("other"))
        await trio.sleep(1)
    begun = trio.current_time()
    channel.made.clear()
    async with open_test_gateway(channel, outbox=outbox, instances=(), **TINY) as gateway:
        await trio.sleep(1)
        gateway.add_instance(Instance("bot", "fake", FakeSettings()))
        await (await gateway.submit(say.message("old"))).receipt()
        assert ["old"] != [made.attempt.room for made in channel.made][:1]
        assert {"new", "other"} == {made.attempt.room for made in channel.made}
        assert begun + 98 < channel.times[0]


async def test_a_gateway_cancels_nothing_of_another(say, outbox, autojump_clock):
    async with (
        open_test_gateway(FakeChannel(latency=9.0)) as other,
        open_test_gateway(outbox=outbox, **TINY) as gateway,
    ):
        tickets = [await other.submit(say.message()) for _ in range(2)]
        assert not await gateway.cancel(tickets[1])
        assert not tickets[1].ended
        assert 0 == gateway.statistics().stored
        assert gateway.statistics().conserved
        assert await other.cancel(tickets[1])
        await tickets[0].receipt()


async def test_the_books_of_an_instance_that_stays_are_whole(say, outbox, autojump_clock):
    channel = FakeChannel(script=say.script(100.0))
    async with open_test_gateway(channel, outbox=outbox, **TINY) as gateway:
        await gateway.submit(say.message("hangs"))
        later = await gateway.submit(say.message(not_before=EPOCH + 500))
        async with trio.open_nursery() as nursery:
            with trio.move_on_after(5):
                nursery.start_soon(_cancel_soon, gateway, later)
                await gateway.remove_instance("bot", drain=math.inf)
        books = gateway.statistics().instances[0]
        assert 2 == books.accepted
        assert 1 == books.dispositions[Disposition.CANCELLED]


async def _cancel_soon(gateway, ticket) -> None:
    await trio.sleep(1)
    assert await gateway.cancel(ticket)


async def test_what_needs_no_order_does_not_wait_behind_an_earlier_lifes_backlog(
    say, outbox, autojump_clock
):
    """A login code beside a newsletter: where it has a place, it goes at once."""
    channel = FakeChannel(limits=lambda _room, _operation: [Limit("account", 1, 1.0)])
    async with open_test_gateway(channel, outbox=outbox, **TINY) as gateway:
        gateway.suspend("bot")
        for n in range(40):
            await gateway.submit(say.message(f"{n}", priority="bulk"))
    bounds = {"partition_bound": 12, "instance_bound": 12}
    async with open_test_gateway(channel, outbox=outbox, **bounds, **TINY) as gateway:
        await trio.sleep(3.5)
        assert 12 > gateway.statistics().partitions[0].depth
        with trio.fail_after(3):
            assert (await gateway.send("bot", "39", "code", order="none", priority="urgent")).ref
        await trio.sleep(60)
        assert 41 == sum(len(texts) for texts in channel.rooms.values())


@pytest.mark.parametrize("change", [partial(Edit, text="edited"), Delete], ids=["edit", "delete"])
async def test_a_change_without_order_passes_no_message_that_it_needs(say, change, autojump_clock):
    """It would have the room's only place, and wait for the message behind it for ever."""

    class SlowReads(MemoryOutbox):
        async def page(self, *which, **more):
            await trio.sleep(0.5)
            return await MemoryOutbox.page(self, *which, **more)

    channel, outbox = FakeChannel(latency=1.0), SlowReads()
    async with open_test_gateway(channel, outbox=outbox, room_bound=1) as gateway:
        first = await gateway.submit(say.message(text="first"))
        second = await gateway.submit(say.message(text="second", key="k"))
        await first.receipt()
        await trio.sleep(0.2)  # the room has a place, and what comes next is being read
        target = KeyRef(instance_id="bot", external_room_id="r", key="k")
        place = {"instance_id": "bot", "external_room_id": "r", "order": "none"}
        changed = await gateway.submit(change(target=target, **place))
        with trio.fail_after(10):
            assert (await changed.receipt()).delivered
        assert (await second.receipt()).delivered


# -- the end


async def test_drain_tells_what_ended_outside_meanwhile_but_not_what_is_kept(
    say, outbox, autojump_clock
):
    channel = FakeChannel(latency=10.0)
    async with open_test_gateway(channel, outbox=outbox, room_bound=1, drain_timeout=5) as gateway:
        first = await gateway.submit(say.message(text="in flight, and kept"))
        given_up = await gateway.submit(say.message(text="outside, and given up"))
        kept = await gateway.submit(say.message(text="outside, and kept"))
        async with trio.open_nursery() as nursery:
            left = []
            nursery.start_soon(lambda: drained(gateway, left))
            await trio.sleep(1)
            assert await gateway.cancel(given_up)
    assert [(given_up.id, Disposition.CANCELLED)] == left
    for ticket in (first, kept):
        with pytest.raises(GatewayClosed) as raised:
            await ticket.receipt()
        assert raised.value.kept


async def drained(gateway, left) -> None:
    left += [(u.receipt.envelope_id, u.receipt.disposition) for u in await gateway.drain()]


class Late(MemoryOutbox):
    """One of whose pages takes two seconds, as does the append of the text "late"."""

    async def append(self, entry, kept):
        if entry.envelope.text == "late":
            await trio.sleep(2)
        await super().append(entry, kept)

    async def page(self, *args, **query):
        await trio.sleep(2)
        return await super().page(*args, **query)


async def test_what_was_accepted_while_a_page_was_read_is_not_overtaken(autojump_clock):
    """The page begins with a reminder that was due meanwhile: what has an older place lacks."""
    channel = FakeChannel()
    async with open_test_gateway(channel, outbox=Late(), **TINY) as gateway:
        await gateway.enqueue("bot", "room", "reminder", not_before=EPOCH + 1)
        async with trio.open_nursery() as nursery:
            await trio.sleep(0.5)
            nursery.start_soon(gateway.enqueue, "bot", "room", "late")
            await trio.sleep(2.1)
            nursery.start_soon(gateway.enqueue, "bot", "room", "after it")
        await trio.sleep(60)
    texts = channel.texts("room")
    assert {"reminder", "late", "after it"} == set(texts)
    assert texts.index("late") < texts.index("after it")
