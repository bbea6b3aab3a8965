"""A message as a reader sees it: lines of runs in one style each. Values only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

BULLETS = "•◦▪"
"""The signs of a list's levels, as the platforms' clients draw them."""


class Run(NamedTuple):
    """Characters in one style: bold, italic, strike, underline, spoiler, code, link, mention."""

    text: str
    styles: frozenset[str] = frozenset()


class Line(NamedTuple):
    """One line, before it is wrapped.

    code     the number of the block of code that it stands in, counted from 1; 0: none
    language of that block, on its first line, where it is shown
    heading  its level, where the platform shows headings larger; 0: none
    quote    it stands behind a quote's bar
    indent   levels of a list around it; `marker` is what stands before its first line
    """

    runs: tuple[Run, ...] = ()
    code: int = 0
    language: str = ""
    heading: int = 0
    quote: bool = False
    indent: int = 0
    marker: str = ""

    @property
    def text(self) -> str:
        """Its characters, the marker's too."""
        return self.marker + "".join(run.text for run in self.runs)


def split(runs: Iterable[Run]) -> Iterator[tuple[Run, ...]]:
    """The runs of each line: a line feed in a run ends one. Neighbours of one style are one."""
    line: list[Run] = []
    for run in runs:
        first, *others = run.text.split("\n")
        _append(line, first, run.styles)
        for words in others:
            yield tuple(line)
            line = []
            _append(line, words, run.styles)
    yield tuple(line)


def _append(line: list[Run], text: str, styles: frozenset[str]) -> None:
    if line and line[-1].styles == styles:
        line[-1] = Run(line[-1].text + text, styles)
    elif text:
        line.append(Run(text, styles))
