"""A last block that is very long, shortened to what its end is understood by."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_LONG: Final = 1500
"""A block that is longer is shortened. No style that is meant is open for as long."""
_KEPT: Final = 600
"""How much of its end is looked at, at least."""
_LINE: Final = re.compile(r"\n(?=[\x20>]*[^\s>|<])")
_SENTENCE: Final = re.compile(r"(?<=[.!?])\x20(?=\w)|(?<=[\u3002\uff01\uff1f])(?=\w)")
_ROW: Final = re.compile(r"[>\x20]*\|")
_CODE_BORDER: Final = "    |"
"""What stands so far in is code, without the list that it is in."""
_TRIES: Final = 20
_ENCLOSING: Final = re.compile(r"```|~~~|\n[\x20>]*<")


class Window(NamedTuple):
    """The lines that a list's inner item stands under, and the block's end from `start` on."""

    head: str
    start: int
    text: str

    def put_back(self, block: str, kept: str) -> str:
        """The whole block, after of the window's text this was `kept`."""
        if not kept.startswith(self.head):
            return block[: self.start]
        return block[: self.start] + kept[len(self.head) :]


def window(block: str) -> Window | None:
    """What to read of a block instead; None: the block, for it is short, or nobody knows.

    A table's rows under each other are shown by its header and the last of them.
    """
    if len(block) < _LONG:
        return None
    last = block.rfind("\n") + 1
    if row := _ROW.match(block, last):
        return _rows(block, last, row.group())
    edge = len(block) - _KEPT
    if _ENCLOSING.search(block) or "|" in block[block.rfind("\n", 0, edge) + 1 : edge]:
        return None
    pattern = _LINE if "\n" in block[edge - _KEPT : edge] else _SENTENCE
    for _, found in zip(range(_TRIES), pattern.finditer(block, edge - _KEPT), strict=False):
        start = found.end()
        if start <= edge and block.count("`", 0, start) % 2 == block.count("**", 0, start) % 2 == 0:
            head = _lines_above(block, start)
            return Window(head, start, head + block[start:])
    return None


def _rows(block: str, last: int, border: str) -> Window | None:
    """The last row of a table behind its header: lines that begin alike are one table's."""
    if ">" in border and border.endswith(_CODE_BORDER):
        return None
    start = following = second = last
    while start > 0:
        above = block.rfind("\n", 0, start - 1) + 1
        if not block.startswith(border, above):
            break
        start, following, second = above, start, following
    if second >= last:
        return None
    head = _lines_above(block, start) + block[start:second]
    return Window(head, last, head + block[last:])


def _lines_above(block: str, start: int) -> str:
    """The items of a list that the one at `start` is in, the outermost first."""
    above: list[str] = []
    depth = _depth(block, start)
    while depth > 0 and start > 0:
        last = block.rfind("\n", 0, start - 1) + 1
        if block[last] not in "\n \t" or (block[last] != "\n" and _depth(block, last) < depth):
            depth = _depth(block, last)
            above.insert(0, block[last:start])
        start = last
    return "".join(above)


def _depth(block: str, start: int) -> int:
    end = start
    while block.startswith(" ", end):
        end += 1
    return end - start
