"""The spent tokens of a window: in order, and in little memory however many they are."""

import tracemalloc
from random import Random

import pytest

from gateway_core import Limit
from gateway_core.authors import BucketReport
from gateway_core.clock import NEVER, SECOND
from gateway_core.ratelimits.limit_kinds import WindowBucket, bucket_for
from gateway_core.ratelimits.spent import MOST, Spent

PER = 60 * SECOND


def spent_at(*times, per=PER):
    spent = Spent(per)
    for at in times:
        spent.append(at)
    return spent


def test_tokens_come_back_in_their_order():
    spent = spent_at(5, 7, 7, 9)
    assert [5, 7, 7, 9, 0] == [spent.when(n) for n in range(1, 6)]
    assert (4, 3, 1, 0) == (spent.left(4), spent.left(5), spent.left(8), spent.left(9))
    assert 0 == spent.last


def test_a_token_comes_back_with_the_last_one_if_that_comes_back_later():
    spent = spent_at(9, 5)
    assert [(9, 2)] == spent.runs()


def test_those_after_a_time_are_counted():
    assert 2 == spent_at(5, 7, 9).after(5)


def test_the_last_one_may_turn_out_not_to_be_spent():
    spent = spent_at(5, 7, 7)
    spent.pop()
    spent.pop()
    assert (1, [(5, 1)]) == (len(spent), spent.runs())


@pytest.mark.parametrize("before", [PER, SECOND, 3600 * SECOND])
def test_many_come_back_a_thousandth_of_the_window_late_at_the_most(before):
    """100,000 tokens of one window, 0.6 ms apart; it may have had another length before."""
    spent = Spent(before)
    if before != PER:
        spent.replace([], PER)
    times = [PER + n * PER // 100_000 for n in range(100_000)]
    for at in times:
        spent.append(at)
    late = [spent.when(n + 1) - at for n, at in enumerate(times) if not n % 97]
    assert 0 <= min(late) <= max(late) <= PER // MOST
    assert len(spent.runs()) <= 2 * MOST + 1


@pytest.mark.parametrize("seed", range(20))
def test_a_window_gives_what_a_list_of_times_gives(seed):
    """As if each spent token stood for itself: the same answers over 2,000 draws."""
    rng = Random(seed)
    limit = Limit("b", rng.randint(2, 30), 60.0, "window")
    bucket, back, now = WindowBucket(limit), [], 0
    for _ in range(2_000):
        now += rng.randint(0, 6) * SECOND
        back = [at for at in back if at > now]
        over = bucket.in_flight + len(back) - limit.count
        expected = now if over < 0 else back[over] if over < len(back) else NEVER
        assert expected == bucket.free_at(now)
        if expected == now and rng.random() < 0.7:
            bucket.take(now)
        elif bucket.in_flight:
            bucket.release(now)
            back.append(now + PER)


def peak_of(do):
    tracemalloc.start()
    try:
        do()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("pace", ["window", "learned"])
def test_a_report_of_millions_takes_no_memory(pace):
    """A header may name any number; 50,000,000 took 728 MB when each token stood for itself."""
    bucket = bucket_for(Limit("b", 5, 60.0, pace))
    report = BucketReport(bucket="b", limit=50_000_000, remaining=0, reset_after=30.0)
    assert peak_of(lambda: bucket.learn(report, 0)) < 10_000
    assert 30 * SECOND == bucket.free_at(0)
    bucket.learn(BucketReport(bucket="b", limit=50_000_000, remaining=1, reset_after=30.0), 1)


def test_a_window_of_millions_takes_no_more_than_one_of_a_thousand():
    """100,000 attempts within one window."""
    bucket = WindowBucket(Limit("b", 2_000_000, 3600.0, "window"))

    def draw():
        for n in range(100_000):
            bucket.take(n)
            bucket.release(n * 36_000)

    assert peak_of(draw) < 200_000
    assert 100_000 == len(bucket.spent)
