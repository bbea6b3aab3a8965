"""Arguments of the wrong kind are refused where they are given, not in 5,000 attempts. Pure."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import attrs

from gateway_core.contract.validators import is_finite, shown


def must(name: str, value: object, wanted: str, *, fits: bool) -> None:
    """Raises `TypeError` that names the argument and what it must be, unless it `fits`."""
    if not fits:
        raise TypeError(f"`{name}` must be {wanted}, not {_kind(value)}")


def must_be(name: str, value: object, kind: type) -> None:
    """Raises `TypeError` unless it is a value of that class."""
    article = "an" if kind.__name__[0] in "AEIOU" else "a"
    must(name, value, f"{article} {kind.__name__}", fits=isinstance(value, kind))


def must_take(name: str, value: object, *parameters: str, returns: str) -> None:
    """Raises `TypeError` unless it is a function that can be called with these."""
    wanted = f"a function ({', '.join(parameters)}) -> {returns}"
    must(name, value, wanted, fits=callable(value) and not isinstance(value, type))
    try:
        told = inspect.signature(value)  # type: ignore[arg-type]  # callable, as looked at
    except (TypeError, ValueError):  # one of the interpreter's own does not tell
        return
    try:
        told.bind(*parameters)
    except TypeError:
        raise TypeError(f"`{name}` must be {wanted}, not one that takes {told}") from None


def text(_: object, field: attrs.Attribute[Any], value: object) -> None:
    """A validator of a field: a text."""
    must(field.name, value, "a text", fits=isinstance(value, str))


def seconds(_: object, field: attrs.Attribute[Any], value: object) -> None:
    """A validator of a field: a number of seconds."""
    must(field.name, value, "a number of seconds", fits=is_finite(value))


def of(kind: type) -> Callable[[Any, attrs.Attribute[Any], object], None]:
    """A validator of a field: a value of that class."""
    return lambda _, field, value: must_be(field.name, value, kind)


def _kind(value: object) -> str:
    if value is None or isinstance(value, int | float):
        return shown(value)
    return f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__
