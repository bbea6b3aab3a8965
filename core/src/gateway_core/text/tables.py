"""Writes tables as aligned monospace text, since no chat platform has tables in a text."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import accumulate
from typing import Final, NamedTuple, TypeAlias

_GAP: Final = " | "
_CROSS: Final = "-+-"
_RULE: Final = 1
"""The number of the line under the header, for which the parser gives no event."""
WIDEST: Final = 200
"""Most characters of an aligned table's line: no screen shows longer lines."""
_UNCUT: Final = 50
"""A line of up to so many characters is cut only at its ends, whatever the platform's limit."""
Place: TypeAlias = tuple[int, int]
"""A character's place in the text, and the place in the source's UTF-8 that it came from."""
Row: TypeAlias = tuple[int, int, Callable[[], list[Place]]]
"""`start..end` of the text, and a function that finds the places in it, which few plans need."""
Known: TypeAlias = Callable[[int], list[Place]]
"""Finds the places of a row, given the place where the row begins."""
_KEPT_IN_ORDER: Final = "\u200e"
"""An invisible left-to-right mark; before each gap, it keeps right-to-left cells in columns."""
_LEFTWARD: Final = frozenset(("R", "AL"))
_direction: Final = unicodedata.bidirectional
_WORD: Final = re.compile(r"\S+")
_SHARES: Final = {"Right": 1.0, "Center": 0.5}
"""The share of a cell's free space that stands before its text, by alignment."""
_SIGNS: Final = {"Right": ">", "Center": "^"}
"""The alignments in the signs of a format string; any other cell is aligned to the left."""

# Letters and signs of one column each: what most cells are made of.
_NARROW: Final = re.compile(
    r"[ -~\xa0-\xac\xae-\u02ff\u0370-\u0482\u048a-\u0590\u1e00-\u1fff\u2010-\u2027\u2030-\u205e"
    r"\u2190-\u2319]*"
)

_EMOJI: Final = "\u2600-\u27bf\U0001f000-\U0001faff"
_JOINED: Final = re.compile(
    f"(?<=[{_EMOJI}\ufe0f])(?:[\U0001f3fb-\U0001f3ff]|\u200d[{_EMOJI}]\ufe0f?)"  # skins, families
)
_AS_EMOJI: Final = re.compile("[#*0-9\xa9\xae\u203c-\u3299\U0001f000-\U0001faff]\ufe0f")
"""A sign with the selector that makes it an emoji: two columns wide, if the sign alone has one."""


_new: Final = tuple.__new__
"""Makes a named tuple in a third of the time that its class takes."""


class Cell(NamedTuple):
    """A table's cell at `origin` in the source, with its pieces and the origin of each."""

    origin: int
    pieces: list[str]
    origins: list[int]

    def places(self) -> list[Place]:
        """The known places of the cell's characters, counted from the cell's first character."""
        known = zip(accumulate(map(len, self.pieces), initial=0), self.origins, strict=False)
        return [(place, origin) for place, origin in known if origin >= 0]


class Table:
    """A table while its cells are read; they are laid out once all widths are known.

    degraded  what no platform can show, each with the number of its row
    """

    def __init__(self, aligns: tuple[str, ...]) -> None:
        self.aligns = aligns
        self.rows: list[list[Cell]] = []
        self.origins: list[int] = []
        self.degraded: list[tuple[int, str]] = []
        self.grid: Grid | None = None

    def begin_row(self, origin: int) -> None:
        """Begin the row that stands at `origin` in the source."""
        self.rows.append([])
        self.origins.append(origin)

    def begin_cell(self, origin: int) -> tuple[list[str], list[int]]:
        """Begin a cell; returns the lists for its pieces and for their origins."""
        pieces: list[str] = []
        origins: list[int] = []
        self.rows[-1].append(_new(Cell, (origin, pieces, origins)))
        return pieces, origins

    def laid_out(self) -> tuple[list[str], list[tuple[int, int, Known]]]:
        """The aligned lines; and for each line that may be cut its number, length and places.

        White space in a cell becomes one space, since a row is one line. The rule belongs to the
        header, since the parser gives no event for it.
        """
        rows = [[" ".join("".join(cell[1]).split()) for cell in row] for row in self.rows]
        header, rule, *rest = aligned(rows, self.aligns)
        lines = [f"{header}\n{rule}", *rest]
        long: list[tuple[int, int, Known]] = [
            (row, len(line), partial(self._known, rows, row))
            for row, line in enumerate(lines)
            if len(line) > _UNCUT
        ]
        return lines, long

    def _known(self, rows: Sequence[Sequence[str]], row: int, start: int) -> list[Place]:
        """All known places of a row."""
        grid = self.grid = self.grid or Grid(rows, self.aligns)
        known = [(start, self.origins[row])]
        known += _inside(grid.places(row, start), self.rows[row])
        if row == 0 and self.origins[1:]:
            # The row before the first one that follows; it has two octets for each column, or more.
            begins = accumulate([len(_CROSS) + width for width in grid.widths], initial=start)
            first = self.origins[1] - 2 * len(grid.widths)
            skipped = len(grid.lines()[0]) + 1
            known += [(place + skipped, first + 2 * n) for n, place in enumerate(begins)][:-1]
        # Cells that a row does not have are said to stand where the next row begins.
        ends = self.origins[row + 1 : row + 2]
        return [one for one in known if one[1] < ends[0]] if ends else known


