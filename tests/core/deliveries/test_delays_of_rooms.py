"""Which rooms wait for what is delayed in them, and until when."""

from __future__ import annotations

import pytest

from gateway_core import Delete, KeyRef, Send
from gateway_core.deliveries.delays import LONGEST, SOON, Delays, delayed_until, in_order

ROOM, OTHER = ("bot", "r"), ("bot", "other")
PLACE = {"instance_id": "bot", "external_room_id": "r"}


@pytest.mark.parametrize(
    ("until", "since", "wall", "expected"),
    [
        (None, 0.0, 0.0, None),
        (5.0, 0.0, 0.0, 5.0),
        (5.0, 0.0, 5.0, None),
        (5.0, 0.0, 6.0, None),
        (LONGEST + 9, 0.0, 0.0, LONGEST),
        (LONGEST + 9, 0.0, LONGEST, None),
        (LONGEST + 9, 10.0, LONGEST, LONGEST + 9),
    ],
)
def test_a_delay_is_of_the_time_to_come_and_of_thirty_days(until, since, wall, expected):
    assert expected == delayed_until(until, since, wall)


def test_what_comes_in_is_due_after_the_last_that_is_held():
    delays = Delays()
    assert 0.0 == delays.until(ROOM, 1.0)
    delays.hold(ROOM, "a", 5.0)
    delays.hold(ROOM, "b", 7.0)
    assert (7.0, 0.0) == (delays.until(ROOM, 1.0), delays.until(OTHER, 1.0))


def test_until_it_has_entered_later_ones_come_a_moment_after_it():
    """Its time has come, but the outbox has not given it back yet."""
    delays = Delays()
    delays.hold(ROOM, "a", 5.0)
    assert 6.0 + SOON == delays.until(ROOM, 6.0)
    delays.release(ROOM, "a")
    assert 0.0 == delays.until(ROOM, 6.0)


def test_each_waits_for_the_first_of_its_room():
    delays = Delays()
    for name in "abc":
        delays.hold(ROOM, name, 5.0)
    delays.hold(ROOM, "a", 9.0)  # again: it stays the first
    assert [None, 9.0, 9.0] == [delays.before(ROOM, name) for name in "abc"]
    assert delays.release(ROOM, "c") is None  # the first is the same
    assert "b" == delays.release(ROOM, "a")
    delays.hold(ROOM, "c", 5.0)
    assert [None, 5.0] == [delays.before(ROOM, name) for name in "bc"]
    assert delays.before(OTHER, "c") is None


def test_what_is_not_held_is_released_without_an_error():
    delays = Delays()
    delays.release(ROOM, "a")
    delays.hold(ROOM, "b", 5.0)
    delays.release(ROOM, "a")
    assert 5.0 == delays.until(ROOM, 1.0)


def test_nobody_waits_for_what_has_no_order_or_changes_a_message():
    message = Send(**PLACE, text="x")
    assert in_order(message)
    assert not in_order(Send(**PLACE, text="x", order="none"))
    assert not in_order(Delete(**PLACE, target=KeyRef(**PLACE, key="k")))
