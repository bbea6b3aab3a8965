"""A made value is what its class makes: equal, as frozen, with the same checks and defaults."""

from __future__ import annotations

import copy
import pickle
from random import Random

import attrs
import pytest

from gateway_core import File, MessageRef, Part, Receipt, Send
from gateway_core.authors import Answer
from gateway_core.contract.envelopes import Attempt, Call, PartReceipt, PartRef
from gateway_core.contract.fast_init import fast_evolve, fast_init
from gateway_core.outboxes import Entry, StoredEntry

KINDS = (
    Answer,
    Attempt,
    Call,
    Entry,
    File,
    MessageRef,
    Part,
    PartReceipt,
    PartRef,
    Receipt,
    Send,
    StoredEntry,
)


def some(kind: type, random: Random) -> dict[str, object]:
    """Values for the fields that must be given, and for some of the others."""
    given: dict[str, object] = {}
    for field in attrs.fields(kind):
        if field.default is attrs.NOTHING or (random.random() < 0.5 and field.validator is None):
            table = field.name in {"extra", "arguments", "payload"}
            given[field.name] = (
                {"a": [1, {"b": random.random()}]} if table else f"{field.name} given"
            )
    return given


@pytest.mark.parametrize("kind", KINDS)
def test_a_made_value_equals_what_its_class_makes(kind):
    make, random = fast_init(kind), Random(kind.__name__)
    for _ in range(50):
        given = some(kind, random)
        made, plain = make(**given), kind(**given)
        assert (kind, plain, repr(plain)) == (type(made), made, repr(made))
        assert plain == pickle.loads(pickle.dumps(made)) == copy.copy(made) == attrs.evolve(made)  # noqa: S301 - its own


@pytest.mark.parametrize("kind", KINDS)
def test_a_changed_value_equals_what_attrs_makes_of_it(kind):
    change, random = fast_evolve(kind), Random(kind.__name__)
    for _ in range(50):
        before, given = kind(**some(kind, random)), some(kind, random)
        kept, made, plain = repr(before), change(before, **given), attrs.evolve(before, **given)
        assert (kind, plain, repr(plain)) == (type(made), made, repr(made))
        assert kept == repr(before)
        assert plain == pickle.loads(pickle.dumps(made)) == copy.copy(made)  # noqa: S301 - its own
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            setattr(made, attrs.fields(kind)[0].name, "other")
    with pytest.raises(TypeError, match="nonsense"):
        change(before, nonsense=1)


@pytest.mark.parametrize("kind", KINDS)
def test_a_made_value_is_frozen(kind):
    made = fast_init(kind)(**some(kind, Random(1)))
    name = attrs.fields(kind)[0].name
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(made, name, "other")
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        delattr(made, name)
    assert not hasattr(made, "__dict__")


def test_values_that_no_field_takes_are_refused_as_by_the_class():
    """What stands in a field by default is not asked about again; all else is."""
    make, named = fast_init(Send), {"instance_id": "bot", "external_room_id": "r", "text": "t"}
    for field, value in (("priority", "high"), ("order", ""), ("ttl", -1.0), ("format", "html")):
        with pytest.raises(ValueError, match=field) as by_class:
            Send(**named, **{field: value})
        with pytest.raises(ValueError, match=field) as made:
            make(**named, **{field: value})
        assert str(by_class.value) == str(made.value)
    for missing in named:
        with pytest.raises(TypeError, match=missing):
            make(**{name: value for name, value in named.items() if name != missing})
    with pytest.raises(TypeError, match="nonsense"):
        make(**named, nonsense=1)


def test_what_is_made_shares_nothing_that_can_change():
    """Neither with another value, nor with whoever gave a table."""
    make, table = fast_init(Send), {"buttons": [1]}
    named = {"instance_id": "bot", "external_room_id": "r", "text": "t"}
    assert make(**named).extra is not make(**named).extra
    mine = make(**named, extra=table)
    table["buttons"].append(2)
    assert {"buttons": [1]} == mine.extra
    assert (
        fast_init(Attempt)(operation="send", envelope_id="e", instance_id="bot", room="r").arguments
        == {}
    )
