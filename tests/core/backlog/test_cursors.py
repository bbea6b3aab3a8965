"""What an instance has outside: order within rooms, and a bounded number of rooms behind."""

import pytest

from gateway_core.backlog import cursors
from gateway_core.backlog.cursors import InstanceCursor


@pytest.fixture
def two(monkeypatch):
    """At most two rooms can be remembered as behind."""
    monkeypatch.setattr(cursors, "MOST_BEHIND", 2)


def test_nothing_is_outside_until_something_is_left():
    cursor = InstanceCursor(done=True)
    assert (True, False) == (cursor.idle, cursor.holds("room"))
    cursor.spill("room", 5)
    assert (False, True, False) == (cursor.idle, cursor.holds("room"), cursor.holds("other"))
    behind = cursor.behind["room"]
    assert (4, 5) == (behind.loaded, behind.newest)


def test_before_the_end_is_seen_every_room_waits():
    cursor = InstanceCursor(loaded=10)
    assert cursor.holds("any")
    cursor.spill("room", 20)
    assert 10 == cursor.behind["room"].loaded


def test_what_came_late_is_looked_back_for():
    """Its append took longer than the way in of what came after it."""
    cursor = InstanceCursor(done=True)
    for position in (7, 9, 8):
        cursor.spill("room", position)
    behind = cursor.behind["room"]
    behind.loaded = 9
    behind.look_back()
    assert (7, 9) == (behind.loaded, behind.newest)
    behind.look_back()
    assert 7 == behind.loaded


def test_what_was_left_during_a_page_is_not_passed_over():
    """A page that was read before may reach beyond it: what waited for its message stands there."""
    cursor = InstanceCursor(done=True)
    cursor.spill("room", 7)
    behind = cursor.behind["room"]
    behind.look_back()
    cursor.spill("room", 9)
    behind.loaded = 12
    behind.look_back()
    assert (8, 9) == (behind.loaded, behind.newest)


def test_nor_is_what_was_left_so_where_too_many_rooms_are_behind(two):
    cursor = InstanceCursor(loaded=10)
    cursor.pass_by("a", 3)
    cursor.pass_by("b", 4)
    cursor.spill("c", 15)
    cursor.loaded = 20
    cursor.look_back()
    assert 14 == cursor.loaded
    cursor.loaded = 20
    cursor.look_back()
    assert 20 == cursor.loaded


def test_with_too_many_rooms_behind_the_instance_waits_as_a_whole(two):
    cursor = InstanceCursor(done=True)
    for position, room in enumerate("abc"):
        cursor.spill(room, position)
    assert (["a", "b"], False, 1) == (list(cursor.behind), cursor.done, cursor.loaded)
    cursor.spill("d", 3)
    assert ["a", "b"] == list(cursor.behind)
    assert cursor.holds("d")


def test_a_room_that_the_cursor_has_passed_is_remembered_all_the_same(two):
    """What comes late must be found, however many rooms are behind."""
    cursor = InstanceCursor(loaded=10)
    for position, room in ((11, "a"), (12, "b"), (9, "c")):
        cursor.spill(room, position)
    assert 8 == cursor.behind["c"].loaded


def test_what_was_left_during_a_page_is_not_taken_for_the_end(two):
    cursor = InstanceCursor(loaded=10)
    cursor.pass_by("a", 3)
    cursor.pass_by("b", 4)
    cursor.grown = False
    cursor.spill("c", 12)
    cursor.ended()
    assert not cursor.done
    cursor.grown = False
    cursor.behind["a"].loaded = 3
    cursor.ended()
    assert (True, ["b"]) == (cursor.done, list(cursor.behind))
