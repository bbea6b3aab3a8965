"""Draws lines as an SVG picture of only shapes and text, which is the same on every machine."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from html import escape
from itertools import count, groupby
from typing import NamedTuple

from gateway_contrib.cli.painting.metrics import width
from gateway_contrib.cli.painting.seen import Line
from gateway_contrib.cli.painting.tiles import HEIGHT as TILE
from gateway_contrib.cli.painting.tiles import Tile, height_of, placed

COLUMN, GAP, PADDING = 330.0, 18.0, 12.0
SIZE, CODE_SIZE = 13.0, 11.5
HEIGHT = 18.5
LEVEL = 14.0
_HEADINGS = (SIZE, 19.0, 16.5, 14.5)
_WORDS = re.compile(r"\s+|\S+")
_COLOURS = {"link": "#1a66c2", "mention": "#3b4cca"}
_FACES = "font-family:system-ui,Helvetica,Arial,sans-serif"
_MONO = "font-family:ui-monospace,Menlo,Consolas,monospace"


class Bubble(NamedTuple):
    """One message, with a note below it; `tiles` are its files, above or below the text."""

    lines: Sequence[Line]
    note: str
    tiles: Sequence[Tile] = ()
    tiles_first: bool = False


class Column(NamedTuple):
    """One channel's messages."""

    title: str
    bubbles: Sequence[Bubble]


class _Piece(NamedTuple):
    text: str
    styles: frozenset[str]
    size: float
    wide: float


class _Row(NamedTuple):
    """One row of a picture: its pieces from `left` on, and the message's line that they show."""

    line: Line
    left: float
    pieces: tuple[_Piece, ...]

    @property
    def height(self) -> float:
        """The row's height."""
        return HEIGHT * max([1.0, *(piece.size / SIZE for piece in self.pieces)])


def drawn(columns: Sequence[Column], title: str) -> str:
    """The columns side by side, as SVG."""
    shapes: list[str] = []
    bottom = 0.0
    for index, column in enumerate(columns):
        left = GAP + index * (COLUMN + GAP)
        top = 26.0
        shapes.append(_text(left, top, column.title, f"font-size:15px;font-weight:700;{_FACES}"))
        top += 12.0
        for bubble in column.bubbles:
            drawing, top = _bubble(bubble, left, top)
            shapes += drawing
        bottom = max(bottom, top)
    wide, high = GAP + len(columns) * (COLUMN + GAP), bottom + 6.0
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{wide:g}" height="{high:g}" '
        f'viewBox="0 0 {wide:g} {high:g}" role="img"><title>{escape(title)}</title>\n'
        f'<rect width="100%" height="100%" rx="8" fill="#eceff1"/>\n'
        + "\n".join(shapes)
        + "\n</svg>\n"
    )


def _bubble(bubble: Bubble, left: float, top: float) -> tuple[list[str], float]:
    """The shapes of a message, and the top of the next message."""
    rows = [row for line in bubble.lines for row in _rows(line)]
    below, tiled = sum(row.height for row in rows), height_of(bubble.tiles)
    high = below + tiled + 2 * PADDING
    shapes = [_box(left, top, COLUMN, high, "#fff", rx=12)]
    y = top + PADDING
    shapes += _tiles(
        bubble.tiles, left + PADDING, y + (0 if bubble.tiles_first else below + GAP / 3)
    )
    y += tiled if bubble.tiles_first else 0
    for _, group in groupby(rows, key=lambda row: (row.line.code, row.line.quote)):
        block = list(group)
        shapes += _frame(block, left, y)
        for row in block:
            shapes += _row(row, left + PADDING, y)
            y += row.height
    bottom = top + high + 2
    for words in _wrapped(bubble.note):
        bottom += 13
        css = f"font-size:11px;fill:#666;{_FACES}"
        shapes.append(_text(left + 4, bottom, words, css, width(words, 11)))
    return shapes, bottom + 12


def _tiles(tiles: Sequence[Tile], left: float, top: float) -> Iterator[str]:
    """The tiles of a message's files."""
    css = f"font-size:11px;fill:#333;{_FACES}"
    for tile, x, y, wide, lines in placed(tiles, left, top, COLUMN - 2 * PADDING):
        yield _box(x, y, wide, TILE, "#9aa1a9" if tile.hidden else "#dfe5ea", rx=6)
        for at, base, words in lines:
            yield _text(at, base, words, css, width(words, 11))


def _wrapped(note: str) -> list[str]:
    """The note in lines as wide as a message."""
    lines = [""]
    for word in note.split():
        longer = f"{lines[-1]} {word}".strip()
        if width(longer, 11) > COLUMN - 8 and lines[-1]:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def _frame(rows: Sequence[_Row], left: float, top: float) -> Iterator[str]:
    """The background of code, and the bar of a quote."""
    high = sum(row.height for row in rows)
    first = rows[0].line
    inset = PADDING + (9 if first.quote else 0)
    if first.quote:
        yield _box(left + PADDING, top, 3, high, "#b9c2cc", rx=1.5)
    if first.code:
        yield _box(left + inset - 4, top, COLUMN - inset - PADDING + 8, high, "#f2f3f5", rx=4)
    if first.code and first.language:
        style = f"font-size:10px;fill:#888;{_MONO}"
        right = left + COLUMN - PADDING - width(first.language, 10, mono=True)
        yield _text(right, top + 11, first.language, style)


