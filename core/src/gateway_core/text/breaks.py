"""Finds where a full stretch of text is best cut, by classes of breaks, the best first."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Final

import regex

from gateway_core.text.clusters import boundary_before, is_boundary

# Each looks for the last break of its class in a window, from the right. The quantifiers are
# bounded or possessive: no text can make them slow.
_PARAGRAPH: Final = regex.compile(r"(?r)\n[^\S\n]*+\n")
_LINE: Final = regex.compile(r"(?r)\n")
_SENTENCE: Final = regex.compile(
    r"(?r)[.!?\u2026][)\]\"'\u201d\u2019\u00bb]{0,3}(?=\s)"
    r"|[\u3002\uff01\uff1f][\u300d\u300f\u201d\uff09]{0,3}"
)
_WORD: Final = regex.compile(r"(?r)[\s\x1c-\x1f]")
_SEAM_FILL: Final = 0.5
_CLASSES: Final = ((_PARAGRAPH, 0.5), (_LINE, 0.5), (_SENTENCE, 0.5), (_WORD, 0.0))
"""The break classes below a seam, with the share of the span that each must leave filled."""

# White space as str.isspace has it; `\s` leaves four separators out.
_BLANK: Final = regex.compile(r"[\s\x1c-\x1f]*+")
_TAIL: Final = regex.compile(r"(?r)[\s\x1c-\x1f]*+")


def skipped(text: str, start: int) -> int:
    """The first place from `start` on that is no white space."""
    return _BLANK.match(text, start).end()  # type: ignore[union-attr]  # it matches anything


def trimmed(text: str, start: int, end: int) -> int:
    """The place `end` moved back over the white space before it, at most to `start`."""
    return _TAIL.search(text, start, end).start()  # type: ignore[union-attr]  # likewise


class Window:
    """The longest stretch that fits, `start..reach`, not blank, with more text after it.

    seams  places between two blocks, in order: the best places for a cut
    whole  stretches that no cut may split, in order, without overlaps: links, list markers

    Invariant: decisions depend on no text further than the white space after `reach` and one more
    character, so that they stay the same when the text grows.
    """

    def __init__(
        self,
        text: str,
        start: int,
        reach: int,
        seams: Sequence[int] = (),
        whole: Sequence[tuple[int, int]] = (),
    ) -> None:
        self.text, self.start, self.reach = text, start, reach
        self.seams, self.whole = seams, whole

    def cut(self) -> tuple[int, int]:
        """Where the span ends and where the next span begins, without the white space between."""
        chosen = self._chosen()
        if chosen is not None:
            return chosen, self._next(chosen)
        end = boundary_before(self.text, self.start, self._outside(self.reach))
        return (end, end) if end > self.start else self._forced()

    def _chosen(self) -> int | None:
        if skipped(self.text, self.reach) == len(self.text):
            end = trimmed(self.text, self.start, self.reach)
            if self._allows(end):
                return end
        chosen = self._seam()
        classes = iter(_CLASSES)
        while chosen is None and (following := next(classes, None)):
            breaks, fill = following
            chosen = self._last(breaks, self._floor(fill))
        return chosen

    def _floor(self, fill: float) -> int:
        return self.start + int((self.reach - self.start) * fill)

    def _seam(self) -> int | None:
        found = bisect_right(self.seams, self.reach)
        end = self.seams[found - 1] if found else self.start
        return end if end > self._floor(_SEAM_FILL) and self._allows(end) else None

    def _last(self, breaks: regex.Pattern[str], floor: int) -> int | None:
        """The end of the span at the last allowed break of a class; None: there is none."""
        limit = self.reach + 1
        while found := breaks.search(self.text, floor, limit):
            end = trimmed(self.text, self.start, found.end())
            if end <= self.reach and self._allows(end):
                return end
            limit = min(self._outside(end), limit - 1)
            if limit <= max(floor, self.start):
                break
        return None

    def _allows(self, end: int) -> bool:
        if end <= self.start or self._outside(end) != end:
            return False
        return is_boundary(self.text, self.start, end)

    def _outside(self, place: int) -> int:
        """`place`, or the start of the stretch in `whole` that contains it."""
        found = bisect_left(self.whole, (place,)) - 1
        if found < 0:
            return place
        start, end = self.whole[found]
        return start if start < place < end else place

    def _forced(self) -> tuple[int, int]:
        """A cut inside a whole stretch, or even inside a cluster, that alone fills the window."""
        end = boundary_before(self.text, self.start, self.reach)
        return (end, end) if end > self.start else (self.reach, self.reach)

    def _next(self, end: int) -> int:
        """Where the next span begins: after the white space, but before a line's indentation."""
        first = skipped(self.text, end)
        if first == len(self.text):
            return first
        line = self.text.rfind("\n", end, first) + 1
        if line and first - line <= (self.reach - self.start) // 2:
            return line
        # An accent without a letter of its own belongs to the space before it: both stay together.
        glued = end < first and not is_boundary(self.text, end, first)
        return first - 1 if glued else first
