"""Asks the parser for the events of a Markdown text, and bounds the cells of its tables.

The parser gives every row as many cells as the header has, so a few thousand characters of short
rows can become a quarter of a million empty cells, each of which would be laid out.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import methodcaller
from typing import Any, Final

import pyromark

from gateway_core.text.links import written_addresses

_OPTIONS: Final = pyromark.Options
_PLAIN: Final = _OPTIONS.ENABLE_STRIKETHROUGH | _OPTIONS.ENABLE_TASKLISTS
_WITH_TABLES: Final = pyromark.Markdown(options=_PLAIN | _OPTIONS.ENABLE_TABLES)
_WITHOUT_TABLES: Final = pyromark.Markdown(options=_PLAIN)

FEW: Final = 4096
"""Cells that the tables of any text may have, however short it is."""
MOST: Final = 2**18
"""Most cells of any text's tables; after so many empty ones, the parser gives up."""
_BAR: Final = methodcaller("count", "|")
_GUARDS: Final = {ord("_"): "\x01", ord("*"): "\x02", ord("~"): "\x03"}
_SIGNS: Final = {ord(guard): chr(sign) for sign, guard in _GUARDS.items()}
_CELL: Final = {"Start": "TableCell"}


def events_of(source: str) -> Iterable[Any]:
    """The parser's events for `source`, which has no surrogates: each with its place in UTF-8.

    If the text's tables have more cells than the text has characters, their lines are paragraphs.
    If all rows are written out, they never have: each cell stands behind a bar or a line's begin.
    """
    guarded = _guarded(source) if "://" in source else source
    parser = _WITHOUT_TABLES if "|" in source and _is_overfull(source) else _WITH_TABLES
    events: Iterable[Any] = parser.events_with_range(guarded)
    return events if guarded is source else map(_with_signs, events)


def _guarded(source: str) -> str:
    """The text with the signs of markup in bare addresses replaced, as GFM's links come first.

    The path of `https://example.org/src/__init__.py` is not bold. Each replacement has as many
    octets as its sign. A text that has such characters itself is left as it is.
    """
    found = [*written_addresses(source)]
    if not found or any(guard in source for guard in _GUARDS.values()):
        return source
    pieces, last = [], 0
    for start, end in found:
        pieces += [source[last:start], source[start:end].translate(_GUARDS)]
        last = end
    return "".join([*pieces, source[last:]])


def _with_signs(told: tuple[Any, Any]) -> tuple[Any, Any]:
    event, where = told
    return _signed(event), where


def _signed(value: Any) -> Any:
    """The value with its signs, in all texts that it has."""
    if isinstance(value, str):
        return value.translate(_SIGNS)
    if isinstance(value, dict):
        return {name: _signed(inner) for name, inner in value.items()}
    return value


def _is_overfull(source: str) -> bool:
    """Whether the tables have too many cells. They are counted only if there can be so many."""
    most = min(max(len(source), FEW), MOST)
    lines = source.count("\n") + source.count("\r") + 1
    columns = max(map(_BAR, source.split("\n"))) + 1
    if lines * columns <= most:
        return False
    events: Iterable[Any] = _WITH_TABLES.events_with_range(source)
    for event, _ in events:
        if event == _CELL:
            most -= 1
            if most < 0:
                return True
    return False
