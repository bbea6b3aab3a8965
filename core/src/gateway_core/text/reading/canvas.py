"""The visible text while it is written: characters, and what stands before and between blocks."""

from __future__ import annotations

import re
from functools import partial
from itertools import accumulate
from typing import TYPE_CHECKING, Final, TypeAlias

from gateway_core.contract.fast_init import fast_init
from gateway_core.text.document import Block, Document, Kind, Span, Style

if TYPE_CHECKING:
    from gateway_core.text.tables import Known, Table

# Members in names of their own: CPython 3.11 takes longer to find one in its class than to call.
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
"""What is dropped of a text, and tabs, which are more than one space in code."""

_new: Final = tuple.__new__
"""Makes a named tuple, at a third of what its class takes."""

_document: Final = fast_init(Document)

NOWHERE: Final = -1
"""The origin of what the source does not have."""
_DEEPEST: Final = 8
"""List levels that are indented; deeper ones look like this one."""

Styled: TypeAlias = tuple[int, int, Style, str]
"""A span: `start..end` in numbers of pieces, its style, its value."""
Written: TypeAlias = tuple[int, int, int, Kind, int, str, int, int, str]
"""A block: the fields of `Block`, its places in numbers of pieces."""


def is_clean(octets: bytes) -> bool:
    """Whether nothing of a text in UTF-8 has to be cleaned, which almost every one is asked for."""
    if len(octets.translate(None, _CONTROLS)) != len(octets):
        return False
    return b"\xe2\x80" not in octets or _TURNING.search(octets) is None


class Canvas:
    """The document so far, in pieces; a block is written when its first character comes.

    What is said of a place while it is written is the number of the piece that begins there: how
    long each is is asked once, when all are there.

    Invariants: `origins` has for each piece where in the source it stands; a piece of no characters
    says where a block or a style begins. `spans` has a place for each style that was begun, in that
    order, which is the outermost first; None where nothing came of it.
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
        """Add what is shown longer or shorter than it was written, so that each place is known."""
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
        """Add visible characters that the source has elsewhere."""
        self.put(SURROGATE.sub("\ufffd", words).translate(CLEANED), NOWHERE)

    def put(self, text: str, origin: int) -> None:
        """Add characters that are as they should be."""
        self.pieces.append(text)
        self.origins.append(origin)

    def begin(self, origin: int) -> None:
        """Write what stands before a block's first character: the gap, indentation, marker."""
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
        if last[6] != self.quote:
            return "\n\n" if last[6] and self.quote else "\n"
        if kind is not _PARAGRAPH or last[3] is not _PARAGRAPH:
            return "\n"
        return "\n" if self.lists else "\n\n"

    def finish(self) -> None:
        """End the open block, if there is one; a marker without text is one."""
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
        """Whether characters came since that piece."""
        return len(self.pieces) > piece and (self.pieces[-1] != "" or any(self.pieces[piece:]))

    def take_back(self) -> None:
        """A block that turned out to be empty was never there, nor what it lost."""
        del self.pieces[self.before :], self.origins[self.before :]
        while self.degraded and self.degraded[-1][0] > self.before:
            self.degraded.pop()

    def lose(self, words: str) -> None:
        """Say what no platform can show of what comes here."""
        if self.table:
            self.table.degraded.append((len(self.table.rows) - 1, words))
        else:
            self.degraded.append((len(self.pieces), words))

    def reset(self) -> None:
        """What comes next is a paragraph, until something says otherwise."""
        self.open = False
        self.kind = _PARAGRAPH
        self.level = 0
        self.language = ""

    def document(self, source: str) -> Document:
        """What was read, as the document of its `source`."""
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
