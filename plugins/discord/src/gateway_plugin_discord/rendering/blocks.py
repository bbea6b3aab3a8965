"""Writes the beginnings of a block's lines on Discord, and the fence around a block. Sans-I/O."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final

from gateway_core.text import Block, Kind
from gateway_plugin_discord.rendering.dialect import Mark, fence, fenced

# Enum members as globals: CPython 3.11 takes longer to find one in its class than to make a call.
_HEADING: Final = Kind.HEADING
_CODE: Final = Kind.CODE
_TABLE: Final = Kind.TABLE

_NATIVE_HEADINGS: Final = 3
"""Levels of headings that Discord has; deeper headings, and headings in lists, are bold."""

_BOXES: Final = "☐☑"


def is_solid(block: Block) -> bool:
    """Whether the block is written in a fence: code, or a table, which is written as code."""
    return block.kind is _CODE or block.kind is _TABLE


def is_bold(block: Block) -> bool:
    """Whether the block is a heading that Discord does not have; such headings are bold."""
    return block.kind is _HEADING and leads(block.level, False, block.depth, "")[2]


@lru_cache(1024)
def leads(level: int, quote: bool, depth: int, marker: str) -> tuple[str, str, bool]:
    """The beginning of a block's first line, that of its other lines, and whether all are bold.

    Discord has list markers of its own; a task has its box after the bullet.

    level  the level of a heading; 0: the block is not a heading
    """
    around = "> " if quote else ""
    bold = level > _NATIVE_HEADINGS or (level > 0 and depth > 0)
    if depth == 0:
        sign = "#" * level + " " if level and not bold else ""
        return around + sign, around + sign, bold
    again = around + "  " * depth
    if not marker:
        return again, again, bold
    sign = marker if marker[0].isdigit() else "- "
    box = marker if marker[0] in _BOXES else ""
    return f"{around}{'  ' * (depth - 1)}{sign}{box}", again, bold


def restarts(before: Block, block: Block) -> bool:
    """Whether a numbered item follows another one, but does not have the next number.

    Discord counts on from a list's first number; only a number that is text stays as it is.
    """
    if before.depth != block.depth or not before.marker[:1].isdigit():
        return False
    number = before.marker[:-2]
    return not number.isdigit() or int(number) + 1 != int(block.marker[:-2])


def as_text(marker: str) -> str:
    """The marker as text: a number that Discord shows, but does not count from."""
    return marker.replace(".", "\\.")


def fences(block: Block, text: str) -> Mark:
    """The opening and closing of a code block or table; white space alone cannot be fenced."""
    if not text or text.isspace():
        return "", ""
    if block.quote:
        return f"{fence(block.language)}> ", "\n> ```"
    return fence(block.language), "\n```"


def writes_fenced(block: Block) -> Callable[[str], str]:
    """The function that writes the text of a code block or a table."""
    return _fenced_in_quote if block.quote else fenced


def in_fence(block: Block, text: str, until: int) -> str:
    """A code block or a table of a `text`, up to `until`, with the beginning of its first line."""
    opens, closes = fences(block, text[block.start : block.end])
    content = text[block.start : until]
    if block.quote:
        return f"> {opens}{_fenced_in_quote(content)}{closes}"
    return f"{opens}{fenced(content)}{closes}"


def _fenced_in_quote(text: str) -> str:
    return fenced(text).replace("\n", "\n> ")
