"""Cut a plain text into spans that fit, where a reader would."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import regex

from gateway_core.text.clusters import boundary_before, is_boundary
from gateway_core.text.fill import furthest

# Each looks for the last break of its class in a window, from the right. The quantifiers are
# bounded or possessive: no text can make them slow.
_PARAGRAPH = regex.compile(r"(?r)\n[^\S\n]*+\n")
_LINE = regex.compile(r"(?r)\n")
_SENTENCE = regex.compile(
    r"(?r)[.!?\u2026][)\]\"'\u201d\u2019\u00bb]{0,3}(?=\s)"
    r"|[\u3002\uff01\uff1f][\u300d\u300f\u201d\uff09]{0,3}"
)
_WORD = regex.compile(r"(?r)\s")
_CLASSES = ((_PARAGRAPH, 0.5), (_LINE, 0.5), (_SENTENCE, 0.5), (_WORD, 0.0))
"""The break classes, best first, with the share of the span that each must leave filled."""

_BLANK = regex.compile(r"\s*+")
_TAIL = regex.compile(r"(?r)\s*+")


def cut(text: str, *, limit: int, measure: Callable[[str], int] = len) -> list[tuple[int, int]]:
    """Spans of `text`, in order, that measure at most `limit` each.

    They cover all of it but white space at the cuts; none is blank. A cut stands between
    paragraphs, else lines, sentences, words, else grapheme clusters, and inside a cluster only
    where that alone is over the limit. `measure` is any function that never shrinks as a text
    grows: UTF-16 units, escaped length, bytes. A text that grows at its end keeps all spans
    but the last. The work is n log n.

    Raises ValueError where one code point alone measures more than `limit`.
    """
    spans: list[tuple[int, int]] = []
    start, guess = 0, limit
    while (first := _skipped(text, start)) < len(text):
        reach = _reach(text, start, limit, measure, guess)
        if reach == len(text):
            spans.append((start, reach))
            break
        if first >= reach:
            start = first
            continue
        guess = reach - start
        end, after = _Window(text, start, reach).cut()
        if end > first:
            spans.append((start, end))
        start = after
    return spans


def _skipped(text: str, start: int) -> int:
    """The first place from `start` on that is not white space."""
    return _BLANK.match(text, start).end()  # type: ignore[union-attr] # it matches anything


def _trimmed(text: str, start: int, end: int) -> int:
    """`end` without the white space before it, `start` at least."""
    return _TAIL.search(text, start, end).start()  # type: ignore[union-attr] # likewise


def _reach(text: str, start: int, limit: int, measure: Callable[[str], int], guess: int) -> int:
    """The furthest end that still measures within the limit."""
    reach = furthest(lambda end: measure(text[start:end]) <= limit, start, len(text), guess)
    if reach == start:
        raise ValueError(f"the character at {start} alone measures more than {limit}")
    return reach


@attrs.frozen
class _Window:
    """The longest stretch that fits, `start..reach`, not blank, with more text behind it.

    Invariant: what is decided here looks no further than the white space behind `reach` and one
    character more, so that a growing text decides the same.
    """

    text: str
    start: int
    reach: int

    def cut(self) -> tuple[int, int]:
        """Where the span ends and where the next one begins, the white space between left out."""
        if _skipped(self.text, self.reach) == len(self.text):
            end = _trimmed(self.text, self.start, self.reach)
            if self._allows(end):
                return end, len(self.text)
        for breaks, fill in _CLASSES:
            end = self._last(breaks, self.start + int((self.reach - self.start) * fill))
            if self._allows(end):
                return end, self._next(end)
        end = boundary_before(self.text, self.start, self.reach)
        return (end, end) if end > self.start else (self.reach, self.reach)

    def _last(self, breaks: regex.Pattern[str], floor: int) -> int:
        """The end of the span at the last break of a class; `start` if there is none."""
        for limit in (self.reach + 1, self.reach):
            found = breaks.search(self.text, floor, limit)
            if found is None:
                break
            end = _trimmed(self.text, self.start, found.end())
            if end <= self.reach:
                return end
        return self.start

    def _allows(self, end: int) -> bool:
        return end > self.start and is_boundary(self.text, self.start, end)

    def _next(self, end: int) -> int:
        """Where the next span begins: behind the white space, an indentation kept."""
        first = _skipped(self.text, end)
        line = self.text.rfind("\n", end, first) + 1
        if line and first - line <= (self.reach - self.start) // 2:
            return line
        # An accent without a letter of its own sits on the space before it: they stay together.
        glued = end < first < len(self.text) and not is_boundary(self.text, end, first)
        return first - 1 if glued else first
