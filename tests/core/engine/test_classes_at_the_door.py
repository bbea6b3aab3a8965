"""Classes reach the door: nobody waits for a slot that a lower class holds, in memory or outside.

And time counts from the call: waiting at the door is part of it.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import trio

from gateway_contrib.sqlite import SqliteOutbox, SqliteSettings
from gateway_core import (
    DeadlinePassed,
    DeliveryError,
    Disposition,
    Edit,
    GatewayClosed,
    Invalid,
    KeyRef,
    Limit,
    Overloaded,
    Ttl,
)
from gateway_core.authors import hookimpl
from gateway_core.testing import EPOCH, FakeChannel, MemoryOutbox, open_test_gateway, virtual_wall

BOUNDS = {
    "partition": {"partition_bound": 3, "instance_bound": 3, "room_bound": 3},
    "instance": {"partition_bound": 100, "instance_bound": 3, "room_bound": 3},
    "room": {"partition_bound": 100, "instance_bound": 100, "room_bound": 3},
}
ONE = {"partition_count": 1}
LOWER = [("normal", "bulk"), ("urgent", "bulk"), ("urgent", "normal")]


@pytest.fixture(params=["memory", "sqlite"])
def open_outbox(request, tmp_path: Path):
    """Opens the durable outbox anew for each process run."""
    stays = MemoryOutbox()
    settings = SqliteSettings(in_thread=False)

    def opened():
        if request.param == "memory":
            return stays
        return SqliteOutbox(tmp_path / "outbox.db", settings, wall_clock=virtual_wall)

    return opened


def slow(seconds: float = 1.0) -> FakeChannel:
    """One message after the other."""
    return FakeChannel(limits=lambda _room, _operation: [Limit("account", 1, seconds)])


async def hold(gateway, say, count: int, room: str = "r", **fields) -> list:
    """Accept envelopes that stay unfinished: their time has not come."""
    fields = {"not_before": EPOCH + 1e6, "ttl": 1e7} | fields
    return [await gateway.submit(say.message(room, **fields), wait=False) for _ in range(count)]


def said(channel: FakeChannel) -> list[str]:
    """All texts in the order in which they went out."""
    return [made.attempt.payload["text"] for made in channel.made]


# -- bounds


@pytest.mark.parametrize("bounds", BOUNDS.values(), ids=BOUNDS)
@pytest.mark.parametrize(("higher", "lower"), LOWER)
async def test_no_class_waits_for_a_slot_of_a_lower_one(
    engine, say, bounds, higher, lower, autojump_clock
):
    async with engine(**ONE, **bounds) as gateway:
        await hold(gateway, say, 3, priority=lower)
        with pytest.raises(Overloaded):
            await gateway.submit(say.message(priority=lower), wait=False)
        await hold(gateway, say, 3, priority=higher)
        with pytest.raises(Overloaded, match="3 of 3"):
            await gateway.submit(say.message(priority=higher), wait=False)


async def test_bulk_sees_everything(engine, say, autojump_clock):
    async with engine(**ONE, **BOUNDS["room"]) as gateway:
        await hold(gateway, say, 2, priority="urgent")
        await hold(gateway, say, 1)
        with pytest.raises(Overloaded, match="3 of 3"):
            await gateway.submit(say.message(priority="bulk"), wait=False)


async def test_a_bound_of_one_is_one_for_each_class(engine, say, autojump_clock):
    async with engine(room_bound=1) as gateway:
        for priority in ("bulk", "normal", "urgent"):
            await hold(gateway, say, 1, priority=priority)
        assert 3 == gateway.statistics().unfinished


async def test_of_those_who_wait_the_highest_class_goes_first(engine, say, autojump_clock):
    channel = slow()
    async with (
        engine(channel, room_bound=1, drain_timeout=60) as gateway,
        trio.open_nursery() as nursery,
    ):
        for priority in ("urgent", "bulk", "normal", "urgent"):
            nursery.start_soon(
                lambda p=priority: gateway.send("bot", "r", p, priority=p, order="none")
            )
            await trio.sleep(0.01)
    assert ["urgent", "urgent", "normal", "bulk"] == said(channel)


async def test_bulk_that_waits_at_the_door_is_not_overtaken_for_ever(engine, say, autojump_clock):
    """After half a minute it goes by its age: one every second comes and waits before it."""
    channel = slow()
    async with (
        engine(channel, room_bound=1, drain_timeout=600) as gateway,
        trio.open_nursery() as nursery,
    ):
        for n in range(100):
            nursery.start_soon(gateway.send, "bot", "r", f"normal {n}")
            if n == 2:
                nursery.start_soon(lambda: gateway.send("bot", "r", "bulk", priority="bulk"))
            await trio.sleep(0.5)
    assert 30 <= said(channel).index("bulk") <= 35


async def test_an_urgent_one_is_not_aged_past(engine, say, autojump_clock):
    channel = slow()
    async with (
        engine(channel, room_bound=1, drain_timeout=600) as gateway,
        trio.open_nursery() as nursery,
    ):
        for n in range(40):
            nursery.start_soon(
                lambda n=n: gateway.send("bot", "r", f"urgent {n}", priority="urgent")
            )
        await trio.sleep(0.1)
        nursery.start_soon(lambda: gateway.send("bot", "r", "bulk", priority="bulk"))
    assert "bulk" == said(channel)[-1]


# -- votes come before the door


class Moves:
    """Gives each envelope the class that its text names."""

    @hookimpl
    def admit(self, envelope):
        return envelope.text if envelope.text in ("urgent", "bulk", "shed") else None


async def test_what_a_policy_calls_urgent_passes_what_is_full_of_normal(
    engine, say, autojump_clock
):
    async with engine(plugins=[Moves()], room_bound=2) as gateway:
        await hold(gateway, say, 2)
        with pytest.raises(Overloaded):
            await gateway.submit(say.message(), wait=False)
        assert (await gateway.send("bot", "r", "urgent", order="none")).delivered


async def test_what_a_policy_calls_bulk_has_the_slots_of_bulk(engine, say, autojump_clock):
    async with engine(plugins=[Moves()], room_bound=2) as gateway:
        await hold(gateway, say, 2, text="bulk")
        with pytest.raises(Overloaded):
            await gateway.submit(say.message(text="bulk"), wait=False)
        await hold(gateway, say, 2)


async def test_what_a_policy_sheds_waits_for_no_slot(engine, say, autojump_clock):
    async with engine(plugins=[Moves()], room_bound=1) as gateway:
        await hold(gateway, say, 1)
        ticket = await gateway.submit(say.message(text="shed"), wait=False)
        assert Disposition.SHED is (await ticket.receipt()).disposition


async def test_whoever_waits_was_voted_on_once(engine, say, autojump_clock):
    asked = []

    class Counts:
        @hookimpl
        def admit(self, envelope, pressure):
            asked.append((envelope.text, pressure.depth))

    async with (
        engine(slow(), plugins=[Counts()], room_bound=1, drain_timeout=60) as gateway,
        trio.open_nursery() as nursery,
    ):
        for n in range(3):
            nursery.start_soon(gateway.send, "bot", "r", f"{n}")
    assert ["0", "1", "2"] == sorted(text for text, _ in asked)
    assert [0, 1, 1] == [depth for _, depth in asked]


# -- a durable outbox


@pytest.mark.parametrize(("higher", "lower"), LOWER)
async def test_nor_does_it_in_a_full_outbox(say, open_outbox, higher, lower, autojump_clock):
    async with open_test_gateway(
        FakeChannel(), outbox=open_outbox(), outbox_capacity=3, drain_timeout=0
    ) as gateway:
        await hold(gateway, say, 3, priority=lower)
        with pytest.raises(Overloaded, match="the outbox is full: 3 of 3"):
            await gateway.submit(say.message(priority=lower), wait=False)
        assert (await gateway.send("bot", "r", "x", priority=higher, order="none")).delivered


async def test_a_new_process_knows_whose_slots_they_are(say, open_outbox, autojump_clock):
    settings = {"outbox_capacity": 3, "drain_timeout": 0}
    async with open_test_gateway(outbox=open_outbox(), **settings) as gateway:
        await hold(gateway, say, 2, priority="bulk")
        await hold(gateway, say, 1)
    async with open_test_gateway(outbox=open_outbox(), **settings) as gateway:
        with pytest.raises(Overloaded):
            await gateway.submit(say.message(priority="bulk"), wait=False)
        await hold(gateway, say, 2)
        with pytest.raises(Overloaded):
            await gateway.submit(say.message(), wait=False)


async def test_of_those_who_wait_for_an_outbox_the_highest_class_goes_first(
    say, open_outbox, autojump_clock
):
    channel = slow()
    async with (
        open_test_gateway(
            channel, outbox=open_outbox(), outbox_capacity=1, drain_timeout=60
        ) as gateway,
        trio.open_nursery() as nursery,
    ):
        for priority in ("urgent", "bulk", "normal", "urgent"):
            nursery.start_soon(
                lambda p=priority: gateway.send("bot", "r", p, priority=p, order="none")
            )
            await trio.sleep(0.01)
    assert ["urgent", "urgent", "normal", "bulk"] == said(channel)


SMALL = {**ONE, "partition_bound": 5, "instance_bound": 5, "drain_timeout": 0}


async def left_behind(say, outbox, *messages, count: int = 200) -> None:
    """A process that ends with a backlog of bulk in 20 rooms, and then these messages."""
    async with open_test_gateway(outbox=outbox, **SMALL) as gateway:
        gateway.suspend("bot")
        for n in range(count):
            await gateway.submit(say.message(f"room {n % 20}", f"bulk {n}", priority="bulk"))
        for message in messages:
            await gateway.submit(message)


@pytest.mark.parametrize("bound", [5, 1000])
async def test_after_a_restart_what_stands_alone_comes_before_a_backlog_of_lower_classes(
    say, open_outbox, bound, autojump_clock
):
    code = say.message("room 0", "code", priority="urgent", order="none")
    note = say.message("room 0", "note", order="none")
    await left_behind(say, open_outbox(), note, code)
    channel, begun = slow(), trio.current_time()
    settings = SMALL | {"partition_bound": bound, "instance_bound": bound}
    async with open_test_gateway(channel, outbox=open_outbox(), **settings) as gateway:
        gateway.resume("bot")
        await trio.sleep(10)
    sent = said(channel)
    assert sent.index("code") <= 1
    assert sent.index("note") <= 2
    assert channel.made[sent.index("code")].at - begun <= 1.0 + 1e-6


async def test_after_a_restart_an_urgent_room_comes_before_rooms_of_lower_classes(
    say, open_outbox, autojump_clock
):
    """In a room of its own it is first; in one with a backlog it keeps the room's order."""
    first = say.message("quiet", "first", priority="urgent")
    last = say.message("room 0", "last", priority="urgent")
    await left_behind(say, open_outbox(), first, last, count=40)
    channel = slow()
    async with open_test_gateway(channel, outbox=open_outbox(), **SMALL) as gateway:
        gateway.resume("bot")
        await trio.sleep(60)
    sent = said(channel)
    assert sent.index("first") <= 2
    assert ["bulk 0", "bulk 20", "last"] == channel.texts("room 0")
    assert sent.index("last") <= 10


