"""What may be in memory at once: bounds, those who wait for a place, pressure, votes, shedding."""

from __future__ import annotations

import pytest
import structlog.testing
import trio

from gateway_core import (
    Disposition,
    GatewayClosed,
    Instance,
    Invalid,
    Overloaded,
    Part,
    PressureSettings,
    UnknownInstance,
)
from gateway_core.authors import hookimpl
from gateway_core.testing import EPOCH, FakeChannel, FakeSettings, run_seeded


async def fill(gateway, say, count: int, room: str = "room {}", **fields) -> list:
    """Accept envelopes that stay unfinished: their time has not come."""
    fields = {"not_before": EPOCH + 1e6, "ttl": 1e7} | fields
    return [await gateway.submit(say.message(room.format(n), **fields)) for n in range(count)]


# -- the three bounds


async def test_a_full_room_refuses_only_its_own(engine, say, autojump_clock):
    async with engine(room_bound=3) as gateway:
        await fill(gateway, say, 3, "r")
        with pytest.raises(Overloaded) as caught:
            await gateway.submit(say.message("r"), wait=False)
        assert ("room bot r", 3, 3) == (
            caught.value.bound_of,
            caught.value.depth,
            caught.value.bound,
        )
        assert (await gateway.send("bot", "other", "x")).delivered


async def test_a_held_instance_refuses_only_its_own(engine, say, autojump_clock):
    async with engine(
        instances=["bot", "other"], partition_count=1, instance_bound=5, partition_bound=100
    ) as gateway:
        gateway.suspend("bot")
        for n in range(5):
            await gateway.submit(say.message(f"room {n}"))
        with pytest.raises(Overloaded, match="instance bot is full: 5 of 5"):
            await gateway.submit(say.message("fresh"), wait=False)
        assert (await gateway.send("other", "r", "x")).delivered


async def test_an_instances_share_is_three_quarters_by_default(engine, say, autojump_clock):
    async with engine(partition_count=1, partition_bound=100) as gateway:
        await fill(gateway, say, 75)
        with pytest.raises(Overloaded, match="instance bot is full: 75 of 75"):
            await gateway.submit(say.message("fresh"), wait=False)


async def test_a_full_partition_refuses_with_pressure_and_an_estimate(engine, say, autojump_clock):
    async with engine(partition_count=1, partition_bound=10, instance_bound=10) as gateway:
        for _ in range(20):
            await trio.sleep(0.5)
            await gateway.send("bot", "r", "x")
        await fill(gateway, say, 10)
        with pytest.raises(Overloaded) as caught:
            await gateway.submit(say.message("fresh"), wait=False)
        assert "partition 0" == caught.value.bound_of
        assert "saturated" == caught.value.pressure
        assert 0.5 == pytest.approx(caught.value.retry_in)
        assert 1 == gateway.statistics().refused


async def test_the_estimate_is_of_the_present_pace(engine, say, autojump_clock):
    """Two a second an hour ago, ten a second now: the hour between says nothing."""
    async with engine(partition_count=1, partition_bound=10, instance_bound=10) as gateway:
        for pause in (0.5, 0.1):
            for _ in range(30):
                await trio.sleep(pause)
                await gateway.send("bot", "r", "x")
            await trio.sleep(3600 if pause == 0.5 else 0)
        await fill(gateway, say, 10)
        with pytest.raises(Overloaded) as caught:
            await gateway.submit(say.message("fresh"), wait=False)
        assert 0.1 == pytest.approx(caught.value.retry_in, rel=0.1)


async def test_the_bounds_count_everything_unfinished(engine, say, autojump_clock):
    """Scheduled, suspended, in flight, in doubt: all of it is in memory."""

    async def run(attempt):
        if attempt.room == "doubtful":
            raise say.unknown()
        if attempt.room == "flying":
            await trio.sleep_forever()

    channel = FakeChannel(script=run)
    channel.probe_error = say.refused()
    async with engine(
        channel,
        instances=["bot", "held"],
        partition_count=1,
        partition_bound=4,
        instance_bound=4,
        attempt_timeout=1e6,
    ) as gateway:
        gateway.suspend("held")
        await gateway.submit(say.message("scheduled", not_before=EPOCH + 1000))
        await gateway.submit(say.message("held", instance_id="held"))
        await gateway.submit(say.message("flying", ttl=1e6))
        await gateway.submit(say.message("doubtful"))
        await trio.sleep(10)
        with pytest.raises(Overloaded, match="4 of 4"):
            await gateway.submit(say.message("fresh"), wait=False)


