"""Who may come in: three bounds, and places that are handed on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_core.scheduling.admission import PARTITION, Admission, Full
from gateway_core.scheduling.classes import AGING, BULK, NORMAL, URGENT
from gateway_core.scheduling.slot_queue import Waiter


class Guests:
    """An admission of 4 in the partition, 3 an instance and 2 a room; who was woken, by name."""

    def __init__(self):
        self.places = Admission(partition=4, instance=3, room=2)
        self.woken = []
        self.now = 0

    def add(self, *names):
        for name in names:
            assert self.full(name) is None
            self.places.add(*where(name), rank_of(name))

    def wait(self, name):
        full = self.full(name)
        assert full is not None
        waiter = Waiter(
            *where(name), lambda: self.woken.append(name), rank_of(name), since=self.now
        )
        self.places.wait(waiter, full)
        return waiter

    def remove(self, name):
        self.places.remove(*where(name), rank_of(name), self.now)

    def give_up(self, waiter):
        self.places.give_up(waiter, self.now)

    def full(self, name):
        return self.places.full(*where(name), rank_of(name))


def where(name):
    """`a1` is a place in room 1 of instance a; `a1!` is urgent there, `a1.` bulk."""
    return name[0], name[1]


def rank_of(name):
    return {"!": URGENT, ".": BULK}.get(name[-1], NORMAL)


@pytest.fixture
def guests():
    return Guests()


def test_an_empty_gateway_takes_anybody(guests):
    assert guests.full("a1") is None
    assert (0, 0, 4) == (guests.places.depth, guests.places.waiters, guests.places.bound)


def test_a_full_room_refuses_only_its_own(guests):
    guests.add("a1", "a1")
    assert Full(("room", "a", "1"), 2, 2) == guests.full("a1")
    assert guests.full("a2") is None


def test_a_full_instance_refuses_only_its_own(guests):
    guests.add("a1", "a2", "a3")
    assert Full(("instance", "a"), 3, 3) == guests.full("a4")
    assert guests.full("b1") is None
    assert (3, 0) == (guests.places.depth_of("a"), guests.places.depth_of("b"))


def test_a_full_partition_refuses_everybody(guests):
    guests.add("a1", "a2", "b1", "b2")
    assert Full(PARTITION, 4, 4) == guests.full("c1")


def test_a_place_given_back_is_free(guests):
    guests.add("a1", "a1")
    guests.remove("a1")
    assert guests.full("a1") is None
    assert 1 == guests.places.depth


def test_the_last_place_given_back_leaves_nothing_behind(guests):
    guests.add("a1", "b1")
    guests.remove("a1")
    guests.remove("b1")
    assert (0, {}) == (guests.places.depth, guests.places._waiting)
    assert all(({}, {}) == (held.instances, held.rooms) for held in guests.places._held)


def test_a_freed_place_is_handed_to_who_waited_longest(guests):
    guests.add("a1", "a1")
    first, second = guests.wait("a1"), guests.wait("a1")
    guests.remove("a1")
    assert (True, False) == (first.granted, second.granted)
    assert ["a1"] == guests.woken
    assert (2, 1) == (guests.places.depth, guests.places.waiters)


def test_each_freed_place_wakes_one(guests):
    guests.add("a1", "a2", "b1", "b2")
    for name in ("c1", "c2", "c3"):
        guests.wait(name)
    guests.remove("a1")
    assert ["c1"] == guests.woken
    guests.remove("b1")
    assert ["c1", "c2"] == guests.woken
    assert 1 == guests.places.waiters


def test_newcomers_do_not_overtake(guests):
    """Who waits for the partition goes first, though the newcomer's own room is empty."""
    guests.add("a1", "a2", "b1", "b2")
    guests.wait("c1")
    guests.remove("a1")
    assert ["c1"] == guests.woken
    guests.remove("a2")
    guests.add("d1")
    assert 4 == guests.places.depth


def test_who_waits_for_one_room_holds_up_no_other(guests):
    guests.add("a1", "a1")
    guests.wait("a1")
    assert guests.full("a2") is None
    assert guests.full("b1") is None


def test_a_place_of_another_room_does_not_help_who_waits_for_his(guests):
    guests.add("a1", "a1", "b1")
    waiting = guests.wait("a1")
    guests.remove("b1")
    assert not waiting.granted
    guests.remove("a1")
    assert waiting.granted


