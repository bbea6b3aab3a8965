"""The platform's budget: spent to the last token, never over it, and closed where it says so."""

from __future__ import annotations

import math
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest
import trio
import trio.testing

from gateway_core import Disposition, ErrorClass, Instance, Limit, Reason, Scope, Verdict
from gateway_core.authors import Answer, BucketReport, Traits, TransportError, hookimpl
from gateway_core.testing import (
    Failure,
    FakeChannel,
    FakeSettings,
    MemoryOutbox,
    open_test_gateway,
    run_seeded,
)

HOUR = 3600.0


def always(*limits: Limit):
    return lambda *_: limits


def at_most(times: list[float], count: int, per: float) -> bool:
    """Whether no more than `count` of `times` lie in any window of `per` seconds."""
    times = sorted(times)
    return all(b - a >= per - 1e-6 for a, b in zip(times, times[count:], strict=False))


# -- pacing


async def test_even_pace_counts_from_the_starts_of_attempts(engine, say, autojump_clock):
    channel = FakeChannel(limits=always(Limit("account", 10, 1.0)), latency=0.75)
    async with engine(channel, drain_timeout=100) as gateway:
        for n in range(20):
            await gateway.submit(say.message(f"room {n}"))
    assert [n / 10 for n in range(20)] == pytest.approx(channel.times)


async def test_a_window_lets_its_count_go_at_once_and_then_waits_from_the_answers(
    engine, say, autojump_clock
):
    channel = FakeChannel(limits=always(Limit("group", 5, 10.0, "window")), latency=1)
    async with engine(channel, drain_timeout=100) as gateway:
        for n in range(12):
            await gateway.submit(say.message(f"room {n}"))
    assert [0] * 5 + [11] * 5 + [22] * 2 == pytest.approx(channel.times)


async def test_a_count_of_one_is_spaced_strictly_from_the_answers(engine, say, autojump_clock):
    channel = FakeChannel(limits=always(Limit("chat", 1, 1.0)), latency=0.25)
    async with engine(channel, drain_timeout=100) as gateway:
        for n in range(4):
            await gateway.submit(say.message(f"room {n}"))
    assert [0, 1.25, 2.5, 3.75] == pytest.approx(channel.times)


async def test_the_answers_count_even_when_the_latency_jumps(engine, say, autojump_clock):
    """An attempt of 5 s may have been counted at its end: the next comes a second after that."""
    channel = FakeChannel(limits=always(Limit("chat", 1, 1.0)), script=say.script(5))
    async with engine(channel, drain_timeout=100) as gateway:
        for n in range(3):
            await gateway.submit(say.message("r", str(n)))
    assert [0, 6, 7] == pytest.approx(channel.times)


async def test_a_budget_is_shared_by_all_partitions_of_an_instance(engine, say, autojump_clock):
    channel = FakeChannel(limits=always(Limit("account", 30, 1.0)))
    async with engine(channel, partition_count=16, drain_timeout=100) as gateway:
        for n in range(90):
            await gateway.submit(say.message(f"room {n}"))
        used = {gateway._partition_of("bot", f"room {n}").index for n in range(90)}
        assert 16 == len(used)
    assert 89 / 30 == pytest.approx(max(channel.times), abs=1e-3)
    assert at_most(channel.times, 31, 1.0)


async def test_instances_have_budgets_of_their_own(engine, say, autojump_clock):
    channel = FakeChannel(limits=always(Limit("account", 1, 1.0)))
    async with engine(channel, instances=["bot", "other"], drain_timeout=100) as gateway:
        for n in range(3):
            await gateway.submit(say.message(f"room {n}"))
            await gateway.submit(say.message(f"room {n}", instance_id="other"))
    assert [0, 0, 1, 1, 2, 2] == pytest.approx(channel.times)


async def test_operations_have_the_limits_that_they_are_asked_for(engine, say, autojump_clock):
    limits = {"send": [Limit("send", 1, 1.0)], "edit": [Limit("edit", 1, 3.0)]}
    channel = FakeChannel(limits=lambda _, operation: limits.get(operation, ()))
    async with engine(channel, drain_timeout=100) as gateway:
        receipt = await gateway.send("bot", "r", "x")
        for n in range(3):
            await gateway.edit(receipt.ref, str(n))
        for _ in range(5):
            await gateway.call("bot", "r", "typing")
    assert [0, 0, 3, 6] == pytest.approx(channel.times[:4])
    assert [6] * 5 == pytest.approx(channel.times[4:])