async def test_a_bound_of_one_works(engine, say, autojump_clock):
    async with engine(partition_count=1, partition_bound=1) as gateway:
        for n in range(5):
            assert (await gateway.send("bot", f"room {n}", "x")).delivered


# -- waiting for a place


async def test_submit_waits_and_gets_its_place_in_order(engine, say, autojump_clock):
    channel = FakeChannel(latency=1)
    order: list[int] = []
    async with engine(channel, room_bound=1, drain_timeout=100) as gateway:

        async def caller(n: int) -> None:
            await gateway.submit(say.message("r", str(n)))
            order.append(n)

        async with trio.open_nursery() as nursery:
            for n in range(6):
                nursery.start_soon(caller, n)
                await trio.sleep(0.01)
            assert 5 == sum(p.waiting for p in gateway.statistics().partitions)
    assert [0, 1, 2, 3, 4, 5] == order
    assert ["0", "1", "2", "3", "4", "5"] == channel.texts("r")


async def test_a_newcomer_never_overtakes_those_who_wait(engine, say, autojump_clock):
    """Even where it arrives in the very moment in which a place is free."""

    class Greedy:
        def __init__(self) -> None:
            self.gateway = None
            self.got = []

        @hookimpl
        def after_disposition(self):
            full = self.gateway._partitions[0].admission.full("bot", "r")
            self.got.append(full)

    policy = Greedy()
    channel = FakeChannel(latency=1)
    async with engine(
        channel, plugins=[policy], room_bound=1, partition_count=1, drain_timeout=100
    ) as gateway:
        policy.gateway = gateway
        async with trio.open_nursery() as nursery:
            for n in range(4):
                nursery.start_soon(gateway.submit, say.message("r", str(n)))
                await trio.sleep(0.01)
            with pytest.raises(Overloaded):
                await gateway.submit(say.message("r", "greedy"), wait=False)
        await trio.sleep(10)
    assert all(policy.got[:3])


async def test_a_cancelled_waiter_gives_its_turn_to_the_next(engine, say, autojump_clock):
    channel = FakeChannel(latency=10)
    async with engine(channel, room_bound=1, drain_timeout=100) as gateway:
        await gateway.submit(say.message("r", "first"))
        async with trio.open_nursery() as nursery:
            with trio.CancelScope() as scope:
                nursery.start_soon(_within, scope, gateway, say)
                await trio.sleep(1)
                nursery.start_soon(gateway.submit, say.message("r", "second"))
                await trio.sleep(1)
            scope.cancel()
            await trio.sleep(1)
            assert 1 == sum(p.waiting for p in gateway.statistics().partitions)
    assert ["first", "second"] == channel.texts("r")


async def _within(scope, gateway, say) -> None:
    with trio.move_on_after(1.5):
        await gateway.submit(say.message("r", "cancelled"))


def test_places_survive_cancelled_waiters_in_every_order(new_engine, say):
    for seed in range(40):
        run_seeded(f"waiters {seed}", _waiters, new_engine(), say)


async def _waiters(engine, say) -> None:
    channel = FakeChannel(latency=1)
    async with engine(channel, room_bound=2, drain_timeout=100) as gateway:

        async def caller(n: int, patience: float) -> None:
            with trio.move_on_after(patience):
                await gateway.submit(say.message("r", str(n)))

        async with trio.open_nursery() as nursery:
            for n in range(12):
                nursery.start_soon(caller, n, float(n % 4) or 100)
    # The books are checked as the engine closes: no place is lost or given twice.


