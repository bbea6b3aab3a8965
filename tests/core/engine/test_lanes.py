"""Order within a conversation, none between conversations, and no worker for who waits."""

from __future__ import annotations

from collections import defaultdict

import pytest
import trio

from gateway_core import Disposition, GatewayConfig, Instance, Limit, Part, Send, open_gateway
from gateway_core.authors import Traits, hookimpl
from gateway_core.testing import Checkpoints, FakeChannel, FakeSettings, run_seeded


class Words(FakeChannel):
    """One part for each word."""

    @hookimpl
    def chunk(self, envelope):
        return [Part(payload={"text": word}) for word in envelope.text.split()]


def overlaps(channel: FakeChannel, by) -> dict[object, int]:
    """Lets a channel count its attempts in flight; the most that there were, by a key."""
    now, most = defaultdict(int), defaultdict(int)

    async def run(attempt):
        key = by(attempt)
        now[key] += 1
        most[key] = max(most[key], now[key])
        try:
            await trio.sleep(1)
        finally:
            now[key] -= 1

    channel.script = run
    return most


async def test_a_room_keeps_its_order_and_has_one_in_flight(engine, say, autojump_clock):
    channel = FakeChannel()
    most = overlaps(channel, lambda attempt: attempt.room)
    async with engine(channel, drain_timeout=100) as gateway:
        for n in range(5):
            for room in "abc":
                await gateway.submit(say.message(room, str(n)))
    assert {"a": 1, "b": 1, "c": 1} == most
    assert all(channel.texts(room) == ["0", "1", "2", "3", "4"] for room in "abc")
    assert 5 == trio.current_time()  # the rooms did not wait for each other


async def test_order_holds_through_retries(engine, say, autojump_clock):
    failures = [say.busy(), None, say.limited(5), say.refused(), None, say.busy(retry_after=9)]
    channel = FakeChannel(script=say.script(*failures))
    async with engine(channel, drain_timeout=1000) as gateway:
        for n in range(4):
            await gateway.submit(say.message("r", str(n)))
    assert ["0", "1", "2", "3"] == channel.texts("r")


async def test_parts_of_two_messages_are_not_interleaved(engine, say, autojump_clock):
    """The second part is tried again for a while: the next message waits behind it."""

    async def second_fails_once(attempt):
        if attempt.part.payload["text"] == "two" and attempt.number == 1:
            raise say.busy(retry_after=30)

    channel = Words(script=second_fails_once, latency=1)
    async with engine(channel, drain_timeout=100) as gateway:
        await gateway.submit(say.message("r", "one two three"))
        await gateway.submit(say.message("r", "four five"))
        assert (await gateway.send("bot", "other", "six")).delivered
        assert 1 == trio.current_time()
    assert ["one", "two", "three", "four", "five"] == channel.texts("r")


async def test_a_started_message_finishes_its_parts_before_urgent_ones(engine, say, autojump_clock):
    channel = Words(latency=1)
    async with engine(channel, drain_timeout=100) as gateway:
        await gateway.submit(say.message("r", "one two three"))
        await trio.sleep(0.5)
        await gateway.submit(say.message("r", "urgent", priority="urgent"))
    assert ["one", "two", "three", "urgent"] == channel.texts("r")


async def test_threads_wait_for_each_other_unless_the_channel_says_otherwise(
    engine, say, autojump_clock
):
    channel = FakeChannel(latency=1)
    async with engine(channel, drain_timeout=100) as gateway:
        for thread in (None, "t1", "t2"):
            await gateway.submit(say.message("r", "x", thread_id=thread))
    assert [0, 1, 2] == channel.times


async def test_independent_threads_have_lanes_of_their_own(engine, say, autojump_clock):
    channel = FakeChannel(latency=1, traits=Traits(independent_threads=True))
    async with engine(channel, drain_timeout=100) as gateway:
        for n in range(2):
            for thread in (None, "t1", "t2"):
                await gateway.submit(say.message("r", str(n), thread_id=thread))
    assert [0, 0, 0, 1, 1, 1] == channel.times
    assert all(
        {None, "t1", "t2"} == {m.attempt.thread for m in channel.made[at:][:3]} for at in (0, 3)
    )


async def test_limits_stay_the_rooms_for_independent_threads(engine, say, autojump_clock):
    channel = FakeChannel(
        limits=lambda room, _: [Limit(f"room {room}", 1, 1.0)],
        traits=Traits(independent_threads=True),
    )
    async with engine(channel, drain_timeout=100) as gateway:
        for thread in ("t1", "t2", "t3"):
            await gateway.submit(say.message("r", "x", thread_id=thread))
    assert [0, 1, 2] == pytest.approx(channel.times)