async def test_what_is_urgent_and_spilled_comes_in_as_urgent_ones_end(
    say, open_outbox, autojump_clock
):
    """Ten urgent ones where five find a slot, before and behind them 40 of bulk."""
    channel = slow()
    async with open_test_gateway(channel, outbox=open_outbox(), **SMALL) as gateway:
        for n in range(20):
            await gateway.submit(say.message(f"{n}", f"bulk {n}", priority="bulk"))
        for n in range(10):
            await gateway.submit(
                say.message(f"{n}", f"urgent {n}", priority="urgent", order="none")
            )
        await trio.sleep(12)
    assert 10 == sum(text.startswith("urgent") for text in said(channel)[:12])


async def test_a_change_brings_its_message_in_however_full_it_is(say, open_outbox, autojump_clock):
    """The message is of a lower class: its change would hold the slot for which it waits."""
    settings = SMALL | {"room_bound": 1, "partition_bound": 9, "instance_bound": 9}
    async with open_test_gateway(outbox=open_outbox(), **settings) as gateway:
        gateway.suspend("bot")
        for n in range(3):
            bulk = say.message("r", f"bulk {n}", key=f"{n}", priority="bulk", order="none")
            await gateway.submit(bulk)
        target = KeyRef(instance_id="bot", external_room_id="r", key="2")
        await gateway.submit(
            Edit(instance_id="bot", external_room_id="r", target=target, text="edited")
        )
    channel = FakeChannel()
    async with open_test_gateway(channel, outbox=open_outbox(), **settings) as gateway:
        gateway.resume("bot")
        await trio.sleep(20)
        assert 0 == gateway.statistics().stored
    assert ["bulk 0", "bulk 1", "edited"] == sorted(channel.texts("r"))


