"""What an instance has outside: order within rooms, and a bounded number of rooms behind."""

import pytest

from gateway_core.backlog import cursors
from gateway_core.backlog.cursors import InstanceCursors, StreamCursor
from gateway_core.outboxes.records import Stream
from gateway_core.scheduling.classes import BULK, NORMAL, URGENT


@pytest.fixture
def two(monkeypatch):
    """At most two rooms can be remembered as behind."""
    monkeypatch.setattr(cursors, "MOST_BEHIND", 2)


def test_nothing_is_outside_until_something_is_left():
    cursor = StreamCursor(done=True)
    assert (True, False) == (cursor.idle, cursor.holds("room"))
    cursor.spill("room", 5, NORMAL)
    assert (False, True, False) == (cursor.idle, cursor.holds("room"), cursor.holds("other"))
    behind = cursor.behind["room"]
    assert (4, 5) == (behind.loaded, behind.newest)


def test_before_the_end_is_seen_every_room_waits():
    cursor = StreamCursor(loaded=10)
    assert cursor.holds("any")
    cursor.spill("room", 20, NORMAL)
    assert 10 == cursor.behind["room"].loaded


def test_what_came_late_is_looked_back_for():
    """Its append took longer than the way in of what came after it."""
    cursor = StreamCursor(done=True)
    for position in (7, 9, 8):
        cursor.spill("room", position, NORMAL)
    behind = cursor.behind["room"]
    behind.loaded = 9
    behind.look_back()
    assert (7, 9) == (behind.loaded, behind.newest)
    behind.look_back()
    assert 7 == behind.loaded


def test_a_room_to_look_back_in_is_not_forgotten_at_the_end():
    """A page showed the envelope before it was accepted, so that it did not come in."""
    cursor = StreamCursor(loaded=10)
    cursor.spill("room", 20, NORMAL)
    cursor.behind["room"].loaded = 20
    cursor.spill("room", 20, NORMAL)
    cursor.look_back()
    cursor.ended()
    assert cursor.holds("room")


def test_what_was_left_during_a_page_is_not_passed_over():
    """A page that was read before may reach beyond it: what waited for its message stands there."""
    cursor = StreamCursor(done=True)
    cursor.spill("room", 7, NORMAL)
    behind = cursor.behind["room"]
    behind.look_back()
    cursor.spill("room", 9, NORMAL)
    behind.loaded = 12
    behind.look_back()
    assert (8, 9) == (behind.loaded, behind.newest)


def test_nor_is_what_was_left_so_where_too_many_rooms_are_behind(two):
    cursor = StreamCursor(loaded=10)
    cursor.pass_by("a", 3, NORMAL)
    cursor.pass_by("b", 4, NORMAL)
    cursor.spill("c", 15, NORMAL)
    cursor.loaded = 20
    cursor.look_back()
    assert 14 == cursor.loaded
    cursor.loaded = 20
    cursor.look_back()
    assert 20 == cursor.loaded


def test_with_too_many_rooms_behind_the_instance_waits_as_a_whole(two):
    cursor = StreamCursor(done=True)
    for position, room in enumerate("abc"):
        cursor.spill(room, position, NORMAL)
    assert (["a", "b"], False, 1) == (list(cursor.behind), cursor.done, cursor.loaded)
    cursor.spill("d", 3, NORMAL)
    assert ["a", "b"] == list(cursor.behind)
    assert cursor.holds("d")


def test_a_room_that_the_cursor_has_passed_is_remembered_all_the_same(two):
    """What comes late must be found, however many rooms are behind."""
    cursor = StreamCursor(loaded=10)
    for position, room in ((11, "a"), (12, "b"), (9, "c")):
        cursor.spill(room, position, NORMAL)
    assert 8 == cursor.behind["c"].loaded


