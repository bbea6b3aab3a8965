"""Styled text as Telegram's `text` and `entities`: nothing is escaped, nothing can be refused.

An entity's offset and length are UTF-16 code units; the limit counts code points of the text; and
about 100 entities of a message take effect (core.telegram.org/bots/api#messageentity,
core.telegram.org/api/entities). A heading is bold, one of the first level underlined too; a table
is preformatted text.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import attrs

from gateway_core.text import Document, Kind, Nesting, Style

MOST_ENTITIES = 100
_BEYOND = re.compile("[\U00010000-\U0010ffff]")

# Members in names of their own: CPython 3.11 takes longer to find one in its class than to call.
_LINK, _BOLD_STYLE = Style.LINK, Style.BOLD
_HEADING, _SOLID = Kind.HEADING, (Kind.CODE, Kind.TABLE)

_BOLD = {"type": "bold"}
_UNDERLINE = {"type": "underline"}
_FIELDS = {
    Style.BOLD: _BOLD,
    Style.ITALIC: {"type": "italic"},
    Style.STRIKE: {"type": "strikethrough"},
    Style.UNDERLINE: _UNDERLINE,
    Style.SPOILER: {"type": "spoiler"},
    Style.CODE: {"type": "code"},
    Style.QUOTE: {"type": "blockquote"},
}


class Entity(NamedTuple):
    """`start..end` of a text and what an entity says of it."""

    start: int
    end: int
    fields: Mapping[str, Any]


@attrs.define(eq=False)
class Entities:
    """One document as Telegram shows it; a `Rendering` of gateway_core.text.

    made  the entities, where they do not follow from the document
    """

    document: Document
    limit: int
    measure: Callable[[str], int]
    fields: Mapping[str, Any]
    made: Sequence[Entity] | None = None
    entities: Nesting[Entity] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        made = _entities(self.document) if self.made is None else self.made
        self.entities = Nesting(sorted(made, key=outermost_first))

    def cost(self, start: int, end: int) -> int:
        """Characters by the given measure, or the share of entities, whichever is nearer."""
        count = self.entities.begun(start, end) + len(self.entities.open_at(start))
        header = self.document.header_at(start)
        length = end - start + len(header)
        if self.measure is not len:
            length = self.measure(header + self.document.text[start:end])
        return max(length, -(-count * self.limit // MOST_ENTITIES))

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

    def _within(self, start: int, end: int, header: int) -> Iterator[tuple[int, int, Entity]]:
        """The entities of the stretch, clipped; what was open before begins with the header."""
        for entity in self.entities.touching(start, end):
            low = entity.start - start + header if entity.start >= start else 0
            yield low, min(entity.end, end) - start + header, entity


class _Units:
    """Places of a text in UTF-16 code units."""

    def __init__(self, text: str) -> None:
        beyond = _BEYOND.finditer(text) if _is_wide(text) else ()
        self.wide = [found.start() for found in beyond]

    def before(self, place: int) -> int:
        return place + bisect_left(self.wide, place) if self.wide else place

    def between(self, start: int, end: int) -> int:
        return self.before(end) - self.before(start)


def _is_wide(text: str) -> bool:
    """Whether a character takes two units: to write them all takes a fifth of looking for one."""
    return not text.isascii() and len(text.encode("utf-16-le", "surrogatepass")) > 2 * len(text)


def _entities(document: Document) -> Iterator[Entity]:
    """Of blocks, then of spans. A heading is bold all over: no span in one is so again."""
    starts, ends = [0], [0]
    for block in document.blocks:
        kind = block.kind
        if kind is _HEADING:
            starts.append(block.body)
            ends.append(block.end)
            yield Entity(block.body, block.end, _BOLD)
            if block.level == 1:
                yield Entity(block.body, block.end, _UNDERLINE)
        elif kind in _SOLID:
            yield Entity(block.start, block.end, _pre(block.language))
    for start, end, style, value in document.spans:
        if style is _LINK:
            # An address that is its own text is found by the server.
            if value not in ("", document.text[start:end]):
                yield Entity(start, end, {"type": "text_link", "url": value})
        elif style is not _BOLD_STYLE or start >= ends[bisect_right(starts, start) - 1]:
            yield Entity(start, end, _FIELDS[style])


def _pre(language: str) -> Mapping[str, str]:
    return {"type": "pre", "language": language} if language else {"type": "pre"}


def outermost_first(entity: Entity) -> tuple[int, int]:
    """The order in which entities nest."""
    return entity.start, -entity.end
