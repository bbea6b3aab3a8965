"""What the JSON of any stretch's rich text takes: sums over the document, made once.

Besides the characters, each element of one style and each container take their braces and names; a
link takes its address as often as its words change their style. Never less than what is written.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate

from gateway_core.text import Document, Kind, Span, Style
from gateway_plugin_slack.grouping import (
    FLAGS,
    PING,
    grouped,
    listed,
    number,
    outermost_first,
    swept,
)

_TEXT = len('{"type": "text", "text": ""}, ')
_LINK = len('{"type": "link", "url": "", "text": ""}, ')
_STYLED = len(', "style": {}')
_FLAG = len('"": true, ')
_CALL = len('{"type": "usergroup", "usergroup_id": ""}, ') + _TEXT

_BORDER = len(', "border": 1')
_SECTION = len('{"type": "rich_text_section", "elements": []}, ')
_SOLID = len('{"type": "rich_text_preformatted", "elements": []}, ')
_LIST = len('{"type": "rich_text_list", "style": "ordered", "elements": [], "indent": 8}, ')
_OFFSET = len(', "offset": ')
_AROUND = len('[{"type": "rich_text", "elements": []}]')
_AGAIN = _SOLID + _LIST + _OFFSET + 9 + 2 * _BORDER
"""Where a part begins inside a list: what is left of an item is a section, and a list follows."""


class Sizes:
    """Of one document."""

    def __init__(self, document: Document, *, mentions: bool) -> None:
        containers = list(_containers(document))
        leaves = list(_leaves(document, [place for place, _ in containers]))
        self.starts = [place for place, _ in leaves]
        self.leaves = [size for _, size in leaves]
        sizes = sorted([*leaves, *containers, *(_calls(document) if mentions else ())])
        self.places = [place for place, _ in sizes]
        self.sums: list[int] = [0, *accumulate([size for _, size in sizes])]

    def between(self, start: int, end: int) -> int:
        """What `start..end` takes besides its characters; never less for a greater `end`."""
        first, last = bisect_left(self.places, start), bisect_left(self.places, end)
        begun = bisect_right(self.starts, start) - 1
        open_now: int = self.leaves[begun] if begun >= 0 else _TEXT
        return _AROUND + _AGAIN + open_now + self.sums[last] - self.sums[first]


def _leaves(document: Document, begun: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Where an element of one style may begin, and what it takes; one does in each container."""
    headings = [
        Span(block.body, block.end, Style.BOLD)
        for block in document.blocks
        if block.kind is Kind.HEADING
    ]
    spans: Sequence[Span] = document.spans
    if headings:
        spans = sorted([*headings, *spans], key=outermost_first)
    edges = {len(document.text), *begun}
    for span in spans:
        edges |= {span.start, span.end}
    for low, _, active in swept(spans, sorted(edges)):
        yield low, _leaf(active) if active else _TEXT


def _leaf(active: Sequence[Span]) -> int:
    size, names = _TEXT, set()
    for span in active:
        if span.style is Style.LINK and span.value:
            size = _LINK + len(span.value)
        elif flag := FLAGS.get(span.style):
            names.add(flag)
    return size + _STYLED + sum(_FLAG + len(name) for name in names) if names else size


def _containers(document: Document) -> Iterator[tuple[int, int]]:
    for blocks in grouped(iter(document.blocks)):
        first = blocks[0]
        border = _BORDER if first.quote else 0
        if first.kind is Kind.CODE or first.kind is Kind.TABLE:
            yield first.start, _SOLID + border
        elif not listed(first):
            yield first.start, _SECTION
        else:
            counted = 0 if number(first) is None else _OFFSET + len(first.marker)
            yield first.start, _LIST + counted + border
            yield from [(block.start, _SECTION) for block in blocks if block.marker]


def _calls(document: Document) -> Iterator[tuple[int, int]]:
    for found in PING.finditer(document.text):
        yield found.start(), _CALL