async def test_order_none_overtakes_under_the_same_limits(engine, say, autojump_clock):
    channel = FakeChannel(latency=10)
    async with engine(channel, drain_timeout=100) as gateway:
        await gateway.submit(say.message("r", "newsletter"))
        await gateway.submit(say.message("r", "behind"))
        receipt = await gateway.send("bot", "r", "login code", order="none")
        assert receipt.delivered
        assert 10 == trio.current_time()
    assert {"newsletter", "login code"} == set(channel.texts("r")[:2])
    assert "behind" == channel.texts("r")[2]


async def test_order_none_draws_on_the_rooms_limit(engine, say, autojump_clock):
    channel = FakeChannel(limits=lambda room, _: [Limit(f"room {room}", 1, 5.0)])
    async with engine(channel, drain_timeout=100) as gateway:
        for n in range(3):
            await gateway.submit(say.message("r", str(n), order="none"))
    assert [0, 5, 10] == pytest.approx(channel.times)


ONE_SLOT = {"partition_count": 1, "attempts_per_partition": 1, "attempts_per_instance": 1}


async def test_a_thousand_rooms_that_wait_for_their_limits_hold_no_worker(
    engine, say, autojump_clock
):
    """One attempt slot; each room's second message waits, and a fresh room goes at once."""
    channel = FakeChannel(limits=lambda room, _: [Limit(f"room {room}", 1, 100.0)])
    async with engine(channel, drain_timeout=1000, **ONE_SLOT) as gateway:
        for n in range(1000):
            await gateway.submit(say.message(f"room {n}", "first"))
            await gateway.submit(say.message(f"room {n}", "second"))
        await trio.sleep(1)
        assert 1000 == len(channel.made)
        assert 0 == gateway.statistics().partitions[0].in_flight
        assert (await gateway.send("bot", "fresh", "x")).delivered
        assert 1 == trio.current_time()
        assert 1 == gateway._partitions[0].workers.count
    assert 101 > trio.current_time()


async def test_a_thousand_rooms_that_wait_for_a_retry_hold_no_worker(engine, say, autojump_clock):
    async def later(attempt):
        if attempt.number == 1 and attempt.room != "fresh":
            raise say.busy(retry_after=60)

    channel = FakeChannel(script=later)
    async with engine(channel, drain_timeout=1000, **ONE_SLOT) as gateway:
        for n in range(1000):
            await gateway.submit(say.message(f"room {n}"))
        await trio.sleep(1)
        assert 1000 == len(channel.made)
        assert 0 == gateway.statistics().partitions[0].in_flight
        assert (await gateway.send("bot", "fresh", "x")).delivered
        assert 1 == trio.current_time()
        assert 1 == gateway._partitions[0].workers.count
    assert 61 > trio.current_time()
    assert {Disposition.DELIVERED: 1001} == gateway.statistics().dispositions


async def test_a_freed_token_wakes_one_lane_however_many_wait(
    engine, say, autojump_clock, monkeypatch
):
    """Three thousand rooms for ten tokens a second: each token costs as much as beside thirty."""
    channel = FakeChannel(limits=lambda *_: [Limit("account", 10, 1.0)])
    tries = []

    def count(lanes) -> None:
        whole = lanes.try_start

        def try_start(lane, *given):
            tries.append(lane)
            return whole(lane, *given)

        monkeypatch.setattr(lanes, "try_start", try_start)

    async with engine(channel) as gateway:
        for n in range(3000):
            await gateway.submit(say.message(f"room {n}"))
        await trio.sleep(0.05)
        for partition in gateway._partitions:
            count(partition.scheduler)
        before = len(channel.made)
        await trio.sleep(10)
        sent = len(channel.made) - before
        assert 100 == sent
        assert len(tries) <= 4 * sent  # let in, offered again by its worker, and the next looks


@pytest.mark.parametrize(("partition_by", "skew"), [("instance", 4.0), ("room", 1.0)])
async def test_the_balance_of_the_partitions_is_told(
    engine, say, partition_by, skew, autojump_clock
):
    async with engine(partition_count=4, partition_by=partition_by) as gateway:
        for n in range(400):
            await gateway.send("bot", f"room {n}", "x")
        statistics = gateway.statistics()
        shares = [p.share for p in statistics.partitions]
        assert 1 == pytest.approx(sum(shares))
        assert [p.accepted / 400 for p in statistics.partitions] == shares
        assert 4 * max(shares) == statistics.skew == pytest.approx(skew, rel=0.3)


