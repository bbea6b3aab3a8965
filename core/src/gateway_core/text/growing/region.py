"""Finds where a text's last block begins, without parsing what stands before it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

_LASTING: Final = re.compile(
    r"^\x20{0,3}<(?:!|\?|(?:pre|script|style|textarea)\b)", re.MULTILINE | re.IGNORECASE
)
"""Beginnings of HTML that continues across blank lines."""
_INDENT: Final = 3
"""Most spaces that may stand before a fence."""
_ORDERED: Final = re.compile(r"\d{1,9}[.)]\x20")
_ORDERED_LINE: Final = re.compile(r"\n(?=\d{1,9}[.)]\x20+\S)")
_ITEM: Final = re.compile(r"(?:[-+*]|\d{1,9}[.)])(?:\x20|\Z)")
_LOOK: Final = 2000
"""Characters before the end in which a list item at the first column is looked for."""


def last_region(text: str) -> tuple[int, bool]:
    """The place from which `text` can be read alone, and whether an unclosed fence begins there.

    The text from there on looks as it does in the whole text, apart from list numbers. The fence,
    if there is one, begins at that place, in no list and no quote.
    """
    signs = [sign for sign in ("```", "~~~") if sign in text]
    floor, at = 0, _next_fence(text, 0, signs)
    before, is_item = 0, False
    while at >= 0:
        line = text.rfind("\n", 0, at) + 1
        if _is_below_html(text, floor, line):
            return floor, False
        if at == line:
            end = _closed_at(text, at)
            if end < 0:
                return at, True
            floor, is_item = min(end + 1, len(text)), False
        else:
            is_item = _is_in_item(text, before, line, known=is_item)
            end = _end_in_item(text, at) if is_item else _closed_at(text, at)
            if end < 0:
                break
        before = end
        at = _next_fence(text, end, signs)
    limit = len(text) if at < 0 else text.rfind("\n", 0, at) + 1
    if "<" in text and _LASTING.search(text, floor):
        return floor, False
    return _last_start(text, floor, limit), False


def _next_fence(text: str, start: int, signs: Sequence[str]) -> int:
    """The next place where a fence may begin outside quotes, at the first columns; -1: none."""
    at = start
    while True:
        found = [place for sign in signs if (place := text.find(sign, at)) >= 0]
        at = min(found, default=-1)
        if at < 0:
            return at
        line = text.rfind("\n", 0, at) + 1
        if at - line <= _INDENT and not text[line:at].strip(" "):
            end = text.find("\n", at)
            rest = text[at : end if end >= 0 else len(text)]
            if rest[0] == "~" or "`" not in rest.lstrip("`"):
                return at
        at += len(_run(text, at))


def _run(text: str, at: int) -> str:
    """The run of equal signs from `at` on."""
    end = at + 1
    while text.startswith(text[at], end):
        end += 1
    return text[at:end]


def _closed_at(text: str, at: int) -> int:
    """The end of the closing fence's line, for a fence at `at` in no container; -1: it is open."""
    run = _run(text, at)
    here = text.find("\n", at)
    while here >= 0:
        here = text.find(run, here)
        if here < 0:
            return here
        line = text.rfind("\n", 0, here) + 1
        end = text.find("\n", here)
        last = len(text) if end < 0 else end
        indent = text[line:here]
        alone = not (indent.strip(" ") or text[here:last].rstrip().strip(run[0]))
        if alone and len(indent) <= _INDENT:
            return last
        here = end
    return -1


def _is_below_html(text: str, floor: int, line: int) -> bool:
    """Whether a line may belong to HTML, which goes on until a blank line; the parser decides."""
    blank = text.rfind("\n\n", floor, line)
    return text.startswith("<", blank + 2 if blank >= 0 else floor)


def _is_in_item(text: str, start: int, line: int, *, known: bool) -> bool:
    """Whether an indented line is in a list item.

    The last line at the first column decides; `known` is the answer for `start`.
    """
    before = line
    while before > start:
        before = text.rfind("\n", 0, before - 1) + 1
        if before >= start and text[before] not in " \t\n":
            return bool(_ITEM.match(text, before))
    return known


def _end_in_item(text: str, at: int) -> int:
    """Where a fence in an item ends: at a closing fence of any depth or with the list; -1: none."""
    run = re.escape(_run(text, at))
    end = text.find("\n", at)
    closing = re.compile(rf"^(?:(?=\S)|[\x20\t]+{run}{run[-1]}*[\x20\t]*$)", re.MULTILINE)
    found = closing.search(text, end + 1) if end >= 0 else None
    return found.end() if found else -1


def _last_start(text: str, floor: int, limit: int) -> int:
    """The start of the last line up to `limit` that begins a block at the first column."""
    start, end = floor, limit
    while (end := text.rfind("\n\n", floor, end)) >= 0:
        if end + 2 < len(text) and not text[end + 2].isspace():
            start = end + 2
            break
    if text.startswith("<", start) or text.find("\n<", start) >= 0:
        return start
    bullet = max(text.rfind(mark, max(start, limit - _LOOK), limit) for mark in _BULLETS) + 1
    if _ORDERED.match(text, start):
        for found in _ORDERED_LINE.finditer(text, max(bullet, start, limit - _LOOK), limit):
            bullet = found.end()
    return max(start, bullet)


_BULLETS: Final = ("\n- ", "\n* ", "\n+ ")
