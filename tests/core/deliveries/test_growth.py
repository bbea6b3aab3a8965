"""The messages of a stream, step by step: what is posted anew once one of them has vanished."""

import pytest

from gateway_core import Part
from gateway_core.deliveries.growing.growth import Growth
from gateway_core.deliveries.steps import Step


@pytest.fixture
def growth():
    return Growth.restored("text", 1, "", reply=None, extra=None, interaction=None)


def part(text):
    return Part(payload={"text": text}, span=(0, len(text)))


def test_what_stands_after_a_vanished_message_is_taken_back_the_last_first(growth):
    """What stands before it stays; nothing is taken back that was never there."""
    names = ["a", "gone", "b", "c", None]
    steps = [Step("send", at, part=part(f"{at}"), message_id=id_) for at, id_ in enumerate(names)]
    left = growth.vanished(steps, steps[1])
    assert [("send", "a"), ("delete", "c"), ("delete", "b")] == [
        (step.kind, step.message_id) for step in left
    ]


def test_what_is_posted_anew_has_a_number_that_nothing_had(growth):
    """Not even a step that was planned, and dropped with the vanished message."""
    steps = [Step("send", 3, part=part("x"), message_id="gone"), Step("send", 7, part=part("y"))]
    left = growth.vanished(steps, steps[0])
    assert [] == left
    assert [8] == [step.serial for step in growth.steps_of(left, [part("anew")], None)]


def test_what_is_planned_anew_waits_for_a_turn_of_its_own(growth):
    """A turn that its pace gave to a native state is none for an edit."""
    growth.go(5)
    growth.show_by_edits()
    assert (False, 5) == (growth.granted, growth.shown_at)
