"""Indexes nested stretches by place, to find those that touch a part of the text."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

Nested = TypeVar("Nested", bound=tuple[Any, ...])
"""A tuple whose first two items are the stretch's start and end."""


class Nesting(Generic[Nested]):
    """An index of stretches that nest and are sorted by start, the longer first.

    Invariant: `parents[i]` is the innermost stretch that holds stretch `i`. So the stretches that
    are open at a place are found among the last one that begins before it and its ancestors.
    """

    def __init__(self, items: Sequence[Nested]) -> None:
        self.items = items
        self.starts = [item[0] for item in items]
        self.parents = _parents(items)

    def begun(self, start: int, end: int) -> int:
        """How many stretches begin in `start..end`."""
        return bisect_left(self.starts, end) - bisect_left(self.starts, start)

    def open_at(self, place: int) -> list[Nested]:
        """The stretches that begin before `place` and end after it, outermost first."""
        found = []
        index = bisect_left(self.starts, place) - 1
        while index >= 0:
            item = self.items[index]
            if item[1] > place:
                found.append(item)
            index = self.parents[index]
        return found[::-1]

    def touching(self, start: int, end: int) -> list[Nested]:
        """The stretches with characters in `start..end`, in order."""
        first, last = bisect_left(self.starts, start), bisect_left(self.starts, end)
        return [*self.open_at(start), *self.items[first:last]]


def _parents(items: Sequence[Nested]) -> list[int]:
    parents: list[int] = []
    open_now: list[int] = []
    for index, item in enumerate(items):
        while open_now and items[open_now[-1]][1] <= item[0]:
            open_now.pop()
        parents.append(open_now[-1] if open_now else -1)
        open_now.append(index)
    return parents
