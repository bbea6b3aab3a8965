"""Finds spoilers, which Markdown does not have: `||so||`, as people write them in chats."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from operator import itemgetter

import attrs

from gateway_core.text.document import Block, Document, Kind, Span, Style
from gateway_core.text.nesting import Nesting
from gateway_core.text.reading.canvas import NOWHERE
from gateway_core.text.tables import Place, Row

_CODE, _SOLID = Style.CODE, (Kind.CODE, Kind.TABLE)

BAR = "||"
_WORDS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_|")
"""A bar that touches one of these on its outer side hides nothing: `a||b||c` is an expression."""


def hidden(document: Document, octets: bytes) -> Document:
    """The document with the text between bars hidden; `octets` are its source.

    A pair of bars hides the text between them if that text neither begins nor ends with white
    space, and if no style or link crosses a bar. Bars in code, in tables and after a backslash are
    ordinary characters.
    """
    pairs = [*_all_pairs(document, octets)]
    if not pairs:
        return document
    bars = [bar for pair in pairs for bar in pair]

    def moved(place: int) -> int:
        count = bisect_left(bars, place)
        inside = max(bars[count - 1] + len(BAR) - place, 0) if count else 0
        return place - count * len(BAR) + inside

    def shifted(row: Row) -> Row:
        start, end, known = row
        back = start - moved(start)
        return start - back, end - back, partial(_back, back, known)

    trace = _traced(document, pairs)
    return attrs.evolve(
        document,
        text=_without(document.text, bars),
        spans=_with_spoilers(document.spans, pairs, moved),
        blocks=tuple([_moved(block, moved) for block in document.blocks]),
        trace=([moved(place) for place, _ in trace], [origin for _, origin in trace]),
        rows=tuple(map(shifted, document.rows)),
        degraded=tuple([(moved(place), words) for place, words in document.degraded]),
    )


def _back(by: int, known: Callable[[], list[Place]]) -> list[Place]:
    return [(place - by, origin) for place, origin in known()]


def _traced(document: Document, pairs: Sequence[tuple[int, int]]) -> list[Place]:
    """The trace, with more places: where each pair's bars begin to hide, and after each bar."""
    known = [*zip(*document.trace, strict=False)]
    begun = {place for place, _ in known}
    edges = [(low, low + len(BAR), high + len(BAR)) for low, high in pairs]
    added: list[Place] = []
    piece, (place, octet) = -1, (0, NOWHERE)
    for edge in chain.from_iterable(edges):
        while piece + 1 < len(known) and known[piece + 1][0] < edge:
            piece += 1
            place, octet = known[piece]
        if octet != NOWHERE and edge not in begun:
            octet += len(document.text[place:edge].encode())
            place = edge
            added.append((place, octet))
    return sorted([*added, *known], key=itemgetter(0))


def _moved(block: Block, moved: Callable[[int], int]) -> Block:
    start, body, end = map(moved, block[:3])
    return block._replace(start=start, body=body, end=end)


def _with_spoilers(
    spans: Sequence[Span], pairs: Sequence[tuple[int, int]], moved: Callable[[int], int]
) -> tuple[Span, ...]:
    """All spans, moved to where they are without bars; a spoiler stays within its quote."""
    hides = [Span(low + len(BAR), high, Style.SPOILER) for low, high in pairs]
    quotes = [span for span in spans if span.style is Style.QUOTE]
    others = [span for span in spans if span.style is not Style.QUOTE]
    kept = [
        Span(moved(start), moved(end), style, value)
        for start, end, style, value in (*quotes, *hides, *others)
    ]
    return tuple(sorted(filter(_holds_something, kept), key=_outermost_first))


def _all_pairs(document: Document, octets: bytes) -> Iterator[tuple[int, int]]:
    """The pairs of bars that hide something, block by block."""
    begun = dict(zip(*document.trace, strict=False))
    for block in document.blocks:
        if block.kind not in _SOLID:
            bars = [*_bars(document, block, begun, octets)]
            if bars[1:]:
                yield from _pairs(document.text, bars, document.nesting)


def _bars(
    document: Document, block: Block, begun: Mapping[int, int], octets: bytes
) -> Iterator[int]:
    """The places of a block's bars that are in no code span and are not escaped.

    begun  where a piece of the source begins in the text, and where that is in the source
    """
    at = document.text.find(BAR, block.body, block.end)
    while at >= 0:
        origin = begun.get(at, 0)
        step = len(BAR)
        if at + 1 in begun or octets[max(origin - 1, 0) : max(origin, 0)] == b"\\":
            step = 1
        elif not any(span.style is _CODE for span in document.nesting.touching(at, at + 1)):
            yield at
        at = document.text.find(BAR, at + step, block.end)


def _pairs(text: str, bars: Sequence[int], spans: Nesting[Span]) -> Iterator[tuple[int, int]]:
    """The pairs of bars that hide text: an opening bar, and the next bar that can close it."""
    opened: int | None = None
    for bar in bars:
        before, after = text[bar - 1 : bar], text[bar + len(BAR) : bar + len(BAR) + 1]
        if opened is not None and _closes(before, after) and _nests(opened, bar, spans):
            yield opened, bar
            opened = None
        elif after and not after.isspace() and before not in _WORDS:
            opened = bar


def _closes(before: str, after: str) -> bool:
    return not before.isspace() and after not in _WORDS


def _nests(low: int, high: int, spans: Nesting[Span]) -> bool:
    """Whether every span holds both ends of the hidden text, or neither."""
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
