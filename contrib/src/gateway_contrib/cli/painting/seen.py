"""Values for a message as a reader sees it: lines, made of runs that have one style each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

BULLETS = "•◦▪"
"""The bullets of a list's levels, as the platforms' clients draw them."""


class Run(NamedTuple):
    """Characters in one style: bold, italic, strike, underline, spoiler, code, link, mention."""

    text: str
    styles: frozenset[str] = frozenset()


class Line(NamedTuple):
    """One line, before it is wrapped.

    code     the number of the code block that the line is in, counted from 1; 0: none
    language of the code block, on its first line, if the platform shows the language
    heading  the heading's level, if the platform shows headings larger; 0: no heading
    quote    whether the line is in a quote
    indent   levels of lists around the line; `marker` is the bullet or number before an item
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
        """The line's characters, including the marker."""
        return self.marker + "".join(run.text for run in self.runs)


def split(runs: Iterable[Run]) -> Iterator[tuple[Run, ...]]:
    """The runs of each line. A line feed ends a line; neighbouring runs of one style are joined."""
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