# -- time counts from the call


async def test_waiting_at_the_door_is_part_of_the_time_to_live(engine, say, autojump_clock):
    """50 callers, one message a second, room for ten, half a minute: none goes out after that."""
    channel, ends = slow(), []

    async def send(n: int) -> None:
        try:
            await gateway.send("bot", "r", f"{n}", ttl=30)
            ends.append("delivered")
        except (DeadlinePassed, DeliveryError) as error:
            ends.append(type(error).__name__)
        assert trio.current_time() <= 30.0 + 1e-6

    async with (
        engine(channel, room_bound=10) as gateway,
        trio.open_nursery() as nursery,
    ):
        for n in range(50):
            nursery.start_soon(send, n)
    assert max(channel.times) <= 30.0
    assert {"delivered": 30, "DeliveryError": 10, "DeadlinePassed": 10} == Counter(ends)


async def test_one_that_is_accepted_late_ends_at_its_deadline(engine, say, autojump_clock):
    async with engine(slow(50.0), room_bound=1) as gateway:
        await gateway.submit(say.message())
        await gateway.submit(say.message())
        ticket = await gateway.submit(say.message(ttl=60))
        assert 50.0 == pytest.approx(trio.current_time())
        assert Disposition.EXPIRED is (await ticket.receipt()).disposition
        assert 60.0 == pytest.approx(trio.current_time())


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [
        ({"ttl": 7}, 7),
        ({"deadline": EPOCH + 7}, 7),
        ({"priority": "urgent"}, 9),
        ({"priority": "urgent", "not_before": EPOCH + 4}, 13),
    ],
    ids=str,
)
@pytest.mark.parametrize("durable", [False, True])
async def test_one_that_was_never_accepted_is_refused_with_the_reason(
    say, durable, fields, seconds, autojump_clock
):
    settings = {"room_bound": 1, "drain_timeout": 0, "ttl": Ttl(urgent=9.0)}
    if durable:
        settings = {"outbox": MemoryOutbox(), "outbox_capacity": 1, **settings}
    async with open_test_gateway(**settings) as gateway:
        await hold(gateway, say, 1, priority=fields.get("priority", "normal"))
        with pytest.raises(DeadlinePassed) as caught:
            await gateway.submit(say.message(**fields))
        assert seconds == pytest.approx(trio.current_time())
        where = "the outbox" if durable else "room bot r"
        assert (where, pytest.approx(seconds)) == (caught.value.bound_of, caught.value.waited)
        assert f"after {seconds} s of waiting for a slot: {where} is full" in str(caught.value)
        now = gateway.statistics()
        assert (1, 1, {"DeadlinePassed": 1}) == (
            now.accepted,
            now.refused,
            now.instances[0].refused,
        )
        assert 0 == now.partitions[0].waiting


