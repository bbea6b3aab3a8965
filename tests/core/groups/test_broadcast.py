"""A message to many rooms: as fast as the limits allow, each once, and never before others."""

from __future__ import annotations

import tracemalloc
from random import Random

import pytest
import trio
from amounts import amount
from broadcasting import RATE, got, paced, rooms, watched

from gateway_core import (
    Disposition,
    ErrorClass,
    GroupTooLong,
    IdempotencyConflict,
    Invalid,
    Limit,
    Reason,
    UnknownInstance,
    Verdict,
)
from gateway_core.authors import Answer, hookimpl
from gateway_core.testing import EPOCH, Failure, FakeChannel, MemoryOutbox, open_test_gateway

MANY = amount("rooms of a broadcast")


async def test_many_rooms_take_as_long_as_the_limits_say(opened, autojump_clock):
    """Within one percent, each room once, and few of them in memory at any time."""
    channel = paced(latency=0.2)
    async with opened(channel) as gateway, watched(gateway) as most:
        began = trio.current_time()
        job = await gateway.broadcast("bot", rooms(MANY), "news")
        assert MANY == gateway.statistics().members
        progress = await job.wait()
        took = trio.current_time() - began
    assert MANY / RATE == pytest.approx(took, rel=0.01)
    assert {Disposition.DELIVERED: MANY} == dict(progress.counts)
    assert {f"room{n}": 1 for n in range(MANY)} == got(channel)
    assert max(most) < 20


async def test_what_is_in_memory_does_not_grow(autojump_clock):
    """The second 1,200 rooms take as much as the first."""
    sizes = []

    class Forgetful(FakeChannel):
        @hookimpl
        async def send(self, attempt):
            await trio.lowlevel.checkpoint()
            return Answer(message_id=attempt.key)

    channel = Forgetful(limits=lambda _room, _operation: [Limit("account", count=RATE)])
    async with open_test_gateway(channel, drain_timeout=0.0, history=10) as gateway:
        for room in rooms(3_000):  # where 16,384 rooms belong is remembered
            gateway._partition_of("bot", room)
        await gateway.broadcast("bot", rooms(3_000), "news")
        await trio.sleep(20)
        tracemalloc.start()
        try:
            for _ in range(40):
                await trio.sleep(2)
                sizes.append(tracemalloc.get_traced_memory()[0])
        finally:
            tracemalloc.stop()
    assert max(sizes[:20]) == pytest.approx(max(sizes[20:]), rel=0.2)


@pytest.mark.parametrize("seed", range(amount("seeds of messages in between")))
async def test_a_message_in_between_waits_two_slots_at_most(opened, seed, autojump_clock):
    """In rooms that got the broadcast, in those whose turn will come, and in others."""
    channel, rng, waits = paced(latency=0.1), Random(seed), []
    async with opened(channel) as gateway, trio.open_nursery() as nursery:
        job = await gateway.broadcast("bot", rooms(2_000), "news")

        async def in_between(room, at):
            await trio.sleep(at)
            began = trio.current_time()
            await gateway.send("bot", room, "in between")
            waits.append(trio.current_time() - began - 0.1)

        for number in range(40):
            at = 1.0 + number * 1.4 + rng.random() * 0.4  # one at a time
            got_it, later = rng.randrange(int(at * RATE / 2)), rng.randrange(1_900, 2_000)
            room = (f"room{got_it}", f"room{later}", f"other{number}")[number % 3]
            nursery.start_soon(in_between, room, at)
        await job.wait()
    assert 40 == len(waits)
    assert max(waits) <= 2 / RATE + 1e-6


