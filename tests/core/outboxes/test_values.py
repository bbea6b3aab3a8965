"""What an engine makes and is given: by name alone, so that a new field moves no other."""

import attrs
import pytest

from gateway_core import Part, Send
from gateway_core.outboxes import records
from gateway_core.testing.outbox_contract import Entries
from gateway_core.testing.outbox_contract.making import PARTS
from gateway_core.testing.records_contract.making import group_of

VALUES = [
    kind
    for kind in vars(records).values()
    if attrs.has(kind) and kind.__module__ == records.__name__
]


@pytest.mark.parametrize("kind", VALUES, ids=lambda kind: kind.__name__)
def test_fields_are_given_by_name(kind):
    assert all(field.kw_only for field in attrs.fields(kind))


def test_the_contract_tries_every_field_of_a_part():
    whole, plain = PARTS[0], Part(payload={})
    for field in attrs.fields(Part):
        assert getattr(whole, field.name) != getattr(plain, field.name), field.name


def test_a_member_sends_its_own_envelope_or_the_template_in_its_room():
    own = Send(instance_id="bot", external_room_id="a", text="own")
    group = group_of(Entries(), 2, "template")
    assert own is group.envelope_of(records.Member(room="a", envelope=own))
    sent = group.envelope_of(records.Member(room="b"))
    assert ("template", "b") == (sent.text, sent.external_room_id)
