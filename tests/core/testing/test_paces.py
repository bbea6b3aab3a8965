"""Which paces of an adapter a stall would overrun."""

import pytest

from gateway_core import Limit
from gateway_core.testing.channel_contract.paces import paces_without_bound

PACE = Limit("all", 30, 1.0)


def faults(*limits, elsewhere=()):
    return paces_without_bound(limits, elsewhere)


def test_its_author_is_told_in_a_sentence():
    [said] = faults(Limit("bot", 30, 0.5))
    assert said == (
        "after a stall of 1 s the pace 'bot' lets 60 attempts arrive at once, where 30 are allowed"
        " in 0.5 s: give its Limit most=30, or what the platform takes in any 0.5 s"
    )


@pytest.mark.parametrize(
    "limit",
    [
        Limit("b", 30, most=31),
        Limit("b", 30, pace="window"),
        Limit("b", 30, pace="learned"),
        Limit("b", 1),
    ],
)
def test_what_has_a_bound_of_its_own_is_in_order(limit):
    assert [] == faults(limit)


@pytest.mark.parametrize(
    ("window", "bounds"),
    [
        (Limit("w", 50, 1.0, "window"), True),
        (Limit("w", 20, 60.0, "window"), True),
        (Limit("w", 1000, 60.0, "window"), False),
    ],
)
def test_a_window_beside_a_pace_bounds_it_if_it_is_as_short_or_as_strict(window, bounds):
    both = (PACE, window)
    assert bounds == (not faults(*both, elsewhere=both))


def test_a_rooms_window_does_not_bound_the_accounts_pace():
    room = Limit("room 1", 5, 5.0, "window")
    assert faults(PACE, room, elsewhere=(PACE, Limit("room 2", 5, 5.0, "window")))
    assert [] == faults(Limit("pace of room 1", 9), room, elsewhere=())