def _rows(line: Line) -> Iterator[_Row]:
    """The rows of a line, which is wrapped if it is too wide."""
    size = CODE_SIZE if line.code else _HEADINGS[line.heading]
    left = (9.0 if line.quote else 0.0) + LEVEL * max(line.indent - 1, 0)
    hanging = left + (LEVEL if line.indent else 0.0)
    room = COLUMN - 2 * PADDING
    pieces = [_piece(line.marker, frozenset(), size, line)] if line.marker else []
    begun = left if pieces or not line.indent else hanging
    used, wrapped = begun + sum(piece.wide for piece in pieces), False
    for piece in _pieces(line, size):
        if used + piece.wide > room and piece.text.strip() and pieces:
            yield _Row(line, begun, tuple(pieces))
            pieces, begun, used, wrapped = [], hanging, hanging, True
        # White space at the place of a wrap is dropped.
        if pieces or piece.text.strip() or not wrapped:
            pieces.append(piece)
            used += piece.wide
    yield _Row(line, begun, tuple(pieces))


def _pieces(line: Line, size: float) -> Iterator[_Piece]:
    """Words and the spaces between them; a word wider than a row is cut into several pieces."""
    bold = frozenset({"bold"}) if line.heading else frozenset()
    room = COLUMN - 2 * PADDING - LEVEL * line.indent - 12
    for run in line.runs:
        for word in _WORDS.findall(run.text):
            piece = _piece(word, run.styles | bold, size, line)
            if piece.wide <= room:
                yield piece
                continue
            signs = max(int(len(word) * room / piece.wide), 1)
            for start in range(0, len(word), signs):
                yield _piece(word[start : start + signs], run.styles | bold, size, line)


def _piece(text: str, styles: frozenset[str], size: float, line: Line) -> _Piece:
    mono = bool(line.code) or "code" in styles
    size = CODE_SIZE if mono else size
    return _Piece(text, styles, size, width(text, size, bold="bold" in styles, mono=mono))


def _row(row: _Row, left: float, top: float) -> Iterator[str]:
    x, base = left + row.left, top + row.height * 0.72
    for styles, run in _runs(row):
        wide = sum(piece.wide for piece in run)
        text = "".join(piece.text for piece in run)
        if "code" in styles and not row.line.code:
            yield _box(x - 2, top + 1, wide + 4, row.height - 3, "#f2f3f5", rx=3)
        if "mention" in styles:
            yield _box(x - 2, top + 1, wide + 4, row.height - 3, "#e3ebff", rx=3)
        if text.strip():
            size = run[0].size
            # Viewers differ in whether they count white space at the ends.
            words, bold = text.strip(), "bold" in styles
            mono = bool(row.line.code) or "code" in styles
            begun = x + width(text[: len(text) - len(text.lstrip())], size, bold=bold, mono=mono)
            fit = width(words, size, bold=bold, mono=mono)
            yield _text(begun, base, words, _css(styles, size, row.line), fit)
            yield from _lines_over(styles, begun, base, fit)
        if "spoiler" in styles:
            yield _box(x - 1, top + 2, wide + 2, row.height - 4, "#9aa1a9", rx=3, opacity=0.55)
        x += wide


def _runs(row: _Row) -> Iterator[tuple[frozenset[str], list[_Piece]]]:
    """Neighbouring pieces of one style, to be drawn as one text.

    In code with non-ASCII letters each piece is drawn separately, at its own column, since the font
    of such letters may have columns of another width.
    """
    apart = row.line.code and not all(piece.text.isascii() for piece in row.pieces)
    places = count()
    for key, group in groupby(
        row.pieces, lambda piece: (piece.styles, next(places) if apart else 0)
    ):
        yield key[0], list(group)


def _lines_over(styles: frozenset[str], x: float, base: float, wide: float) -> Iterator[str]:
    """Lines below and through a text, drawn as boxes, since viewers differ in placing them."""
    colour = _colour(styles) or "#000"
    if styles & {"underline", "link"}:
        yield _box(x, base + 2, wide, 1, colour, rx=0)
    if "strike" in styles:
        yield _box(x, base - 4.5, wide, 1, colour, rx=0)


def _colour(styles: frozenset[str]) -> str:
    return next((_COLOURS[name] for name in sorted(styles & _COLOURS.keys())), "")


def _css(styles: frozenset[str], size: float, line: Line) -> str:
    mono = bool(line.code) or "code" in styles
    rules = [f"font-size:{size:g}px", _MONO if mono else _FACES]
    rules += ["font-weight:700"] if "bold" in styles else []
    rules += ["font-style:italic"] if "italic" in styles else []
    colour = _colour(styles)
    return ";".join(rules + ([f"fill:{colour}"] if colour else []))


_FORBIDDEN = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that no XML file may have, not even escaped."""


def _text(x: float, y: float, text: str, css: str, wide: float | None = None) -> str:
    fit = f' textLength="{wide:.1f}" lengthAdjust="spacingAndGlyphs"' if wide else ""
    shown = escape(_FORBIDDEN.sub("\ufffd", text), quote=False)
    return f'<text x="{x:.1f}" y="{y:.1f}" xml:space="preserve" style="{css}"{fit}>{shown}</text>'


def _box(
    x: float, y: float, wide: float, high: float, fill: str, *, rx: float, opacity: float = 1.0
) -> str:
    clear = f' opacity="{opacity:g}"' if opacity < 1 else ""
    place = f'x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{high:.1f}"'
    return f'<rect {place} rx="{rx:g}" fill="{fill}"{clear}/>'