async def test_killed_on_the_way_each_room_gets_it_once(autojump_clock):
    """Three times; the outbox is handed from one process run to the next."""
    outbox, count = MemoryOutbox(), MANY
    channel = paced(latency=0.2)
    settings = {"outbox": outbox, "drain_timeout": 0.0}
    async with open_test_gateway(channel, **settings) as gateway:
        job = await gateway.broadcast("bot", rooms(count), "news", key="june")
        await trio.sleep(count / RATE * 0.3)
    for _ in range(2):
        before = len(got(channel))
        async with open_test_gateway(channel, **settings) as gateway:
            await trio.sleep(count / RATE * 0.2)
        assert before < len(got(channel)) < count
    async with open_test_gateway(channel, **settings) as gateway, watched(gateway):
        again = await gateway.group(instance="bot", key="june")
        assert job.id == again.id
        progress = await again.wait()
    assert {f"room{n}": 1 for n in range(count)} == got(channel)
    assert {Disposition.DELIVERED: count} == dict(progress.counts)


async def test_a_group_waits_for_its_time(opened, autojump_clock):
    channel = FakeChannel()
    async with opened(channel) as gateway:
        job = await gateway.broadcast("bot", rooms(5), "news", not_before=EPOCH + 3_600)
        await trio.sleep(3_599)
        assert ([], 5) == (channel.made, gateway.statistics().members)
        assert (await job.progress()).due == EPOCH + 3_600
        await job.wait()
    assert [3_600.0] * 5 == pytest.approx(channel.times, abs=0.01)


async def test_its_time_is_waited_for_over_a_restart(autojump_clock):
    outbox, channel = MemoryOutbox(), FakeChannel()
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        job = await gateway.broadcast("bot", rooms(5), "news", not_before=EPOCH + 3_600)
    async with open_test_gateway(channel, outbox=outbox) as gateway:
        found = await gateway.group(job.id)
        await found.wait()
    assert 5 == len(got(channel))
    assert min(channel.times) >= 3_600


async def test_after_a_restart_few_rooms_are_queued_at_a_time(autojump_clock):
    """While the backlog is loaded, members would only join its end, and more would follow them."""

    class Slow(MemoryOutbox):
        """It takes longer to read a page than to store envelopes meanwhile."""

        async def page(self, *args, **kwargs):
            await trio.sleep(1.0)
            return await super().page(*args, **kwargs)

    outbox, channel = Slow(), paced(latency=0.1)
    async with open_test_gateway(channel, outbox=outbox, drain_timeout=0.0) as gateway:
        job = await gateway.broadcast("bot", rooms(600), "news")
        await trio.sleep(5)
    async with open_test_gateway(channel, outbox=outbox) as gateway, watched(gateway) as most:
        for number in range(5):
            await gateway.send("bot", f"other{number}", "in between")
        progress = await (await gateway.group(job.id)).wait()
    assert 600 == progress.counts[Disposition.DELIVERED]
    assert max(most) < 20


async def test_a_room_that_is_named_twice_gets_it_once(opened, autojump_clock):
    channel = FakeChannel()
    async with opened(channel) as gateway:
        job = await gateway.broadcast("bot", ["a", "b", "a"], "news")
        assert 2 == (await job.wait()).members
    assert {"a": 1, "b": 1} == got(channel)


async def test_the_same_again_is_the_same_job(opened, autojump_clock):
    """In whatever order the rooms are named, while it runs and after it has ended."""
    channel = paced(1)
    async with opened(channel) as gateway:
        job = await gateway.broadcast("bot", ["a", "b", "c"], "news", key="june")
        again = await gateway.broadcast("bot", ["c", "b", "a", "a"], "news", key="june", ttl=600)
        assert job.id == again.id
        await job.wait()
        third = await gateway.broadcast("bot", ["a", "b", "c"], "news", key="june")
        assert (await third.wait()).ended
    assert {"a": 1, "b": 1, "c": 1} == got(channel)


@pytest.mark.parametrize(
    "other", [(["a", "b"], "other news"), (["a", "c"], "news"), (["a"], "news")]
)
async def test_the_key_of_another_text_or_of_other_rooms_is_refused(opened, other, autojump_clock):
    channel = FakeChannel()
    async with opened(channel) as gateway:
        job = await gateway.broadcast("bot", ["a", "b"], "news", key="june")
        with pytest.raises(IdempotencyConflict) as refused:
            await gateway.broadcast("bot", *other, key="june")
        assert ("june", job.id) == (refused.value.key, refused.value.envelope_id)
        await job.wait()
        with pytest.raises(IdempotencyConflict):
            await gateway.broadcast("bot", *other, key="june")
    assert {"a": 1, "b": 1} == got(channel)


