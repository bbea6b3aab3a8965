"""What attempts draw on: buckets of tokens, paced, closed, slowed down."""

from collections import deque
from functools import partial
from heapq import heappop, heappush
from itertools import pairwise
from math import ceil
from random import Random

import pytest

from gateway_core import Limit
from gateway_core.authors import BucketReport
from gateway_core.clock import NEVER, SECOND
from gateway_core.ratelimits.bucket import Bucket, PacedBucket, slow_down
from gateway_core.ratelimits.limit_kinds import (
    BoundedBucket,
    LearnedBucket,
    SpacedBucket,
    WindowBucket,
    bucket_for,
)

MS = SECOND // 1000


def even(count=10, per=1.0, name="even"):
    return PacedBucket(Limit(name, count, per))


def window(count=2, per=1.0, name="window"):
    return WindowBucket(Limit(name, count, per, "window"))


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


@pytest.mark.parametrize(
    ("limit", "kind"),
    [
        (Limit("b", 30, 1.0), PacedBucket),
        (Limit("b", 30, 1.0, most=31), BoundedBucket),
        (Limit("b", 20, 60.0, "window"), WindowBucket),
        (Limit("b", 1, 1.0, "window"), SpacedBucket),
        (Limit("b", 1, 1.0), SpacedBucket),
        (Limit("b", 1, 1.0, "learned"), LearnedBucket),
    ],
)
def test_a_count_of_one_is_strict_whatever_its_pace(limit, kind):
    assert kind is type(bucket_for(limit))


def test_a_bucket_says_who_it_is():
    assert "<PacedBucket bot in_flight=0>" == repr(even(name="bot"))


def test_a_pace_that_starts_below_its_ceiling_quickens_with_the_answers():
    bucket = PacedBucket(Limit("b", 60, 1.0, start=30))
    times = starts(bucket, 2000)
    assert 33 <= times[1] <= 34
    gaps = [b - a for a, b in pairwise(times)]
    assert 16 <= gaps[-1] <= 17
    assert 30 + 60 < len(times) < 120
    assert 1.0 == bucket.slowness


def learned(count=5, per=5.0):
    return LearnedBucket(Limit("b", count, per, "learned"))


def test_a_report_ends_the_slowness_that_refusals_without_one_left():
    bucket = learned()
    for second in range(3):
        bucket.take(second * SECOND)
        bucket.release(second * SECOND)
        bucket.slow_down(second * SECOND)
    assert bucket.slowness > 3
    bucket.take(20 * SECOND)
    bucket.release(20 * SECOND)
    bucket.learn(BucketReport(bucket="b", limit=5, remaining=4, reset_after=5.0), 20 * SECOND)
    for _ in range(4):
        assert bucket.free_at(20 * SECOND + 1) == 20 * SECOND + 1
        bucket.take(20 * SECOND + 1)
    assert bucket.free_at(20 * SECOND + 1) > 20 * SECOND + 1


@pytest.mark.parametrize("reported", [False, True])
def test_a_refusal_without_a_report_that_says_until_when_draws_nothing(reported):
    bucket = learned(count=1)
    if reported:
        bucket.learn(BucketReport(bucket="b", limit=1, remaining=1, reset_after=0.0), 0)
    bucket.take(0)
    bucket.release(0)
    bucket.slow_down(0, SECOND)
    assert bucket.free_at(SECOND) == SECOND


def test_what_a_report_counts_stays_counted_after_a_refusal():
    bucket = learned(count=1)
    bucket.take(0)
    bucket.release(0)
    bucket.learn(BucketReport(bucket="b", limit=1, remaining=0, reset_after=4.0), 0)
    bucket.slow_down(0, SECOND)
    assert bucket.free_at(SECOND) == 4 * SECOND


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


def test_a_gate_says_whose_it_is_and_gives_no_token_by_the_time():
    of_account, of_room = Bucket("slots", 2, shared=True), Bucket("room's gate")
    assert ("instance", "room") == (of_account.of, of_room.of)
    assert (0, NEVER) == (of_room.pace, of_room.period)


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


def test_after_an_unforeseen_429_the_pace_is_halved():
    bucket = even(10)
    bucket.slow_down(0)
    bucket.take(0)
    assert 200 * MS == bucket.free_at(0)


