"""Checks the arguments of policies: a `ValueError` names the argument and the wrong value."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from gateway_core.settings import must_be

Each = TypeVar("Each")

function = must_be("a function", callable)


def many(
    argument: str,
    what: str,
    values: Iterable[Each],
    fits: Callable[[Any], bool],
    shown: Callable[[Any], str] = repr,
) -> tuple[Each, ...]:
    """The values of a list, a set or the like. A text is refused, not taken as its letters.

    what   what all of them are, in words
    shown  how an error shows a wrong value
    """
    wanted = f"'{argument}' must be a list or set of {what}"
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise ValueError(f"{wanted}, not {shown(values)}")  # noqa: TRY004 - as all checks of arguments
    found = tuple(values)
    for value in found:
        if not fits(value):
            raise ValueError(f"{wanted}, but it holds {shown(value)}")
    return found


def names(
    argument: str, what: str, values: Iterable[str], known: Sequence[str] = ()
) -> frozenset[str]:
    """The names as a set, such as ids of rooms; with `known`, only these are right."""

    def fits(value: object) -> bool:
        return isinstance(value, str) and (value in known if known else value != "")

    words = f"{what} ({', '.join(map(repr, known))})" if known else what
    return frozenset(many(argument, words, values, fits))
