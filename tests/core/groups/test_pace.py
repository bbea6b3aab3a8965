"""How long a group takes by the limits, and how many of its members wait for them."""

from __future__ import annotations

import math

import pytest

from gateway_core import Limit
from gateway_core.groups.pace import FEWEST, MOST, Pace, pace_of

ACCOUNT = Limit("account", 30)


def test_without_limits_nothing_bounds_it():
    pace = pace_of([], None)
    assert ("", math.inf, 0.0, MOST) == (pace.bucket, pace.rate, pace.seconds(10**6), pace.ready)


def test_the_slowest_limit_of_all_rooms_counts():
    slow = Limit("minute", 60, 60.0, "window")
    assert Pace("minute", 60, 60.0, even=False) == pace_of([ACCOUNT, slow], [slow, ACCOUNT])


def test_a_room_s_own_limit_does_not():
    own, others = Limit("of a", 1, 60.0), Limit("of b", 1, 60.0)
    assert "account" == pace_of([own, ACCOUNT], [others, ACCOUNT]).bucket
    declared = Limit("of a", 1, 60.0, of="room")
    assert "account" == pace_of([declared, ACCOUNT], None).bucket
    assert "of a" == pace_of([own, ACCOUNT], None).bucket


@pytest.mark.parametrize(
    ("limit", "attempts", "seconds"),
    [
        (ACCOUNT, 1, 0.0),
        (ACCOUNT, 0, 0.0),
        (ACCOUNT, 31, 1.0),
        (Limit("a", 30, most=20), 21, 1.0),
        (Limit("a", 10, 60.0, "window"), 10, 0.0),
        (Limit("a", 10, 60.0, "window"), 11, 60.0),
        (Limit("a", 10, 60.0, "learned"), 101, 600.0),
    ],
)
def test_from_the_first_to_the_last(limit, attempts, seconds):
    assert seconds == pytest.approx(pace_of([limit], None).seconds(attempts))


@pytest.mark.parametrize(
    ("limit", "ready"),
    [(Limit("a", 1, 60.0), FEWEST), (ACCOUNT, 3), (Limit("a", 50), 5), (Limit("a", 9_999), MOST)],
)
def test_a_tenth_of_a_second_s_worth_is_ready(limit, ready):
    assert ready == pace_of([limit], None).ready


@pytest.mark.parametrize(("count", "look"), [(1, 1.0), (30, 0.1), (9_999, 0.05)])
def test_what_is_ready_should_have_begun_after_that(count, look):
    assert look == pytest.approx(pace_of([Limit("a", count)], None).look)