async def test_a_slot_that_comes_as_the_deadline_passes_goes_to_the_next(
    engine, say, autojump_clock
):
    """At the same instant a slot is given and the time is over: no slot is lost."""
    async with engine(slow(10.0), room_bound=1, drain_timeout=100) as gateway:
        await gateway.submit(say.message())
        await gateway.submit(say.message())
        async with trio.open_nursery() as nursery:

            async def late() -> None:
                with pytest.raises((DeadlinePassed, DeliveryError)):
                    await gateway.send("bot", "r", "late", ttl=10)

            nursery.start_soon(late)
            await trio.sleep(1)
            nursery.start_soon(gateway.send, "bot", "r", "next")
        assert 20.0 == pytest.approx(trio.current_time())


async def test_a_deadline_is_an_absolute_time(engine, say, autojump_clock):
    async with engine(FakeChannel(latency=5.0)) as gateway:
        await trio.sleep(100)
        gateway.suspend("bot")
        ticket = await gateway.enqueue("bot", "r", "x", deadline=EPOCH + 130)
        assert Disposition.EXPIRED is (await ticket.receipt()).disposition
        assert 130.0 == pytest.approx(trio.current_time())


async def test_every_verb_takes_a_deadline(engine, say, autojump_clock):
    async with engine() as gateway:
        sent = await gateway.send("bot", "r", "x", deadline=EPOCH + 9)
        gateway.suspend("bot")
        until = {"deadline": EPOCH + 9, "raises": False}
        ended = [
            await gateway.send("bot", "r", "x", **until),
            await gateway.edit(sent.ref, "y", **until),
            await gateway.delete(sent.ref, **until),
            await gateway.call("bot", "r", "pin", **until),
        ]
        assert [Disposition.EXPIRED] * 4 == [receipt.disposition for receipt in ended]
        assert 9.0 == pytest.approx(trio.current_time())