async def test_a_waiter_moves_on_to_the_bound_that_keeps_it_out_next(engine, say, autojump_clock):
    channel = FakeChannel(latency=10)
    async with (
        engine(
            channel,
            partition_count=1,
            partition_bound=4,
            instance_bound=3,
            room_bound=1,
            drain_timeout=1000,
            instances=["bot", "other"],
        ) as gateway,
        trio.open_nursery() as nursery,
    ):
        for room in ("a", "b", "c", "a", "b", "c", "a", "d"):
            nursery.start_soon(gateway.submit, say.message(room))
            nursery.start_soon(gateway.submit, say.message(room, instance_id="other"))
            await trio.sleep(0.01)
    assert {Disposition.DELIVERED: 16} == gateway.statistics().dispositions


async def test_an_instance_that_is_removed_while_one_waits_for_it(engine, say, autojump_clock):
    found = []
    channel = FakeChannel(latency=1000)
    async with engine(channel, instances=["bot", "other"], room_bound=1) as gateway:
        await gateway.submit(say.message())

        async def caller() -> None:
            try:
                await gateway.submit(say.message())
            except UnknownInstance as error:
                found.append(error)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(caller)
            await trio.sleep(1)
            await gateway.remove_instance("bot")
        assert 1 == len(found)


async def test_one_that_is_removed_and_added_again_meanwhile(engine, say, autojump_clock):
    channel = FakeChannel(latency=1000)
    async with engine(channel, room_bound=1) as gateway:
        await gateway.submit(say.message())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(gateway.submit, say.message(text="again"))
            await trio.sleep(1)
            await gateway.remove_instance("bot")
            gateway.add_instance(Instance("bot", "fake", FakeSettings()))
            channel.latency = 0
        await trio.sleep(10)
        assert ["again"] == channel.texts("r")


async def test_a_place_that_came_as_the_gateway_closed_is_given_back(engine, say, autojump_clock):
    found = []
    async with engine(room_bound=1) as gateway:
        first = (await fill(gateway, say, 1, "r"))[0]

        async def caller() -> None:
            try:
                await gateway.submit(say.message("r"))
            except GatewayClosed as error:
                found.append(error)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(caller)
            await trio.sleep(1)
            gateway._lookup.withdraw_held(first._delivery)
            gateway.quiet()
        assert 1 == len(found)


async def test_what_needs_too_many_messages_or_none_is_refused(engine, say, autojump_clock):
    class Letters(FakeChannel):
        @hookimpl
        def chunk(self, envelope):
            return [Part(payload={"text": letter}) for letter in envelope.text if letter != "-"]

    async with engine(Letters(), max_parts=3) as gateway:
        with pytest.raises(Invalid, match=r"text: needs 4 messages, at most 3 \(`max_parts`\)"):
            await gateway.submit(say.message(text="abcd"))
        with pytest.raises(Invalid, match="text: leaves nothing to send on channel 'fake'"):
            await gateway.submit(say.message(text="---"))
        assert 0 == gateway.statistics().accepted


async def test_refusals_are_counted_and_leave_nothing(engine, say, autojump_clock):
    async with engine(room_bound=1) as gateway:
        await fill(gateway, say, 1, "r")
        for _ in range(3):
            with pytest.raises(Overloaded):
                await gateway.submit(say.message("r"), wait=False)
        with pytest.raises(Invalid):
            await gateway.submit(say.message("r", ""))
        with pytest.raises(UnknownInstance, match="there is no instance 'nobody'; configured: bot"):
            await gateway.submit(say.message(instance_id="nobody"))
        gateway.quiet()
        with pytest.raises(GatewayClosed):
            await gateway.submit(say.message())
        statistics = gateway.statistics()
        assert (1, 6) == (statistics.accepted, statistics.refused)


async def test_neither_kind_of_submit_waits_behind_an_adapter(engine, say, autojump_clock):
    async def hang(attempt):
        await trio.sleep_forever()

    async with engine(FakeChannel(script=hang), attempt_timeout=1e6) as gateway:
        for n in range(1000):
            await gateway.submit(say.message(f"room {n % 50}"), wait=bool(n % 2))
        assert 0 == trio.current_time()


# -- pressure


