"""Which key each answer to an event has."""

import pytest

from gateway_core.answering.numbering import AnswerNumbers

EVENT = {"id": "e"}


@pytest.fixture
def numbers():
    return AnswerNumbers(most=3)


def test_the_same_object_counts_on(numbers):
    keys = [numbers.next_key(EVENT, "e", None) for _ in range(3)]
    assert ["e", "e#2", "e#3"] == keys


def test_another_object_of_the_same_event_begins_anew(numbers):
    """Webhooks that are delivered again make one."""
    numbers.next_key(EVENT, "e", None)
    assert "e" == numbers.next_key(dict(EVENT), "e", None)
    assert "e#2" == numbers.next_key(EVENT, "e", None)


def test_objects_made_one_after_the_other_are_never_taken_for_one_another(numbers):
    """Python gives the place of one that is gone to the next: they are kept for that."""
    keys = {numbers.next_key({"id": "e"}, "e", None) for _ in range(100)}
    assert {"e"} == keys


def test_a_name_stands_outside_of_the_numbers(numbers):
    numbers.next_key(EVENT, "e", None)
    assert "e=done" == numbers.next_key(EVENT, "e", "done")
    assert "e#2" == numbers.next_key(EVENT, "e", None)


def test_an_event_without_an_id_has_a_key_only_by_name(numbers):
    assert numbers.next_key(EVENT, None, None) is None
    assert "done" == numbers.next_key(EVENT, None, "done")


def test_those_answered_last_are_remembered(numbers):
    events = [{"id": str(n)} for n in range(3)]
    for event in [*events, events[0]]:
        numbers.next_key(event, event["id"], None)
    numbers.next_key(EVENT, "e", None)
    assert "0#3" == numbers.next_key(events[0], "0", None)
    assert "1" == numbers.next_key(events[1], "1", None)
