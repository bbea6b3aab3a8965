"""Tables as aligned monospace: no chat platform has them in a message's text."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

_GAP = " | "
_CROSS = "-+-"
_RULE = 1
"""The line under the header: the parser does not tell of it."""
_KEPT_IN_ORDER = "\u200e"
"""Left-to-right mark: unseen, before each gap it keeps Hebrew or Arabic cells in their columns."""
_LEFTWARD = frozenset(("R", "AL"))
_direction = unicodedata.bidirectional
_SHARES = {"Right": 1.0, "Center": 0.5}
"""How much of a cell's free room stands before its text."""

# Letters and signs of one column each: what most cells are made of.
_NARROW = re.compile(
    r"[ -~\xa0-\xac\xae-\u02ff\u0370-\u0482\u048a-\u0590\u1e00-\u1fff\u2010-\u2027\u2030-\u205e"
    r"\u2190-\u2319]*"
)

_EMOJI = "\u2600-\u27bf\U0001f000-\U0001faff"
_JOINED = re.compile(
    f"(?<=[{_EMOJI}\ufe0f])(?:[\U0001f3fb-\U0001f3ff]|\u200d[{_EMOJI}]\ufe0f?)"  # skins, families
)
_AS_EMOJI = re.compile("[#*0-9\xa9\xae\u203c-\u3299\U0001f000-\U0001faff]\ufe0f")
"""Signs that a selector behind them makes an emoji; of two columns, if they are of one."""


class Table:
    """A table while its cells are read: they are laid out when the widths are known.

    pieces, length, spans, marks  of the document, as they were before it
    """

    def __init__(
        self, aligns: tuple[str, ...], pieces: list[str], length: int, spans: int, marks: int
    ) -> None:
        self.aligns = aligns
        self.pieces, self.length, self.spans, self.marks = pieces, length, spans, marks
        self.rows: list[list[list[str]]] = []
        self.origins: list[int] = []

    def begin_row(self, origin: int) -> None:
        """What follows is the row that stands at `origin` in the source."""
        self.rows.append([])
        self.origins.append(origin)

    def begin_cell(self) -> list[str]:
        """Where the next cell's characters are to be added."""
        cell: list[str] = []
        self.rows[-1].append(cell)
        return cell

    def lines(self) -> list[str]:
        """The aligned lines; white space in a cell is one space, for a row is one line."""
        rows = [[" ".join("".join(cell).split()) for cell in row] for row in self.rows]
        return aligned(rows, self.aligns)

    def places(self, lines: list[str], start: int) -> list[tuple[int, int]]:
        """Where each row begins, in the text and in the source; the rule belongs to the header."""
        places = []
        for index, line in enumerate(lines):
            if index != _RULE:
                places.append((start, self.origins[index - (index > _RULE)]))
            start += len(line) + 1
        return places


def aligned(rows: Sequence[Sequence[str]], aligns: Sequence[str]) -> list[str]:
    """The lines of a table: its header, a rule, its rows. `aligns`: Left, Right, Center, None."""
    columns = [*map(_column, zip(*rows, strict=True), aligns)]
    mark = _KEPT_IN_ORDER if _turns(rows) else ""
    gap = mark + _GAP
    lines = [mark + gap.join(row).rstrip() for row in zip(*columns, strict=True)]
    lines.insert(_RULE, _CROSS.join("-" * display_width(column[0]) for column in columns))
    return lines


def _turns(rows: Sequence[Sequence[str]]) -> bool:
    """Whether something in it is read from right to left, and so would turn its row about."""
    text = "".join("".join(row) for row in rows)
    return not text.isascii() and any(map(_LEFTWARD.__contains__, map(_direction, text)))


def _column(cells: Sequence[str], align: str) -> list[str]:
    """The cells of a column, each as wide as the widest."""
    sizes = [*map(display_width, cells)]
    width = max(1, *sizes)
    rooms = [width - size for size in sizes]
    share = _SHARES.get(align, 0)
    before = [" " * int(room * share) for room in rooms]
    after = [" " * (room - len(blank)) for room, blank in zip(rooms, before, strict=True)]
    return [*map("".join, zip(before, cells, after, strict=True))]


def display_width(text: str) -> int:
    """Columns that a text takes in a monospace font; an emoji takes two, however it is composed."""
    if text.isascii() or _NARROW.fullmatch(text):
        return len(text)
    whole = _JOINED.sub("", text)
    widened = sum(_width(pair[0]) == 1 for pair in _AS_EMOJI.findall(whole))
    return sum(map(_width, whole)) + widened


def _width(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Cf", "Me", "Mn"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1