def test_who_gets_a_place_but_meets_another_bound_queues_there(guests):
    """Two places of the partition free while its instance is full: he waits for the instance."""
    guests.add("a1", "a2", "a3", "b1")
    waiting = guests.wait("a4")
    guests.remove("b1")
    assert not waiting.granted
    assert Full(("instance", "a"), 3, 3) == guests.full("a5")
    guests.add("b1")
    guests.remove("a1")
    assert waiting.granted
    assert (4, 3) == (guests.places.depth, guests.places.depth_of("a"))


def test_who_meets_another_bound_lets_the_next_in(guests):
    guests.add("a1", "a2", "a3", "b1")
    guests.wait("a4")
    guests.wait("b2")
    guests.remove("b1")
    assert ["b2"] == guests.woken


def test_giving_up_leaves_the_queue(guests):
    guests.add("a1", "a1")
    first, second = guests.wait("a1"), guests.wait("a1")
    guests.give_up(first)
    guests.remove("a1")
    assert (False, True) == (first.granted, second.granted)


def test_the_last_to_give_up_leaves_no_queue(guests):
    guests.add("a1", "a1")
    guests.give_up(guests.wait("a1"))
    assert (0, {}) == (guests.places.waiters, guests.places._waiting)
    guests.remove("a1")
    guests.add("a1")


def test_giving_up_a_place_already_handed_over_hands_it_on(guests):
    guests.add("a1", "a1")
    first, second = guests.wait("a1"), guests.wait("a1")
    guests.remove("a1")
    guests.give_up(first)
    assert second.granted
    assert ["a1", "a1"] == guests.woken
    assert 2 == guests.places.depth


def test_giving_up_in_one_queue_leaves_the_others(guests):
    guests.add("a1", "a1", "b1", "b1")
    guests.wait("a1")
    guests.give_up(guests.wait("c1"))
    guests.remove("a1")
    assert ["a1"] == guests.woken


def test_giving_up_twice_changes_nothing(guests):
    guests.add("a1", "a1")
    waiter = guests.wait("a1")
    guests.give_up(waiter)
    guests.give_up(waiter)
    assert (2, 0) == (guests.places.depth, guests.places.waiters)


def test_closing_wakes_everybody_without_a_place(guests):
    guests.add("a1", "a1", "b1", "b1")
    waiting = [guests.wait(name) for name in ("a1", "b1", "c1")]
    guests.places.close()
    assert ["a1", "b1", "c1"] == guests.woken
    assert not any(waiter.granted for waiter in waiting)
    assert (4, 0) == (guests.places.depth, guests.places.waiters)


def test_after_closing_freed_places_wake_nobody(guests):
    guests.add("a1", "a1")
    guests.wait("a1")
    guests.places.close()
    guests.remove("a1")
    assert ["a1"] == guests.woken


NAMES = ("a1", "a2", "a3", "b1", "b2")


@given(st.lists(st.tuples(st.sampled_from(("enter", "leave", "give up")), st.integers(0, 9))))
def test_whatever_happens_bounds_hold_and_nobody_waits_beside_a_free_place(moves):
    guests, inside, waiting = Guests(), [], []
    for move, n in moves:
        if move == "enter" and guests.full(name := NAMES[n % 5]) is None:
            guests.add(name)
            inside.append(name)
        elif move == "enter":
            waiting.append((name, guests.wait(name)))
        elif move == "leave" and inside:
            guests.remove(inside.pop(n % len(inside)))
        elif move == "give up" and waiting:
            guests.give_up(waiting.pop(n % len(waiting))[1])
        inside += [name for name, waiter in waiting if waiter.granted]
        waiting = [(name, waiter) for name, waiter in waiting if not waiter.granted]
        assert len(inside) == guests.places.depth <= 4
        assert all(sum(i[0] == name[0] for i in inside) <= 3 for name in NAMES)
        assert all(inside.count(name) <= 2 for name in NAMES)
        assert len(waiting) == guests.places.waiters
        assert all(guests.full(name) is not None for name, _ in waiting)
        reached = [guests.places._reached(*where(name), rank_of(name)) for name, _ in waiting]
        assert None not in reached


@pytest.mark.parametrize(
    ("inside", "key"),
    [
        (("a2",), None),
        (("b1", "b2", "c1", "c2"), PARTITION),
        (("a2", "a2", "a3"), ("instance", "a")),
        (("a1", "a1"), ("room", "a", "1")),
        (("a1", "a1", "a2", "b1"), ("room", "a", "1")),
    ],
    ids=str,
)
def test_the_narrowest_bound_that_is_reached_is_where_room_must_be_made(guests, inside, key):
    guests.add(*inside)
    assert key == guests.places.narrowest("a", "1")


