"""Refuses arguments of the wrong kind where they are given, not later in each attempt. Sans-I/O."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import attrs

from gateway_core.contract.validators import is_finite, shown


def must(name: str, value: object, wanted: str, *, fits: bool) -> None:
    """Unless `fits`, raises a `TypeError` that names the argument and says what it must be."""
    if not fits:
        raise TypeError(f"`{name}` must be {wanted}, not {_kind(value)}")


def must_be(name: str, value: object, kind: type) -> None:
    """Raises `TypeError` unless the value is an instance of the class `kind`."""
    article = "an" if kind.__name__[0] in "AEIOU" else "a"
    must(name, value, f"{article} {kind.__name__}", fits=isinstance(value, kind))


def must_take(name: str, value: object, *parameters: str, returns: str) -> None:
    """Raises `TypeError` unless the value is a function that takes these `parameters`."""
    wanted = f"a function ({', '.join(parameters)}) -> {returns}"
    must(name, value, wanted, fits=callable(value) and not isinstance(value, type))
    try:
        told = inspect.signature(value)  # type: ignore[arg-type]  # callable, as looked at
    except (TypeError, ValueError):  # some built-in functions have no signature
        return
    try:
        told.bind(*parameters)
    except TypeError:
        raise TypeError(f"`{name}` must be {wanted}, not one that takes {told}") from None


def text(_: object, field: attrs.Attribute[Any], value: object) -> None:
    """A validator for attrs: the field's value is a text."""
    must(field.name, value, "a text", fits=isinstance(value, str))


def seconds(_: object, field: attrs.Attribute[Any], value: object) -> None:
    """A validator for attrs: the field's value is a number of seconds."""
    must(field.name, value, "a number of seconds", fits=is_finite(value))


def of(kind: type) -> Callable[[Any, attrs.Attribute[Any], object], None]:
    """A validator for attrs: the field's value is an instance of the class `kind`."""
    return lambda _, field, value: must_be(field.name, value, kind)


def _kind(value: object) -> str:
    if value is None or isinstance(value, int | float):
        return shown(value)
    return f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__