def test_a_slowed_window_allows_half():
    bucket = window(10)
    bucket.slow_down(0)
    assert [0, 0, 0, 0, 0] == starts(bucket, 900)[:5]


def test_nothing_is_slower_than_an_eighth():
    bucket = even(10)
    for second in range(9):
        bucket.slow_down(second * SECOND)
    bucket.take(9 * SECOND)
    assert 9 * SECOND + 800 * MS == bucket.free_at(9 * SECOND)


def test_a_slowed_window_still_allows_one():
    bucket = window(2)
    for second in range(-9, 0):
        bucket.slow_down(second * SECOND)
    assert [0, 1000] == starts(bucket, 1100)


@pytest.mark.parametrize("make", [partial(even, 10), partial(window, 10)], ids=["even", "window"])
def test_answers_bring_the_pace_back_within_seconds_and_never_above_the_limit(make):
    """From an eighth, each answer adds a fifteenth: 14 of them."""
    bucket, slowness = make(), []
    for second in range(9):
        bucket.slow_down(second * SECOND)
    for _ in range(15):
        bucket.take(0)
        bucket.release(0)
        slowness.append(bucket.slowness)
    assert slowness[12] > 1.0
    assert [1.0, 1.0] == slowness[13:]


def test_what_was_under_way_as_a_pace_was_slowed_says_nothing_more():
    """Three in flight are refused for one reason; the fourth began at the slower pace."""
    bucket, slowness = even(10), []
    for _ in range(3):
        bucket.take(0)
    for attempt in range(4):
        if attempt == 3:
            bucket.take(2 * SECOND)
        bucket.release(2 * SECOND)
        bucket.slow_down(2 * SECOND if attempt < 3 else 3 * SECOND)
        slowness.append(bucket.slowness)
    assert [2.0, 2.0, 2.0, 3.53] == pytest.approx(slowness, rel=0.01)


