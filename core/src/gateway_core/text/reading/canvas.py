"""Writes the visible text: its characters, and what stands before and between blocks."""

from __future__ import annotations

import re
from functools import partial
from itertools import accumulate
from typing import TYPE_CHECKING, Final, TypeAlias

from gateway_core.contract.fast_init import fast_init
from gateway_core.text.document import Block, Document, Kind, Span, Style

if TYPE_CHECKING:
    from gateway_core.text.tables import Known, Table

# Enum members as globals: in CPython 3.11 finding one in its class takes longer than a call.
_PARAGRAPH: Final = Kind.PARAGRAPH
_HEADING: Final = Kind.HEADING
_CODE: Final = Kind.CODE
_TABLE: Final = Kind.TABLE
_OF_LINES: Final = (_PARAGRAPH, _HEADING)

SURROGATE: Final = re.compile(f"[{chr(0xD800)}-{chr(0xDFFF)}]")
CLEANED: Final[dict[int, str | None]] = {
    **dict.fromkeys([*range(0x20), 0x7F], " "),
    **dict.fromkeys([0x0D, *range(0x2028, 0x202F)]),
    0x0A: "\n",
}
"""What control and bidirectional formatting characters become."""
_CONTROLS: Final = bytes({*range(0x20), 0x7F} - {0x0A})
_TURNING: Final = re.compile(rb"\xe2\x80[\xa8-\xae]")
"""U+2028 to U+202E in UTF-8."""
_UNEVEN: Final = re.compile("\t+|[\r\u2028-\u202e]+")
"""Characters that are dropped from a text, and tabs, which are more than one space in code."""

_new: Final = tuple.__new__
"""Makes a named tuple in a third of the time that its class takes."""

_document: Final = fast_init(Document)

NOWHERE: Final = -1
"""The origin of characters that the source does not have."""
_DEEPEST: Final = 8
"""The deepest list level that is indented; deeper levels look like this one."""

Styled: TypeAlias = tuple[int, int, Style, str]
"""A span: `start..end` in numbers of pieces, its style, its value."""
Written: TypeAlias = tuple[int, int, int, Kind, int, str, int, int, str]
"""A block: the fields of `Block`, its places in numbers of pieces."""


def is_clean(octets: bytes) -> bool:
    """Whether a text in UTF-8 has nothing to clean. Fast, since nearly every text is tested."""
    if len(octets.translate(None, _CONTROLS)) != len(octets):
        return False
    return b"\xe2\x80" not in octets or _TURNING.search(octets) is None