async def test_unused_tokens_are_not_saved_up(engine, say, autojump_clock):
    channel = FakeChannel(limits=always(Limit("account", 10, 1.0)))
    async with engine(channel, drain_timeout=100) as gateway:
        await gateway.send("bot", "r", "x")
        await trio.sleep(60)
        for n in range(10):
            await gateway.submit(say.message(f"room {n}"))
    assert at_most(channel.times, 2, 0.1)


def test_no_tick_is_lost_as_the_gateway_opens(new_engine, say):
    """A lane that got tokens before its partition ran gives them back, and they count."""
    for seed in range(20):
        run_seeded(f"open {seed}", _first_at_once, new_engine(), say)


async def _first_at_once(engine, say) -> None:
    channel = FakeChannel(limits=always(Limit("account", 2, 1.0)))
    async with engine(channel, drain_timeout=100) as gateway:
        for n in range(3):
            await gateway.submit(say.message(f"room {n}"))
    assert [0, 0.5, 1] == pytest.approx(channel.times)


# -- several buckets at once


async def test_all_tokens_are_taken_or_none(engine, say, autojump_clock):
    """The room's closed bucket keeps nothing of the account's while it waits."""
    channel = FakeChannel(
        limits=lambda room, _: [Limit("account", 1, 1.0), Limit(f"room {room}", 1, 30.0, of="room")]
    )
    async with engine(channel, drain_timeout=100) as gateway:
        for _ in range(2):
            await gateway.submit(say.message("slow"))
        for n in range(20):
            await gateway.submit(say.message(f"room {n}"))
    times = sorted(channel.times)
    assert [*range(21), 30] == pytest.approx(times)


