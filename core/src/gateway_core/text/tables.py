"""Tables as aligned monospace: no chat platform has them in a message's text."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import accumulate
from typing import NamedTuple, TypeAlias

_GAP = " | "
_CROSS = "-+-"
_RULE = 1
"""The line under the header: the parser does not tell of it."""
WIDEST = 200
"""Columns of a table that are laid out under each other: no screen shows as many in one line."""
_UNCUT = 50
"""A line of so many characters is cut at its ends only, whatever the platform's limit."""
Place: TypeAlias = tuple[int, int]
"""Of a character in the text, and of where it came from in the source's UTF-8."""
Row: TypeAlias = tuple[int, int, Callable[[], list[Place]]]
"""`start..end` of the text, and what finds the places in it: few plans ask for them."""
_KEPT_IN_ORDER = "\u200e"
"""Left-to-right mark: unseen, before each gap it keeps Hebrew or Arabic cells in their columns."""
_LEFTWARD = frozenset(("R", "AL"))
_direction = unicodedata.bidirectional
_WORD = re.compile(r"\S+")
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


_new = tuple.__new__
"""Makes a named tuple, at a third of what its class takes."""


class Cell(NamedTuple):
    """One that stands at `origin` in the source; its pieces begin at `place` of all cells'."""

    origin: int
    place: int
    pieces: list[str]


class Table:
    """A table while its cells are read: they are laid out when the widths are known.

    pieces, length, spans, marks  of the document, as they were before it
    """

    def __init__(
        self, aligns: tuple[str, ...], pieces: list[str], length: int, spans: int, marks: int
    ) -> None:
        self.aligns = aligns
        self.pieces, self.length, self.spans, self.marks = pieces, length, spans, marks
        self.rows: list[list[Cell]] = []
        self.origins: list[int] = []

    def begin_row(self, origin: int) -> None:
        """What follows is the row that stands at `origin` in the source."""
        self.rows.append([])
        self.origins.append(origin)

    def begin_cell(self, origin: int, place: int) -> list[str]:
        """Where the next cell's characters are to be added; `place` counts those of all cells."""
        pieces: list[str] = []
        self.rows[-1].append(_new(Cell, (origin, place, pieces)))
        return pieces

    def laid_out(self, marks: Sequence[Place]) -> tuple[list[str], list[Place], list[Row]]:
        """The aligned lines, where each row is in the source, and those that may be cut.

        White space in a cell is one space, for a row is one line. `marks` are the places that are
        known of the cells' characters, as `begin_cell` counts them.
        """
        rows = [[" ".join("".join(cell[2]).split()) for cell in row] for row in self.rows]
        grid = Grid(rows, self.aligns)
        header, rule, *rest = grid.lines()
        # The rule belongs to the header: the parser does not tell of it.
        start = self.length
        places: list[Place] = []
        long: list[Row] = []
        for row, line in enumerate([f"{header}\n{rule}", *rest]):
            places.append((start, self.origins[row]))
            if len(line) > _UNCUT:
                known = partial(self._known, grid, row, start, marks)
                long.append((start, start + len(line), known))
            start += len(line) + 1
        return [header, rule, *rest], places, long

    def _known(self, grid: Grid, row: int, start: int, marks: Sequence[Place]) -> list[Place]:
        """All places of a row that are known."""
        known = [(start, self.origins[row])]
        known += _inside(grid.places(row, start), self.rows[row], marks)
        if row == 0 and self.origins[1:]:
            # The row before the first one that follows; it has two octets for each column, or more.
            begins = accumulate([len(_CROSS) + width for width in grid.widths], initial=start)
            first = self.origins[1] - 2 * len(grid.widths)
            skipped = len(grid.lines()[0]) + 1
            known += [(place + skipped, first + 2 * n) for n, place in enumerate(begins)][:-1]
        # Cells that a row does not have are said to stand where the next row begins.
        ends = self.origins[row + 1 : row + 2]
        return [one for one in known if one[1] < ends[0]] if ends else known


def _inside(
    places: Iterable[tuple[int, int]], cells: Iterable[Cell], marks: Sequence[Place]
) -> Iterator[Place]:
    """What is known of a row: its bars, and the words between them."""
    for (bar, start), cell in zip(places, cells, strict=True):
        if bar >= 0:
            yield bar, cell.origin - 1
        yield from [(start + place, origin) for place, origin in _words(cell, marks)]


def _words(cell: Cell, marks: Sequence[Place]) -> Iterator[Place]:
    """The first character of each word of a cell, and what else is known of it."""
    raw, shown = "".join(cell.pieces), 0
    low, high = bisect_left(marks, (cell.place,)), bisect_left(marks, (cell.place + len(raw),))
    known = [(place - cell.place, origin) for place, origin in marks[low:high]]
    for word in _WORD.finditer(raw):
        begin, end = word.span()
        first, last = bisect_left(known, (begin,)), bisect_left(known, (end,))
        if first > 0 and not any(place == begin for place, _ in known[first : first + 1]):
            place, origin = known[first - 1]
            yield shown, origin + len(raw[place:begin].encode())
        yield from [(shown + place - begin, origin) for place, origin in known[first:last]]
        shown += end - begin + 1


class Grid:
    """The cells of a table, laid out under each other.

    Columns are as wide as their widest cell, unless all together are wider than any screen: then a
    long cell stands out of its column.
    """

    def __init__(self, rows: Sequence[Sequence[str]], aligns: Sequence[str]) -> None:
        columns = [*zip(*rows, strict=True)]
        sizes = [[*map(display_width, cells)] for cells in columns]
        self.widths = _fitting([max(1, *column) for column in sizes])
        self.columns = [*map(_column, columns, sizes, self.widths, aligns)]
        self.mark = _KEPT_IN_ORDER if _turns(rows) else ""

    def lines(self) -> list[str]:
        """The header, a rule, the rows."""
        gap = self.mark + _GAP
        lines = [self.mark + gap.join(row).rstrip() for row in zip(*self.columns, strict=True)]
        lines.insert(_RULE, _CROSS.join(["-" * width for width in self.widths]))
        return lines

    def places(self, row: int, start: int) -> Iterator[tuple[int, int]]:
        """Of a line at `start`: the bar before each cell, and where its own characters begin.

        The first cell has no bar: -1.
        """
        gap, bar = len(self.mark + _GAP), -1
        start += len(self.mark)
        for column in self.columns:
            text = column[row]
            yield bar, start + len(text) - len(text.lstrip(" "))
            start += len(text) + gap
            bar = start - len(_GAP) + 1


def aligned(rows: Sequence[Sequence[str]], aligns: Sequence[str]) -> list[str]:
    """The lines of a table: its header, a rule, its rows. `aligns`: Left, Right, Center, None."""
    return Grid(rows, aligns).lines()


def _fitting(widths: list[int]) -> list[int]:
    """The widths of columns, where they are too wide together: each has its share at most."""
    free = WIDEST - len(_GAP) * (len(widths) - 1)
    if sum(widths) <= free:
        return widths
    share = max(free // len(widths), 1)
    return [min(width, share) for width in widths]


def _turns(rows: Sequence[Sequence[str]]) -> bool:
    """Whether something in it is read from right to left, and so would turn its row about."""
    text = "".join("".join(row) for row in rows)
    return not text.isascii() and any(map(_LEFTWARD.__contains__, map(_direction, text)))


def _column(cells: Sequence[str], sizes: Sequence[int], width: int, align: str) -> list[str]:
    """The cells of a column, each as wide as it, or wider."""
    rooms = [max(width - size, 0) for size in sizes]
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
