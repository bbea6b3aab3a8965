"""Reads Telegram's text and entities as clients do (core.telegram.org/bots/api#messageentity)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from gateway_contrib.cli.painting.seen import Line, Run, split

_STYLES: Mapping[str, str] = {
    "bold": "bold",
    "italic": "italic",
    "strikethrough": "strike",
    "underline": "underline",
    "spoiler": "spoiler",
    "code": "code",
    "text_link": "link",
    "text_mention": "mention",
}
_ADDRESS = re.compile(r"https?://[^\s<>/]*\.[^\s<>]*[^\s<>.,:;!?\"')\]]")
_QUOTES = ("blockquote", "expandable_blockquote")


class _Frame(NamedTuple):
    """The block that a character is in; `told`: a code block with a language."""

    code: bool = False
    told: bool = False
    quote: bool = False


def lines(payload: Mapping[str, Any]) -> list[Line]:
    """The lines of `text` with the styles of its `entities`."""
    text: str = payload["text"]
    entities: Sequence[Mapping[str, Any]] = payload.get("entities", ())
    names = _names(text, entities)
    languages = [str(e["language"]) for e in entities if e["type"] == "pre" and "language" in e]
    found: list[Line] = []
    blocks = 0
    for frame, places in groupby(range(len(text)), lambda at: _frame(names[at])):
        runs = list(_runs(text, names, list(places)))
        blocks += frame.code
        language = languages.pop(0) if frame.told and languages else ""
        for line in _trimmed(list(split(runs)), edge=any(frame)):
            found.append(Line(line, blocks * frame.code, language, quote=frame.quote))
            language = ""
    return found


def _trimmed(found: list[tuple[Run, ...]], *, edge: bool) -> list[tuple[Run, ...]]:
    """The lines without an empty first or last line, which is only a block's edge."""
    start = 1 if not edge and len(found) > 1 and not found[0] else 0
    end = len(found) - (1 if len(found) > 1 and not found[-1] else 0)
    return found[start:end]


def _frame(names: frozenset[str]) -> _Frame:
    code = "pre" in names
    return _Frame(code, code and "language" in names, bool(names.intersection(_QUOTES)))


def _runs(text: str, names: Sequence[frozenset[str]], places: Sequence[int]) -> Iterator[Run]:
    for styles, run in groupby(places, lambda at: names[at]):
        shown = frozenset(_STYLES[name] for name in styles if name in _STYLES)
        words = "".join(text[at] for at in run)
        yield from _found(words, shown) if "pre" not in styles else [Run(words, shown)]


def _found(words: str, styles: frozenset[str]) -> Iterator[Run]:
    """The words as runs in which addresses are links, as Telegram's server makes them."""
    at = 0
    for found in _ADDRESS.finditer(words) if not styles & {"link", "code"} else ():
        yield Run(words[at : found.start()], styles)
        yield Run(found[0], styles | {"link"})
        at = found.end()
    yield Run(words[at:], styles)


def _names(text: str, entities: Sequence[Mapping[str, Any]]) -> list[frozenset[str]]:
    """The entities around each character."""
    units = [2 if character > "\uffff" else 1 for character in text]
    places: list[int] = []
    for index, count in enumerate(units):
        places += [index] * count
    around: list[set[str]] = [set() for _ in text]
    for entity in entities:
        names = {entity["type"]} | ({"language"} if "language" in entity else set())
        start, end = entity["offset"], entity["offset"] + entity["length"]
        for index in set(places[start:end]):
            around[index] |= names
    return [frozenset(names) for names in around]
