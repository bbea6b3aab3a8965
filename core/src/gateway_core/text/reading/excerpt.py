"""Defines a stretch of a Markdown text that keeps its look, so that it can be planned again."""

from __future__ import annotations

from typing import Self


class Excerpt(str):
    """The stretch `start..end` of `whole`.

    As a string it is only the stretch. `parse` reads the whole text, and shows the stretch as it
    appears there: in its lists, quotes and styles, below its table's header, in its fence. So one
    part of a plan can be planned again from its span, although Markdown cannot express some
    stretches alone (the second item of an inner list, the middle of a fence).
    """

    __slots__ = ("end", "start", "whole")

    whole: str
    start: int
    end: int

    def __new__(cls, whole: str, start: int, end: int) -> Self:
        """The stretch of `whole`; places in code points."""
        stretch = super().__new__(cls, whole[start:end])
        stretch.whole, stretch.start, stretch.end = whole, start, end
        return stretch
