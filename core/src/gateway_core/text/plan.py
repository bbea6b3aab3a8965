"""Plans styled text as parts, filled greedily by what a stretch costs on a channel. Sans-I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property
from itertools import pairwise
from typing import Final

import attrs

from gateway_core.contract.envelopes import Part
from gateway_core.contract.fast_init import fast_init
from gateway_core.text.breaks import skipped
from gateway_core.text.cut import Filling
from gateway_core.text.document import Block, Document, Kind, Style
from gateway_core.text.rendering import Rendering

BARE: Final = "formatting left out where it does not fit"
"""The degradation of a part whose markup alone is over the limit."""


# Enum members as globals: in CPython 3.11 finding one in its class takes longer than a call.
_CODE: Final = Style.CODE
_LINK: Final = Style.LINK
_PARAGRAPH: Final = Kind.PARAGRAPH
_HEADING: Final = Kind.HEADING
_TABLE: Final = Kind.TABLE

_HEADER_SHARE: Final = 3

_part: Final = fast_init(Part)


def plan(
    document: Document, render: Callable[[Document], Rendering], *, limit: int
) -> tuple[Part, ...]:
    """The parts of `document`, each within `limit` by its rendering's own cost.

    The parts' visible text is the document's, in the same styles, except for white space at the
    cuts and repeated headers. A cut is between blocks if possible, else as in `cut`, and never in a
    link, a code span, a list marker or a table's header that fits a part. Each part's span is the
    stretch of the source that the part came from; together the spans are the whole source. For an
    `Excerpt`, parts and spans are those of its stretch.

    Planning is sans-I/O and n log n. If a text grows at its end, the parts before the last stay the
    same, as long as Markdown reads their text in the same way.
    """
    document = _without_long_headers(document, limit)
    ruler = _Ruler(document, render, limit)
    stretches = ruler.stretches()
    first, last = document.shown or (0, len(document.source))
    origins = [document.source_at(start) - first for start, _ in stretches[1:]]
    origins = [0, *origins, last - first]
    ends = [stretches[0][0], *(end for _, end in stretches)] if stretches else ()
    return tuple(
        ruler.part(stretch, span, after)
        for stretch, span, after in zip(stretches, pairwise(origins), ends, strict=False)
    )


class _Ruler:
    """Measures stretches by a rendering; leaves out markup that alone is over the limit."""

    def __init__(
        self, document: Document, render: Callable[[Document], Rendering], limit: int
    ) -> None:
        self.document = document
        self.render = render
        self.limit = limit
        self.rendering = render(document)
        self.bare: dict[int, bool] = {}

    def stretches(self) -> list[tuple[int, int]]:
        """The stretch of each part. Most texts fit into one part, so that is tried first."""
        low, high = self.document.window()
        text = self.document.text[:high]
        blank = skipped(text, low) == high
        if not blank and self.rendering.cost(low, high) <= self.limit:
            return [(low, high)]
        seams, whole = _seams(self.document), _whole(self.document, self.limit)
        return list(Filling(text, self.cost, self.limit, self.limit, seams, whole, low))

    def cost(self, start: int, end: int) -> int:
        cost = self.rendering.cost(start, end)
        bare = cost > self.limit and self._bare_at(start)
        return self._unstyled.cost(start, end) if bare else cost

    def _bare_at(self, start: int) -> bool:
        """Whether the markup at `start` leaves no room for one character."""
        if start not in self.bare:
            self.bare[start] = self.rendering.cost(start, start + 1) > self.limit
        return self.bare[start]

    @cached_property
    def _unstyled(self) -> Rendering:
        return self.render(without_styles(self.document))

    def part(self, stretch: tuple[int, int], span: tuple[int, int], after: int) -> Part:
        """The part of a stretch; `after`: where the one before ends, and white space follows.

        What is written out may begin with that white space, and so does its loss.
        """
        start, end = stretch
        degraded = self.document.degraded_in(after, end) if self.document.degraded else ()
        rendering = self.rendering
        if self.bare.get(start) and rendering.cost(start, end) > self.limit:
            rendering = self._unstyled
            degraded = (*degraded, BARE)
        return _part(payload=rendering.payload(start, end), span=span, degraded=degraded)


def _without_long_headers(document: Document, limit: int) -> Document:
    """The document without repeating table headers that would take a third of every message."""
    most = limit // _HEADER_SHARE
    tables = [block for block in document.blocks if block[3] is _TABLE]
    long = {block for block in tables if block.body - block.start > most}
    if not long:
        return document
    blocks = [b._replace(body=b.start) if b in long else b for b in document.blocks]
    return attrs.evolve(document, blocks=tuple(blocks))


def without_styles(document: Document) -> Document:
    """The document's visible text as one paragraph without styles."""
    end = len(document.text)
    block = Block(0, 0, end, _PARAGRAPH)
    return attrs.evolve(document, spans=(), blocks=(block,))


def _seams(document: Document) -> list[int]:
    """The best places for a cut: after each block."""
    return [block[2] for block in document.blocks]


def _whole(document: Document, limit: int) -> list[tuple[int, int]]:
    """Stretches that are not cut if they fit, such as links and code spans; in order, no overlaps.

    A marker stays with the first character after it, and a table's header with the first row. A
    block that announces the next block (a heading, a paragraph that ends in a colon) stays with it.
    """
    kept = _apart(_kept(document), limit // 2)
    return _apart([*kept, *_announced(document)], limit // 2)


def _apart(stretches: Iterable[tuple[int, int]], most: int) -> list[tuple[int, int]]:
    """The stretches in order, with overlapping ones joined if the result is no longer than `most`.

    If it would be longer, the first stretch ends where the second begins.
    """
    apart: list[tuple[int, int]] = []
    first = last = 0
    for start, end in sorted(stretches):
        if end - start > most:
            continue
        if start < last and max(last, end) - first <= most:
            last = max(last, end)
            continue
        last = min(last, start)
        if first < last:
            apart.append((first, last))
        first, last = start, end
    return [*apart, (first, last)] if first < last else apart


def _kept(document: Document) -> list[tuple[int, int]]:
    text = document.text
    kept = [
        (start, end) for start, end, style, _ in document.spans if style is _LINK or style is _CODE
    ]
    for start, body, end, kind, _, _, _, _, _ in document.blocks:
        if kind is _HEADING:
            kept.append((start, end))
        if body > start:
            kept.append(
                (start, min(body + 1, end) if kind is not _TABLE else _row(text, body, end))
            )
    return kept


def _row(text: str, start: int, end: int) -> int:
    """The end of the table's row that begins at `start`."""
    feed = text.find("\n", start, end)
    return end if feed < 0 else feed


def _announced(document: Document) -> list[tuple[int, int]]:
    announced: list[tuple[int, int]] = []
    text, end = document.text, 0
    announces = False
    for start, _, ended, kind, _, _, _, _, _ in document.blocks:
        if announces:
            announced.append((end - 1, start + 1))
        end = ended
        announces = kind is _HEADING or (kind is _PARAGRAPH and text[end - 1] == ":")
    return announced
