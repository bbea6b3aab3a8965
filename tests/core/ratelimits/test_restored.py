"""What a previous process run spent of its limits: handed on, reckoned, or not known at all."""

from __future__ import annotations

import pytest

from gateway_core import Limit
from gateway_core.authors import BucketReport
from gateway_core.clock import NEVER, SECOND
from gateway_core.ratelimits.registry import BucketRegistry
from gateway_core.ratelimits.spent import Standing, name_of

GROUP = Limit("group:-7", 20, 60.0, "window", of="room")
BOT = Limit("bot", 10, 1.0, most=10)
CHAT = Limit("chat:7", 1, 1.0, of="room")
LEARNED = Limit("POST 7", 5, 5.0, "learned", of="room")
ALL = [GROUP, BOT, CHAT, LEARNED]
NOW = 100 * SECOND


def drawn(registry, limits, times, seconds=0):
    """Attempts at those times, in seconds, which take so long."""
    for at in times:
        for bucket in registry.buckets(limits, at * SECOND):
            bucket.take(at * SECOND)
            bucket.release((at + seconds) * SECOND)
            bucket.users -= 1
    return registry


def handed_on(registry, now=NOW, since=0):
    """Another registry, to which time is another: its second 0 is the first one's `now`."""
    other = BucketRegistry()
    other.restore(registry.standings(now), since)
    return other


def free_at(registry, limit, now=0):
    (bucket,) = registry.buckets([limit], now)
    return bucket.free_at(now)


def test_a_full_window_is_full_in_the_next_run_until_its_first_token_comes_back():
    registry = drawn(BucketRegistry(), [GROUP], range(60, 80))
    assert 20 * SECOND == free_at(handed_on(registry), GROUP)
    assert 20 * SECOND == free_at(handed_on(registry), GROUP, 19 * SECOND)
    assert 21 * SECOND == free_at(handed_on(registry), GROUP, 21 * SECOND)


def test_what_nobody_has_asked_for_since_is_handed_on_again():
    """A process run that ends before it has sent anything."""
    registry = drawn(BucketRegistry(), [GROUP], range(60, 80))
    between = handed_on(registry)
    last = BucketRegistry()
    last.restore(between.standings(15 * SECOND), 15 * SECOND)
    assert 20 * SECOND == free_at(last, GROUP, 15 * SECOND)
    assert [] == between.standings(NOW)


def test_attempts_that_were_under_way_count_as_if_they_ended_then():
    registry = drawn(BucketRegistry(), [GROUP], range(80, 99))
    (bucket,) = registry.buckets([GROUP], NOW)
    bucket.take(NOW)
    assert 40 * SECOND == free_at(handed_on(registry), GROUP)
    assert 1 + 19 == len(handed_on(registry).buckets([GROUP], 0)[0].spent)


def test_a_pace_goes_on_from_its_last_tick():
    registry = drawn(BucketRegistry(), [BOT], [100] * 3)
    assert SECOND // 10 == free_at(handed_on(registry), BOT)


def test_a_chat_is_spaced_from_the_last_answer():
    registry = drawn(BucketRegistry(), [CHAT], [99], seconds=1)
    assert SECOND == free_at(handed_on(registry), CHAT)


def test_a_closed_bucket_stays_closed():
    registry = drawn(BucketRegistry(), [GROUP], [99])
    registry.learn([BucketReport(bucket=GROUP.bucket, remaining=0, reset_after=9.0)], NOW)
    assert 9 * SECOND == free_at(handed_on(registry), GROUP)


def reported(registry, now, **fields):
    report = BucketReport(bucket="real", provisional=LEARNED.bucket, **fields)
    registry.learn([report], now)


def test_what_a_platform_reported_is_known_under_the_name_by_which_it_is_asked_for():
    """Of 7, not of the 5 that are configured; and no attempt needs to go alone."""
    registry = drawn(BucketRegistry(), [LEARNED], [99])
    reported(registry, NOW, limit=7, remaining=2, reset_after=4.0)
    other = handed_on(registry)
    (bucket,) = other.buckets([LEARNED], 0)
    bucket.take(0)
    assert 0 == bucket.free_at(0)
    bucket.take(0)
    assert 4 * SECOND == bucket.free_at(0)


