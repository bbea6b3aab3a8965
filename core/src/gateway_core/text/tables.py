"""Tables as aligned monospace: no chat platform has them in a message's text."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

_GAP = " | "
_CROSS = "-+-"


def aligned(rows: Sequence[Sequence[str]], aligns: Sequence[str]) -> list[str]:
    """The lines of a table: its header, a rule, its rows. `aligns`: Left, Right, Center, None."""
    widths = [1] * len(aligns)
    sizes = [[display_width(cell) for cell in row] for row in rows]
    for size in sizes:
        widths = [max(pair) for pair in zip(widths, size, strict=True)]
    lines = [
        _GAP.join(map(_padded, row, size, widths, aligns)).rstrip()
        for row, size in zip(rows, sizes, strict=True)
    ]
    lines.insert(1, _CROSS.join("-" * width for width in widths))
    return lines


def display_width(text: str) -> int:
    """Columns that a text takes in a monospace font."""
    if text.isascii():
        return len(text)
    return sum(map(_width, text))


def _width(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Cf", "Me", "Mn"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1


def _padded(cell: str, size: int, width: int, align: str) -> str:
    room = width - size
    if align == "Right":
        return " " * room + cell
    if align == "Center":
        return " " * (room // 2) + cell + " " * (room - room // 2)
    return cell + " " * room
