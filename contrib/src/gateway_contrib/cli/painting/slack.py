"""Reads Slack's rich text as a reader sees it (docs.slack.dev, rich text block)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from html import unescape
from typing import Any

from gateway_contrib.cli.painting.seen import BULLETS, Line, Run, split

Element = Mapping[str, Any]


def lines(payload: Mapping[str, Any]) -> list[Line]:
    """The lines of the first rich text block; without one, the plain text with its raw markup."""
    for block in payload.get("blocks", ()):
        if block["type"] == "rich_text":
            return [
                line._replace(code=number * line.code)
                for number, element in enumerate(block["elements"], 1)
                for line in _lines(element)
            ]
    return [Line(runs) for runs in split([Run(unescape(str(payload.get("text", ""))))])]


def _lines(element: Element) -> Iterator[Line]:
    yield from _FRAMES[element["type"]](element)


def _section(element: Element) -> Iterator[Line]:
    found = list(split(map(_run, element["elements"])))
    if len(found) > 1 and not found[-1]:
        found.pop()
    return (Line(runs) for runs in found)


def _quote(element: Element) -> Iterator[Line]:
    return (line._replace(quote=True) for line in _section(element))


def _preformatted(element: Element) -> Iterator[Line]:
    quote = bool(element.get("border"))
    return (line._replace(code=1, quote=quote) for line in _section(element))


def _list(element: Element) -> Iterator[Line]:
    level = int(element.get("indent", 0))
    first = int(element.get("offset", 0)) + 1
    quote = bool(element.get("border"))
    for number, item in enumerate(element["elements"], first):
        ordered = element["style"] == "ordered"
        marker = f"{number}. " if ordered else f"{BULLETS[level % 3]} "
        for index, line in enumerate(_section(item)):
            sign = marker if index == 0 else ""
            yield line._replace(indent=level + 1, marker=sign, quote=quote)


_FRAMES: Mapping[str, Callable[[Element], Iterator[Line]]] = {
    "rich_text_section": _section,
    "rich_text_quote": _quote,
    "rich_text_preformatted": _preformatted,
    "rich_text_list": _list,
}


def _run(element: Element) -> Run:
    kind = element["type"]
    if kind in ("text", "link"):
        styles = {name for name, on in element.get("style", {}).items() if on}
        return Run(element["text"], frozenset(styles | ({"link"} if kind == "link" else set())))
    return Run(f"@{element.get('range', element.get('user_id', 'group'))}", frozenset({"mention"}))