def test_names_of_one_bucket_are_one_bucket_in_the_next_run():
    registry = drawn(BucketRegistry(), [LEARNED], [99])
    second = Limit("PATCH 7", 5, 5.0, "learned", of="room")
    drawn(registry, [second], [99])
    for name in (LEARNED.bucket, second.bucket):
        report = BucketReport(
            bucket="real", provisional=name, limit=5, remaining=3, reset_after=4.0
        )
        registry.learn([report], NOW)
    other = handed_on(registry)
    (one,) = other.buckets([LEARNED], 0)
    assert [one] == other.buckets([second], 0)
    other.learn([BucketReport(bucket="real", provisional=second.bucket)], 0)
    assert [one] == other.buckets([second], 0) == other.buckets([LEARNED], 0)


def test_a_bucket_that_is_as_good_as_new_is_not_handed_on():
    registry = drawn(BucketRegistry(), ALL, [1])
    assert [] == registry.standings(NOW)
    registry = drawn(BucketRegistry(), ALL, [99], seconds=1)
    assert 4 == len(registry.standings(NOW))


def test_no_name_of_a_room_is_handed_on():
    registry = drawn(BucketRegistry(), ALL, [100])
    assert "-7" not in repr(registry.standings(NOW))
    assert name_of("a") != name_of("b")


def test_what_was_spent_is_forgotten_once_it_is_all_back():
    """Also of rooms that nobody asks for in the next run."""
    other = handed_on(drawn(BucketRegistry(), [GROUP], range(60, 80)))
    other.buckets([CHAT], 30 * SECOND)
    assert other._kept
    other.buckets([BOT], 61 * SECOND)
    assert {} == other._kept


def test_a_window_is_never_fuller_than_its_own_length_allows():
    """The wall clock may have jumped: a token is back after one window at the latest."""
    other = BucketRegistry()
    far = Standing(names=(name_of(BOT.bucket),), tick=1e6)
    other.restore([far], 0)
    assert free_at(other, BOT) <= SECOND // 10


# -- after a kill


def test_attempts_that_are_known_are_reckoned():
    registry = BucketRegistry()
    for at in range(20):
        registry.recall([GROUP, BOT, CHAT], (at - 20) * SECOND, 1, 0)
    assert [40 * SECOND, 0, 0] == [free_at(registry, limit) for limit in (GROUP, BOT, CHAT)]
    registry.recall([BOT, CHAT], 0, 1, 0)
    assert [SECOND // 10, SECOND] == [free_at(registry, limit) for limit in (BOT, CHAT)]


def test_attempts_of_before_the_window_are_not():
    registry = BucketRegistry()
    registry.recall([GROUP], -60 * SECOND, 20, 0)
    assert 0 == free_at(registry, GROUP)
    registry.recall([GROUP], -59 * SECOND, 20, 0)
    assert SECOND == free_at(registry, GROUP)


def test_after_a_kill_a_learned_bucket_still_sends_its_first_attempt_alone():
    registry = BucketRegistry()
    registry.recall([LEARNED], -SECOND, 3, 0)
    (bucket,) = registry.buckets([LEARNED], 0)
    assert 0 == bucket.free_at(0)
    bucket.take(0)
    assert NEVER == bucket.free_at(0)
    registry.recall([LEARNED], -SECOND, 1, 0)
    assert NEVER == bucket.free_at(0)


# -- without an outbox


def paced_from(opened, first, count=25):
    """When each attempt may go that is made as early as it may, from `first` on, in seconds."""
    registry = BucketRegistry(began_at=opened * SECOND)
    now, times = first * SECOND, []
    (bucket,) = registry.buckets([GROUP], now)
    for _ in range(count):
        now = bucket.free_at(now)
        times.append(now // SECOND)
        bucket.take(now)
        bucket.release(now)
    return times


def test_a_new_life_begins_carefully_and_its_first_message_waits_for_nothing():
    """As if half were spent, evenly: ten at once, and no more than twenty in the first minute."""
    times = paced_from(0, 0)
    assert [0] * 10 + [60 * n // 11 for n in range(1, 11)] == times[:20]
    assert 60 <= times[20]


@pytest.mark.parametrize(("first", "at_once"), [(30, 15), (52, 19), (55, 20), (500, 20)])
def test_a_room_that_is_first_written_to_later_has_what_must_have_come_back(first, at_once):
    times = paced_from(0, first)
    assert [first] * at_once == times[:at_once]
    assert times[at_once] > first


def test_limits_of_an_account_begin_as_they_are():
    """A careful one would let a first message of one room wait for those of others."""
    registry = BucketRegistry(began_at=0)
    (bucket,) = registry.buckets([Limit("workspace", 20, 60.0, "window")], 0)
    assert 0 == len(bucket.spent)
