"""The public face, guarded: names that applications may import, and what kind of thing each is."""

from __future__ import annotations

import inspect

import attrs
import pytest

import gateway_core

CONSTANTS = {"CONTRACT_VERSION", "hookimpl"}
UNIONS = {"Envelope", "InstanceSource", "Priority"}
CLASSES = [
    name
    for name in gateway_core.__all__
    if inspect.isclass(getattr(gateway_core, name)) and name not in UNIONS
]


@pytest.mark.parametrize("name", CLASSES)
def test_every_public_class_says_what_it_is_for(name):
    assert inspect.getdoc(getattr(gateway_core, name))


@pytest.mark.parametrize("name", CLASSES)
def test_public_values_are_frozen(name):
    thing = getattr(gateway_core, name)
    if attrs.has(thing) and thing.__eq__ is not object.__eq__:
        assert thing.__setattr__ is not object.__setattr__, f"{name} can be changed"


def test_every_public_function_says_what_it_does():
    functions = set(gateway_core.__all__) - set(CLASSES) - CONSTANTS - UNIONS
    assert functions
    assert all(inspect.getdoc(getattr(gateway_core, name)) for name in functions)


def test_public_names_are_listed_once_and_in_order():
    assert len(gateway_core.__all__) == len(set(gateway_core.__all__))
    constants = [name for name in gateway_core.__all__ if name.isupper()]
    classes = [name for name in gateway_core.__all__ if name[0].isupper() and not name.isupper()]
    rest = [name for name in gateway_core.__all__ if name[0].islower()]
    assert [*sorted(constants), *sorted(classes), *sorted(rest)] == gateway_core.__all__
