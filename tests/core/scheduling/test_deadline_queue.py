"""Deadlines: the earliest first, and no memory of what has ended."""

from __future__ import annotations

from gateway_core import Send
from gateway_core.clock import NEVER
from gateway_core.deliveries.delivery import Delivery
from gateway_core.scheduling.deadlines import FEW, Deadlines


def delivery(deadline: int) -> Delivery:
    made = Delivery(f"{deadline}", Send(instance_id="bot", external_room_id="r", text="x"), ())
    made.deadline = deadline
    return made


def deadlines(*times: int) -> tuple[Deadlines, list[int], list[Delivery]]:
    """With the times at which the next one was told to be earlier than before."""
    told: list[int] = []
    made = Deadlines(told.append)
    deliveries = [delivery(time) for time in times]
    for one in deliveries:
        made.add(one)
    return made, told, deliveries


def end(one: Delivery) -> None:
    one.receipt = object()


def test_whoever_waits_hears_when_the_next_is_earlier():
    made, told, _ = deadlines(5, 9, 3, 4)
    assert [5, 3] == told
    assert 3 == made.next


def test_where_there_is_none_there_is_nothing_to_wait_for():
    assert NEVER == deadlines()[0].next


def test_those_whose_time_has_come_are_taken_out_in_order():
    made, _, _ = deadlines(5, 9, 3, 4)
    assert [3, 4, 5] == [one.deadline for one in made.passed(5)]
    assert (9, 1) == (made.next, len(made))


def test_of_one_instant_the_first_that_came_is_the_first_that_goes():
    made, _, deliveries = deadlines(5, 5, 5)
    assert deliveries == list(made.passed(5))


def test_what_has_ended_does_not_expire():
    made, _, deliveries = deadlines(3, 4)
    end(deliveries[0])
    made.ended()
    assert [deliveries[1]] == list(made.passed(9))


def test_what_is_added_while_others_expire_is_seen():
    made, _, _ = deadlines(3)
    seen = []
    for one in made.passed(9):
        seen.append(one.deadline)
        if one.deadline < 6:
            made.add(delivery(one.deadline + 1))
    assert [3, 4, 5, 6] == seen


def test_memory_follows_what_is_unfinished():
    made, _, deliveries = deadlines(*range(1000))
    for one in deliveries[:990]:
        end(one)
        made.ended()
    assert len(made) <= 10 + FEW + 1
    assert deliveries[990:] == list(made.passed(NEVER))


def test_one_with_a_later_deadline_than_it_was_added_with_does_not_expire_before():
    """It is delayed: the later one was added as well."""
    made, _, (first, other) = deadlines(3, 5)
    first.ends_by(9)
    made.add(first)
    assert [other] == list(made.passed(8))
    assert [first] == list(made.passed(9))
    assert NEVER == made.next