def test_what_was_left_during_a_page_is_not_taken_for_the_end(two):
    cursor = StreamCursor(loaded=10)
    cursor.pass_by("a", 3, NORMAL)
    cursor.pass_by("b", 4, NORMAL)
    cursor.grown = False
    cursor.spill("c", 12, NORMAL)
    cursor.ended()
    assert not cursor.done
    cursor.grown = False
    cursor.behind["a"].loaded = 3
    cursor.ended()
    assert (True, ["b"]) == (cursor.done, list(cursor.behind))


# -- classes


def test_what_stands_alone_has_a_cursor_for_each_class():
    all_of = InstanceCursors(done=True)
    assert (True, False) == (all_of.idle, all_of.pressing)
    all_of.spill("room", 5, Stream("bulk", alone=True))
    assert [True, True, False] == [cursor.idle for cursor in all_of.alone]
    assert (True, False, False) == (all_of.ordered.idle, all_of.idle, all_of.pressing)
    all_of.spill("room", 6, Stream("urgent", alone=True))
    assert (True, URGENT) == (all_of.pressing, all_of.highest())


def test_higher_classes_come_before_the_lower_ones():
    all_of = InstanceCursors()
    urgent, normal, bulk = all_of.alone
    assert (urgent, normal, all_of.ordered, bulk) == all_of.all
    streams = [[stream.priority for stream in cursor.streams] for cursor in all_of.ahead]
    assert [["urgent"], ["normal"]] == streams


def test_a_room_found_ahead_is_read_from_where_the_cursor_stands():
    cursor = StreamCursor(loaded=10)
    assert cursor.look_ahead("room", 500)
    behind = cursor.behind["room"]
    assert (10, 500, URGENT) == (behind.loaded, behind.newest, behind.rank)
    assert cursor.look_ahead("room", 600)
    assert 600 == behind.newest


def test_what_is_loaded_already_is_not_looked_for_ahead():
    cursor = StreamCursor(loaded=10)
    assert cursor.look_ahead("room", 10)
    assert {} == cursor.behind


def test_rooms_found_ahead_are_forgotten_once_loaded_to_make_room_for_others(two):
    cursor = StreamCursor(loaded=10)
    assert all(cursor.look_ahead(room, 20) for room in "ab")
    assert not cursor.look_ahead("c", 20)
    cursor.behind["a"].loaded = 20
    assert cursor.look_ahead("c", 20)
    assert ["b", "c"] == list(cursor.behind)


def test_an_urgent_one_beyond_too_many_rooms_is_looked_for_ahead(two):
    all_of = InstanceCursors(done=True)
    for position, room in enumerate("abc"):
        all_of.spill(room, position, Stream("bulk", alone=False))
    all_of.spill("d", 7, Stream("urgent", alone=False))
    assert [False, True] == [ahead.done for ahead in all_of.ahead]
    assert (6, URGENT) == (all_of.ahead[URGENT].loaded, all_of.highest())


def test_after_an_end_the_next_of_the_room_may_be_of_any_class():
    all_of = InstanceCursors(done=True)
    all_of.spill("room", 5, Stream("bulk", alone=False))
    assert BULK == all_of.ordered.behind["room"].rank
    all_of.ended("room")
    assert URGENT == all_of.ordered.behind["room"].rank


def test_whether_a_change_is_spilled_is_known_where_all_of_its_room_is():
    all_of, stream = InstanceCursors(done=True), Stream("normal", alone=False)
    assert not all_of.may_hold_change("room")
    all_of.spill("room", 5, stream, change=False)
    assert not all_of.may_hold_change("room")
    all_of.spill("room", 6, stream, change=True)
    all_of.spill("room", 7, stream, change=False)
    assert (True, False) == (all_of.may_hold_change("room"), all_of.may_hold_change("other"))


def test_before_the_end_is_seen_a_change_may_be_anywhere():
    all_of = InstanceCursors()
    all_of.spill("room", 5, Stream("normal", alone=False), change=False)
    assert all_of.may_hold_change("room")
    assert all_of.may_hold_change("other")
