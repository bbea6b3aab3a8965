"""What a delivery knows of its steps."""

from __future__ import annotations

import pytest

from gateway_core import Edit, MessageRef, Part, PartRef
from gateway_core.deliveries.delivery import Delivery
from gateway_core.deliveries.steps import Step

REF = MessageRef(
    instance_id="bot", external_room_id="r", envelope_id="e", parts=(PartRef(message_id="1"),)
)
EDIT = Edit(instance_id="bot", external_room_id="r", target=REF, text="one two")


@pytest.mark.parametrize(
    ("doubtful", "parts", "expected"), [(True, 2, True), (True, 1, False), (False, 2, False)]
)
def test_an_edit_in_doubt_that_takes_more_parts_when_planned_anew_may_leave_a_copy(
    doubtful, parts, expected
):
    """Its first try may land late: with the whole text, beside the part that is appended."""
    step = Step("edit", 0, part=Part(payload={"text": "one two"}), message_id="1")
    step.doubtful = doubtful
    delivery = Delivery("f", EDIT, ())
    delivery.steps = [step]
    delivery.replace(
        step, [Part(payload={"text": text}) for text in ("one", "two")[:parts]], "plain"
    )
    assert expected == delivery.possible_duplicate
    assert ["edit", "send"][:parts] == [each.kind for each in delivery.steps]
