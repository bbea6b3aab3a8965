"""Where a plain value does not fit: cattrs' errors as problems, each by its place. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import attrs
import cattrs

from gateway_core.errors import Invalid, Problem


def problems_in(error: BaseException, place: str = "", kind: object = None) -> list[Problem]:
    """Every leaf of cattrs' error, by its place below `place`; `kind` is what was wanted there."""
    if isinstance(error, cattrs.ClassValidationError | cattrs.IterableValidationError):
        return [
            problem
            for child in error.exceptions
            for problem in problems_in(child, *_where(child, place))
        ]
    if isinstance(error, Invalid):
        return [Problem(join(place, problem.place), problem.text) for problem in error.problems]
    if isinstance(error, cattrs.ForbiddenExtraKeysError):
        extra = sorted(map(str, error.extra_fields))
        return [Problem(join(place, key), "is not a setting") for key in extra]
    if isinstance(error, KeyError):
        return [Problem(place or str(error.args[0]), "is missing")]
    if isinstance(error, AttributeError | TypeError):  # cattrs looked into what is no table or list
        is_table = isinstance(kind, type) and attrs.has(kind)
        return [Problem(place, "must be a table" if is_table else "does not fit")]
    return [Problem(*_validated(error, place))]


def _where(error: BaseException, place: str) -> tuple[str, object]:
    """The place of a child, and what was wanted there, as cattrs noted it."""
    for note in getattr(error, "__notes__", ()):
        step = getattr(note, "name", getattr(note, "index", None))
        if step is not None:
            return join(place, str(step)), getattr(note, "type", None)
    return place, None


_NAMED = re.compile(r"'(\w+)' (must .*)", re.DOTALL)
"""How attrs' validators of numbers speak: they name the field in words only."""


def _validated(error: BaseException, place: str) -> tuple[str, str]:
    """What an attrs validator says: it names the field itself."""
    args = error.args
    attribute = next((arg for arg in args if isinstance(arg, attrs.Attribute)), None)
    if attribute is not None:
        return join(place, attribute.name), str(args[0]).partition(" (")[0]
    text = str(args[0]) if args else type(error).__name__
    named = _NAMED.fullmatch(text)
    return (join(place, named[1]), named[2]) if named else (place, text)


def join(place: str, name: str) -> str:
    """The place of `name` within `place`."""
    return ".".join(part for part in (place, name) if part)


# -- exactly what is asked for: cattrs by itself makes a text of a number, and true of any text


def take_no_other_for(converter: cattrs.Converter) -> None:
    """Let the converter read numbers, texts and booleans from nothing but such."""
    converter.register_structure_hook(float, _number)
    converter.register_structure_hook(int, _whole)
    converter.register_structure_hook(bool, _exactly(bool, "true or false"))
    converter.register_structure_hook(str, _exactly(str, "a text"))


def _exactly(kind: type, words: str) -> Callable[[Any, Any], Any]:
    def read(value: Any, wanted: Any) -> Any:
        if not isinstance(value, kind):
            raise ValueError(f"must be {words}, not {value!r}")  # noqa: TRY004 - one kind for all
        return value if wanted is kind else wanted(value)  # an enum of texts, for one

    return read


def _number(value: Any, wanted: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:  # noqa: PLR0124 - nan
        raise ValueError(f"must be a number, not {value!r}")
    return wanted(value)  # type: ignore[no-any-return]  # `float`, or a kind of it


def _whole(value: Any, wanted: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"must be a whole number, not {value!r}")  # noqa: TRY004 - likewise
    return value if wanted is int else wanted(value)  # type: ignore[no-any-return]  # likewise