async def test_attempts_in_flight_are_bounded_by_instance_over_all_partitions(
    engine, say, autojump_clock
):
    channel = FakeChannel()
    most = overlaps(channel, lambda attempt: attempt.instance_id)
    async with engine(
        channel, instances=["bot", "other"], attempts_per_instance=3, drain_timeout=1000
    ) as gateway:
        for n in range(30):
            await gateway.submit(say.message(f"room {n}"))
            await gateway.submit(say.message(f"room {n}", instance_id="other"))
    assert {"bot": 3, "other": 3} == most


async def test_no_instance_takes_the_last_quarter_of_a_partition(engine, say, autojump_clock):
    """A hundred hanging rooms leave slots for another instance of the same partition."""

    async def hang(attempt):
        if attempt.instance_id == "bot":
            await trio.sleep_forever()

    channel = FakeChannel(script=hang)
    async with engine(
        channel, instances=["bot", "other"], partition_count=1, attempts_per_partition=16
    ) as gateway:
        for n in range(100):
            await gateway.submit(say.message(f"room {n}"))
        with trio.fail_after(1):
            for n in range(20):
                assert (await gateway.send("other", f"room {n}", "x")).delivered
        assert 16 * 3 // 4 * 3 // 4 == gateway.statistics().instances[0].in_flight


async def test_no_channel_takes_the_last_quarter_either(engine, say, autojump_clock):
    async def hang(attempt):
        await trio.sleep_forever()

    channel = FakeChannel(script=hang)
    names = [f"bot {n}" for n in range(8)]
    async with engine(
        channel, instances=names, partition_count=1, attempts_per_partition=16
    ) as gateway:
        for name in names:
            for n in range(10):
                await gateway.submit(say.message(f"room {n}", instance_id=name))
        await trio.sleep(1)
        assert 12 == gateway.statistics().partitions[0].in_flight


async def test_a_forgotten_room_leaves_nothing_behind(engine, say, autojump_clock):
    channel = FakeChannel(limits=lambda room, _: [Limit(f"room {room}", 1, 1.0)])
    async with engine(channel, partition_count=1) as gateway:
        for n in range(300):
            await gateway.send("bot", f"room {n}", "x")
        scheduler = gateway._partitions[0].scheduler
        assert {} == scheduler.rooms
        await trio.sleep(5)
        for n in range(300):
            await gateway.send("bot", f"again {n}", "x")
        buckets = gateway._registry.account("bot").limits.registry
        assert len(buckets) <= 310
        assert len(scheduler.deadlines) < 130


def test_order_holds_whatever_runs_first(new_engine):
    """Extra checkpoints at the channel, many rooms, few slots: each room keeps its order."""
    for seed in range(25):
        run_seeded(f"order {seed}", _stir, new_engine(), seed)


async def _stir(engine, seed: int) -> None:
    pause = Checkpoints(f"order {seed}")

    async def run(attempt):
        await pause()

    channel = Words(script=run)
    async with engine(
        channel,
        partition_count=2,
        attempts_per_partition=3,
        attempts_per_instance=4,
        drain_timeout=100,
    ) as gateway:

        async def caller(room: str) -> None:
            for n in range(4):
                await gateway.submit(
                    Send(instance_id="bot", external_room_id=room, text=f"{n}a {n}b")
                )
                await pause()

        async with trio.open_nursery() as nursery:
            for n in range(6):
                nursery.start_soon(caller, f"room {n}")
    for n in range(6):
        expected = [f"{k}{half}" for k in range(4) for half in "ab"]
        assert expected == channel.texts(f"room {n}")


async def test_attempts_in_flight_are_bounded_in_a_partition_whoever_makes_them(
    say, autojump_clock
):
    """Two channels want twenty each, and either may have nine: together they have sixteen."""
    hang = say.script(*[1000.0] * 40)
    channels = {name: FakeChannel(script=hang) for name in ("one", "two")}
    instances = [Instance(name, name, FakeSettings()) for name in channels]
    config = GatewayConfig(
        instances=instances, partition_count=1, attempts_per_partition=16, drain_timeout=0
    )
    async with open_gateway(config, plugins=list(channels.items())) as gateway:
        for name in channels:
            for n in range(20):
                await gateway.submit(say.message(f"room {n}", instance_id=name))
        await trio.sleep(1)
        assert 16 == gateway.statistics().partitions[0].in_flight
        assert [9, 7] == [len(channel.made) for channel in channels.values()]
