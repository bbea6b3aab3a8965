"""Places a message's files as tiles in a picture: three in a row, each with its description."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from gateway_contrib.cli.painting.metrics import width

HEIGHT, GAP, ROW = 62.0, 6.0, 3
_SIZE, _LINES, _STEP, _INSET = 11.0, 3, 14.0, 7.0


class Tile(NamedTuple):
    """A file, with its description; `hidden`: the reader must uncover it first."""

    said: str
    hidden: bool = False


class Placed(NamedTuple):
    """A tile with its place and width, and its lines with their places."""

    tile: Tile
    left: float
    top: float
    wide: float
    lines: Sequence[tuple[float, float, str]]


def height_of(tiles: Sequence[Tile]) -> float:
    """The height of the tiles' rows."""
    return -(-len(tiles) // ROW) * (HEIGHT + GAP)


def placed(tiles: Sequence[Tile], left: float, top: float, wide: float) -> Iterator[Placed]:
    """Place all tiles within this width."""
    for start in range(0, len(tiles), ROW):
        row = tiles[start : start + ROW]
        each = (wide - GAP * (len(row) - 1)) / len(row)
        for number, tile in enumerate(row):
            x = left + number * (each + GAP)
            words = _wrapped(tile.said, each - 2 * _INSET)
            lines = [
                (x + _INSET, top + _INSET + _STEP * n - 3, text) for n, text in enumerate(words, 1)
            ]
            yield Placed(tile, x, top, each, lines)
        top += HEIGHT + GAP


def _wrapped(said: str, room: float) -> list[str]:
    """The words in at most three lines; lines that are too wide are cut."""
    lines = [""]
    for word in said.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and width(longer, _SIZE) > room:
            lines.append(word)
        else:
            lines[-1] = longer
    return [_cut(line, room) for line in lines[:_LINES]]


def _cut(line: str, room: float) -> str:
    """The line, or as much of its beginning as fits."""
    if width(line, _SIZE) <= room:
        return line
    while line and width(f"{line}…", _SIZE) > room:
        line = line[:-1]
    return f"{line}…"
