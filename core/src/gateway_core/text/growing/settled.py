"""Finds the beginning of a growing Markdown text that may be shown if nothing can be taken back."""

from __future__ import annotations

import re
from typing import Final

from gateway_core.text.growing.heal import healed
from gateway_core.text.growing.region import last_region

_SIGN: Final = re.compile(r"\*+|_+|~+|`+|\|\|+|!?\[|\||<|\\|&")
"""Signs that may begin something that is still open."""
_TRIES: Final = 12
"""How many of these signs are tried, the last one first."""
_WORK: Final = 20_000
"""Most characters that are read for these tries, in long blocks."""


def settled(text: str) -> str:
    """The beginning of the unfinished Markdown `text` whose look will not change any more.

    Anything open at the end (a style, code, half a link, half a row) is left out until it has
    closed; complete lines of code in a fence are included. White space at the end is left out. Any
    text is accepted; nothing is raised. For two beginnings of one text, the longer result begins
    with the shorter one, except where a later line changes the meaning of an earlier one.
    """
    start, fence = last_region(text)
    if fence:
        code = text.find("\n", start) + 1
        end = text.rfind("\n") + 1
        return text[: end if code and end > code else start].rstrip()
    shown = healed(text)
    if text.startswith(shown):
        return shown
    end = _common(text, shown)
    work = _WORK
    signs = [found.start() for found in _SIGN.finditer(text, start, end)]
    for place in (end, *signs[: -_TRIES - 1 : -1]):
        kept = text[:place].rstrip()
        if healed(kept) == kept:
            return kept
        work -= place - start
        if work < 0:
            break
    kept = text[:start].rstrip()
    return kept if healed(kept) == kept else ""


def _common(text: str, other: str) -> int:
    """How many characters the two texts have in common at their beginning."""
    low, high = 0, min(len(text), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if text.startswith(other[low:middle], low):
            low = middle
        else:
            high = middle - 1
    return low
