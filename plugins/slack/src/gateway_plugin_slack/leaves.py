"""A document in stretches of one style each, which are the elements of its rich text. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple, TypeAlias

from gateway_core.text import Document, Kind, Span, Style

FLAGS = {
    Style.BOLD: "bold",
    Style.ITALIC: "italic",
    Style.STRIKE: "strike",
    Style.UNDERLINE: "underline",
    Style.CODE: "code",
}

# Members in names of their own: CPython 3.11 takes longer to find one in its class than to call.
_BOLD, _LINK_STYLE, _HEADING = Style.BOLD, Style.LINK, Kind.HEADING

_TEXT = len('{"type": "text", "text": ""}, ')
_LINK = len('{"type": "link", "url": "", "text": ""}, ')
_STYLED = len(', "style": {}')
_FLAG = len('"": true, ')


class Leaf(NamedTuple):
    """`start..end` of the text in one style.

    size   what the JSON takes besides the text
    again  it has the look of the one before it: a container begins here, and no style
    """

    start: int
    end: int
    style: Mapping[str, bool]
    url: str
    size: int
    again: bool


Look: TypeAlias = tuple[Mapping[str, bool], str, int]
NO_STYLE: Mapping[str, bool] = {}
PLAIN = _TEXT
"""What the JSON of an element without style takes besides its text."""

_PLAIN: Look = (NO_STYLE, "", _TEXT)
_new = tuple.__new__


def leaves_of(document: Document, begun: Iterable[int]) -> list[Leaf]:
    """The stretches in order; one begins at each of the given places, where containers do."""
    spans: Sequence[Span] = document.spans
    bold = [
        Span(block.body, block.end, _BOLD) for block in document.blocks if block.kind is _HEADING
    ]
    if bold:
        spans = sorted([*bold, *spans], key=_outermost_first)
    changes = {0, *[span[0] for span in spans], *[span[1] for span in spans]}
    return _swept(spans, sorted({len(document.text), *begun, *changes}), changes)


def _swept(spans: Sequence[Span], edges: Sequence[int], changes: set[int]) -> list[Leaf]:
    found: list[Leaf] = []
    active: list[Span] = []
    following, count = 0, len(spans)
    look: Look = _PLAIN
    for low, high in pairwise(edges):
        again = low not in changes
        if not again:
            if active:
                active = [span for span in active if span[1] > low]
            while following < count and spans[following][0] <= low:
                active.append(spans[following])
                following += 1
            look = _look(active) if active else _PLAIN
        style, url, size = look
        found.append(_new(Leaf, (low, high, style, url, size, again)))
    return found


def _look(active: Sequence[Span]) -> Look:
    """The style, the address and the size of what stands in these spans."""
    address = ""
    for span in active:
        if span[2] is _LINK_STYLE:
            address = span[3]
    style, more = _styled(tuple([span[2] for span in active]))
    return style, address, (_LINK + len(address) if address else _TEXT) + more


@lru_cache(maxsize=256)
def _styled(styles: tuple[Style, ...]) -> tuple[Mapping[str, bool], int]:
    style = {FLAGS[one]: True for one in styles if one in FLAGS}
    size = _STYLED + sum(_FLAG + len(name) for name in style) if style else 0
    return style, size


def _outermost_first(span: Span) -> tuple[int, int]:
    return span[0], -span[1]