async def test_two_at_once_with_one_key_are_one(opened, autojump_clock):
    channel, jobs = FakeChannel(), []
    async with opened(channel) as gateway, trio.open_nursery() as nursery:

        async def send():
            jobs.append(await gateway.broadcast("bot", rooms(300), "news", key="june"))

        for _ in range(8):
            nursery.start_soon(send)
    assert 1 == len({job.id for job in jobs})


async def test_a_key_names_the_group_and_no_message(opened, autojump_clock):
    """A message of the same key in one of its rooms is another one."""
    channel = FakeChannel()
    async with opened(channel) as gateway:
        await (await gateway.broadcast("bot", ["a"], "news", key="june")).wait()
        await gateway.send("bot", "a", "hello", key="june")
    assert {"a": 2} == got(channel)


async def test_what_cannot_end_in_time_is_told_before_it_is_accepted(opened, autojump_clock):
    """With the numbers: 3,000 messages of two parts, two a second, take 2,999.5 s."""
    channel = FakeChannel(limits=lambda _r, _o: [Limit("account", count=2), Limit("wide", 5)])
    async with opened(channel) as gateway:
        with pytest.raises(GroupTooLong) as refused:
            await gateway.broadcast("bot", rooms(6_000), "news", ttl=2_999)
        error = refused.value
        assert (6_000, 6_000, "account", 2.0) == (
            error.members, error.attempts, error.bucket, error.rate,
        )  # fmt: skip
        assert (2_999.5, 2_999.0) == pytest.approx((error.seconds, error.ttl))
        assert "6000 members" in str(error)
        assert [] == await gateway.groups("bot")
        due = EPOCH + 1_000
        with pytest.raises(GroupTooLong):
            await gateway.broadcast("bot", rooms(6_000), "news", ttl=3_100, not_before=due)
        assert await gateway.broadcast("bot", rooms(6_000), "news", ttl=3_000)
        assert await gateway.broadcast("bot", rooms(3_000), "news", not_before=due + 1e6)
    assert 0 == gateway.statistics().refused


@pytest.mark.parametrize(
    ("times", "words"),
    [
        ({"deadline": EPOCH - 10}, "deadline: ends in the past"),
        ({"deadline": EPOCH + 50, "not_before": EPOCH + 100}, "deadline: ends before `not_before`"),
        ({"ttl": 50, "not_before": EPOCH + 100}, "ttl: ends before `not_before`"),
    ],
    ids=["past", "deadline", "ttl"],
)
async def test_a_time_that_is_over_before_it_begins_is_refused(
    opened, autojump_clock, times, words
):
    async with opened() as gateway:
        with pytest.raises(Invalid, match=words):
            await gateway.broadcast("bot", ["a"], "news", **times)


async def test_the_same_again_after_its_deadline_is_the_same_job(opened, autojump_clock):
    async with opened() as gateway:
        times = {"deadline": EPOCH + 50, "key": "june"}
        job = await gateway.broadcast("bot", ["a"], "news", **times)
        await trio.sleep(60)
        assert job.id == (await gateway.broadcast("bot", ["a"], "news", **times)).id


async def test_bulk_has_a_day(opened, autojump_clock):
    channel = FakeChannel(limits=lambda _r, _o: [Limit("account", count=1, per=60.0)])
    async with opened(channel, drain_timeout=0.0) as gateway:
        with pytest.raises(GroupTooLong) as refused:
            await gateway.broadcast("bot", rooms(1_500), "news")
        assert 86_400 == refused.value.ttl
        job = await gateway.broadcast("bot", rooms(1_400), "news")
        assert 1_400 * 60 == pytest.approx((await job.progress()).estimate, rel=0.01)


async def test_an_account_that_is_not_there_is_told(opened, autojump_clock):
    async with opened() as gateway:
        with pytest.raises(UnknownInstance):
            await gateway.broadcast("nobody", ["a"], "news")


