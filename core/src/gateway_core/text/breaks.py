"""Where a stretch of text that is full is best ended: the break classes, best first."""

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
    """The first place from `start` on that is not white space."""
    return _BLANK.match(text, start).end()  # type: ignore[union-attr]  # it matches anything


def trimmed(text: str, start: int, end: int) -> int:
    """`end` without the white space before it, `start` at least."""
    return _TAIL.search(text, start, end).start()  # type: ignore[union-attr]  # likewise


class Window:
    """The longest stretch that fits, `start..reach`, not blank, with more text behind it.

    seams  places between two blocks, in order: the best class of all
    whole  stretches that no cut may fall into, in order and apart: links, list markers

    Invariant: what is decided here looks no further than the white space behind `reach` and one
    character more, so that a growing text decides the same.
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
        """Where the span ends and where the next one begins, the white space between left out."""
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
        """The end of the span at the last break of a class that is allowed."""
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
        """`place`, or the start of the stretch that is kept whole around it."""
        found = bisect_left(self.whole, (place,)) - 1
        if found < 0:
            return place
        start, end = self.whole[found]
        return start if start < place < end else place

    def _forced(self) -> tuple[int, int]:
        """Inside what is kept whole, if it fills the window alone; inside a cluster likewise."""
        end = boundary_before(self.text, self.start, self.reach)
        return (end, end) if end > self.start else (self.reach, self.reach)

    def _next(self, end: int) -> int:
        """Where the next span begins: behind the white space, an indentation kept."""
        first = skipped(self.text, end)
        if first == len(self.text):
            return first
        line = self.text.rfind("\n", end, first) + 1
        if line and first - line <= (self.reach - self.start) // 2:
            return line
        # An accent without a letter of its own sits on the space before it: they stay together.
        glued = end < first and not is_boundary(self.text, end, first)
        return first - 1 if glued else first
