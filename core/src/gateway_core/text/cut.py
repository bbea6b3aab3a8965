"""Cuts a plain text into spans that fit, at the places where a reader would cut."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from gateway_core.text.breaks import Window, skipped
from gateway_core.text.fill import furthest


def cut(text: str, *, limit: int, measure: Callable[[str], int] = len) -> list[tuple[int, int]]:
    """Spans of `text`, in order, that measure at most `limit` each.

    The spans cover the whole text except white space at the cuts; no span is blank. A cut is
    between paragraphs if possible, else between lines, sentences, words or grapheme clusters, and
    inside a cluster only if the cluster alone is over the limit. `measure` is any function whose
    result never shrinks when a text grows: UTF-16 units, escaped length, bytes. If a text grows at
    its end, all spans but the last stay the same. The work is n log n.

    Raises ValueError if a single code point measures more than `limit`.
    """

    def cost(start: int, end: int) -> int:
        return measure(text[start:end])

    return list(Filling(text, cost, limit, guess=limit))


class Filling:
    """Greedy filling: the spans of `text` whose `cost(start, end)` is within the limit.

    `cost` must never shrink when `end` grows. `seams` and `whole` are as in `Window`. `start` is
    where the first span may begin.
    """

    def __init__(
        self,
        text: str,
        cost: Callable[[int, int], int],
        limit: int,
        guess: int,
        seams: Sequence[int] = (),
        whole: Sequence[tuple[int, int]] = (),
        start: int = 0,
    ) -> None:
        self.text, self.cost, self.limit, self.guess = text, cost, limit, guess
        self.seams, self.whole, self.start = seams, whole, start

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """The spans in order. Raises ValueError if a single code point does not fit."""
        start = self.start
        while (first := skipped(self.text, start)) < len(self.text):
            reach = self._reach(start)
            if first >= reach:
                start = first
            elif reach == len(self.text):
                yield start, reach
                return
            else:
                end, after = Window(self.text, start, reach, self.seams, self.whole).cut()
                if end > first:
                    yield start, end
                start = after

    def _reach(self, start: int) -> int:
        """The furthest end that still fits."""
        end = len(self.text)
        reach = furthest(partial(self.cost, start), self.limit, start, end, self.guess)
        if reach == start:
            raise ValueError(f"the character at {start} alone is over the limit")
        self.guess = reach - start
        return reach
