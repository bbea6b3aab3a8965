"""The visible text while it is written: characters, and what stands before and between blocks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from gateway_core.text.document import Block, Kind, Span

if TYPE_CHECKING:
    from gateway_core.text.tables import Table

# Members in names of their own: CPython 3.11 takes longer to find one in its class than to call.
_PARAGRAPH, _HEADING, _CODE = Kind.PARAGRAPH, Kind.HEADING, Kind.CODE
_OF_LINES = (_PARAGRAPH, _HEADING)

_new = tuple.__new__
"""Makes a named tuple, at a third of what its class takes."""

SURROGATE = re.compile("[\ud800-\udfff]")
CLEANED: dict[int, str | None] = {
    **dict.fromkeys([*range(0x20), 0x7F], " "),
    **dict.fromkeys([0x0D, *range(0x2028, 0x202F)]),
    0x0A: "\n",
}
"""What control and bidirectional formatting characters become."""
_UNEVEN = re.compile("\t+|[\r\u2028-\u202e]+")
"""What is dropped of a text, and tabs, which are more than one space in code."""

_DEEPEST = 8
"""List levels that are indented; deeper ones look like this one."""


class Canvas:
    """The document so far. A block is written when its first character comes, not before.

    Invariant: `spans` has a place for each style that was begun, in that order, which is the
    outermost first; None where nothing came of it.
    """

    def __init__(self, *, clean: bool) -> None:
        self.clean = self.plain = clean
        self.pieces: list[str] = []
        self.length = 0
        self.marks: list[tuple[int, int]] = []
        self.spans: list[Span | None] = []
        self.blocks: list[Block] = []
        self.degraded: list[tuple[int, str]] = []
        self.lists: list[int | None] = []
        self.quote = 0
        self.marker = ""
        self.origin: int | None = None
        self.table: Table | None = None
        self.start = self.body = 0
        self.before = (0, 0)
        self.open = False
        self.kind = _PARAGRAPH
        self.level = 0
        self.language = ""

    def write(self, text: str, origin: int) -> None:
        """Add visible characters that stand at `origin` in the source."""
        shown = text if self.clean else self._cleaned(text)
        if not shown:
            return
        if not self.open:
            self.begin(origin)
        self.take(text, shown, origin)

    def take(self, text: str, shown: str, origin: int) -> None:
        """Add what is shown of a text that stands at `origin`, and say where it came from."""
        self.marks.append((self.length, origin))
        if len(shown) != len(text):
            self.marks += self._drifted(text, self.length, origin)
        self.pieces.append(shown)
        self.length += len(shown)

    def _drifted(self, text: str, place: int, origin: int) -> Iterator[tuple[int, int]]:
        """Where a text goes on behind what is shown longer or shorter than it was written."""
        last = 0
        for found in _UNEVEN.finditer(text):
            piece, last = text[last : found.end()], found.end()
            place, origin = place + len(self._cleaned(piece)), origin + len(piece.encode())
            yield place, origin

    def _cleaned(self, text: str) -> str:
        if self.kind is _CODE:
            text = text.replace("\t", "    ")
        return text.translate(CLEANED)

    def add(self, words: str) -> None:
        """Add visible characters that the source has elsewhere."""
        self.put(SURROGATE.sub("\ufffd", words).translate(CLEANED))

    def put(self, text: str) -> None:
        """Add characters that are as they should be."""
        self.pieces.append(text)
        self.length += len(text)

    def begin(self, origin: int) -> None:
        """Write what stands before a block's first character: the gap, indentation, marker."""
        self.open = True
        self.before = (len(self.pieces), len(self.marks))
        lead = self._gap() if self.blocks else ""
        start = self.start = self.length + len(lead)
        self.marks.append((start, origin if self.origin is None else self.origin))
        if self.lists:
            lead += self._indentation() + self.marker
        if lead:
            self.pieces.append(lead)
            self.length += len(lead)
        self.body = self.length
        self.origin = None

    def _indentation(self) -> str:
        """Of a list's level; what goes on in an item stands where its text does."""
        if self.kind not in _OF_LINES:
            return ""
        depth = min(len(self.lists), _DEEPEST)
        return "  " * (depth - 1 if self.marker else depth)

    def _gap(self) -> str:
        """One line feed or two between the last block and the one that begins."""
        last, kind = self.blocks[-1], self.kind
        if kind is _HEADING:
            return "\n\n"
        if last.quote != self.quote:
            return "\n\n" if last.quote and self.quote else "\n"
        if kind is not _PARAGRAPH or last.kind is not _PARAGRAPH:
            return "\n"
        return "\n" if self.lists else "\n\n"

    def finish(self) -> None:
        """End the open block, if there is one; a marker without text is one."""
        if not self.open and self.marker:
            self.kind = _PARAGRAPH
            self.begin(self.origin or 0)
        if self.open:
            if self.length == self.body and not self.marker:
                self.take_back()
            else:
                depth = min(len(self.lists), _DEEPEST) if self.lists else 0
                place = (self.start, self.body, self.length)
                look = (self.kind, self.level, self.language, self.quote, depth, self.marker)
                self.blocks.append(_new(Block, place + look))
                self.marker = ""
        self.reset()

    def take_back(self) -> None:
        """A block that turned out to be empty was never there."""
        pieces, marks = self.before
        self.length -= len("".join(self.pieces[pieces:]))
        del self.pieces[pieces:], self.marks[marks:]

    def reset(self) -> None:
        """What comes next is a paragraph, until something says otherwise."""
        self.open = False
        self.kind = _PARAGRAPH
        self.level = 0
        self.language = ""

    def text(self) -> str:
        """End what is open; the visible text."""
        self.finish()
        return "".join(self.pieces)
