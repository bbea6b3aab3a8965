"""Makes an envelope of plain values only, as every outbox stores it and every plugin gets it.

A template engine's escaped text, an array library's number or an enumeration's member is a text or
a number with a class of its own. An outbox cannot store such a value, and a text of such a class
behaves differently when it is cut and joined. Sans-I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar

import attrs

T = TypeVar("T")

EXACT = frozenset({str, int, float, bool, type(None)})
_EMPTY: tuple[object, ...] = ()


def plain(value: T) -> T:
    """The value, made of plain values at every level; the same object if it is so already."""
    same: Any = _plain(value)
    return same  # type: ignore[no-any-return]  # of the same kind


def _plain(value: Any) -> Any:  # noqa: PLR0911 - one for each kind of value
    if type(value) in EXACT:
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, float):
        return float.__float__(value)
    if isinstance(value, int):
        return int.__int__(value)
    if isinstance(value, Mapping):
        return _table(value)
    if isinstance(value, list | tuple):
        items = [_plain(item) for item in value]
        kind = list if isinstance(value, list) else tuple
        same = type(value) is kind and all(map(_is, items, value))
        return value if same else kind(items)
    if attrs.has(type(value)):
        return _of_fields(value)
    return value


def _table(table: Mapping[Any, Any]) -> Mapping[Any, Any]:
    same = {_plain(key): _plain(item) for key, item in table.items()}
    unchanged = all(map(_is, same, table)) and all(map(_is, same.values(), table.values()))
    return table if type(table) is dict and unchanged else same


@cache
def _names(kind: type) -> tuple[str, ...]:
    return tuple(field.name for field in attrs.fields(kind))


def _of_fields(value: Any) -> Any:
    kind: Any = type(value)
    names = _names(kind)
    before = [getattr(value, name) for name in names]
    after = [item if type(item) in EXACT or item is _EMPTY else _plain(item) for item in before]
    changed = {name: b for name, a, b in zip(names, before, after, strict=True) if a is not b}
    return attrs.evolve(value, **changed) if changed else value


def _is(one: object, other: object) -> bool:
    return one is other
