"""What an instance has outside: order within rooms, and a bounded number of rooms behind."""

import pytest

from gateway_core.backlog import cursors as streams
from gateway_core.backlog.cursors import InstanceCursor


@pytest.fixture
def two(monkeypatch):
    """At most two rooms can be remembered as behind."""
    monkeypatch.setattr(streams, "MOST_BEHIND", 2)


def test_nothing_is_outside_until_something_is_left():
    stream = InstanceCursor(done=True)
    assert (True, False) == (stream.idle, stream.holds("room"))
    stream.leave("room", 5)
    assert (False, True, False) == (stream.idle, stream.holds("room"), stream.holds("other"))
    behind = stream.behind["room"]
    assert (4, 5) == (behind.loaded, behind.newest)


def test_before_the_end_is_seen_every_room_waits():
    stream = InstanceCursor(cursor=10)
    assert stream.holds("any")
    stream.leave("room", 20)
    assert 10 == stream.behind["room"].loaded


def test_what_came_late_is_looked_back_for():
    """Its append took longer than the way in of what came after it."""
    stream = InstanceCursor(done=True)
    for position in (7, 9, 8):
        stream.leave("room", position)
    behind = stream.behind["room"]
    behind.loaded = 9
    behind.look_back()
    assert (7, 9) == (behind.loaded, behind.newest)
    behind.look_back()
    assert 7 == behind.loaded


def test_what_was_left_during_a_page_is_not_passed_over():
    """A page that was read before may reach beyond it: what waited for its message stands there."""
    stream = InstanceCursor(done=True)
    stream.leave("room", 7)
    behind = stream.behind["room"]
    behind.look_back()
    stream.leave("room", 9)
    behind.loaded = 12
    behind.look_back()
    assert (8, 9) == (behind.loaded, behind.newest)


def test_nor_is_what_was_left_so_where_too_many_rooms_are_behind(two):
    stream = InstanceCursor(cursor=10)
    stream.pass_by("a", 3)
    stream.pass_by("b", 4)
    stream.leave("c", 15)
    stream.cursor = 20
    stream.look_back()
    assert 14 == stream.cursor
    stream.cursor = 20
    stream.look_back()
    assert 20 == stream.cursor


def test_with_too_many_rooms_behind_the_instance_waits_as_a_whole(two):
    stream = InstanceCursor(done=True)
    for position, room in enumerate("abc"):
        stream.leave(room, position)
    assert (["a", "b"], False, 1) == (list(stream.behind), stream.done, stream.cursor)
    stream.leave("d", 3)
    assert ["a", "b"] == list(stream.behind)
    assert stream.holds("d")


def test_a_room_that_the_cursor_has_passed_is_remembered_all_the_same(two):
    """What comes late must be found, however many rooms are behind."""
    stream = InstanceCursor(cursor=10)
    for position, room in ((11, "a"), (12, "b"), (9, "c")):
        stream.leave(room, position)
    assert 8 == stream.behind["c"].loaded


def test_what_was_left_during_a_page_is_not_taken_for_the_end(two):
    stream = InstanceCursor(cursor=10)
    stream.pass_by("a", 3)
    stream.pass_by("b", 4)
    stream.grown = False
    stream.leave("c", 12)
    stream.ended()
    assert not stream.done
    stream.grown = False
    stream.behind["a"].loaded = 3
    stream.ended()
    assert (True, ["b"]) == (stream.done, list(stream.behind))
