"""What an engine makes and is given: by name alone, so that a new field moves no other."""

import attrs
import pytest

from gateway_core.outboxes import records

VALUES = [
    kind
    for kind in vars(records).values()
    if attrs.has(kind) and kind.__module__ == records.__name__
]


@pytest.mark.parametrize("kind", VALUES, ids=lambda kind: kind.__name__)
def test_fields_are_given_by_name(kind):
    assert all(field.kw_only for field in attrs.fields(kind))