class Watcher:
    """Notes each change of pressure, and each refusal that the test tells it of."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str, int]] = []

    @hookimpl
    def pressure_changed(self, pressure, previous):
        self.events.append((previous, pressure.level, pressure.depth))


async def test_levels_rise_before_refusals_begin_and_fall_with_hysteresis(
    engine, say, autojump_clock
):
    watcher = Watcher()
    async with engine(
        plugins=[watcher], partition_count=1, partition_bound=100, instance_bound=100
    ) as gateway:
        tickets = await fill(gateway, say, 100)
        rising = [
            ("nominal", "elevated", 70),
            ("elevated", "high", 85),
            ("high", "saturated", 95),
        ]
        assert rising == watcher.events
        with pytest.raises(Overloaded):
            await gateway.submit(say.message("fresh"), wait=False)
        assert 3 == len(watcher.events)
        for ticket in tickets:
            await gateway.cancel(ticket)
        falling = [
            ("saturated", "high", 89),
            ("high", "elevated", 79),
            ("elevated", "nominal", 64),
        ]
        assert falling == watcher.events[3:]


async def test_at_an_edge_nothing_flutters(engine, say, autojump_clock):
    watcher = Watcher()
    async with engine(
        plugins=[watcher], partition_count=1, partition_bound=100, instance_bound=100
    ) as gateway:
        await fill(gateway, say, 69)
        for _ in range(50):
            ticket = (await fill(gateway, say, 1, "edge"))[0]
            await gateway.cancel(ticket)
        assert 1 == len(watcher.events)


async def test_a_jump_over_several_levels_is_one_event(engine, say, autojump_clock):
    watcher = Watcher()
    async with engine(plugins=[watcher], partition_count=1, partition_bound=1) as gateway:
        await gateway.send("bot", "r", "x")
    assert [("nominal", "saturated", 1), ("saturated", "nominal", 0)] == watcher.events


async def test_the_thresholds_are_settings(engine, say, autojump_clock):
    watcher = Watcher()
    settings = PressureSettings(thresholds=(0.1, 0.2, 0.3))
    async with engine(
        plugins=[watcher], partition_count=1, partition_bound=10, pressure=settings
    ) as gateway:
        await fill(gateway, say, 3)
        assert [1, 2, 3] == [depth for _, _, depth in watcher.events]


async def test_each_partition_has_a_pressure_of_its_own(engine, say, autojump_clock):
    async with engine(partition_count=4, partition_bound=10, room_bound=8) as gateway:
        await fill(gateway, say, 7, "r")
        levels = [p.level for p in gateway.statistics().partitions]
        assert ["elevated", "nominal", "nominal", "nominal"] == sorted(levels)


# -- votes


class Voter:
    def __init__(self, vote) -> None:
        self.vote = vote
        self.asked: list[tuple[str, int]] = []

    @hookimpl
    def admit(self, envelope, pressure):
        self.asked.append((envelope.text, pressure.depth))
        return self.vote(envelope) if callable(self.vote) else self.vote


async def test_any_shed_wins(engine, say, autojump_clock):
    channel = FakeChannel()
    voters = [Voter("urgent"), Voter(None), Voter("shed")]
    async with engine(channel, plugins=voters) as gateway:
        receipt = await gateway.send("bot", "r", "x", raises=False)
        assert Disposition.SHED is receipt.disposition
        assert all(voter.asked for voter in voters)
    assert [] == channel.made


async def test_else_the_first_class_named_counts(engine, say, autojump_clock):
    async with engine(plugins=[Voter(None), Voter("bulk"), Voter("urgent")]) as gateway:
        gateway.suspend("bot")
        ticket = await gateway.submit(say.message())
        receipt = await ticket.receipt()
        assert 86_400 == pytest.approx(trio.current_time())  # bulk's time, not normal's
        assert Disposition.EXPIRED is receipt.disposition


async def test_a_vote_shed_frees_its_key_and_its_place(engine, say, autojump_clock):
    votes = iter(["shed", None])
    async with engine(plugins=[Voter(lambda _: next(votes))], room_bound=1) as gateway:
        first = await gateway.send("bot", "r", "x", key="k", raises=False)
        assert Disposition.SHED is first.disposition
        assert (await gateway.send("bot", "r", "x", key="k")).delivered


# -- shedding, where it is opted in


async def test_bulk_makes_room_for_higher_classes_newest_first(engine, say, autojump_clock):
    async with engine(shed=True, partition_count=1, partition_bound=5, instance_bound=5) as gateway:
        bulk = await fill(gateway, say, 5, priority="bulk")
        with structlog.testing.capture_logs() as logs:
            normal = await gateway.submit(say.message("fresh", not_before=EPOCH + 50), wait=False)
        assert Disposition.SHED is (await bulk[-1].receipt()).disposition
        assert not any(ticket.ended for ticket in bulk[:-1])
        shed = [entry for entry in logs if entry.get("disposition") == "shed"]
        assert [bulk[-1].id] == [entry["envelope"] for entry in shed]
        assert (await normal.receipt()).delivered


async def test_without_the_opt_in_nothing_is_shed(engine, say, autojump_clock):
    async with engine(partition_count=1, partition_bound=5, instance_bound=5) as gateway:
        bulk = await fill(gateway, say, 5, priority="bulk")
        await gateway.submit(say.message("fresh", priority="urgent"), wait=False)
        assert not any(ticket.ended for ticket in bulk)


async def test_bulk_sheds_no_bulk_and_normal_no_normal(engine, say, autojump_clock):
    async with engine(shed=True, partition_count=1, partition_bound=4, instance_bound=4) as gateway:
        await fill(gateway, say, 2, priority="bulk")
        await fill(gateway, say, 2, "normal {}")
        with pytest.raises(Overloaded):
            await gateway.submit(say.message("fresh", priority="bulk"), wait=False)
        await gateway.submit(say.message("a", not_before=EPOCH + 50), wait=False)
        await gateway.submit(say.message("b", not_before=EPOCH + 50), wait=False)
        with pytest.raises(Overloaded):
            await gateway.submit(say.message("c"), wait=False)


async def test_what_has_started_is_not_shed(engine, say, autojump_clock):
    channel = FakeChannel(latency=50)
    async with engine(
        channel, shed=True, partition_count=1, partition_bound=2, instance_bound=2
    ) as gateway:
        for n in range(2):
            await gateway.submit(say.message(f"room {n}", priority="bulk"))
        await trio.sleep(1)
        assert (await (await gateway.submit(say.message("fresh"), wait=False)).receipt()).delivered
        assert {"delivered": 3} == dict(gateway.statistics().dispositions)


async def test_nobody_is_shed_in_vain(engine, say, autojump_clock):
    """The room is full of urgent ones: bulk elsewhere would die for nothing."""
    async with engine(
        shed=True, partition_count=1, partition_bound=100, room_bound=3, instance_bound=100
    ) as gateway:
        bulk = await fill(gateway, say, 20, "bulk {}", priority="bulk")
        await fill(gateway, say, 3, "hot", priority="urgent")
        with pytest.raises(Overloaded):
            await gateway.submit(say.message("hot", priority="urgent"), wait=False)
        assert not any(ticket.ended for ticket in bulk)


async def test_a_rooms_bound_sheds_in_the_room(engine, say, autojump_clock):
    async with engine(
        shed=True, partition_count=1, partition_bound=100, room_bound=3, instance_bound=100
    ) as gateway:
        mine = await fill(gateway, say, 2, "hot", priority="bulk")
        await fill(gateway, say, 1, "hot")
        others = await fill(gateway, say, 5, "other {}", priority="bulk")
        await gateway.submit(say.message("hot", not_before=EPOCH + 50), wait=False)
        assert mine[1].ended
        assert not mine[0].ended
        assert not any(ticket.ended for ticket in others)


async def test_a_place_that_was_shed_for_somebody_is_that_somebodys(engine, say, autojump_clock):
    """Bulk callers that wait for room do not get what an urgent one has shed for itself."""
    async with engine(shed=True, partition_count=1, partition_bound=5, instance_bound=5) as gateway:
        bulk = await fill(gateway, say, 5, priority="bulk")
        async with trio.open_nursery() as nursery:
            for n in range(3):
                nursery.start_soon(
                    gateway.submit,
                    say.message(f"waiting {n}", priority="bulk", not_before=EPOCH + 1e6),
                )
            await trio.sleep(1)
            urgent = say.message("fresh", priority="urgent", not_before=EPOCH + 50)
            ticket = await gateway.submit(urgent, wait=False)
            assert 1 == sum(t.ended for t in bulk)
            assert 3 == gateway.statistics().partitions[0].waiting
            assert not ticket.ended
            nursery.cancel_scope.cancel()
