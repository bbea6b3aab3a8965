"""Finds where a text can be cut without splitting what a reader sees as one character."""

from __future__ import annotations

from typing import Final

import regex

_CLUSTER: Final = regex.compile(r"\X")
_ANCHOR: Final = regex.compile(r"(?r)[ -~](?=[ -~])")
_SLICE: Final = 64


def boundary_before(text: str, start: int, end: int) -> int:
    """The last cluster boundary in `start..end`; `start` counts as one.

    Text after `end` is looked at as far as the rules ask (one character), so that a boundary stays
    a boundary when the text grows.
    """
    if end >= len(text) or _plain_pair(text, end):
        return end
    here = _anchor(text, start, end)
    width = _SLICE
    while here < end:
        there = _walk(text[here : min(here + width, end + 1)], end - here)
        if there == 0:
            if here + width > end:
                break
            width *= 2
            continue
        here, width = here + there, _SLICE
    return here


def is_boundary(text: str, start: int, place: int) -> bool:
    """Whether a cut at `place` splits no cluster, counting clusters from the boundary `start`."""
    return boundary_before(text, start, place) == place


def _plain_pair(text: str, place: int) -> bool:
    pair = text[place - 1 : place + 1] if place else ""
    return len(pair) == 2 and pair.isascii() and pair != "\r\n"  # noqa: PLR2004 - a pair


def _anchor(text: str, start: int, end: int) -> int:
    """A boundary near `end`: between two printable ASCII characters there is always one."""
    found = _ANCHOR.search(text, start, end)
    return found.end() if found else start


def _walk(piece: str, end: int) -> int:
    r"""The furthest boundary up to `end` that is certain within `piece`.

    Invariant: `piece` begins at a boundary, so its flags pair up as in the whole text. Its last
    cluster may go on after the piece, so that cluster's end is not certain. Pieces are short, since
    `\X` looks back over all flags before it, which is quadratic in a long run of flags.
    """
    last = 0
    for found in _CLUSTER.finditer(piece):
        if found.end() > end or found.end() == len(piece):
            break
        last = found.end()
    return last
