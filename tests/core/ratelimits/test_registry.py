"""The buckets of one instance: by name, learned from the platform, forgotten when idle."""

import pytest

from gateway_core import Limit
from gateway_core.authors import BucketReport
from gateway_core.clock import SECOND
from gateway_core.ratelimits.bucket import PacedBucket
from gateway_core.ratelimits.limit_kinds import WindowBucket
from gateway_core.ratelimits.registry import BucketRegistry
from gateway_core.scheduling.classes import NORMAL, ClassQueue
from gateway_core.scheduling.rooms import Lane

MS = SECOND // 1000


def even(count=10, per=1.0, name="even"):
    return PacedBucket(Limit(name, count, per))


def window(count=2, per=1.0, name="window"):
    return WindowBucket(Limit(name, count, per, "window"))


def lane(since=1, cls=NORMAL):
    made = Lane(f"lane {since}", None, None, None)
    made.rank = (cls, 0, since)
    return made


def report(**fields):
    return BucketReport(bucket="b", **fields)


def waiting_at(bucket, waiter):
    bucket.waiting = ClassQueue()
    bucket.waiting.push(waiter)
    return waiter


def limiter_of(*limits, now=0):
    limiter = BucketRegistry()
    return limiter, limiter.buckets(limits, now)


def test_limits_of_one_name_are_one_bucket():
    limiter, (first,) = limiter_of(Limit("account", 30, 1.0))
    assert [first] == limiter.buckets([Limit("account", 30, 1.0)], 0)
    assert (1, 2) == (len(limiter), first.users)


def test_a_bucket_is_shared_as_its_limit_says_however_many_rooms_ask_for_it():
    limiter, (account, mine) = limiter_of(
        Limit("account", 30, 1.0), Limit("room r", of="room"), now=0
    )
    limiter.buckets([Limit("room r", of="room")], 0)
    assert (True, False) == (account.shared, mine.shared)
    kinds = [
        Limit("paced", 5, 1.0, of="room"),
        Limit("bounded", 5, 1.0, most=6, of="room"),
        Limit("window", 5, 1.0, "window", of="room"),
        Limit("learned", 5, 1.0, "learned", of="room"),
        Limit("spaced", of="room"),
    ]
    assert {False} == {bucket.shared for bucket in limiter.buckets(kinds, 0)}


def test_idle_buckets_are_forgotten_as_new_ones_come():
    """10,000 rooms one after another: only a few are remembered at a time."""
    limiter = BucketRegistry()
    for n in range(10_000):
        (bucket,) = limiter.buckets([Limit(f"room {n}")], n)
        bucket.users -= 1
    assert len(limiter) <= 2


@pytest.mark.parametrize(
    "busy",
    [
        lambda bucket: bucket.take(0),
        lambda bucket: bucket.close(9 * SECOND),
        lambda bucket: bucket.slow_down(0),
        lambda bucket: setattr(bucket, "users", 1),
        lambda bucket: bucket.spent.append(9 * SECOND),
        lambda bucket: waiting_at(bucket, lane()),
    ],
    ids=["in flight", "closed", "slowed", "used", "spent", "waited for"],
)
def test_a_bucket_of_which_something_would_be_lost_is_not_forgotten(busy):
    limiter, (bucket,) = limiter_of(Limit("room", 1, 1.0))
    bucket.users = 0
    busy(bucket)
    limiter.buckets([Limit("other")], SECOND)
    assert bucket is limiter._buckets["room"]


def test_an_even_bucket_is_forgotten_once_its_tick_has_passed():
    limiter, (bucket,) = limiter_of(Limit("account", 10, 1.0))
    bucket.users = 0
    bucket.take(0)
    bucket.release(0)
    limiter.buckets([Limit("one")], 100 * MS - 1)
    assert "account" in limiter._buckets
    limiter.buckets([Limit("two")], 100 * MS)
    assert "account" not in limiter._buckets


def test_a_report_of_nothing_left_closes_the_bucket():
    limiter, (bucket,) = limiter_of(Limit("b", 5, 5.0, "window"))
    assert [bucket] == limiter.learn([report(limit=5, remaining=0, reset_after=3.0)], SECOND)
    assert 4 * SECOND == bucket.free_at(SECOND)