def test_refusals_within_a_second_are_one():
    """What went out before the first still counts with the platform."""
    bucket, slowness = even(10), []
    for tenth in range(12):
        bucket.slow_down(tenth * SECOND // 10)
        slowness.append(bucket.slowness)
    assert [2.0] * 10 + [4.0] * 2 == slowness


def refused_by(real, messages=1500):
    """How many 429s an account meets that takes `real` in any second and is paced at 30; its rate.

    Each says how long the second still is; what is under way meanwhile is answered as well.
    """
    bucket, rng = even(30), Random("ways of unequal length")
    now, refused, taken, under_way, arrived = 0, 0, 0, [], deque()
    while taken < messages:
        now = max(now, min([bucket.free_at(now), *[answer[0] for answer in under_way[:1]]]))
        if under_way and under_way[0][0] <= now:
            at, wait = heappop(under_way)
            bucket.release(at)
            taken += not wait
            if wait:
                refused += 1
                bucket.close(at + wait)
                bucket.slow_down(at, at + wait)
            continue
        bucket.take(now)
        arrival = now + rng.randrange(10, 40) * MS
        while arrived and arrived[0] <= arrival - SECOND:
            arrived.popleft()
        wait = arrived[0] + SECOND - arrival if len(arrived) >= real else 0
        if not wait:
            arrived.append(arrival)
        heappush(under_way, (arrival + rng.randrange(10, 40) * MS, wait))
    return refused, taken / (now / SECOND)


@pytest.mark.parametrize("real", [29, 27, 25, 20, 15, 10])
def test_an_account_that_allows_less_than_configured_is_soon_known(real):
    """At 30 a second its 1,500 messages would meet hundreds."""
    refused, rate = refused_by(real)
    assert refused <= 12
    assert rate >= 0.85 * real


def test_a_slowed_bucket_of_one_waits_longer_and_soon_no_more():
    bucket = SpacedBucket(Limit("chat", 1, 1.0))
    bucket.slow_down(0)
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


def refusals(spacing, messages):
    """Which of these messages a chat refuses first that takes one per `spacing` s, not per second.

    It says how long to wait, in whole seconds, as Telegram does; an answer takes 50 ms.
    """
    bucket = SpacedBucket(Limit("chat", 1, 1.0))
    now, accepted, refused = 0, -(10**12), []
    for number in range(messages):
        while True:
            now = bucket.free_at(now)
            bucket.take(now)
            wait = accepted + round(spacing(number) * SECOND) - now
            now += 50 * MS
            bucket.release(now)
            if wait <= 0:
                break
            refused.append(number)
            closed = now + ceil(wait / SECOND) * SECOND
            bucket.slow_down(now, closed)
            bucket.close(closed)
        accepted = now - 50 * MS
    return refused, accepted / SECOND


@pytest.mark.parametrize(
    ("spacing", "most", "seconds"), [(1.5, 6, 140), (3, 7, 230), (10, 8, 660), (30, 10, 1900)]
)
def test_a_chat_that_is_stricter_than_configured_is_soon_known(spacing, most, seconds):
    """Of 60 messages; a bucket that forgot a fifth with each answer was refused 20 to 59 times."""
    refused, took = refusals(lambda _: spacing, 60)
    assert len(refused) <= most
    assert took <= seconds


def test_a_flood_wait_that_comes_once_is_forgotten_after_four_messages():
    refused, took = refusals(lambda number: 30 if number == 5 else 1.0, 60)
    assert refused == [5]
    assert took <= 59 * 1.05 + 30 + 4


def test_refusals_in_a_row_are_one_and_soon_forgotten():
    """12 s of them, each naming 1 s: where each counts, six messages take 78 s after that."""
    bucket = SpacedBucket(Limit("chat", 1, 1.0))
    bucket.take(0)
    bucket.release(0)
    now = SECOND
    for _ in range(12):
        bucket.take(now)
        bucket.release(now)
        bucket.slow_down(now, now + SECOND)
        now += SECOND
    begun = now
    for _ in range(6):
        bucket.take(now)
        bucket.release(now)
        now = bucket.free_at(now)
    assert (now - begun) / SECOND <= 6 + 3


def test_a_wait_grows_to_what_the_platform_says_and_at_most_twofold_in_a_row():
    bucket = SpacedBucket(Limit("chat", 1, 1.0))
    bucket.take(0)
    bucket.release(0)
    for until, expected in ((1.5, 1.5), (300.0, 2.0), (None, 4.0)):
        bucket.take(SECOND)
        bucket.release(SECOND)
        bucket.slow_down(SECOND, None if until is None else round(until * SECOND))
        assert expected == pytest.approx(bucket.slowness)
    for _ in range(9):
        bucket.slow_down(0)
    assert bucket.slowness <= 64.0


def test_a_strict_bucket_keeps_to_a_longer_window_that_was_reported():
    """It is not idle, and so not forgotten, before that has passed."""
    bucket = SpacedBucket(Limit("chat", 1, 1.0))
    bucket.learn(BucketReport(bucket="chat", limit=2, remaining=1, reset_after=60.0), 0)
    bucket.take(0)
    bucket.release(0)
    assert not bucket.idle(59 * SECOND)
    assert bucket.idle(60 * SECOND)


def test_a_refused_attempt_takes_no_token_of_a_strict_bucket():
    bucket = SpacedBucket(Limit("chat", 1, 10.0))
    bucket.take(0)
    bucket.release(0)
    bucket.take(10 * SECOND)
    bucket.release(10 * SECOND)
    bucket.slow_down(10 * SECOND, 13 * SECOND)
    assert 10 * SECOND == bucket.free_at(10 * SECOND)


@pytest.mark.parametrize("until", [None, 10 * SECOND], ids=["unsaid", "at once"])
def test_where_the_platform_names_no_wait_a_strict_bucket_keeps_its_own(until):
    bucket = SpacedBucket(Limit("chat", 1, 10.0))
    bucket.take(10 * SECOND)
    bucket.release(10 * SECOND)
    bucket.slow_down(10 * SECOND, until)
    assert 20 * SECOND == bucket.free_at(10 * SECOND)


def test_what_the_platform_reports_is_not_slowed_down():
    bucket = window(5)
    bucket.learn(report(limit=5, remaining=5, reset_after=1.0), 0)
    bucket.slow_down(0)
    assert 1.0 == bucket.slowness


def test_of_several_buckets_the_fastest_is_slowed_down():
    buckets = [window(20, 60.0), even(30), window(1, 1.0)]
    slow_down(buckets, 0)
    assert [1.0, 2.0, 1.0] == [bucket.slowness for bucket in buckets]


def test_of_no_bucket_nothing_is_slowed_down():
    slow_down([], 0)


def test_a_gate_is_slower_than_any_limit():
    assert Bucket("gate").period > window(1, 86_400.0).period > even(1).period


def test_a_tick_given_back_is_there_for_the_next():
    bucket = even(10)
    bucket.take(0)
    bucket.take(100 * MS)
    bucket.give_back()
    assert (1, 100 * MS) == (bucket.in_flight, bucket.free_at(0))


# -- what the platform tells, answer by answer


def told(remaining, reset_after):
    return BucketReport(bucket="b", limit=5, remaining=remaining, reset_after=reset_after)


def test_an_answer_that_was_overtaken_takes_nothing_back():
    """The second of two answers says "three left" and comes first; then the first, "four left"."""
    bucket = window(5, 5.0)
    for _ in range(2):
        bucket.take(0)
    for at, remaining in ((60, 3), (80, 4)):
        bucket.release(at * MS)
        bucket.learn(told(remaining, 4.96), at * MS)
    assert 2 == len(bucket.spent)


def test_a_report_that_was_overtaken_brings_the_reset_no_nearer():
    """The older answer comes last, and was told an earlier end of the same window."""
    bucket = window(5, 5.0)
    bucket.learn(told(0, 5.0), 0)
    bucket.learn(told(2, 3.0), 40 * MS)
    assert 5 * SECOND == bucket.free_at(40 * MS)


def test_a_later_report_of_the_same_window_may_move_its_reset_away():
    bucket = window(5, 5.0)
    bucket.learn(told(2, 5.0), 0)
    bucket.learn(told(0, 5.5), 40 * MS)
    assert 5 * SECOND + 540 * MS == bucket.free_at(40 * MS)


def test_the_next_window_is_counted_anew():
    bucket = window(5, 5.0)
    for _ in range(4):
        bucket.take(0)
        bucket.release(0)
    bucket.learn(told(1, 5.0), 0)
    assert 4 == len(bucket.spent)
    bucket.take(5 * SECOND)
    bucket.release(5 * SECOND + 40 * MS)
    bucket.learn(told(4, 4.98), 5 * SECOND + 40 * MS)
    assert 1 == len(bucket.spent)


def test_a_window_that_opened_early_is_known_by_its_end():
    """Its answer comes before the last one's end as it was told, which counts the way back too."""
    bucket = window(5, 5.0)
    bucket.take(0)
    bucket.release(80 * MS)
    bucket.learn(told(1, 5.0), 80 * MS)
    bucket.take(5 * SECOND)
    bucket.release(5 * SECOND + 40 * MS)
    bucket.learn(told(4, 4.98), 5 * SECOND + 40 * MS)
    assert 1 == len(bucket.spent)


def bounded(count=10, per=1.0, most=10):
    return bucket_for(Limit("b", count, per, most=most))


def test_a_bounded_pace_is_even_while_its_window_has_room():
    assert [0, 100, 200, 300, 400] == starts(bounded(10, most=20), 500, latency=20)


def test_a_bounded_pace_never_exceeds_its_window_however_answers_come():
    """Any second, as long as the answers took: what an even pace alone would not keep."""
    bucket, rng = bounded(48, most=50), Random("answers of unequal length")
    begun, answers = [], []
    for now in range(0, 20_000 * MS, MS):
        while answers and answers[0][0] <= now:
            bucket.release(heappop(answers)[0])
        while bucket.free_at(now) <= now:
            bucket.take(now)
            arrival = now + rng.randrange(10, 41) * MS
            heappush(answers, (arrival + rng.randrange(10, 41) * MS, arrival))
            begun.append(arrival)
    begun.sort()
    assert all(begun[at + 50] - begun[at] >= SECOND for at in range(len(begun) - 50))
    assert 0.985 * 50 / 1.05 <= len(begun) / 20 <= 48


def arrivals_and_answers(bucket, way, seconds, rng):
    """When requests arrive at a platform `way()` away, which stalls for two seconds in between."""
    begun, answers = [], []
    for now in range(0, seconds * SECOND, MS):
        while answers and answers[0][0] <= now:
            bucket.release(now, now - heappop(answers)[1])
        while bucket.free_at(now) <= now:
            bucket.take(now)
            arrival = now + way(rng)
            if 5 <= arrival / SECOND <= 7:
                arrival = 7 * SECOND + rng.randrange(MS)
            heappush(answers, (arrival + way(rng), now))
            begun.append(arrival)
    return sorted(begun)


@pytest.mark.parametrize("milliseconds", [1, 20, 40])
def test_a_bounded_pace_at_its_window_loses_nothing_to_the_distance(milliseconds):
    """The way counts in no window twice, and a stall lets nothing through at once."""

    def way(rng):
        return milliseconds * MS + rng.randrange(milliseconds * MS // 20 + 1)

    begun = arrivals_and_answers(bounded(30, most=30), way, 50, Random(f"{milliseconds} away"))
    assert all(begun[at + 30] - begun[at] >= SECOND for at in range(len(begun) - 30))
    assert 0.98 * 30 * 20 <= sum(1 for at in begun if 30 <= at / SECOND < 50) <= 30 * 20


def test_a_bounded_pace_learns_that_its_platform_went_farther_away():
    bucket = bounded(30, most=30)
    bucket.release(0, 0)
    for _ in range(1_000):
        bucket.release(0, 60 * MS)
    assert 50 * MS <= bucket.quickest <= 60 * MS


def test_a_bounded_pace_makes_up_for_two_ticks_that_its_window_took():
    bucket = bounded(10, most=2)
    for _ in range(2):
        bucket.take(bucket.free_at(0))
    assert NEVER == bucket.free_at(500 * MS)
    for _ in range(2):
        bucket.release(500 * MS)
    times = []
    for _ in range(2):
        times.append(bucket.free_at(1_500 * MS) // MS)
        bucket.take(1_500 * MS)
    assert [1_500, 1_500] == times
    assert NEVER == bucket.free_at(1_500 * MS)


def test_a_bounded_pace_knows_what_it_can_spare_and_when_it_is_idle():
    bucket = bounded(10, most=2)
    bucket.take(0)
    assert (False, False) == (bucket.spare(0, SECOND), bucket.idle(0))
    bucket.release(0)
    assert (False, True) == (bucket.spare(0, 999 * MS), bucket.spare(0, SECOND))
    assert (False, True) == (bucket.idle(999 * MS), bucket.idle(SECOND))


def test_a_bounded_pace_takes_over_what_a_merged_one_spent():
    bucket, other = bounded(10, most=2), bounded(10, most=2)
    for one in (bucket, other):
        one.take(0)
        one.release(0)
    bucket.absorb(other)
    bucket.absorb(even())
    assert SECOND == bucket.free_at(0)


def test_another_window_of_a_bounded_pace_holds_for_what_it_spent():
    bucket = bounded(10, most=1)
    bucket.take(0)
    bucket.release(0)
    bucket.renew(Limit("b", 10, 2.0, most=1))
    assert 2 * SECOND == bucket.free_at(0)


@pytest.mark.parametrize("per", [0.5, 2.0])
def test_another_window_holds_for_what_was_spent_before(per):
    bucket = window(2, 1.0)
    for _ in range(2):
        bucket.take(0)
        bucket.release(0)
    assert SECOND == bucket.free_at(0)
    bucket.renew(Limit("window", 2, per, "window"))
    assert round(per * SECOND) == bucket.free_at(0)


def test_another_window_leaves_what_the_platform_reported_as_it_was():
    bucket = window(2, 1.0)
    bucket.learn(report(limit=2, remaining=0, reset_after=5.0), 0)
    bucket.renew(Limit("window", 2, 2.0, "window"))
    assert 5 * SECOND == bucket.free_at(0)


@pytest.mark.parametrize("make", [window, bounded])
def test_what_is_spent_is_remembered_for_a_window_only(make):
    """Half an hour of an attempt a second takes no more memory than a few seconds of it."""
    bucket = make(3)
    for second in range(1_800):
        assert bucket.free_at(second * SECOND) == second * SECOND
        bucket.take(second * SECOND)
        bucket.release(second * SECOND)
    assert len(bucket.spent) <= 2