def _inside(places: Iterable[tuple[int, int]], cells: Iterable[Cell]) -> Iterator[Place]:
    """The known places of a row: those of its bars, and of the words between them."""
    for (bar, start), cell in zip(places, cells, strict=True):
        if bar >= 0:
            yield bar, cell.origin - 1
        yield from [(start + place, origin) for place, origin in _words(cell)]


def _words(cell: Cell) -> Iterator[Place]:
    """The places of each word's first character in a cell, and the cell's other known places."""
    raw, shown = "".join(cell.pieces), 0
    known = cell.places()
    for word in _WORD.finditer(raw):
        begin, end = word.span()
        first, last = bisect_left(known, (begin,)), bisect_left(known, (end,))
        if first > 0 and not any(place == begin for place, _ in known[first : first + 1]):
            place, origin = known[first - 1]
            yield shown, origin + len(raw[place:begin].encode())
        yield from [(shown + place - begin, origin) for place, origin in known[first:last]]
        shown += end - begin + 1


class Grid:
    """The cells of a table, laid out in columns.

    A column is as wide as its widest cell. If all columns together are wider than any screen,
    columns are narrower, and a long cell extends beyond its column.
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
        """For each cell of a line at `start`: the bar before it, and where its characters begin.

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
    text = "".join(["".join(row) for row in rows])
    if not (text.isascii() or _NARROW.fullmatch(text)):
        return Grid(rows, aligns).lines()
    # Each character is one column here, so a format string does what `Grid` does for any text.
    widths = _fitting([max(1, *map(len, cells)) for cells in zip(*rows, strict=True)])
    sized = zip(aligns, widths, strict=True)
    template = _GAP.join([f"{{:{_SIGNS.get(a, '<')}{w}}}" for a, w in sized])
    header, *rest = [template.format(*row).rstrip() for row in rows]
    return [header, _CROSS.join(["-" * width for width in widths]), *rest]


def _fitting(widths: list[int]) -> list[int]:
    """The widths of columns that are too wide together: each gets its share at most."""
    free = WIDEST - len(_GAP) * (len(widths) - 1)
    if sum(widths) <= free:
        return widths
    share = max(free // len(widths), 1)
    return [min(width, share) for width in widths]


def _turns(rows: Sequence[Sequence[str]]) -> bool:
    """Whether a cell has text that is read from right to left, which would reorder its row."""
    text = "".join("".join(row) for row in rows)
    return not text.isascii() and any(map(_LEFTWARD.__contains__, map(_direction, text)))


def _column(cells: Sequence[str], sizes: Sequence[int], width: int, align: str) -> list[str]:
    """The cells of a column, each padded to the column's width; a longer cell stays longer."""
    rooms = [max(width - size, 0) for size in sizes]
    share = _SHARES.get(align, 0)
    before = [" " * int(room * share) for room in rooms]
    after = [" " * (room - len(blank)) for room, blank in zip(rooms, before, strict=True)]
    return [*map("".join, zip(before, cells, after, strict=True))]


def display_width(text: str) -> int:
    """Columns that a text takes in a monospace font; any emoji takes two, even a composed one."""
    if text.isascii() or _NARROW.fullmatch(text):
        return len(text)
    whole = _JOINED.sub("", text)
    widened = sum(_width(pair[0]) == 1 for pair in _AS_EMOJI.findall(whole))
    return sum(map(_width, whole)) + widened


def _width(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Cf", "Me", "Mn"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1