def test_a_report_on_an_even_bucket_closes_it_but_leaves_its_pace():
    limiter, (bucket,) = limiter_of(Limit("b", 10, 1.0))
    limiter.learn([report(limit=2, remaining=0, reset_after=3.0)], 0)
    assert (3 * SECOND, 100 * MS) == (bucket.free_at(0), bucket.period)


def test_a_report_on_a_bucket_nobody_asked_for_is_dropped():
    limiter = BucketRegistry()
    assert [] == limiter.learn([report(remaining=0, reset_after=3.0)], 0)
    assert [] == limiter.learn([report(remaining=0, reset_after=3.0, provisional="p")], 0)
    assert 0 == len(limiter)


@pytest.mark.parametrize("reset_after", [float("nan"), float("inf"), -1.0])
def test_a_report_with_a_time_that_is_none_closes_nothing(reset_after):
    limiter, (bucket,) = limiter_of(Limit("b", 5, 5.0, "window"))
    limiter.learn([report(limit=5, remaining=0, reset_after=reset_after)], 0)
    assert 0 == bucket.free_at(0)


def test_a_reported_time_is_a_day_at_the_most():
    limiter, (bucket,) = limiter_of(Limit("b", 5, 5.0, "window"))
    limiter.learn([report(limit=5, remaining=0, reset_after=1e9)], 0)
    assert 86_400 * SECOND == bucket.free_at(0)


def named(bucket, provisional, **fields):
    return BucketReport(bucket=bucket, provisional=provisional, **fields)


def test_a_provisional_bucket_gets_its_name():
    limiter, (bucket,) = limiter_of(Limit("POST /r", 5, 5.0, "window"))
    assert [bucket] == limiter.learn([named("abc", "POST /r", limit=7)], 0)
    assert [bucket] == limiter.buckets([Limit("POST /r", 5, 5.0, "window")], 0)
    assert ("abc", 7, 1) == (bucket.name, bucket.count, len(limiter))


def test_two_provisional_buckets_of_one_name_become_one():
    """The lanes that asked for the second are told to ask anew, and those who wait to move on."""
    limiter, (post, patch) = limiter_of(Limit("POST /r"), Limit("PATCH /r"))
    limiter.learn([named("abc", "POST /r")], 0)
    assert 0 == limiter.version
    assert [post] == limiter.learn([named("abc", "PATCH /r")], 0)
    assert (1, 1) == (limiter.version, len(limiter))
    assert post is patch.merged
    assert [post] == limiter.buckets([Limit("PATCH /r")], 0)


@pytest.mark.parametrize("pace", ["even", "window"])
def test_a_merged_bucket_takes_its_closure_along(pace):
    """The platform closed it under its provisional name, and does not say so again."""
    limits = [Limit("POST /r", 5, 5.0, pace), Limit("PATCH /r", 5, 5.0, pace)]
    limiter, (post, patch) = limiter_of(*limits)
    limiter.learn([named("abc", "POST /r")], 0)
    patch.close(9 * SECOND)
    patch.slow_down(0)
    limiter.learn([named("abc", "PATCH /r")], 0)
    assert 9 * SECOND == post.free_at(0)
    assert 2.0 == post.slowness


def test_a_merged_window_is_spent_by_both():
    limits = [Limit("POST /r", 2, 5.0, "window"), Limit("PATCH /r", 2, 5.0, "window")]
    limiter, (post, patch) = limiter_of(*limits)
    limiter.learn([named("abc", "POST /r")], 0)
    for bucket, at in ((post, 1), (patch, 0)):
        bucket.take(0)
        bucket.release(at * SECOND)
    limiter.learn([named("abc", "PATCH /r")], SECOND)
    assert 5 * SECOND == post.free_at(SECOND)


def test_a_rooms_bucket_that_turns_out_to_be_the_accounts_is_shared():
    limiter, (mine,) = limiter_of(Limit("POST /r", of="room"))
    limiter.buckets([Limit("POST /s")], 0)
    limiter.learn([named("abc", "POST /r"), named("abc", "POST /s")], 0)
    assert mine.shared