@pytest.mark.parametrize("phase", [0.25, 0.5, 0.75])
async def test_a_lane_that_needs_two_busy_buckets_is_not_starved(
    engine, say, phase, autojump_clock
):
    """Fresh traffic on `a` and on `b`, out of phase: without help they are never free together."""

    def limits(room: str, _: str):
        buckets = {"a": ["a"], "b": ["b"], "both": ["a", "b"]}[room.partition(" ")[0]]
        return [Limit(name, 1, 1.0) for name in buckets]

    channel = FakeChannel(limits=limits)
    async with (
        engine(channel, partition_count=2, drain_timeout=1000) as gateway,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(_stream, gateway, say, "a", 1.0)
        await trio.sleep(phase)
        nursery.start_soon(_stream, gateway, say, "b", 1.0)
        await trio.sleep(10)
        waits = []
        for n in range(5):
            begun = trio.current_time()
            await gateway.send("bot", f"both {n}", "x")
            waits.append(trio.current_time() - begun)
        nursery.cancel_scope.cancel()
    assert max(waits) < 10  # it ages for five seconds, then nobody younger delays it


async def _stream(gateway, say, name: str, every: float) -> None:
    """A message to a fresh room in each period, two at the start so that one always waits."""
    for n in range(10_000):
        await gateway.submit(say.message(f"{name} {n}", ttl=10_000))
        if n:
            await trio.sleep(every)


async def test_nor_is_one_that_needs_three_windows(engine, say, autojump_clock):
    def limits(room: str, _: str):
        name = room.partition(" ")[0]
        buckets = ["a", "b", "c"] if name == "all" else [name]
        return [Limit(bucket, 3, 2.0 + ord(bucket) / 100, "window") for bucket in buckets]

    channel = FakeChannel(limits=limits, latency=0.125)
    async with (
        engine(channel, partition_count=2, drain_timeout=3000) as gateway,
        trio.open_nursery() as nursery,
    ):
        for name in "abc":
            nursery.start_soon(_stream, gateway, say, name, 1.0)
        await trio.sleep(10)
        waits = []
        for n in range(5):
            begun = trio.current_time()
            await gateway.send("bot", f"all {n}", "x")
            waits.append(trio.current_time() - begun)
        nursery.cancel_scope.cancel()
    assert max(waits) < 10


# -- 429


async def test_a_429_closes_its_room_alone_and_spends_no_attempt(engine, say, autojump_clock):
    async def limit_first(attempt):
        if attempt.room == "r" and attempt.number <= 9:
            raise say.limited(10)

    channel = FakeChannel(script=limit_first)
    async with engine(channel, drain_timeout=1000) as gateway:
        ticket = await gateway.submit(say.message("r"))
        assert (await gateway.send("bot", "other", "x")).delivered
        receipt = await ticket.receipt()
        assert receipt.delivered  # nine refusals, where six attempts are allowed
        assert 90 == pytest.approx(trio.current_time())
        assert 9 == gateway.statistics().rate_limited
        assert 10 == receipt.attempts


@pytest.mark.parametrize("scope", [Scope.MESSAGE, Scope.ROOM, Scope.OPERATION, Scope.INSTANCE])
@pytest.mark.parametrize("after", [0.0, 0.1, None])
async def test_a_platform_that_refuses_on_and_on_is_not_asked_at_its_pace(
    engine, say, autojump_clock, scope, after
):
    """Ten minutes of refusals that ask for hardly a wait, or for none: a few requests a minute."""

    async def refuse(_):
        raise say.limited(after, scope)

    channel = FakeChannel(script=refuse, latency=0.05)
    async with engine(channel) as gateway:
        ticket = await gateway.submit(say.message("r", ttl=600.0))
        assert Disposition.EXPIRED is (await ticket.receipt()).disposition
    assert 10 < len(channel.times) < 120


@pytest.mark.parametrize(
    ("scope", "waits"),
    [
        (Scope.MESSAGE, {"same"}),
        (Scope.THREAD, {"same"}),
        (Scope.ROOM, {"same", "thread"}),
        (Scope.OPERATION, {"same", "thread", "room"}),
        (Scope.INSTANCE, {"same", "thread", "room", "call"}),
    ],
)
async def test_a_429_closes_what_its_verdict_names(engine, say, scope, waits, autojump_clock):
    channel = FakeChannel(
        script=say.script(say.limited(10, scope)), traits=Traits(independent_threads=True)
    )
    async with engine(channel, instances=["bot", "another"], drain_timeout=1000) as gateway:
        first = await gateway.submit(say.message("r", "first", thread_id="t"))
        await trio.sleep(1)
        others = {
            "same": await gateway.submit(say.message("r", thread_id="t")),
            "thread": await gateway.submit(say.message("r", thread_id="u")),
            "room": await gateway.submit(say.message("s")),
            "instance": await gateway.submit(say.message("r", instance_id="another")),
        }
        called = trio.Event()
        ended: dict[str, float] = {}

        async def call() -> None:
            await gateway.call("bot", "s", "typing", order="none")
            ended["call"] = trio.current_time()
            called.set()

        async def watch(name: str) -> None:
            await others[name].receipt()
            ended[name] = trio.current_time()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(call)
            for name in others:
                nursery.start_soon(watch, name)
        assert (await first.receipt()).delivered
        late = {name for name, at in ended.items() if at > 9}
        assert waits == late
        assert all(at == pytest.approx(10) for name, at in ended.items() if name in late)


async def test_three_rooms_hit_within_two_seconds_are_perhaps_the_account(
    engine, say, autojump_clock
):
    """Half a second later another room asks, and is answered: it was their own limits."""

    async def limit(attempt):
        if attempt.room.startswith("hit") and attempt.number == 1:
            raise say.limited(20)

    channel = FakeChannel(script=limit)
    async with engine(channel, drain_timeout=1000) as gateway:
        for n in range(2):
            await gateway.submit(say.message(f"hit {n}"))
        await trio.sleep(1)
        assert (await gateway.send("bot", "fresh", "x")).delivered
        assert 1 == trio.current_time()
        await gateway.submit(say.message("hit 2"))
        await trio.testing.wait_all_tasks_blocked()
        assert (await gateway.send("bot", "fresh", "x")).delivered
        assert 1.5 == pytest.approx(trio.current_time())
        assert (await gateway.send("bot", "another", "x")).delivered
        assert 1.5 == pytest.approx(trio.current_time())
    assert 21 == pytest.approx(channel.times[-1])


@pytest.mark.parametrize("_order", range(10))
async def test_what_may_be_the_accounts_limit_is_asked_one_by_one_and_ever_more_rarely(
    _order, engine, say, autojump_clock
):
    """All is refused for 10 s: after the first of all rooms there are single attempts, then all.

    One may begin as the first answers come in; its refusal tells nothing new.
    """

    async def limit(_attempt):
        if trio.current_time() < 10:
            raise say.limited(30)

    channel = FakeChannel(script=limit, latency=0.1)
    async with engine(channel, drain_timeout=1000) as gateway:
        for n in range(100):
            await gateway.submit(say.message(f"room {n}"))
    first = [at for at in channel.times if at < 0.15]
    asked = [at for at in channel.times if 0.15 <= at < 30]
    assert len(first) + 100 == len(channel.times) - sum(at < 10 for at in asked)
    alone = [at for at in asked if at < 10]
    assert [0.5, 1.0, 2.0, 4.0] == pytest.approx([b - a for a, b in pairwise([0, *alone])], abs=0.2)
    after = [at for at in asked if at > 10]
    assert after[0] < 20
    assert 100 - len(first) - len(alone) == len(after)


async def test_a_channel_that_names_its_limits_is_believed(engine, say, autojump_clock):
    async def limit(attempt):
        if attempt.room.startswith("hit") and len(channel.made) <= 5:
            raise say.limited(20)

    channel = FakeChannel(script=limit, traits=Traits(names_limits=True))
    async with engine(channel, drain_timeout=1000) as gateway:
        for n in range(5):
            await gateway.submit(say.message(f"hit {n}"))
        await trio.sleep(1)
        assert (await gateway.send("bot", "fresh", "x")).delivered
        assert 1 == trio.current_time()


async def test_three_rooms_hit_together_slow_down_the_account_and_not_themselves(
    engine, say, autojump_clock
):
    """Each verdict names its room, but what they have in common is the bucket of all rooms."""

    async def limit(attempt):
        if attempt.room.startswith("hit") and len(channel.made) <= 3:
            raise say.limited(1, Scope.ROOM)

    channel = FakeChannel(
        limits=lambda room, _: [
            Limit(f"room {room}", 20, 1.0, of="room"),
            Limit("account", 10, 1.0),
        ],
        script=limit,
    )
    async with engine(channel, drain_timeout=1000) as gateway:
        for n in range(3):
            await gateway.submit(say.message(f"hit {n}"))
        for n in range(40):
            await gateway.submit(say.message(f"fresh {n}"))
    gaps = [b - a for a, b in pairwise(channel.times)]
    assert [0.1, 0.1] == pytest.approx(gaps[:2])
    assert 0.15 < gaps[4] <= 0.2
    assert all(b <= a + 1e-6 for a, b in pairwise(gaps[3:]))


async def test_a_room_stricter_than_its_limit_says_refuses_few(engine, say, autojump_clock):
    """One per second is configured, and one per three is taken: of 40 messages, 6 are refused."""
    accepted = [-10.0]

    async def strict(_attempt):
        wait = accepted[-1] + 3 - trio.current_time()
        if wait > 0:
            raise say.limited(math.ceil(wait))
        accepted.append(trio.current_time())

    channel = FakeChannel(
        limits=lambda room, _: [Limit(f"room {room}", 1, 1.0, of="room")], script=strict
    )
    async with engine(channel, drain_timeout=1000) as gateway:
        for n in range(40):
            await gateway.submit(say.message("strict", f"{n}"))
    assert 40 == len(accepted) - 1
    assert len(channel.made) - 40 <= 6
    assert trio.current_time() <= 39 * 3 * 1.3


async def test_three_rooms_hit_within_more_are_three_rooms(engine, say, autojump_clock):
    async def limit(attempt):
        if attempt.room.startswith("hit") and attempt.number == 1:
            raise say.limited(20)

    channel = FakeChannel(script=limit)
    async with engine(channel, drain_timeout=1000) as gateway:
        for n in range(5):
            await gateway.submit(say.message(f"hit {n}"))
            await trio.sleep(1.01)
        assert (await gateway.send("bot", "fresh", "x")).delivered
        assert trio.current_time() < 6


async def test_a_retry_after_beyond_the_deadline_ends_it_at_once_with_that_value(
    engine, say, autojump_clock
):
    channel = FakeChannel(script=say.script(say.limited(500)))
    async with engine(channel, drain_timeout=1000) as gateway:
        receipt = await gateway.send("bot", "r", "x", ttl=300, raises=False)
        assert Disposition.EXPIRED is receipt.disposition
        assert 0 == trio.current_time()
        assert 500 == receipt.verdict.retry_after
        assert Reason.RATE_LIMITED is receipt.verdict.reason
        # The room stays closed for those who may wait so long.
        assert (await gateway.send("bot", "r", "y", ttl=600)).delivered
        assert 500 == pytest.approx(trio.current_time())


@pytest.mark.parametrize("after", [math.nan, -1.0, None])
async def test_a_retry_after_that_is_none_falls_back_to_the_backoff(
    engine, say, after, autojump_clock
):
    channel = FakeChannel(script=say.script(say.limited(after)))
    async with engine(channel, drain_timeout=1000) as gateway:
        assert (await gateway.send("bot", "r", "x")).delivered
        assert trio.current_time() <= 0.5


@pytest.mark.parametrize("after", [math.inf, 1e9])
async def test_a_retry_after_without_end_is_a_day_at_most(engine, say, after, autojump_clock):
    channel = FakeChannel(script=say.script(say.limited(after)))
    async with engine(channel, drain_timeout=1000) as gateway:
        assert (await gateway.send("bot", "r", "x", ttl=100_000)).delivered
        assert 86_400 == pytest.approx(trio.current_time())


async def test_no_call_is_made_inside_a_wait_that_is_known(engine, say, autojump_clock):
    """Tokens taken before the 429 of a neighbour are looked at again right before the call."""

    async def run(attempt):
        await trio.sleep(0.5)
        if attempt.room == "room 0" and attempt.number == 1:
            raise say.limited(30, Scope.INSTANCE)

    channel = FakeChannel(script=run, limits=always(Limit("account", 10, 1.0)))
    async with engine(channel, drain_timeout=1000) as gateway:
        for n in range(30):
            await gateway.submit(say.message(f"room {n}"))
    assert not [at for at in channel.times if 0.5 <= at < 30.5 - 1e-6]
    assert 5 <= len([at for at in channel.times if at <= 0.5])
    assert {Disposition.DELIVERED: 30} == gateway.statistics().dispositions


class Slow(MemoryOutbox):
    """A second life's outbox that takes its time to record the attempts of one room."""

    def __init__(self) -> None:
        super().__init__()
        self.voided: list[tuple[float, bool]] = []

    async def attempt_started(self, envelope_id, record):
        if self._rows[envelope_id].entry.envelope.external_room_id == "slow":
            await trio.sleep(5)
        await super().attempt_started(envelope_id, record)

    def attempt_ended(self, envelope_id, record):
        self.voided.append((trio.current_time(), record.started))
        super().attempt_ended(envelope_id, record)


async def test_what_closes_while_an_attempt_is_recorded_voids_it(engine, say, autojump_clock):
    """The record takes 5 s, and a neighbour is refused meanwhile: no call, the token is back."""
    script = say.script(say.limited(30, Scope.INSTANCE))
    channel, outbox = FakeChannel(script=script), Slow()
    channel.limits = always(Limit("account", 4, 60.0, "window"))  # two, once it is slowed down
    async with engine(channel, outbox=outbox) as gateway:
        slow = await gateway.submit(say.message("slow", "a"))
        await trio.testing.wait_all_tasks_blocked()
        quick = await gateway.submit(say.message("quick", "b"))
        await trio.sleep(10)
        assert 1 == len(channel.made)
        assert (pytest.approx(5), False) == outbox.voided[-1]
        for ticket in (slow, quick):
            assert (await ticket.receipt()).delivered
    assert [0, 30, 60] == [pytest.approx(at, abs=6) for at in channel.times]
    assert sum(at >= 30 - 1e-6 for at in channel.times) == 2


async def test_an_unforeseen_429_slows_its_bucket_down_and_it_recovers_slowly(
    engine, say, autojump_clock
):
    async def third_is_limited(attempt):
        if len(channel.made) == 3:
            raise say.limited(1, Scope.ROOM)

    channel = FakeChannel(
        limits=lambda room, _: [Limit(f"room {room}", 10, 1.0, of="room")], script=third_is_limited
    )
    async with engine(channel, drain_timeout=10_000, room_bound=10_000) as gateway:
        for n in range(300):
            await gateway.submit(say.message("r", str(n)))
    gaps = [b - a for a, b in pairwise(channel.times)]
    assert [0.1, 0.1] == pytest.approx(gaps[:2])
    assert 0.15 < gaps[5] <= 0.2  # half the pace
    assert all(b <= a + 1e-6 for a, b in pairwise(gaps[4:]))
    assert 0.1 == pytest.approx(gaps[-1])


# -- what the platform reports of its buckets


def report(**fields) -> BucketReport:
    return BucketReport(bucket=fields.pop("bucket", "real"), **fields)


async def test_an_answer_that_says_none_left_is_believed(engine, say, autojump_clock):
    answer = Answer(
        message_id="1",
        buckets=(report(limit=5, remaining=0, reset_after=30.0, provisional="guess"),),
    )
    channel = FakeChannel(
        limits=always(Limit("guess", 5, 5.0, "window")), script=say.script(answer)
    )
    async with engine(channel, drain_timeout=1000) as gateway:
        for n in range(4):
            await gateway.submit(say.message("r", str(n)))
    assert [0, 30, 30, 30] == pytest.approx(channel.times)


@pytest.mark.parametrize(
    "error",
    [
        {"error_class": ErrorClass.FATAL, "scope": Scope.INSTANCE},
        {"error_class": ErrorClass.RETRYABLE, "transform": "plain"},
        {"error_class": ErrorClass.NON_RETRYABLE, "scope": Scope.ROOM},
    ],
    ids=["suspends", "transforms", "ends"],
)
async def test_a_refusal_is_counted_and_learned_from_whatever_follows(
    engine, say, autojump_clock, error
):
    told = (report(limit=5, remaining=0, reset_after=30.0, provisional="guess"),)
    refusal = Verdict(reason=Reason.RATE_LIMITED, buckets=told, **error)
    channel = FakeChannel(
        limits=always(Limit("guess", 5, 1.0, "window")), script=say.script(Failure(refusal))
    )
    async with engine(channel, drain_timeout=100) as gateway:
        await gateway.submit(say.message("a"))
        await trio.sleep(0.5)
        gateway.resume("bot")
        await gateway.submit(say.message("b"))
        instance = gateway.statistics().instances[0]
        assert (0, 1) == (instance.foreseen, instance.unforeseen)
    assert 2 <= len(channel.times)
    assert 30 <= min(channel.times[1:])


async def test_errors_are_learned_from_as_well(engine, say, autojump_clock):
    told = (report(limit=5, remaining=0, reset_after=30.0, provisional="guess"),)
    failure = say.limited(30, Scope.MESSAGE, buckets=told)
    channel = FakeChannel(
        limits=always(Limit("guess", 5, 5.0, "window")), script=say.script(failure)
    )
    async with engine(channel, drain_timeout=1000) as gateway:
        for n in range(3):
            await gateway.submit(say.message(f"room {n}"))
    assert 30 == pytest.approx(channel.times[3], abs=1e-3)


async def test_provisional_buckets_that_turn_out_to_be_one_are_one(engine, say, autojump_clock):
    """Two routes, one bucket at the platform: after both said so, they share its five."""

    async def tell(attempt) -> Answer:
        name = f"guess {attempt.room.partition(' ')[0]}"
        return Answer(message_id="1", buckets=(report(provisional=name),))

    def limits(room: str, _: str):
        return [Limit(f"guess {room.partition(' ')[0]}", 5, 10.0, "window")]

    channel = FakeChannel(limits=limits, script=tell)
    async with engine(channel, drain_timeout=1000) as gateway:
        await gateway.send("bot", "a 0", "x")
        await gateway.send("bot", "b 0", "x")
        await trio.sleep(60)
        for n in range(10):
            await gateway.submit(say.message(f"a {n}"))
            await gateway.submit(say.message(f"b {n}"))
    assert at_most(channel.times[2:], 5, 10.0)
    assert 22 == len(channel.made)


async def test_the_first_attempt_of_an_unknown_bucket_goes_alone(engine, say, autojump_clock):
    """Its answer tells that two are allowed, not five: the third waits, and none is refused."""

    async def tell(_) -> Answer:
        left = 1 - min(1, len(channel.made) - 1)
        told = report(limit=2, remaining=left, reset_after=30.0, provisional="guess")
        return Answer(message_id="1", buckets=(told,))

    channel = FakeChannel(limits=always(Limit("guess", 5, 5.0, "learned")), script=tell, latency=1)
    async with engine(channel, drain_timeout=1000) as gateway:
        for n in range(3):
            await gateway.submit(say.message(f"room {n}"))
    assert [0, 1] == pytest.approx(channel.times[:2])
    assert channel.times[2] > 30


async def test_lanes_that_wait_at_a_bucket_as_it_is_merged_go_on(engine, say, autojump_clock):
    async def tell(attempt) -> Answer:
        await trio.sleep(0.5)
        name = f"guess {attempt.room.partition(' ')[0]}"
        return Answer(message_id="1", buckets=(report(provisional=name),))

    def limits(room: str, _: str):
        return [Limit(f"guess {room.partition(' ')[0]}", 1, 2.0)]

    channel = FakeChannel(limits=limits, script=tell)
    async with engine(channel, drain_timeout=1000) as gateway:
        for n in range(6):
            for name in "abc":
                await gateway.submit(say.message(f"{name} {n}"))
    assert 18 == len(channel.made)
    assert {Disposition.DELIVERED: 18} == gateway.statistics().dispositions
    assert at_most(channel.times[3:], 1, 2.0)


@pytest.mark.parametrize("reset", [math.nan, math.inf, -5.0, 1e300])
async def test_a_reset_that_is_no_time_hurts_nobody(engine, say, reset, autojump_clock):
    answer = Answer(
        message_id="1",
        buckets=(report(limit=5, remaining=3, reset_after=reset, provisional="guess"),),
    )
    channel = FakeChannel(
        limits=always(Limit("guess", 5, 5.0, "window")), script=say.script(answer)
    )
    async with engine(channel, drain_timeout=1000) as gateway:
        assert (await gateway.send("bot", "r", "x")).delivered
        assert (await gateway.send("bot", "r", "y")).delivered
        assert 0 == trio.current_time()


@pytest.mark.parametrize("reset", [math.nan, math.inf, 1e300])
async def test_an_empty_bucket_without_a_time_opens_again(engine, say, reset, autojump_clock):
    told = report(limit=5, remaining=0, reset_after=reset, provisional="guess")
    channel = FakeChannel(
        limits=always(Limit("guess", 5, 5.0, "window")),
        script=say.script(Answer(message_id="1", buckets=(told,))),
    )
    async with engine(channel, drain_timeout=1000) as gateway:
        assert (await gateway.send("bot", "r", "x", ttl=200_000)).delivered
        assert (await gateway.send("bot", "r", "y", ttl=200_000)).delivered
        assert trio.current_time() <= 86_401


# -- closures that are asked about, and lifted


async def test_a_closure_for_a_day_is_asked_about_by_one_message_after_five_minutes(
    engine, say, autojump_clock
):
    async def lies(_attempt):
        if len(channel.made) <= 2:
            raise say.limited(86_400, Scope.INSTANCE)

    channel = FakeChannel(script=lies, latency=0.5)
    async with engine(channel, drain_timeout=HOUR) as gateway:
        for n in range(10):
            await gateway.submit(say.message(f"room {n}", ttl=7 * 86_400.0))
            await trio.sleep(1 if not n else 0)
        await trio.sleep(700)
    assert [0, 300.5, 601] == pytest.approx(channel.times[:3])
    assert {601.5} == {round(at, 1) for at in channel.times[3:]}


@pytest.mark.parametrize("how", ["resume", "replace"])
@pytest.mark.parametrize("scope", [Scope.INSTANCE, Scope.OPERATION, Scope.ROOM])
async def test_an_operator_lifts_what_refusals_closed(engine, say, autojump_clock, scope, how):
    async def lies(_attempt):
        if len(channel.made) == 1:
            raise say.limited(3_000, scope)

    channel = FakeChannel(script=lies)
    async with engine(channel, outbox=MemoryOutbox(), drain_timeout=10) as gateway:
        ticket = await gateway.submit(say.message("r", ttl=7200.0))
        await trio.sleep(10)
        assert not ticket.ended
        if how == "resume":
            gateway.resume("bot")
        else:
            gateway.replace_instance(Instance("bot", "fake", FakeSettings()))
        assert (await ticket.receipt()).delivered
        assert trio.current_time() < 11


async def test_what_was_lifted_is_open_in_the_next_process_as_well(say, autojump_clock):
    async def lies(_attempt):
        if len(channel.made) == 1:
            raise say.limited(3_000, Scope.INSTANCE)

    outbox, channel = MemoryOutbox(), FakeChannel(script=lies)
    async with open_test_gateway(channel, outbox=outbox, drain_timeout=0) as gateway:
        await gateway.submit(say.message("r", ttl=7200.0))
        await trio.sleep(1)
        gateway.resume("bot")
        await trio.sleep(1)
    async with open_test_gateway(FakeChannel(), outbox=outbox) as gateway:
        assert (await gateway.send("bot", "s", "x")).delivered
        assert trio.current_time() < 3


# -- whose limit it is


async def test_a_rooms_refusals_slow_down_no_other_room(engine, say, autojump_clock):
    """Alone at first, so that nobody could know that the account's limit is another one."""
    accepted = [-10.0]

    async def strict(attempt):
        wait = accepted[-1] + 3 - trio.current_time()
        if attempt.room == "strict" and wait > 0:
            raise say.limited(math.ceil(wait))
        if attempt.room == "strict":
            accepted.append(trio.current_time())

    channel = FakeChannel(
        limits=lambda room, _: [Limit(f"room {room}", 1, 1.0, of="room"), Limit("bot", 30, 1.0)],
        script=strict,
    )
    async with engine(channel, drain_timeout=1000) as gateway:
        for _ in range(20):
            await gateway.send("bot", "strict", "x")
        begun = trio.current_time()
        for n in range(60):
            await gateway.submit(say.message(f"room {n}"))
        await trio.sleep(2.1)
        late = [made.at for made in channel.made if made.attempt.room != "strict"]
    assert 60 == len(late)
    assert late[-1] - begun <= 2.0


async def test_a_limit_of_the_gateway_is_shared_by_the_accounts_that_name_it(
    engine, say, autojump_clock
):
    class Tenants:
        GATEWAY_CONTRACT = 1

        @hookimpl
        def rate_limit(self, instance):
            tenant = instance.id[0]
            return [Limit(f"tenant {tenant}", 2, 1.0, of="gateway")]

    channel = FakeChannel(limits=lambda room, _: [Limit(f"room {room}", 1, 1.0, of="room")])
    names = ["a1", "a2", "b1"]
    async with engine(channel, plugins=[Tenants()], instances=names, drain_timeout=60) as gateway:
        for n in range(10):
            for name in names:
                await gateway.submit(say.message(f"room {n}", instance_id=name))
    ends = {name[0]: 0.0 for name in names}
    for made in channel.made:
        ends[made.attempt.instance_id[0]] = made.at
    assert {"a": pytest.approx(9.5, abs=0.1), "b": pytest.approx(4.5, abs=0.1)} == ends


async def test_a_session_that_does_not_open_draws_on_no_limit(engine, autojump_clock):
    """Nothing reached the platform: its window has all its tokens still."""
    broken = [True]

    @asynccontextmanager
    async def session():
        if broken[0]:
            raise TransportError("no way there", dispatched="no")
        yield

    class Closed(FakeChannel):
        @hookimpl
        def open_session(self):
            return session()

    channel = Closed(limits=always(Limit("room", 2, HOUR, "window")))
    async with engine(channel, drain_timeout=100.0) as gateway:
        tickets = [await gateway.enqueue("bot", "r", str(n)) for n in range(2)]
        await trio.sleep(20)
        broken[0] = False
        with trio.fail_after(60):
            for ticket in tickets:
                assert (await ticket.receipt()).delivered
