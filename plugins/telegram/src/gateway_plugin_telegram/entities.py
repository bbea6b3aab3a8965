"""Styled text as Telegram's `text` and `entities`: nothing is escaped, nothing can be refused.

An entity's offset and length are UTF-16 code units; the limit counts code points of the text; and
about 100 entities of a message take effect (core.telegram.org/bots/api#messageentity,
core.telegram.org/api/entities). A heading is bold, one of the first level underlined too; a table
is preformatted text.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import attrs

from gateway_core.text import Block, Document, Kind, Nesting, Style

MOST_ENTITIES = 100
_BEYOND = re.compile("[\U00010000-\U0010ffff]")

_TYPES = {
    Style.BOLD: "bold",
    Style.ITALIC: "italic",
    Style.STRIKE: "strikethrough",
    Style.UNDERLINE: "underline",
    Style.SPOILER: "spoiler",
    Style.CODE: "code",
    Style.LINK: "text_link",
    Style.QUOTE: "blockquote",
}


class _Entity(NamedTuple):
    start: int
    end: int
    fields: Mapping[str, str]


@attrs.define(eq=False)
class Entities:
    """One document as Telegram shows it; a `Rendering` of gateway_core.text."""

    document: Document
    limit: int
    measure: Callable[[str], int]
    fields: Mapping[str, Any]
    entities: Nesting[_Entity] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.entities = Nesting(sorted(_entities(self.document), key=_outermost_first))

    def cost(self, start: int, end: int) -> int:
        """Characters by the given measure, or the share of entities, whichever is nearer."""
        count = self.entities.begun(start, end) + len(self.entities.open_at(start))
        text = self.document.header_at(start) + self.document.text[start:end]
        return max(self.measure(text), -(-count * self.limit // MOST_ENTITIES))

    def payload(self, start: int, end: int) -> Mapping[str, Any]:
        """`text` and `entities`, with the fields that every part has."""
        header = self.document.header_at(start)
        text = header + self.document.text[start:end]
        units = _Units(text)
        entities = [
            {**entity.fields, "offset": units.before(low), "length": units.between(low, high)}
            for low, high, entity in self._within(start, end, len(header))
        ]
        return {"text": text, **({"entities": entities} if entities else {}), **self.fields}

    def _within(self, start: int, end: int, header: int) -> Iterator[tuple[int, int, _Entity]]:
        """The entities of the stretch, clipped; what was open before begins with the header."""
        for entity in self.entities.touching(start, end):
            low = entity.start - start + header if entity.start >= start else 0
            yield low, min(entity.end, end) - start + header, entity


class _Units:
    """Places of a text in UTF-16 code units."""

    def __init__(self, text: str) -> None:
        beyond = () if text.isascii() else _BEYOND.finditer(text)
        self.wide = [found.start() for found in beyond]

    def before(self, place: int) -> int:
        return place + bisect_left(self.wide, place) if self.wide else place

    def between(self, start: int, end: int) -> int:
        return self.before(end) - self.before(start)


def _entities(document: Document) -> Iterator[_Entity]:
    headings: dict[int, int] = {}
    for block in document.blocks:
        if block.kind is Kind.HEADING:
            headings[block.body] = block.end
        for fields in _block_fields(block):
            start = block.body if block.kind is Kind.HEADING else block.start
            yield _Entity(start, block.end, fields)
    for span in document.spans:
        if span.style is Style.BOLD and headings and _inside(headings, span.start):
            continue
        fields = {"type": _TYPES[span.style]}
        if span.style is Style.LINK:
            # An address that is its own text is found by the server.
            if span.value in ("", document.text[span.start : span.end]):
                continue
            fields["url"] = span.value
        yield _Entity(span.start, span.end, fields)


def _inside(headings: dict[int, int], place: int) -> bool:
    starts = list(headings)
    found = bisect_left(starts, place + 1) - 1
    return found >= 0 and place < headings[starts[found]]


def _block_fields(block: Block) -> Iterator[dict[str, str]]:
    match block.kind:
        case Kind.HEADING:
            yield {"type": "bold"}
            if block.level == 1:
                yield {"type": "underline"}
        case Kind.TABLE:
            yield {"type": "pre"}
        case Kind.CODE:
            language = {"language": block.language} if block.language else {}
            yield {"type": "pre", **language}


def _outermost_first(entity: _Entity) -> tuple[int, int]:
    return entity.start, -entity.end
