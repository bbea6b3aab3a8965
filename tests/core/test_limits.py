"""What may go out now: buckets of tokens, taken all at once or not at all."""

from itertools import pairwise

import pytest
import trio

from gateway_core import BucketReport, ErrorClass, Limit, Reason, Scope, Send, Verdict
from gateway_core.lanes import Lane
from gateway_core.limits import (
    NEVER,
    SECOND,
    SOON,
    Blocked,
    Bucket,
    EvenBucket,
    LearnedBucket,
    Limiter,
    WindowBucket,
    bucket_for,
    reserve,
    slow_down,
    take_all,
    unreserve,
)
from gateway_core.queues import BULK, NORMAL, URGENT, ClassQueue
from gateway_core.testing import Failure, FakeChannel, open_test_gateway

MS = SECOND // 1000


def even(count=10, per=1.0, name="even"):
    return EvenBucket(Limit(name, count, per))


def window(count=2, per=1.0, name="window"):
    return WindowBucket(Limit(name, count, per, "window"))


def lane(since=1, cls=NORMAL):
    made = Lane(f"lane {since}", None, None, None)
    made.rank = (cls, 0, since)
    return made


def starts(bucket, until, *, latency=0, step=MS):
    """When attempts start, in milliseconds, where somebody always wants to; answers come later."""
    begun, answers = [], []
    for now in range(0, until * MS, step):
        while answers and answers[0] <= now:
            bucket.release(answers.pop(0))
        while bucket.free_at(now) <= now:
            bucket.take(now)
            begun.append(now // MS)
            if not latency:
                bucket.release(now)
            else:
                answers.append(now + latency * MS)
    return begun


# -- the kinds


@pytest.mark.parametrize(
    ("limit", "kind"),
    [
        (Limit("b", 30, 1.0), EvenBucket),
        (Limit("b", 20, 60.0, "window"), WindowBucket),
        (Limit("b", 1, 1.0, "window"), WindowBucket),
        (Limit("b", 1, 1.0), WindowBucket),
        (Limit("b", 1, 1.0, "learned"), LearnedBucket),
    ],
)
def test_a_count_of_one_is_strict_whatever_its_pace(limit, kind):
    assert kind is type(bucket_for(limit))


def test_a_bucket_says_who_it_is():
    assert "<EvenBucket bot in_flight=0>" == repr(even(name="bot"))


def test_a_pace_that_starts_below_its_ceiling_quickens_with_the_answers():
    bucket = EvenBucket(Limit("b", 60, 1.0, start=30))
    times = starts(bucket, 2000)
    assert 33 <= times[1] <= 34
    gaps = [b - a for a, b in pairwise(times)]
    assert 16 <= gaps[-1] <= 17
    assert 30 + 60 < len(times) < 120
    assert 1.0 == bucket.slowness


def test_the_first_attempt_of_a_learned_window_goes_alone():
    bucket = LearnedBucket(Limit("b", 5, 5.0, "learned"))
    bucket.take(0)
    assert (NEVER, False) == (bucket.free_at(0), bucket.spare(0, SECOND))
    bucket.release(SECOND)
    read = SECOND + 1
    assert (read, True) == (bucket.free_at(SECOND), bucket.spare(read, 2 * SECOND))
    for _ in range(4):
        bucket.take(read)
    assert 6 * SECOND == bucket.free_at(read)


# -- a gate


def test_a_gate_bounds_the_attempts_in_flight():
    gate = Bucket("slots", 2)
    gate.take(0)
    assert 0 == gate.free_at(0)
    gate.take(0)
    assert NEVER == gate.free_at(0)
    gate.release(5)
    assert 7 == gate.free_at(7)


def test_a_closed_gate_opens_at_its_time():
    gate = Bucket("room")
    gate.close(10)
    gate.close(5)
    assert [10, 10, 11] == [gate.free_at(now) for now in (0, 10, 11)]


def test_a_place_given_back_is_free_at_once():
    gate = Bucket("slots", 1)
    gate.take(0)
    gate.give_back()
    assert 0 == gate.free_at(0)


# -- even


def test_even_spaces_the_starts():
    assert [0, 100, 200, 300, 400] == starts(even(10), 500)


def test_even_counts_from_starts_whatever_the_latency():
    assert [0, 100, 200, 300, 400] == starts(even(10), 500, latency=350)


def test_even_makes_up_for_a_start_that_was_late_by_less_than_a_tick():
    bucket = even(10)
    bucket.take(0)
    bucket.take(130 * MS)
    assert 200 * MS == bucket.free_at(130 * MS)


def test_even_saves_nothing_up_while_nobody_wants_it():
    bucket = even(10)
    bucket.take(0)
    bucket.take(950 * MS)
    assert 1050 * MS == bucket.free_at(950 * MS)


def test_even_counts_thirty_a_second_exactly_in_whole_nanoseconds():
    """30 ticks of 33,333,333 ns: an hour is 10 ns x 3600 short, not one token over."""
    bucket = even(30)
    now = taken = 0
    while now < 60 * SECOND:
        bucket.take(now)
        taken += 1
        now = bucket.free_at(now)
    assert 30 * 60 <= taken <= 30 * 60 + 1


# -- window


def test_a_window_lets_its_count_go_at_once_then_waits():
    assert [0, 0, 1000, 1000, 2000, 2000] == starts(window(2), 2500)


def test_a_window_counts_from_the_answer():
    """Two start at 0 and are answered at 300: the next two at 1300, answered 1600, and so on."""
    assert [0, 0, 1300, 1300, 2600, 2600] == starts(window(2), 3000, latency=300)


def test_a_count_of_one_is_spaced_from_the_answers():
    bucket = bucket_for(Limit("room", 1, 1.0))
    assert [0, 1250, 2500] == starts(bucket, 3000, latency=250)


def test_while_its_tokens_are_in_flight_only_an_answer_frees_a_window():
    bucket = window(2)
    bucket.take(0)
    bucket.take(0)
    assert NEVER == bucket.free_at(5 * SECOND)
    bucket.release(5 * SECOND)
    assert 6 * SECOND == bucket.free_at(5 * SECOND)


def test_a_token_given_back_was_not_spent():
    bucket = window(1)
    bucket.take(0)
    bucket.give_back()
    assert 0 == bucket.free_at(0)


def test_a_closed_window_waits_for_both():
    bucket = window(1)
    bucket.take(0)
    bucket.release(0)
    bucket.close(3 * SECOND)
    assert 3 * SECOND == bucket.free_at(0)


# -- what the platform reports


def report(**fields):
    return BucketReport(bucket="b", **fields)


def test_a_window_believes_the_platform_s_count():
    """Of 5 there are 3 left until the window is fresh in 4 seconds."""
    bucket = window(2, 5.0)
    bucket.learn(report(limit=5, remaining=3, reset_after=4.0), 10 * SECOND)
    assert [10, 10, 10, 14] == [fill(bucket, 10 * SECOND) // SECOND for _ in range(4)]


def fill(bucket, now):
    """Take a token if there is one; when it came."""
    at = bucket.free_at(now)
    if at <= now:
        bucket.take(now)
        bucket.spent.append(14 * SECOND)
        bucket.in_flight -= 1
    return at


def test_a_report_without_numbers_changes_nothing():
    bucket = window(2)
    bucket.learn(report(), 0)
    bucket.learn(report(remaining=0), 0)
    bucket.learn(report(reset_after=9.0), 0)
    assert (2, 0, False) == (bucket.count, bucket.free_at(0), bucket.reported)


@pytest.mark.parametrize("limit", [0, -3])
def test_a_limit_below_one_is_one(limit):
    bucket = window(2)
    bucket.learn(report(limit=limit), 0)
    assert 1 == bucket.count


def test_more_left_than_the_limit_is_all_of_it():
    bucket = window(2)
    bucket.learn(report(limit=2, remaining=9, reset_after=1.0), 0)
    assert 0 == len(bucket.spent)


def test_what_is_answered_within_a_longer_window_of_the_platform_s_counts_till_its_end():
    """Ours is 10 s, the platform's ends at 100 and has one of its two tokens out.

    Two more that were in flight are answered at 40: at 60 there are not two tokens, but none.
    """
    bucket = window(5, 10.0)
    bucket.take(0)
    bucket.take(0)
    bucket.learn(report(limit=2, remaining=1, reset_after=100.0), 0)
    bucket.release(40 * SECOND)
    bucket.release(40 * SECOND)
    assert 100 * SECOND == bucket.free_at(60 * SECOND)


# -- slowing down


def test_after_an_unforeseen_429_the_pace_is_halved():
    bucket = even(10)
    bucket.slow_down()
    bucket.take(0)
    assert 200 * MS == bucket.free_at(0)


def test_a_slowed_window_allows_half():
    bucket = window(10)
    bucket.slow_down()
    assert [0, 0, 0, 0, 0] == starts(bucket, 900)[:9]


def test_nothing_is_slower_than_an_eighth():
    bucket = even(10)
    for _ in range(9):
        bucket.slow_down()
    bucket.take(0)
    assert 800 * MS == bucket.free_at(0)


def test_a_slowed_window_still_allows_one():
    bucket = window(2)
    for _ in range(9):
        bucket.slow_down()
    assert [0, 1000] == starts(bucket, 1500)


def test_twenty_three_answers_bring_the_pace_back():
    """2 x 0.97 ** 22 is 1.02, 2 x 0.97 ** 23 is 0.99: never faster than allowed."""
    bucket = even(10)
    bucket.slow_down()
    slowness = []
    for _ in range(24):
        bucket.take(0)
        bucket.release(0)
        slowness.append(bucket.slowness)
    assert 1.0 < slowness[21] < 1.03
    assert [1.0, 1.0] == slowness[22:]


def test_a_slowed_bucket_of_one_waits_longer_and_soon_no_more():
    bucket = WindowBucket(Limit("chat", 1, 1.0))
    bucket.slow_down()
    waits = []
    now = 0
    for _ in range(5):
        bucket.take(now)
        bucket.release(now)
        at = bucket.free_at(now)
        waits.append((at - now) / SECOND)
        now = at
    assert 2.0 == waits[0]
    assert sorted(waits, reverse=True) == waits
    assert 1.0 == waits[4]


def test_what_the_platform_reports_is_not_slowed_down():
    bucket = window(5)
    bucket.learn(report(limit=5, remaining=5, reset_after=1.0), 0)
    bucket.slow_down()
    assert 1.0 == bucket.slowness


def test_of_several_buckets_the_fastest_is_slowed_down():
    buckets = [window(20, 60.0), even(30), window(1, 1.0)]
    slow_down(buckets)
    assert [1.0, 2.0, 1.0] == [bucket.slowness for bucket in buckets]


def test_of_no_bucket_nothing_is_slowed_down():
    slow_down([])


def test_a_gate_is_slower_than_any_limit():
    assert Bucket("gate").period > window(1, 86_400.0).period > even(1).period


# -- all or none


def test_all_tokens_are_taken_in_one_step():
    buckets = [Bucket("slots", 4), even(), window()]
    assert take_all(lane(), buckets, 0, None) is None
    assert [1, 1, 1] == [bucket.in_flight for bucket in buckets]


def test_none_is_taken_where_one_is_missing():
    """The lane learns which of them frees last, and when."""
    account, room, free = even(10), window(1), Bucket("slots", 4)
    account.take(0)
    room.take(0)
    room.release(0)
    assert Blocked(room, SECOND) == take_all(lane(), [account, room, free], 0, None)
    assert (1, 0, 0) == (account.in_flight, room.in_flight, free.in_flight)
    assert Blocked(account, 100 * MS) == take_all(lane(), [account, free], 0, None)


def waiting_at(bucket, waiter):
    bucket.waiting = ClassQueue()
    bucket.waiting.push(waiter)
    return waiter


def test_who_comes_later_does_not_overtake_those_who_wait():
    bucket, other = Bucket("slots", 4), Bucket("gate")
    waiting_at(bucket, lane(1))
    assert Blocked(bucket, 9) == take_all(lane(2), [other, bucket], 9, None)


def test_who_waits_longer_goes_before_the_queue():
    bucket = Bucket("slots", 4)
    waiting_at(bucket, lane(2))
    assert take_all(lane(1), [bucket], 9, None) is None


def test_urgent_goes_before_the_queue():
    bucket = Bucket("slots", 4)
    waiting_at(bucket, lane(1))
    assert take_all(lane(2, URGENT), [bucket], 9, None) is None


def test_the_lane_just_woken_at_a_bucket_is_nobody_s_junior_there():
    bucket = Bucket("slots", 4)
    waiting_at(bucket, lane(1))
    assert take_all(lane(2), [bucket], 9, bucket) is None


def test_an_empty_queue_holds_nobody_up():
    bucket = Bucket("slots", 4)
    waiting_at(bucket, lane(1)).waits_in = None
    assert take_all(lane(2), [bucket], 9, None) is None


# -- reservations


def test_a_reserved_token_is_kept_for_its_holder():
    bucket, old = window(1), lane(1)
    reserve(old, [bucket], SECOND, 0)
    assert Blocked(bucket, SECOND + 1) == take_all(lane(2), [bucket], 0, None)
    assert take_all(old, [bucket], 0, None) is None


def test_what_is_back_in_time_may_be_taken():
    """Reserved for 100 ms from now: the tick of now is free, the next one is not for all."""
    bucket, old = even(10), lane(1)
    reserve(old, [bucket], 150 * MS, 0)
    assert take_all(lane(2), [bucket], 0, None) is None
    assert Blocked(bucket, 150 * MS + 1) == take_all(lane(3), [bucket], 100 * MS, None)


def test_of_two_places_one_may_be_taken():
    slots, old = Bucket("slots", 2), lane(1)
    reserve(old, [slots], SECOND, 0)
    assert take_all(lane(2), [slots], 0, None) is None
    assert Blocked(slots, SECOND + 1) == take_all(lane(3), [slots], 0, None)


def test_tokens_that_are_back_by_then_do_not_count_against_the_reservation():
    """Of two tokens one is spent until 0.5 s: reserved for 0.5 s, the other may be taken."""
    bucket = window(2)
    bucket.spent.append(SECOND // 2)
    reserve(lane(1), [bucket], SECOND // 2, 0)
    assert take_all(lane(2), [bucket], 0, None) is None


def test_tokens_that_are_not_back_by_then_count():
    bucket = window(2)
    bucket.spent.append(SECOND)
    reserve(lane(1), [bucket], SECOND // 2, 0)
    assert Blocked(bucket, SECOND // 2 + 1) == take_all(lane(2), [bucket], 0, None)


def test_a_reservation_ends_at_its_time():
    bucket = window(1)
    reserve(lane(1), [bucket], SECOND, 0)
    assert take_all(lane(2), [bucket], SECOND, None) is None


def test_who_is_older_takes_a_reservation_over():
    bucket, older, old = window(1), lane(1), lane(2)
    reserve(old, [bucket], SECOND, 0)
    reserve(older, [bucket], SECOND, 0)
    reserve(old, [bucket], SECOND, 0)
    assert (SECOND, older) == bucket.reserved


def test_a_holder_prolongs_its_own():
    bucket, old = window(1), lane(1)
    reserve(old, [bucket], SECOND, 0)
    reserve(old, [bucket], 2 * SECOND, SECOND)
    assert (2 * SECOND, old) == bucket.reserved


def test_a_reservation_whose_holder_never_came_is_taken_over():
    bucket, gone, old = window(1), lane(1), lane(2)
    reserve(gone, [bucket], SECOND, 0)
    reserve(old, [bucket], 2 * SECOND, SECOND + 1)
    assert (2 * SECOND, old) == bucket.reserved


def test_nothing_is_reserved_for_longer_than_a_token_needs_to_come_back():
    """Twice the period of a limit, five seconds of an attempt's slot."""
    far, near = 2 * SECOND + 1, 2 * SECOND
    for until, kept in ((far, False), (near, True)):
        bucket = window(1)
        reserve(lane(1), [bucket], until, 0)
        assert kept is (bucket.reserved is not None)
    for until, kept in ((SOON + 1, False), (SOON, True)):
        slots = Bucket("slots", 1)
        reserve(lane(1), [slots], until, 0)
        assert kept is (slots.reserved is not None)


def test_only_the_holder_gives_a_reservation_up():
    bucket, old = window(1), lane(1)
    reserve(old, [bucket], SECOND, 0)
    unreserve(lane(2), [bucket])
    assert bucket.reserved is not None
    unreserve(old, [bucket, Bucket("gate")])
    assert bucket.reserved is None


@pytest.mark.parametrize("slots", [1, 64])
async def test_a_room_that_is_closed_for_long_holds_up_no_other(slots, autojump_clock):
    """It has waited for seven seconds when a 429 closes it for 1,000; the others go on at 20."""

    async def script(attempt):
        if attempt.room == "closed" and attempt.number == 1:
            await trio.sleep(7)
            raise Failure(
                Verdict(
                    error_class=ErrorClass.RETRYABLE,
                    reason=Reason.RATE_LIMITED,
                    scope=Scope.ROOM,
                    retry_after=1000.0,
                )
            )

    channel = FakeChannel(script=script, limits=lambda *_: [Limit("account", 1, 1.0)])
    async with open_test_gateway(
        channel, partition_count=1, attempts_per_partition=slots, drain_timeout=0
    ) as gateway:
        await gateway.submit(Send(instance_id="bot", external_room_id="closed", text="x"))
        await trio.sleep(20)
        await gateway.send("bot", "open", "y")
        assert 20.0 == pytest.approx(trio.current_time(), abs=0.1)


# -- the buckets of an instance


def limiter_of(*limits, room="r", now=0):
    limiter = Limiter()
    return limiter, limiter.buckets(limits, room, now)


def test_limits_of_one_name_are_one_bucket():
    limiter, (first,) = limiter_of(Limit("account", 30, 1.0))
    assert [first] == limiter.buckets([Limit("account", 30, 1.0)], "r", 0)
    assert (1, 2) == (len(limiter), first.users)


def test_a_bucket_that_several_rooms_ask_for_is_shared():
    limiter, (account, mine) = limiter_of(Limit("account", 30, 1.0), Limit("room r"))
    limiter.buckets([Limit("account", 30, 1.0), Limit("room s")], "s", 0)
    limiter.buckets([Limit("room r")], "r", 0)
    assert (True, False) == (account.shared, mine.shared)


def test_idle_buckets_are_forgotten_as_new_ones_come():
    """10,000 rooms one after another: only a few are remembered at a time."""
    limiter = Limiter()
    for n in range(10_000):
        (bucket,) = limiter.buckets([Limit(f"room {n}")], f"{n}", n)
        bucket.users -= 1
    assert len(limiter) <= 2


@pytest.mark.parametrize(
    "busy",
    [
        lambda bucket: bucket.take(0),
        lambda bucket: bucket.close(9 * SECOND),
        lambda bucket: bucket.slow_down(),
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
    limiter.buckets([Limit("other")], "s", SECOND)
    assert bucket is limiter._buckets["room"]


def test_an_even_bucket_is_forgotten_once_its_tick_has_passed():
    limiter, (bucket,) = limiter_of(Limit("account", 10, 1.0))
    bucket.users = 0
    bucket.take(0)
    bucket.release(0)
    limiter.buckets([Limit("one")], "s", 100 * MS - 1)
    assert "account" in limiter._buckets
    limiter.buckets([Limit("two")], "s", 100 * MS)
    assert "account" not in limiter._buckets


# -- reports, names and merging


def test_a_report_of_nothing_left_closes_the_bucket():
    limiter, (bucket,) = limiter_of(Limit("b", 5, 5.0, "window"))
    assert [bucket] == limiter.learn([report(limit=5, remaining=0, reset_after=3.0)], SECOND)
    assert 4 * SECOND == bucket.free_at(SECOND)


def test_a_report_on_an_even_bucket_closes_it_but_leaves_its_pace():
    limiter, (bucket,) = limiter_of(Limit("b", 10, 1.0))
    limiter.learn([report(limit=2, remaining=0, reset_after=3.0)], 0)
    assert (3 * SECOND, 100 * MS) == (bucket.free_at(0), bucket.interval)


def test_a_report_on_a_bucket_nobody_asked_for_is_dropped():
    limiter = Limiter()
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
    assert [bucket] == limiter.buckets([Limit("POST /r", 5, 5.0, "window")], "r", 0)
    assert ("abc", 7, 1) == (bucket.name, bucket.count, len(limiter))


def test_two_provisional_buckets_of_one_name_become_one():
    """The lanes that asked for the second are told to ask anew, and those who wait to move on."""
    limiter, (post, patch) = limiter_of(Limit("POST /r"), Limit("PATCH /r"))
    limiter.learn([named("abc", "POST /r")], 0)
    assert 0 == limiter.version
    assert [post] == limiter.learn([named("abc", "PATCH /r")], 0)
    assert (1, 1) == (limiter.version, len(limiter))
    assert post is patch.merged
    assert [post] == limiter.buckets([Limit("PATCH /r")], "r", 0)


@pytest.mark.parametrize("pace", ["even", "window"])
def test_a_merged_bucket_takes_its_closure_along(pace):
    """The platform closed it under its provisional name, and does not say so again."""
    limits = [Limit("POST /r", 5, 5.0, pace), Limit("PATCH /r", 5, 5.0, pace)]
    limiter, (post, patch) = limiter_of(*limits)
    limiter.learn([named("abc", "POST /r")], 0)
    patch.close(9 * SECOND)
    patch.slow_down()
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


def test_a_bucket_that_two_rooms_turn_out_to_share_is_shared():
    limiter, (mine,) = limiter_of(Limit("POST /r"), room="r")
    limiter.buckets([Limit("POST /s")], "s", 0)
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
    assert [bucket] == limiter.buckets([Limit("POST /r")], "r", 0)
    assert (2 * SECOND, 1) == (bucket.free_at(0), len(limiter))


def test_a_name_is_forgotten_with_its_bucket():
    limiter, (bucket,) = limiter_of(Limit("POST /r"))
    limiter.learn([named("abc", "POST /r")], 0)
    bucket.users = 0
    limiter.buckets([Limit("other")], "s", SECOND)
    assert {} == limiter._alias


# -- several rooms at once


def test_three_rooms_hit_within_two_seconds_are_the_account():
    limiter = Limiter()
    hits = [("a", 0), ("a", 1), ("b", 1), ("c", 2)]
    assert [False, False, False, True] == [limiter.hit(room, at * SECOND) for room, at in hits]


def test_hits_that_lie_apart_are_the_rooms_own():
    limiter = Limiter()
    assert not any(limiter.hit(room, at * 3 * SECOND) for at, room in enumerate("abcdef"))


def test_old_hits_are_forgotten():
    limiter = Limiter()
    for n in range(100):
        limiter.hit(f"{n}", n * 3 * SECOND)
    assert 1 == len(limiter._hit_rooms)


def test_bulk_waits_behind_normal_at_a_bucket():
    bucket = Bucket("slots", 4)
    waiting_at(bucket, lane(5, NORMAL))
    assert Blocked(bucket, 9) == take_all(lane(1, BULK), [bucket], 9, None)


def test_a_name_nobody_asked_for_by_yet_is_an_alias_all_the_same():
    limiter, (bucket,) = limiter_of(Limit("POST /r"))
    limiter.learn([named("abc", "POST /r"), named("abc", "PATCH /r")], 0)
    assert [bucket] == limiter.buckets([Limit("PATCH /r")], "r", 0)
    assert 0 == limiter.version


def test_a_tick_given_back_is_there_for_the_next():
    bucket = even(10)
    bucket.take(0)
    bucket.take(100 * MS)
    bucket.give_back()
    assert (1, 100 * MS) == (bucket.in_flight, bucket.free_at(0))


def test_newcomers_that_pass_by_pay_the_share_of_those_who_wait():
    """Ten of normal take what bulk waits for; the eleventh finds bulk before it."""
    bucket, gate = Bucket("slots"), Bucket("gate")
    waiting_at(bucket, lane(1, BULK))
    newcomers = [take_all(lane(5), [bucket, gate], 9, None) for _ in range(11)]
    assert [None] * 10 + [Blocked(bucket, 9)] == newcomers
