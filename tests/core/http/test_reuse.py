"""Which idle connection carries a request, by what became of others."""

import pytest

from gateway_core.http.reuse import LONGEST_WARY, RECENT, SILENT, Reuse, Usage

KEEPALIVE = 20.0


def idle_since(answered, opened=0.0):
    return Usage(opened, answered)


def carry(reuse, usage, at, answer_at=None, *, broke=False):
    """A request over the connection; whether the idle ones are in doubt afterwards."""
    usage.asked, usage.heard = at, answer_at is not None and not broke
    doubtful = reuse.ended(usage, at if answer_at is None else answer_at, broke=broke)
    usage.answered = answer_at if answer_at is not None else usage.answered
    return doubtful


@pytest.fixture
def reuse():
    return Reuse(KEEPALIVE)


@pytest.fixture
def proven(reuse):
    """A reused connection, there since 0, answered what it was asked at 10."""
    carry(reuse, idle_since(9.9), 10.0, 10.1)
    return reuse


def test_until_a_reused_one_answered_one_is_tried_at_a_time(reuse):
    first, second = idle_since(1.0), idle_since(1.0)
    assert ["take", "leave"] == [reuse.choose(one, 1.1) for one in (first, second)]
    carry(reuse, first, 1.1, 1.2)
    assert "take" == reuse.choose(second, 1.3)


def test_one_that_had_ended_ends_the_trial(reuse):
    first = idle_since(1.0)
    assert "take" == reuse.choose(first, 1.1)
    reuse.unused(first)
    assert "take" == reuse.choose(idle_since(1.0), 1.1)


@pytest.mark.parametrize("answered", [0.5, 9.9])
def test_an_answer_vouches_for_what_was_idle_while_its_connection_was_there(proven, answered):
    for _ in range(3):
        assert "take" == proven.choose(idle_since(answered), 10.2)


def test_it_does_not_vouch_for_what_was_idle_before_its_connection_was_opened(reuse):
    carry(reuse, idle_since(9.9, opened=9.0), 10.0, 10.1)
    old = idle_since(5.0)
    assert ["take", "leave"] == [reuse.choose(one, 10.2) for one in (old, idle_since(5.0))]


def test_after_a_quiet_time_one_is_tried_at_a_time(proven):
    at = 10.0 + RECENT
    first, second = idle_since(9.9), idle_since(9.9)
    assert ["take", "leave"] == [proven.choose(one, at) for one in (first, second)]


def test_what_was_idle_for_too_long_is_dropped(proven):
    assert "drop" == proven.choose(idle_since(10.0), 10.0 + KEEPALIVE)


def test_a_new_connection_that_fails_says_nothing_of_the_idle_ones(proven):
    assert not carry(proven, Usage(10.1), 10.2, broke=True)
    assert "take" == proven.choose(idle_since(9.0), 10.3)


@pytest.mark.parametrize("seconds", [0.0, SILENT - 0.1])
def test_one_that_was_given_up_soon_says_nothing(proven, seconds):
    given_up = idle_since(9.9)
    given_up.asked = 10.2
    assert not proven.ended(given_up, 10.2 + seconds, broke=False)


def test_one_that_was_given_up_after_a_long_silence_has_failed(proven):
    given_up = idle_since(9.9)
    given_up.asked = 10.2
    assert proven.ended(given_up, 10.2 + SILENT, broke=False)


def test_after_a_failure_what_was_not_seen_alive_since_is_in_doubt(proven):
    failed = idle_since(9.9)
    assert carry(proven, failed, 10.5, broke=True)
    assert proven.is_doubtful(idle_since(10.4), failed)
    assert not proven.is_doubtful(idle_since(10.6), failed)


def test_after_a_failure_those_idle_half_as_long_are_not_used_for_a_second(proven):
    carry(proven, idle_since(10.1), 10.5, broke=True)
    assert "drop" == proven.choose(idle_since(10.6), 10.9)
    assert "take" == proven.choose(idle_since(10.6), 10.7)
    later = idle_since(10.6)
    proven.unused(later)
    assert "leave" == proven.choose(later, 11.6), "the young one is being tried"


def test_each_further_failure_doubles_the_time_and_an_answer_ends_that(reuse):
    now, waits = 0.0, []
    for _ in range(12):
        carry(reuse, idle_since(now - 0.1), now, broke=True)
        began = now
        while reuse.choose(idle_since(now - 0.1), now) == "drop":
            now += 0.5
        waits.append(now - began)
        reuse.unused(reuse._trial)
    assert [1, 2, 4, 8] == waits[:4]
    assert LONGEST_WARY == max(waits) == waits[-1]
    carry(reuse, idle_since(now - 0.1), now, now)
    carry(reuse, idle_since(now - 0.1), now + 1.0, broke=True)
    assert "drop" == reuse.choose(idle_since(now), now + 1.9)
    assert "take" == reuse.choose(idle_since(now), now + 2.0)


def test_those_that_went_out_together_fail_once(proven):
    for _ in range(64):
        carry(proven, idle_since(10.1), 10.2, 10.3, broke=True)
    assert "take" == proven.choose(idle_since(10.4), 11.4)


def test_an_answer_to_what_was_asked_before_a_failure_proves_nothing(proven):
    carry(proven, idle_since(10.1), 10.2, 10.3, broke=True)
    carry(proven, idle_since(10.1), 10.2, 10.4)
    first, second = idle_since(11.2), idle_since(11.2)
    assert ["take", "leave"] == [proven.choose(one, 11.5) for one in (first, second)]


def test_an_upload_that_is_given_up_while_it_moves_says_nothing_of_the_others(reuse):
    """It took longer than a connection may be silent, but was not."""
    moving, stuck = idle_since(9.0), idle_since(9.0)
    moving.moved = 10.0 + SILENT + 1
    stuck.moved = 10.0
    doubts = []
    for usage in (moving, stuck):
        usage.asked = 10.0
        doubts.append(reuse.ended(usage, 10.0 + SILENT + 2, broke=False))
    assert [False, True] == doubts
