"""What the JSON of any stretch's rich text takes: sums over the document, made once.

Besides the characters, each element of one style and each container take their braces and names; a
link takes its address as often as its words change their style. Never less than what is written.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

from gateway_core.text import Block, Document
from gateway_plugin_slack.grouping import PING, SOLID, listed, number
from gateway_plugin_slack.leaves import PLAIN, Leaf

_CALL = len('{"type": "usergroup", "usergroup_id": ""}, ') + PLAIN

_BORDER = len(', "border": 1')
_SECTION = len('{"type": "rich_text_section", "elements": []}, ')
_SOLID = len('{"type": "rich_text_preformatted", "elements": []}, ')
_LIST = len('{"type": "rich_text_list", "style": "ordered", "elements": [], "indent": 8}, ')
_OFFSET = len(', "offset": ')
_AROUND = len('[{"type": "rich_text", "elements": []}]')
_AGAIN = _SOLID + _LIST + _OFFSET + 9 + 2 * _BORDER
"""Where a part begins inside a list: what is left of an item is a section, and a list follows."""


class Sizes:
    """Of one document; `containers` are places with what the containers that begin there take.

    Invariant: `sums[i]` is what begins before `places[i]`; `leaf_sums` likewise, of leaves.
    """

    def __init__(self, leaves: Sequence[Leaf], containers: Sequence[tuple[int, int]]) -> None:
        self.starts = [leaf.start for leaf in leaves]
        self.leaves = [leaf.size for leaf in leaves]
        self.leaf_sums = [0, *accumulate(self.leaves)]
        self.places = [place for place, _ in containers]
        self.sums = [0, *accumulate([size for _, size in containers])]

    def between(self, start: int, end: int) -> int:
        """What `start..end` takes besides its characters; never less for a greater `end`."""
        size = _AROUND + _AGAIN
        begun = bisect_right(self.starts, start) - 1
        size += self.leaves[begun] if begun >= 0 else PLAIN
        first, last = bisect_left(self.starts, start), bisect_left(self.starts, end)
        size += self.leaf_sums[last] - self.leaf_sums[first]
        first, last = bisect_left(self.places, start), bisect_left(self.places, end)
        return size + self.sums[last] - self.sums[first]


def containers_of(groups: Iterable[Sequence[Block]]) -> Iterator[tuple[int, int]]:
    """Where sections, lists, quotes and preformatted texts begin, and what each takes."""
    for blocks in groups:
        first = blocks[0]
        border = _BORDER if first.quote else 0
        if first.kind in SOLID:
            yield first.start, _SOLID + border
        elif not listed(first):
            yield first.start, _SECTION
        else:
            counted = 0 if number(first) is None else _OFFSET + len(first.marker)
            yield first.start, _LIST + counted + border
            yield from [(block.start, _SECTION) for block in blocks if block.marker]


def calls_of(document: Document) -> Iterator[tuple[int, int]]:
    """Where something would notify, and what it takes as an element of its own."""
    for found in PING.finditer(document.text):
        yield found.start(), _CALL