# -- classes


def test_nobody_sees_what_a_lower_class_holds(guests):
    guests.add("a1.", "a1.")
    assert Full(("room", "a", "1"), 2, 2) == guests.full("a1.")
    guests.add("a1", "a1")
    assert Full(PARTITION, 4, 4) == guests.full("a1.")
    assert Full(("room", "a", "1"), 2, 2) == guests.full("a1")
    guests.add("a1!", "a1!")
    assert Full(("room", "a", "1"), 2, 2) == guests.full("a1!")
    assert 6 == guests.places.depth


@pytest.mark.parametrize(
    ("inside", "key"),
    [
        (("a1", "a2", "b1", "b2"), PARTITION),
        (("a1", "a2", "a3"), ("instance", "a")),
        (("a1", "a1"), ("room", "a", "1")),
    ],
    ids=str,
)
def test_each_bound_is_reached_for_a_class_by_itself_and_those_above(guests, inside, key):
    guests.add(*inside)
    assert key == guests.full("a1").key == guests.full("a1.").key
    assert guests.full("a1!") is None


def test_who_waits_holds_up_lower_classes_and_his_own_alone(guests):
    guests.add("a1", "a1")
    guests.wait("a1")
    assert guests.full("a1") is not None
    assert guests.full("a1.") is not None
    assert guests.full("a1!") is None


def test_a_freed_place_goes_to_the_highest_class(guests):
    guests.add("a1!", "a1!")
    for name in ("a1.", "a1", "a1!"):
        guests.wait(name)
    guests.remove("a1!")
    guests.remove("a1!")
    guests.remove("a1!")
    assert ["a1!", "a1", "a1."] == guests.woken


@pytest.mark.parametrize(("waited", "first"), [(AGING, "a1"), (AGING + 1, "a1.")])
def test_bulk_that_has_waited_long_goes_by_its_age(guests, waited, first):
    guests.add("a1", "a1")
    guests.wait("a1.")
    guests.now = 1
    guests.wait("a1")
    guests.now = waited
    guests.remove("a1")
    assert first == guests.woken[0]


def test_never_before_urgent(guests):
    guests.add("a1!", "a1!")
    guests.wait("a1.")
    guests.now = 1
    guests.wait("a1!")
    guests.now = 10 * AGING
    guests.remove("a1!")
    assert ["a1!"] == guests.woken


def test_aged_bulk_that_does_not_fit_lets_normal_go(guests):
    """More bulk is inside than would fit: it waits for that, normal does not."""
    guests.add("a1.", "a1.", "a1", "a1")
    guests.wait("a1.")
    guests.now = 1
    guests.wait("a1")
    guests.now = 2 * AGING
    guests.remove("a1")
    assert ["a1"] == guests.woken


CLASSED = tuple(f"{name}{mark}" for name in ("a1", "a2", "b1") for mark in "! .")


@given(st.lists(st.tuples(st.sampled_from(("enter", "leave", "give up")), st.integers(0, 40))))
def test_whatever_happens_each_class_has_the_whole_of_each_bound(moves):
    guests, inside, waiting = Guests(), [], []
    for moment, (move, n) in enumerate(moves):
        guests.now = moment * AGING // 3
        if move == "enter" and guests.full(name := CLASSED[n % 9]) is None:
            guests.add(name)
            inside.append(name)
        elif move == "enter":
            waiting.append((name, guests.wait(name)))
        elif move == "leave" and inside:
            guests.remove(inside.pop(n % len(inside)))
        elif move == "give up" and waiting:
            guests.give_up(waiting.pop(n % len(waiting))[1])
        inside += [name for name, waiter in waiting if waiter.granted]
        waiting = [(name, waiter) for name, waiter in waiting if not waiter.granted]
        assert len(inside) == guests.places.depth <= 3 * 4
        for rank in (URGENT, NORMAL, BULK):
            assert sum(rank_of(name) == rank for name in inside) <= 4
            assert sum(rank_of(name) <= rank for name in inside) == guests.places.depth_for(rank)
        assert len(waiting) == guests.places.waiters
        reached = [guests.places._reached(*where(name), rank_of(name)) for name, _ in waiting]
        assert None not in reached
