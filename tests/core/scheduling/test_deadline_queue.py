"""Deadlines: the earliest first, and no memory of what has ended."""

from __future__ import annotations

from gateway_core import Send
from gateway_core.deliveries.delivery import Flight
from gateway_core.ratelimits.bucket import NEVER
from gateway_core.scheduling.deadlines import FEW, Deadlines


def flight(deadline: int) -> Flight:
    made = Flight(f"{deadline}", Send(instance_id="bot", external_room_id="r", text="x"), ())
    made.deadline = deadline
    return made


def deadlines(*times: int) -> tuple[Deadlines, list[int], list[Flight]]:
    """With the times at which the next one was told to be earlier than before."""
    told: list[int] = []
    made = Deadlines(lambda: told.append(made.next))
    flights = [flight(time) for time in times]
    for one in flights:
        made.add(one)
    return made, told, flights


def end(one: Flight) -> None:
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
    made, _, flights = deadlines(5, 5, 5)
    assert flights == list(made.passed(5))


def test_what_has_ended_does_not_expire():
    made, _, flights = deadlines(3, 4)
    end(flights[0])
    made.ended()
    assert [flights[1]] == list(made.passed(9))


def test_what_is_added_while_others_expire_is_seen():
    made, _, _ = deadlines(3)
    seen = []
    for one in made.passed(9):
        seen.append(one.deadline)
        if one.deadline < 6:
            made.add(flight(one.deadline + 1))
    assert [3, 4, 5, 6] == seen


def test_memory_follows_what_is_unfinished():
    made, _, flights = deadlines(*range(1000))
    for one in flights[:990]:
        end(one)
        made.ended()
    assert len(made) <= 10 + FEW + 1
    assert flights[990:] == list(made.passed(NEVER))
