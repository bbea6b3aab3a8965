"""Renders styled text as Telegram's `text` and `entities`; nothing is escaped or can be refused.

An entity's offset and length are UTF-16 code units; the limit counts code points of the text; and
about 100 entities of a message take effect (core.telegram.org/bots/api#messageentity,
core.telegram.org/api/entities). A heading is bold, and underlined as well if it is of the first
level; a table is preformatted text.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

from gateway_core.text import Document, Kind, Nesting, Style

MOST_ENTITIES: Final = 100
_BEYOND: Final = re.compile("[\U00010000-\U0010ffff]")

# Enum members as globals: CPython 3.11 takes longer to find one in its class than to make a call.
_LINK: Final = Style.LINK
_BOLD_STYLE: Final = Style.BOLD
_HEADING: Final = Kind.HEADING
_SOLID: Final = (Kind.CODE, Kind.TABLE)

_BOLD: Final = {"type": "bold"}
_UNDERLINE: Final = {"type": "underline"}
_FIELDS: Final = {
    Style.BOLD: _BOLD,
    Style.ITALIC: {"type": "italic"},
    Style.STRIKE: {"type": "strikethrough"},
    Style.UNDERLINE: _UNDERLINE,
    Style.SPOILER: {"type": "spoiler"},
    Style.CODE: {"type": "code"},
    Style.QUOTE: {"type": "blockquote"},
}


_new: Final = tuple.__new__
"""Makes a named tuple, in a third of the time that its class takes."""


class Entity(NamedTuple):
    """A Telegram entity with its `fields`, on `start..end` of a text."""

    start: int
    end: int
    fields: Mapping[str, Any]


class Entities:
    """One document as Telegram shows it; a `Rendering` of gateway_core.text.

    made  the entities, if they are not to be made from the document
    """

    def __init__(
        self,
        document: Document,
        limit: int,
        measure: Callable[[str], int],
        fields: Mapping[str, Any],
        made: Iterable[Entity] | None = None,
    ) -> None:
        self.document = document
        self.limit = limit
        self.measure = measure
        self.fields = fields
        found = _entities(document) if made is None else made
        self.entities = Nesting(sorted(found, key=outermost_first))

    def cost(self, start: int, end: int) -> int:
        """The length by the given measure, or the entities' share of `limit`, if that is larger."""
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
        shift = len(header) - start
        wide = _wide_places(text)
        entities = []
        for begun, ended, look in self.entities.touching(start, end):
            # An entity that was open before begins with the header.
            low = begun + shift if begun >= start else 0
            high = min(ended, end) + shift
            if wide:
                low += bisect_left(wide, low)
                high += bisect_left(wide, high)
            entities.append({**look, "offset": low, "length": high - low})
        return {"text": text, **({"entities": entities} if entities else {}), **self.fields}


def _wide_places(text: str) -> list[int]:
    """The places of the characters that take two UTF-16 code units."""
    return [found.start() for found in _BEYOND.finditer(text)] if _is_wide(text) else []


def _is_wide(text: str) -> bool:
    """Whether a character takes two units; encoding all takes a fifth of the time of a search."""
    return not text.isascii() and len(text.encode("utf-16-le", "surrogatepass")) > 2 * len(text)


def _entities(document: Document) -> list[Entity]:
    """The entities of blocks, then of spans; a heading is bold, so bold spans in it have none."""
    found: list[Entity] = []
    starts, ends = [0], [0]
    for start, body, end, kind, level, language, _, _, _ in document.blocks:
        if kind is _HEADING:
            starts.append(body)
            ends.append(end)
            found.append(_new(Entity, (body, end, _BOLD)))
            if level == 1:
                found.append(_new(Entity, (body, end, _UNDERLINE)))
        elif kind in _SOLID:
            found.append(_new(Entity, (start, end, _pre(language))))
    for start, end, style, value in document.spans:
        if style is _LINK:
            # The server itself finds a link whose text is its address.
            if value and value != document.text[start:end]:
                found.append(_new(Entity, (start, end, {"type": "text_link", "url": value})))
        elif style is not _BOLD_STYLE or start >= ends[bisect_right(starts, start) - 1]:
            found.append(_new(Entity, (start, end, _FIELDS[style])))
    return found


def _pre(language: str) -> Mapping[str, str]:
    return {"type": "pre", "language": language} if language else {"type": "pre"}


def outermost_first(entity: Entity) -> tuple[int, int]:
    """The sort key by which an entity comes before the entities inside it."""
    return entity.start, -entity.end