async def test_rooms_that_are_slow_delay_no_other(opened, autojump_clock):
    """A tenth of them is at its own limit for an hour, and the others get it in their time."""
    full = {f"room{n}" for n in range(0, 1_000, 10)}

    def limits(room, _operation):
        own = [Limit(f"of {room}", count=1, per=3_600.0, of="room")] if room in full else []
        return [Limit("account", count=RATE), *own]

    channel = FakeChannel(limits=limits)
    async with opened(channel) as gateway:
        async with trio.open_nursery() as nursery:
            for room in full:
                nursery.start_soon(gateway.send, "bot", room, "before")
        began = trio.current_time()
        job = await gateway.broadcast("bot", rooms(1_000), "news")
        while (await job.progress()).done < 900:  # noqa: ASYNC110 - nobody tells of it
            await trio.sleep(0.5)
        assert 900 / RATE == pytest.approx(trio.current_time() - began, rel=0.15)
        await job.wait()
    assert {room: 2 if room in full else 1 for room in rooms(1_000)} == got(channel)


async def test_an_account_out_of_order_goes_on_when_it_is_resumed(opened, autojump_clock):
    channel = FakeChannel(latency=1.0)
    async with opened(channel) as gateway:
        job = await gateway.broadcast("bot", rooms(200), "news")
        await trio.sleep(1.5)
        gateway.suspend("bot")
        await trio.sleep(60)
        held = len(channel.made)
        await trio.sleep(60)
        assert held == len(channel.made) < 200
        gateway.resume("bot")
        await job.wait()
    assert dict.fromkeys(rooms(200), 1) == got(channel)


async def test_what_is_not_sent_in_time_expires(opened, autojump_clock):
    """Each room by itself, though an account that was out of order had no turn for it."""
    channel = FakeChannel()
    async with opened(channel) as gateway:
        gateway.suspend("bot")
        job = await gateway.broadcast("bot", rooms(50), "news", ttl=60)
        await trio.sleep(100)
        gateway.resume("bot")
        progress = await job.wait()
        assert {Disposition.EXPIRED: 50} == dict(progress.counts)
        assert 50 == progress.failed == len([each async for each in job.failed()])
        assert gateway.statistics().conserved
        assert 50 == await job.retry()
        assert {Disposition.DELIVERED: 50} == dict((await job.wait()).counts)
    assert dict.fromkeys(rooms(50), 1) == got(channel)


async def test_several_groups_of_one_account_share_its_limits(opened, autojump_clock):
    channel = paced(10)
    async with opened(channel) as gateway:
        first = await gateway.broadcast("bot", rooms(300), "news")
        second = await gateway.broadcast("bot", rooms(300, 300), "more news")
        await trio.sleep(30)
        shares = [(await job.progress()).done for job in (first, second)]
        assert 300 == pytest.approx(sum(shares), abs=10)
        assert min(shares) > 75
        await first.wait()
        await second.wait()
    assert dict.fromkeys(rooms(600), 1) == got(channel)


async def test_gone_rooms_fail_and_are_told(opened, autojump_clock):
    gone = Verdict(
        error_class=ErrorClass.NON_RETRYABLE, reason=Reason.ROOM_GONE, dispatched="no", raw="gone"
    )

    async def script(attempt):
        if attempt.room.endswith("7"):
            raise Failure(gone)

    channel = FakeChannel(script=script)
    async with opened(channel) as gateway:
        job = await gateway.broadcast("bot", rooms(100), "news")
        progress = await job.wait()
        assert (10, 90) == (progress.failed, progress.counts[Disposition.DELIVERED])
        failed = {each.external_room_id: each.verdict.raw async for each in job.failed()}
        assert {f"room{n}": "gone" for n in range(7, 100, 10)} == failed
        channel.script = None
        assert 10 == await job.retry()
        progress = await job.wait()
        assert {Disposition.DELIVERED: 100} == dict(progress.counts)
        assert [] == [each async for each in job.failed()]
        assert 0 == await job.retry()
        assert gateway.statistics().conserved
    assert dict.fromkeys(rooms(100), 1) == got(channel)