class Canvas:
    """The document so far, in pieces; a block is written when its first character comes.

    While the text is written, a place is the number of the piece that begins there. The lengths of
    the pieces are computed once, at the end.

    Invariants: `origins` has each piece's place in the source; an empty piece marks where a block
    or a style begins. `spans` has an item for each style that was begun, in that order, which is
    the outermost first; the item is None if the style holds nothing.
    """

    def __init__(self, *, clean: bool) -> None:
        self.clean = clean
        self.pieces: list[str] = []
        self.origins: list[int] = []
        self.spans: list[Styled | None] = []
        self.blocks: list[Written] = []
        self.degraded: list[tuple[int, str]] = []
        self.lists: list[int | None] = []
        self.quote = 0
        self.marker = ""
        self.origin: int | None = None
        self.table: Table | None = None
        self.rows: list[tuple[int, int, Known]] = []
        self.before = self.start = self.body = 0
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
        if not self.clean and _UNEVEN.search(text):
            self._add_pieces(text, origin)
        else:
            self.put(shown, origin)

    def _add_pieces(self, text: str, origin: int) -> None:
        """Add text that is longer or shorter than in the source, and keep its places known."""
        last = 0
        for found in _UNEVEN.finditer(text):
            piece, last = text[last : found.end()], found.end()
            self.put(self._cleaned(piece), origin)
            origin += len(piece.encode())
        self.put(self._cleaned(text[last:]), origin)

    def _cleaned(self, text: str) -> str:
        if self.kind is _CODE:
            text = text.replace("\t", "    ")
        return text.translate(CLEANED)

    def add(self, words: str) -> None:
        """Add visible characters that do not stand at this place in the source."""
        self.put(SURROGATE.sub("\ufffd", words).translate(CLEANED), NOWHERE)

    def put(self, text: str, origin: int) -> None:
        """Add characters that need no cleaning."""
        self.pieces.append(text)
        self.origins.append(origin)

    def begin(self, origin: int) -> None:
        """Write what stands before a block's first character: gap, indentation and marker."""
        pieces, origins = self.pieces, self.origins
        self.open = True
        self.before = len(pieces)
        if self.blocks:
            pieces.append(self._gap())
            origins.append(NOWHERE)
        self.start = len(pieces)
        pieces.append(self._indentation() + self.marker if self.lists else "")
        origins.append(origin if self.origin is None else self.origin)
        self.body = len(pieces)
        self.origin = None

    def _indentation(self) -> str:
        """The indentation of the list's level; an item's later blocks align with its text."""
        if self.kind not in _OF_LINES:
            return ""
        depth = min(len(self.lists), _DEEPEST)
        return "  " * (depth - 1 if self.marker else depth)

    def _gap(self) -> str:
        """One or two line feeds between the last block and the new one."""
        last, kind = self.blocks[-1], self.kind
        if kind is _HEADING:
            return "\n\n"
        if last[6] != self.quote:
            return "\n\n" if last[6] and self.quote else "\n"
        if kind is not _PARAGRAPH or last[3] is not _PARAGRAPH:
            return "\n"
        return "\n" if self.lists else "\n\n"

    def finish(self) -> None:
        """End the open block, if there is one; a marker without text counts as a block."""
        if not self.open and self.marker:
            self.kind = _PARAGRAPH
            self.begin(self.origin or 0)
        if self.open:
            if self.marker or self.kind is _TABLE or self.holds(self.body):
                depth = min(len(self.lists), _DEEPEST) if self.lists else 0
                self.blocks.append((
                    self.start, self.body, len(self.pieces), self.kind, self.level, self.language,
                    self.quote, depth, self.marker,
                ))  # fmt: skip
                self.marker = ""
            else:
                self.take_back()
        self.reset()

    def holds(self, piece: int) -> bool:
        """Whether characters were added since that piece."""
        return len(self.pieces) > piece and (self.pieces[-1] != "" or any(self.pieces[piece:]))

    def take_back(self) -> None:
        """Remove a block that turned out to be empty, and what was noted as lost in it."""
        del self.pieces[self.before :], self.origins[self.before :]
        while self.degraded and self.degraded[-1][0] > self.before:
            self.degraded.pop()

    def lose(self, words: str) -> None:
        """Note, in words, what no platform can show at this place."""
        if self.table:
            self.table.degraded.append((len(self.table.rows) - 1, words))
        else:
            self.degraded.append((len(self.pieces), words))

    def reset(self) -> None:
        """Treat the next block as a paragraph, until an event says otherwise."""
        self.open = False
        self.kind = _PARAGRAPH
        self.level = 0
        self.language = ""

    def document(self, source: str) -> Document:
        """The finished document of this `source`."""
        self.finish()
        text = "".join(self.pieces)
        at = [*accumulate(map(len, self.pieces), initial=0)]
        spans = [
            _new(Span, (at[start], at[end], style, value))
            for start, end, style, value in filter(None, self.spans)
        ]
        blocks = [
            _new(Block, (at[start], at[body], at[end], kind, level, language, quote, depth, marker))
            for start, body, end, kind, level, language, quote, depth, marker in self.blocks
        ]
        rows = [(at[n], at[n] + length, partial(known, at[n])) for n, length, known in self.rows]
        return _document(
            source=source,
            text=text,
            spans=tuple(spans),
            blocks=tuple(blocks),
            trace=(at, self.origins),
            rows=tuple(rows),
            degraded=tuple([(at[piece], words) for piece, words in self.degraded]),
            in_octets=True,
        )
