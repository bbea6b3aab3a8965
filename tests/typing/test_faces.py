"""The faces for asyncio and for code that blocks have what the core's own has, and all of it."""

from __future__ import annotations

import inspect
import typing

import pytest

import gateway_core
from gateway_core import aio, blocking

KINDS = ("Gateway", "Job", "Stream", "Ticket")
OWN = {("blocking", "Gateway"): {"open", "close"}}
"""What opens and closes a gateway that has no block around it."""
ATTRIBUTES = {"Gateway": {"config"}}
"""What each of the core's objects has, and not its class."""
INNER = {"inner"}
"""The object of the gateway's thread, as the gateway takes it."""
TIMED = {("Gateway", "stream")}
"""What waits without being a coroutine function."""
FACES = {"aio": aio, "blocking": blocking}


def public(kind):
    return {name: getattr(kind, name) for name in dir(kind) if not name.startswith("_")}


def parameters(method):
    """Names and defaults, those of a `TypedDict` by name; `...`: its default is the core's."""
    found = {}
    for name, each in inspect.signature(method).parameters.items():
        if each.kind is not each.VAR_KEYWORD:
            found[name] = (each.kind, each.default)
            continue
        (fields,) = typing.get_args(typing.get_type_hints(method)[name])
        found |= dict.fromkeys(fields.__annotations__, (each.KEYWORD_ONLY, ...))
    return found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("face", FACES)
def test_a_face_has_every_public_name_and_no_other(face, kind):
    own = OWN.get((face, kind), set()) | INNER
    there = {*public(getattr(gateway_core, kind))} | ATTRIBUTES.get(kind, set())
    assert there == public(getattr(FACES[face], kind)).keys() - own


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("face", FACES)
def test_a_face_s_methods_take_what_the_core_s_take(face, kind):
    core, here = public(getattr(gateway_core, kind)), public(getattr(FACES[face], kind))
    for name, method in core.items():
        assert isinstance(method, property) == isinstance(here[name], property), name
        if isinstance(method, property):
            continue
        wanted, given = parameters(method), parameters(here[name])
        waits = inspect.iscoroutinefunction(method)
        assert (face == "aio" and waits) == inspect.iscoroutinefunction(here[name]), name
        if face == "blocking" and (waits or (kind, name) in TIMED):
            kept = (inspect.Parameter.KEYWORD_ONLY, None)
            assert kept == given.pop("timeout", None), name
        assert wanted.keys() == given.keys(), name
        told = {field: value for field, value in given.items() if value[1] is not ...}
        assert told == {field: wanted[field] for field in told}, name


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("face", FACES)
def test_every_public_name_of_a_face_says_what_it_does(face, kind):
    names = public(getattr(FACES[face], kind))
    assert [] == [name for name, thing in names.items() if not inspect.getdoc(thing)]


@pytest.mark.parametrize("face", FACES)
def test_a_face_is_opened_as_the_core_is(face):
    theirs, here = gateway_core.open_gateway, FACES[face].open_gateway
    assert parameters(theirs) == parameters(here)