def test_the_same_report_again_merges_nothing():
    limiter, (bucket,) = limiter_of(Limit("POST /r"))
    for _ in range(3):
        assert [bucket] == limiter.learn([named("abc", "POST /r", limit=2)], 0)
    assert (0, ("POST /r",)) == (limiter.version, bucket.asked)


def test_a_bucket_whose_name_changes_keeps_its_state():
    limiter, (bucket,) = limiter_of(Limit("POST /r", 5, 5.0, "window"))
    limiter.learn([named("abc", "POST /r")], 0)
    assert [bucket] == limiter.learn([named("def", "POST /r", remaining=0, reset_after=2.0)], 0)
    assert [bucket] == limiter.buckets([Limit("POST /r")], 0)
    assert (2 * SECOND, 1) == (bucket.free_at(0), len(limiter))


def test_a_name_is_forgotten_with_its_bucket():
    limiter, (bucket,) = limiter_of(Limit("POST /r"))
    limiter.learn([named("abc", "POST /r")], 0)
    bucket.users = 0
    limiter.buckets([Limit("other")], SECOND)
    assert {} == limiter._alias


def test_three_rooms_hit_within_two_seconds_are_the_account():
    limiter = BucketRegistry()
    hits = [("a", 0), ("a", 1), ("b", 1), ("c", 2)]
    assert [False, False, False, True] == [limiter.hit(room, at * SECOND) for room, at in hits]


def test_hits_that_lie_apart_are_the_rooms_own():
    limiter = BucketRegistry()
    assert not any(limiter.hit(room, at * 3 * SECOND) for at, room in enumerate("abcdef"))


def test_old_hits_are_forgotten():
    limiter = BucketRegistry()
    for n in range(100):
        limiter.hit(f"{n}", n * 3 * SECOND)
    assert 1 == len(limiter._hit_rooms)


def test_a_name_nobody_asked_for_by_yet_is_an_alias_all_the_same():
    limiter, (bucket,) = limiter_of(Limit("POST /r"))
    limiter.learn([named("abc", "POST /r"), named("abc", "PATCH /r")], 0)
    assert [bucket] == limiter.buckets([Limit("PATCH /r")], 0)
    assert 0 == limiter.version


def test_rooms_that_were_refused_once_are_forgotten_though_nobody_writes_there_again():
    """5,000 of 5,000 were kept after a month."""
    limiter = BucketRegistry()
    for n in range(5_000):
        (bucket,) = limiter.buckets([Limit(f"chat {n}", of="room")], n)
        bucket.take(n)
        bucket.release(n)
        bucket.slow_down(n, n + 30 * SECOND)
        bucket.close(n + 30 * SECOND)
        bucket.users -= 1
    assert 5_000 == len(limiter)
    for n in range(5_000):  # one room that is written to now and then is enough
        (bucket,) = limiter.buckets([Limit("one", of="room")], 3_601 * SECOND + n)
        bucket.users -= 1
    assert len(limiter) <= 1


def test_a_strict_room_is_known_for_an_hour_after_its_last_message():
    limiter, (bucket,) = limiter_of(Limit("chat", of="room"))
    bucket.take(0)
    bucket.release(0)
    bucket.slow_down(0)
    bucket.users = 0
    assert not bucket.idle(3_600 * SECOND - 1)
    assert bucket.idle(3_600 * SECOND)
    assert 1 == len(limiter)


def test_a_hundred_thousand_rooms_in_use_make_a_new_one_no_slower():
    """Looking for idle ones goes on where it left off: five looks, whatever there is."""
    limiter = BucketRegistry()
    for n in range(20_000):
        limiter.buckets([Limit(f"chat {n}", of="room")], n)
    names = [limiter._names[n] for n in range(20)]
    limiter.buckets([Limit("new", of="room")], 1)
    assert names[5:] == [limiter._names[n] for n in range(15)]
    assert 20_001 == len(limiter) == len(limiter._names)
