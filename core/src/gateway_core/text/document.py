"""Defines styled text: the characters of a Markdown document that a reader sees, and their look.

All values are immutable. Spans and blocks are named tuples, not attrs values, since a text has
hundreds of them and a tuple costs a third to make.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from enum import StrEnum
from functools import cached_property
from typing import NamedTuple

import attrs

from gateway_core.text.nesting import Nesting
from gateway_core.text.octets import Octets
from gateway_core.text.origins import Origins, Trace
from gateway_core.text.tables import Row


class Style(StrEnum):
    """How characters look."""

    BOLD = "bold"
    ITALIC = "italic"
    STRIKE = "strike"
    UNDERLINE = "underline"
    SPOILER = "spoiler"
    CODE = "code"
    LINK = "link"
    QUOTE = "quote"


class Kind(StrEnum):
    """What a block is."""

    PARAGRAPH = "paragraph"
    HEADING = "heading"
    CODE = "code"
    TABLE = "table"
    RULE = "rule"


class Span(NamedTuple):
    """`start..end` of the visible text in one style; `value` is a link's address."""

    start: int
    end: int
    style: Style
    value: str = ""


class Block(NamedTuple):
    """One leaf of the document: `start..end` of the visible text, its marker included.

    body      where the content begins, after the indentation and the marker of a list item; in a
              table, where the first row below the header begins
    level     a heading's level, 1 to 6
    language  a code fence's language, as written
    quote     the number of the quote that the block is in, counted from 1; 0: none
    depth     the depth of the list that the block is in; 0: none
    marker    `• `, `3. `, `☐ ` or `☑ ` if the block begins a list item
    """

    start: int
    body: int
    end: int
    kind: Kind
    level: int = 0
    language: str = ""
    quote: int = 0
    depth: int = 0
    marker: str = ""


@attrs.frozen(kw_only=True)
class Document:
    """A Markdown text as a reader sees it.

    text      the visible characters; blocks are separated by one or two line feeds
    spans     styles, sorted by start and then the longer first; they nest
    blocks    the blocks in order; they do not overlap
    source    the text as it was written
    trace     positions in the text, and for each its position in the source, counted in octets of
              UTF-8 (as the parser counts) if `in_octets`, else in code points; negative: the source
              does not have it
    rows      long rows of tables: `trace` has only their beginnings, and each row finds more
              positions in itself
    degraded  what no chat platform can show, as (place in the text, words)
    shown     for an `Excerpt`, the stretch of the source to show; None: all of it
    """

    source: str
    text: str
    spans: tuple[Span, ...] = ()
    blocks: tuple[Block, ...] = ()
    trace: Trace = attrs.field(default=((), ()), repr=False, eq=False)
    rows: tuple[Row, ...] = attrs.field(default=(), repr=False, eq=False)
    degraded: tuple[tuple[int, str], ...] = ()
    in_octets: bool = False
    shown: tuple[int, int] | None = None

    def block_at(self, place: int) -> Block | None:
        """The block that contains the character at `place`; for a separator, the one before it."""
        found = bisect_right(self.blocks, place, key=_start) - 1
        return self.blocks[found] if found >= 0 else None

    def blocks_in(self, start: int, end: int) -> Iterator[Block]:
        """The blocks with characters in `start..end`, not clipped."""
        index = max(bisect_right(self.blocks, start, key=_start) - 1, 0)
        while index < len(self.blocks) and self.blocks[index].start < end:
            if self.blocks[index].end > start:
                yield self.blocks[index]
            index += 1

    @cached_property
    def nesting(self) -> Nesting[Span]:
        """An index of the spans by place, made at the first use."""
        return Nesting(self.spans)

    def spans_in(self, start: int, end: int) -> list[Span]:
        """The spans of `start..end`, clipped to it, with positions counted from `start`."""
        return [
            Span(max(low - start, 0), min(high, end) - start, style, value)
            for low, high, style, value in self.nesting.touching(start, end)
        ]

    def header_at(self, place: int) -> str:
        """The header to repeat if a part begins at `place` inside a table; else nothing."""
        found = self._tables.touching(place, place + 1) if self._tables.items else ()
        return self.text[found[0][2] : found[0][0]] if found else ""

    @cached_property
    def _tables(self) -> Nesting[tuple[int, int, int]]:
        """The stretch of each table's rows, and where the table's header begins."""
        tables = [block for block in self.blocks if block.kind is Kind.TABLE]
        rows = [(table.body, table.end, table.start) for table in tables if table.body < table.end]
        return Nesting(rows)

    def source_at(self, place: int) -> int:
        """Where in the source the character at `place` came from, in code points."""
        return self._origins.source_at(place)

    def place_of(self, origin: int) -> int:
        """The position of the first character that came from `origin` of the source, or later.

        The inverse of `source_at`, for positions that it returned.
        """
        return self._origins.place_of(origin)

    @cached_property
    def _origins(self) -> Origins:
        found = Origins(self.source, len(self.text), self.trace, self.rows)
        if self.in_octets:
            found.octets = Octets(self.source)
        return found

    def window(self) -> tuple[int, int]:
        """The stretch of the text to show, without white space at its end."""
        first, last = self.shown or (0, len(self.source))
        low = self.place_of(first) if first > 0 else 0
        if last >= len(self.source):
            return low, len(self.text)
        high = self.place_of(last)
        block = self.block_at(max(high - 1, 0))
        if block is not None and block.end < high:
            return low, max(block.end, low)
        return low, low + len(self.text[low:high].rstrip())

    def degraded_in(self, start: int, end: int) -> tuple[str, ...]:
        """Words for what no chat platform can show in `start..end`, each once."""
        first, last = bisect_left(self._losses, (start,)), bisect_left(self._losses, (end,))
        return tuple(dict.fromkeys(words for _, words in self._losses[first:last]))

    @cached_property
    def _losses(self) -> list[tuple[int, str]]:
        return sorted(self.degraded)


def _start(block: Block) -> int:
    return block.start
