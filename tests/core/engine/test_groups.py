"""Lanes that need the same wait together: what frees wakes one of them, however many wait."""

from __future__ import annotations

from random import Random

import pytest
import trio

from gateway_core import CircuitSettings, Limit
from gateway_core.scheduling.scheduler import Scheduler
from gateway_core.testing import FakeChannel


@pytest.fixture
def tries(monkeypatch):
    """Counts how often a lane is looked at; what is counted runs as ever."""
    seen: list[object] = []
    look = Scheduler.try_start

    def counted(self, lane, now, woken, work):
        seen.append(lane)
        return look(self, lane, now, woken, work)

    monkeypatch.setattr(Scheduler, "try_start", counted)
    return seen


def even_and_window(room: str, _operation: str) -> list[Limit]:
    """Two limits of one account that take turns in being the one that keeps everybody."""
    return [
        Limit("even", 48, 1.0),
        Limit("window", 50, 1.0, "window"),
        Limit(f"room {room}", 5, 5.0, "window", of="room"),
    ]


@pytest.mark.parametrize("partitions", [1, 8])
@pytest.mark.parametrize("rooms", [50, 1_000])
async def test_of_two_shared_limits_each_token_wakes_one_lane(
    engine, say, tries, rooms, partitions, autojump_clock
):
    """A message costs a few looks at a lane, however many rooms and partitions there are."""
    trips = Random("trips")

    async def run(_attempt):
        await trio.sleep(trips.uniform(0.02, 0.08))

    channel = FakeChannel(limits=even_and_window, script=run)
    async with engine(channel, partition_count=partitions, drain_timeout=100) as gateway:
        for n in range(rooms):
            await gateway.submit(say.message(f"room {n}", ttl=3600))
        tries.clear()
    assert rooms == len(channel.made)
    assert len(tries) <= 5 * rooms


@pytest.mark.parametrize("rooms", [50, 1_000])
async def test_where_slots_and_a_pace_are_short_each_wakes_one_lane(
    engine, say, tries, rooms, autojump_clock
):
    """The platform is slow, so that attempts in flight are the bound as often as the limit."""
    channel = FakeChannel(limits=lambda *_: [Limit("account", 20, 1.0)], latency=0.61)
    settings = {"partition_count": 1, "attempts_per_partition": 16, "drain_timeout": 1000}
    async with engine(channel, **settings) as gateway:
        for n in range(rooms):
            await gateway.submit(say.message(f"room {n}", ttl=3600))
        tries.clear()
    assert rooms == len(channel.made)
    assert len(tries) <= 5 * rooms


async def test_an_urgent_one_goes_before_all_who_wait_in_its_group(engine, say, autojump_clock):
    channel = FakeChannel(limits=lambda *_: [Limit("account", 1, 1.0)])
    async with engine(channel, partition_count=2, drain_timeout=100) as gateway:
        for n in range(6):
            await gateway.submit(say.message(f"room {n}", "normal"))
        await trio.sleep(1.5)
        await gateway.submit(say.message("desk", "urgent", priority="urgent"))
    texts = [made.attempt.part.payload["text"] for made in channel.made]
    assert ["normal", "normal", "urgent", "normal", "normal", "normal", "normal"] == texts


async def test_a_group_that_everybody_has_left_holds_nobody_up(engine, say, autojump_clock):
    """Its members were withdrawn while they waited; who comes afterwards goes in time."""
    channel = FakeChannel(limits=lambda *_: [Limit("account", 1, 10.0)])
    async with engine(channel, partition_count=1, drain_timeout=100) as gateway:
        await gateway.submit(say.message("first"))
        waiting = [await gateway.submit(say.message(f"room {n}")) for n in range(5)]
        await trio.sleep(1)
        assert all([await gateway.cancel(ticket) for ticket in waiting])
        await gateway.submit(say.message("bulk", priority="bulk"))
        await trio.sleep(1)
        await gateway.submit(say.message("normal"))
    assert ["first", "normal", "bulk"] == [made.attempt.room for made in channel.made]
    assert [0, 10, 20] == pytest.approx(channel.times)


async def test_lanes_of_other_limits_pass_those_that_wait(engine, say, autojump_clock):
    """Edits, say, wait for their own limit for long: sends of the same account go on."""

    def limits(room: str, _operation: str) -> list[Limit]:
        slow = [Limit("slow", 1, 60.0, of="room")] if room.startswith("slow") else []
        return [Limit("account", 10, 1.0), *slow]

    channel = FakeChannel(limits=limits)
    async with engine(channel, partition_count=1, drain_timeout=1000) as gateway:
        for n in range(5):
            await gateway.submit(say.message(f"slow {n}"))
        for n in range(30):
            await gateway.submit(say.message(f"room {n}"))
        await trio.sleep(3.5)
        assert 31 == len(channel.made)
    assert 35 == len(channel.made)


async def test_all_who_wait_in_a_group_are_said_to_wait_for_what_keeps_it(
    engine, say, autojump_clock
):
    """The first of each room; what comes after one in its room waits for that one."""

    async def causes():
        return [(await gateway.status(ticket.id)).cause for ticket in waiting]

    channel = FakeChannel(limits=lambda *_: [Limit("account", 1, 60.0)])
    async with engine(channel, partition_count=1) as gateway:
        await gateway.submit(say.message("first"))
        waiting = [await gateway.submit(say.message(room, ttl=900.0)) for room in "aab"]
        await trio.sleep(1)
        assert ["account limit", "queue", "account limit"] == await causes()
        gateway.suspend("bot")
        assert ["suspension", "queue", "suspension"] == await causes()
        gateway.resume("bot")
        assert ["account limit", "queue", "account limit"] == await causes()


class Unprobed(FakeChannel):
    """A channel without the probe hook: only attempts can find out."""

    probe = None


async def test_whoever_finds_out_that_it_is_down_still_spends_no_try(engine, say, autojump_clock):
    """Ten minutes of outage, and two rooms whose attempts are the probes: both arrive."""

    async def run(_attempt):
        if trio.current_time() < 600:
            raise say.refused()

    channel = Unprobed(script=run)
    circuit = CircuitSettings(window=4, probe_base=1.0, probe_cap=10.0)
    async with engine(channel, circuit=circuit, drain_timeout=1000) as gateway:
        tickets = [await gateway.submit(say.message(room)) for room in ("a", "b")]
        receipts = [await ticket.receipt() for ticket in tickets]
    assert all(receipt.delivered for receipt in receipts)
    assert {"a", "b"} == {made.attempt.room for made in channel.made[4:12]}


@pytest.mark.parametrize("how", ["cancelled", "removed", "suspended and removed", "expired"])
async def test_a_group_that_everybody_has_left_is_forgotten(engine, say, autojump_clock, how):
    """Instances come and go for as long as the process lives."""
    channel = FakeChannel(limits=lambda _room, _operation: [Limit("account", 1, 60.0, "window")])
    async with engine(channel, instances=["bot", "other"], partition_count=1) as gateway:
        partition = gateway._partitions[0]
        for n in range(3):
            await gateway.send("bot", f"room {n}", "one", ttl=600)
        if how.startswith("suspended"):
            gateway.suspend("bot")
        tickets = [await gateway.submit(say.message(f"room {n}", ttl=10)) for n in range(3)]
        assert partition.scheduler.groups
        if how == "cancelled":
            assert all([await gateway.cancel(ticket) for ticket in tickets])
        elif how != "expired":
            await gateway.remove_instance("bot")
        await trio.sleep(100)
        await gateway.send("other", "room", "hello")
        assert [] == list(partition.scheduler.groups)
