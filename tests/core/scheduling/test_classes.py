"""Who goes first among waiting lanes."""

import pytest

from gateway_core.scheduling.classes import AGING, BULK, CLASSES, NORMAL, URGENT, ClassQueue
from gateway_core.scheduling.rooms import Lane

SECOND = 1_000_000_000
LETTERS = {URGENT: "u", NORMAL: "n", BULK: "b"}


def lane(cls, since=1, *, interim=0):
    made = Lane("lane", None, None, None)
    made.rank = (cls, interim, since)
    return made


def served(queue, grants, now=2):
    """The classes of so many grants, where each lane served is followed by one like it."""
    letters = ""
    for _ in range(grants):
        first = queue.pop(now)
        letters += LETTERS[first.rank[0]]
        queue.push(lane(*first.rank[:1], since=first.rank[2] + 1))
    return letters


@pytest.fixture
def queue():
    return ClassQueue()


def test_an_empty_queue_gives_nobody(queue):
    assert not queue
    assert queue.peek(0) is None
    assert queue.pop(0) is None


def test_urgent_goes_before_normal_and_normal_before_bulk(queue):
    for cls in (BULK, NORMAL, URGENT):
        queue.push(lane(cls))
    assert [URGENT, NORMAL, BULK] == [queue.pop(2).rank[0] for _ in range(3)]


def test_within_a_class_who_waits_longer_goes_first(queue):
    for since in (3, 1, 2):
        queue.push(lane(NORMAL, since))
    assert [1, 2, 3] == [queue.pop(9).rank[2] for _ in range(3)]


def test_of_the_same_instant_who_came_first_goes_first(queue):
    first, second = lane(NORMAL), lane(NORMAL)
    queue.push(first)
    queue.push(second)
    assert first is queue.pop(2)
    assert second is queue.pop(2)


def test_finals_go_before_interim_edits_of_their_class(queue):
    """Even where the interim edit has waited longer; it goes before bulk all the same."""
    interim, final, bulk = lane(NORMAL, 1, interim=1), lane(NORMAL, 5), lane(BULK, 1)
    for waiting in (bulk, interim, final):
        queue.push(waiting)
    assert [final, interim, bulk] == [queue.pop(9) for _ in range(3)]


def test_peek_tells_whom_pop_gives_and_takes_nobody(queue):
    waiting = lane(NORMAL)
    queue.push(waiting)
    assert waiting is queue.peek(2)
    assert waiting is queue.peek(2)
    assert waiting is queue.pop(2)
    assert not queue


def test_beside_a_flood_of_urgent_normal_gets_a_sixth(queue):
    """A fifth of what urgent takes: five urgent, then one normal."""
    queue.push(lane(URGENT))
    queue.push(lane(NORMAL))
    assert "uuuuunuuuuun" == served(queue, 12)


def test_beside_a_flood_of_normal_bulk_gets_a_tenth_of_it(queue):
    """Ten normal, then one bulk: 10 of 110."""
    queue.push(lane(NORMAL))
    queue.push(lane(BULK, 50))
    assert 10 == served(queue, 110).count("b")


def test_all_three_get_their_shares_of_a_flood(queue):
    """Of 130 grants 100 urgent, 20 normal; bulk earns from both: at least its 10."""
    for cls in (URGENT, NORMAL, BULK):
        queue.push(lane(cls))
    letters = served(queue, 132)
    assert pytest.approx(100, abs=2) == letters.count("u")
    assert pytest.approx(20, abs=1) == letters.count("n")
    assert 10 <= letters.count("b") <= 13


def test_a_class_that_does_not_wait_earns_nothing(queue):
    """Nobody normal was there while urgent went: the first to come has no claim."""
    queue.push(lane(URGENT))
    assert "u" * 20 == served(queue, 20)
    queue.push(lane(NORMAL))
    assert "uuuuun" == served(queue, 6)


def test_bulk_that_has_waited_half_a_minute_goes_by_age(queue):
    old, young = lane(BULK, 1 * SECOND), lane(NORMAL, 2 * SECOND)
    queue.push(old)
    queue.push(young)
    assert young is queue.peek(1 * SECOND + AGING)
    assert old is queue.pop(1 * SECOND + AGING + 1)


