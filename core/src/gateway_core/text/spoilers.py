"""Spoilers, which Markdown has none of: `||so||`, as people write them in chats."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import ClassVar

from gateway_core.text.builder import Builder, Steps
from gateway_core.text.document import Kind, Span, Style
from gateway_core.text.nesting import Nesting

BAR = "||"
_WORDS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_|")
"""A bar that touches one of these on its outer side is none: `a||b||c` is an expression."""


class SpoilerBuilder(Builder):
    """A builder for texts with bars: a block's are looked at when it ends.

    A pair of bars hides what it holds, if that neither begins nor ends with white space, and if no
    style or link crosses it. Bars in code, in tables and behind a backslash are characters.
    """

    def __init__(self, source: str, *, clean: bool) -> None:
        super().__init__(clean=clean)
        self.plain = False
        self.octets = source.encode()
        self.bars: list[int] = []
        self.first_span = 0

    def write(self, text: str, origin: int) -> None:
        """Add visible characters, and remember their bars."""
        super().write(text, origin)
        if BAR not in text or self.table or self.kind is Kind.CODE:
            return
        written = self.pieces[-1]
        escaped = self.octets[origin - 1 : origin] == b"\\"
        at = written.find(BAR, 1 if escaped else 0)
        while at >= 0:
            self.bars.append(self.length - len(written) + at)
            at = written.find(BAR, at + len(BAR))

    def begin(self, origin: int) -> None:
        """Begin a block, without bars so far."""
        super().begin(origin)
        self.bars, self.first_span = [], len(self.spans)

    def finish(self) -> None:
        """End the open block; its bars are paired."""
        if self.open and len(self.bars) > 1:
            self._hide()
        super().finish()

    def _code(self, text: str, origin: int) -> None:
        # A block that begins with code has no bars yet: those here are of the one before.
        known = len(self.bars) if self.open else 0
        super()._code(text, origin)
        del self.bars[known:]

    alone: ClassVar[Steps] = {**Builder.alone, "Code": _code}

    def _hide(self) -> None:
        """Take the bars of each pair out of the open block, and move what stands behind them."""
        pieces, marks = self.before
        text = "".join(self.pieces[pieces:])
        base = self.length - len(text)
        spans = [span for span in self.spans[self.first_span :] if span]
        pairs = list(_pairs(text, base, self.bars, Nesting(spans)))
        bars = [bar for pair in pairs for bar in pair]

        def moved(place: int) -> int:
            count = bisect_left(bars, place)
            inside = max(bars[count - 1] + len(BAR) - place, 0) if count else 0
            return place - count * len(BAR) + inside

        hidden = [Span(low + len(BAR), high, Style.SPOILER) for low, high in pairs]
        kept = [Span(moved(s.start), moved(s.end), s.style, s.value) for s in (*hidden, *spans)]
        kept = sorted(filter(_holds_something, kept), key=_outermost_first)
        self.spans[self.first_span :] = [*kept]
        self.marks[marks:] = [(moved(place), origin) for place, origin in self.marks[marks:]]
        since = bisect_left(self.degraded, (base,))
        self.degraded[since:] = [(moved(place), words) for place, words in self.degraded[since:]]
        self.pieces[pieces:] = [_without(text, [bar - base for bar in bars])]
        self.length -= len(bars) * len(BAR)


def _pairs(
    text: str, base: int, bars: Sequence[int], spans: Nesting[Span]
) -> Iterator[tuple[int, int]]:
    """Which two bars hide what stands between them: the next that can close one that opens."""
    opened: int | None = None
    for bar in bars:
        at = bar - base
        before, after = text[at - 1 : at], text[at + len(BAR) : at + len(BAR) + 1]
        if opened is not None and _closes(before, after) and _nests(opened, bar, spans):
            yield opened, bar
            opened = None
        elif after and not after.isspace() and before not in _WORDS:
            opened = bar


def _closes(before: str, after: str) -> bool:
    return not before.isspace() and after not in _WORDS


def _nests(low: int, high: int, spans: Nesting[Span]) -> bool:
    """Whether no span holds one end of what the bars hide without the other."""
    first, last = low + len(BAR), high + len(BAR)
    around = [*spans.open_at(first), *spans.open_at(high)]
    return first < high and all(s.start <= low and s.end >= last for s in around)


def _holds_something(span: Span) -> bool:
    return span.start < span.end


def _outermost_first(span: Span) -> tuple[int, int]:
    return span.start, -span.end


def _without(text: str, bars: Sequence[int]) -> str:
    edges = [0, *(edge for bar in bars for edge in (bar, bar + len(BAR))), len(text)]
    return "".join(text[low:high] for low, high in zip(edges[::2], edges[1::2], strict=True))