async def test_one_that_has_passed_ends_expired_at_once(engine, say, autojump_clock):
    async with engine() as gateway:
        with pytest.raises(DeliveryError) as caught:
            await gateway.send("bot", "r", "x", deadline=EPOCH - 1)
        assert Disposition.EXPIRED is caught.value.receipt.disposition
        assert 0.0 == trio.current_time()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"ttl": 5, "deadline": EPOCH + 5}, "deadline: cannot be given together with ttl"),
        ({"deadline": "soon"}, "deadline: must be a finite number of seconds"),
        ({"deadline": 1e12}, "deadline: must be a POSIX time in seconds, from"),
    ],
    ids=str,
)
async def test_what_is_no_deadline_is_refused(engine, fields, words, autojump_clock):
    async with engine() as gateway:
        with pytest.raises(Invalid, match=words):
            await gateway.send("bot", "r", "x", **fields)


async def test_a_restart_keeps_the_deadline(say, open_outbox, autojump_clock):
    async with open_test_gateway(outbox=open_outbox(), drain_timeout=0) as gateway:
        gateway.suspend("bot")
        ticket = await gateway.enqueue("bot", "r", "x", deadline=EPOCH + 50)
    await trio.sleep(20)
    async with open_test_gateway(outbox=open_outbox(), drain_timeout=0) as gateway:
        gateway.suspend("bot")
        await trio.sleep(29)
        assert (await gateway.status(ticket.id)).receipt is None
        await trio.sleep(3)
        assert "expired" == (await gateway.status(ticket.id)).receipt.disposition


async def test_in_an_outbox_time_counts_from_the_call_as_well(say, open_outbox, autojump_clock):
    channel = slow(50.0)
    async with open_test_gateway(
        channel, outbox=open_outbox(), outbox_capacity=1, drain_timeout=0
    ) as gateway:
        await gateway.submit(say.message())
        await gateway.submit(say.message())
        ticket = await gateway.submit(say.message(ttl=60))
        assert 50.0 == pytest.approx(trio.current_time(), abs=0.1)
        assert Disposition.EXPIRED is (await ticket.receipt()).disposition
        assert 60.0 == pytest.approx(trio.current_time(), abs=0.1)


async def test_who_finds_the_outbox_full_as_the_gateway_closes_hears_that_it_does(
    say, autojump_clock
):
    """It was looking for its key in the outbox meanwhile: nobody would wake it any more."""

    class Slow(MemoryOutbox):
        async def find(self, what):
            await trio.sleep(1)
            return self.look_up(what)

    async with (
        trio.open_nursery() as nursery,
        open_test_gateway(outbox=Slow(), outbox_capacity=1, drain_timeout=0) as gateway,
    ):
        await hold(gateway, say, 1)

        async def refused() -> None:
            with pytest.raises(GatewayClosed):
                await gateway.submit(say.message(key="k"))
            assert 1.0 == pytest.approx(trio.current_time())

        nursery.start_soon(refused)
        await trio.sleep(0.5)


async def test_the_time_of_a_class_counts_from_when_it_became_due_at_the_door(
    engine, autojump_clock
):
    """Due after 3 s and let in after 4, an urgent one has its 10 s until 13."""
    channel = FakeChannel(limits=lambda *_: [Limit("account", 1, 100.0)], latency=4.0)
    settings = {"room_bound": 1, "ttl": Ttl(urgent=10.0), "drain_timeout": 0}
    async with engine(channel, **settings) as gateway:
        await gateway.enqueue("bot", "r", "first", priority="urgent")
        due = gateway._clock.wall() + 3
        ticket = await gateway.enqueue("bot", "r", "second", priority="urgent", not_before=due)
        assert 4 == pytest.approx(trio.current_time())
        assert Disposition.EXPIRED is (await ticket.receipt()).disposition
        assert 13 == pytest.approx(trio.current_time())
