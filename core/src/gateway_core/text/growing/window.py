"""Shortens a very long last block to what is needed to understand its end."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_LONG: Final = 1500
"""Characters from which a block is shortened. No intended style is open for so long."""
_VERY_LONG: Final = 8000
"""Characters from which a block without a good place to cut is cut wherever a word ends."""
_KEPT: Final = 600
"""Characters of the block's end that are kept, at least."""
_LINE: Final = re.compile(r"\n(?=[\x20>]*[^\s>|<])")
_SENTENCE: Final = re.compile(r"(?<=[.!?])\x20(?=\w)|(?<=[\u3002\uff01\uff1f])(?=\w)")
_ROW: Final = re.compile(r"[>\x20]*\|")
_CODE_BORDER: Final = "    |"
"""A border with this indentation would be read as code without its list."""
_TRIES: Final = 20
_ENCLOSING: Final = re.compile(r"```|~~~|\n[\x20>]*<")


class Window(NamedTuple):
    """What is read of a block: `head`, the lines needed above, then the block from `start` on."""

    head: str
    start: int
    text: str

    def put_back(self, block: str, kept: str) -> str:
        """The whole block, with its end changed as in `kept`, the window's text after healing."""
        if not kept.startswith(self.head):
            return block[: self.start]
        return block[: self.start] + kept[len(self.head) :]


def window(block: str) -> Window | None:
    """What to read in place of a block; None: read the block, which is short or cannot be cut.

    For a table, this is its header and its last row.
    """
    if len(block) < _LONG:
        return None
    last = block.rfind("\n") + 1
    if row := _ROW.match(block, last):
        return _rows(block, last, row.group())
    edge = len(block) - _KEPT
    if _ENCLOSING.search(block) or "|" in block[block.rfind("\n", 0, edge) + 1 : edge]:
        return _after_a_word(block, edge)
    pattern = _LINE if "\n" in block[edge - _KEPT : edge] else _SENTENCE
    for _, found in zip(range(_TRIES), pattern.finditer(block, edge - _KEPT), strict=False):
        start = found.end()
        if start <= edge and block.count("`", 0, start) % 2 == block.count("**", 0, start) % 2 == 0:
            head = _lines_above(block, start)
            return Window(head, start, head + block[start:])
    return _after_a_word(block, edge)


def _after_a_word(block: str, edge: int) -> Window | None:
    """What to read of a very long block that cannot be cut well; None: it is not that long."""
    if len(block) < _VERY_LONG:
        return None
    space = block.rfind(" ", edge - _KEPT, edge)
    start = edge if space < 0 else space + 1
    return Window("", start, block[start:])


def _rows(block: str, last: int, border: str) -> Window | None:
    """A table's header and last row; lines that begin alike belong to one table."""
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
    """The lines of the list items that hold the item at `start`, the outermost first."""
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