def test_aged_bulk_does_not_go_before_normal_that_has_waited_longer(queue):
    bulk, normal = lane(BULK, 2 * SECOND), lane(NORMAL, 1 * SECOND)
    queue.push(bulk)
    queue.push(normal)
    assert normal is queue.pop(100 * SECOND)


def test_nobody_ages_past_urgent(queue):
    for waiting in (lane(BULK, 1), lane(NORMAL, 2), lane(URGENT, 3600 * SECOND)):
        queue.push(waiting)
    assert URGENT == queue.pop(7200 * SECOND).rank[0]


def test_a_lane_that_left_is_passed_over(queue):
    gone, there = lane(NORMAL, 1), lane(NORMAL, 2)
    queue.push(gone)
    queue.push(there)
    gone.waits_in = None
    assert there is queue.pop(9)
    assert not queue


def test_a_lane_that_left_for_another_queue_stands_only_there(queue):
    other, moved = ClassQueue(), lane(NORMAL)
    queue.push(moved)
    other.push(moved)
    assert not queue
    assert moved is other.pop(2)


def test_a_lane_that_came_back_stands_at_its_new_place_only(queue):
    """It left and queued again with a younger turn: the old entry no longer counts."""
    back, there = lane(NORMAL, 1), lane(NORMAL, 2)
    queue.push(back)
    queue.push(there)
    back.waits_in, back.rank = None, (NORMAL, 0, 3)
    queue.push(back)
    assert [there, back, None] == [queue.pop(9) for _ in range(3)]


def test_a_popped_lane_waits_nowhere(queue):
    waiting = lane(NORMAL)
    queue.push(waiting)
    assert queue is waiting.waits_in
    queue.pop(2)
    assert waiting.waits_in is None


# -- one that has only come


def test_who_waits_at_the_same_rank_or_above_goes_before_a_newcomer(queue):
    waiting = lane(NORMAL, 2)
    queue.push(waiting)
    assert queue.ahead_of(lane(NORMAL, 3), 9, fresh=True)
    assert queue.ahead_of(lane(BULK, 1), 9, fresh=True)
    assert not queue.ahead_of(lane(NORMAL, 1), 9, fresh=True)
    assert not queue.ahead_of(lane(URGENT, 3), 9, fresh=True)


def test_nobody_is_ahead_of_itself_or_in_an_empty_queue(queue):
    waiting = lane(NORMAL, 2)
    assert not queue.ahead_of(waiting, 9, fresh=True)
    queue.push(waiting)
    assert not queue.ahead_of(waiting, 9, fresh=True)


def test_newcomers_pay_for_passing_those_who_wait(queue):
    """Ten of normal that never waited here, and bulk has earned its turn before the eleventh."""
    queue.push(lane(BULK, 1))
    passed = 0
    while not queue.ahead_of(newcomer := lane(NORMAL, 5), 9, fresh=True):
        queue.passed_by(newcomer)
        passed += 1
    assert 10 == passed


def test_aged_bulk_goes_before_normal_that_has_only_come(queue):
    queue.push(lane(BULK, 1 * SECOND))
    young = lane(NORMAL, 40 * SECOND)
    assert not queue.ahead_of(young, 1 * SECOND + AGING, fresh=True)
    assert queue.ahead_of(young, 1 * SECOND + AGING + 1, fresh=True)
    assert not queue.ahead_of(lane(URGENT, 40 * SECOND), 99 * SECOND, fresh=True)


def test_between_lanes_that_wait_at_several_queues_the_bare_rank_decides(queue):
    """Share and age would let two wait for each other in a circle."""
    queue.push(lane(BULK, 1))
    waits_elsewhere = lane(NORMAL, 5)
    for _ in range(10):
        queue.passed_by(waits_elsewhere)
    assert queue.ahead_of(waits_elsewhere, 9, fresh=True)
    assert not queue.ahead_of(waits_elsewhere, 9, fresh=False)


def test_each_class_has_the_time_to_live_that_the_pages_name():
    """Five minutes, an hour, a day."""
    assert {"urgent": 300.0, "normal": 3600.0, "bulk": 86_400.0} == {
        name: each.ttl for name, each in CLASSES.items()
    }
