"""The elements of a document's rich text, written once; a part takes those that are whole in it."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

import attrs

from gateway_core.text import Block, Document, Span, Style
from gateway_plugin_slack.calls import CallingLeaves, note_calls
from gateway_plugin_slack.grouping import Grouping
from gateway_plugin_slack.leaves import Element, Leaves
from gateway_plugin_slack.sizes import TEXT, Sizes

_QUOTE = Style.QUOTE


@attrs.define(eq=False)
class Writing:
    """One document's elements, and their sizes; with `mentions`, calls in it are elements as well.

    Invariant: `whole[i]` begins at `starts[i]` of the text; those before `taken` were given out.
    """

    document: Document
    mentions: bool
    sizes: Sizes = attrs.field(init=False, factory=Sizes)
    whole: list[Element] = attrs.field(init=False)
    starts: list[int] = attrs.field(init=False)
    taken: int = 0

    def __attrs_post_init__(self) -> None:
        document, sizes = self.document, self.sizes
        spans = [span for span in document.spans if span[2] is not _QUOTE]
        if len(spans) < len(document.spans):  # a quote begins with a block, which is counted
            ends = [span[1] for span in document.spans if span[2] is _QUOTE]
            sizes.leaves.update(dict.fromkeys(ends, TEXT))
        if self.mentions:
            note_calls(document.text, sizes)
        grouping = self._grouping(0, spans, sizes)
        self.whole, self.starts = grouping.write(document.blocks), grouping.starts

    def between(self, start: int, end: int) -> list[Element]:
        """What `start..end` is written as. No list or table in it is given out again.

        What is left of an element that was cut at `start` may be of another kind, and the next one
        may go on in it; behind that one all is as it is in the whole, up to the cut at `end`.
        """
        starts = self.starts
        first = bisect_left(starts, start) + 1 if start else 0
        last = len(starts) if end == len(self.document.text) else bisect_right(starts, end) - 1
        first = max(first, self.taken)
        if first >= last:
            return self._written(start, start, end)
        self.taken = last
        elements = self.whole[first:last]
        if start < starts[first]:
            elements[:0] = self._written(start, start, starts[first])
        if last < len(starts):
            elements += self._written(start, starts[last], end)
        return elements

    def _written(self, start: int, low: int, high: int) -> list[Element]:
        """What `low..high` of a part that begins at `start` is written as."""
        grouping = self._grouping(start, self._spans(low, high), Sizes())
        if low == start:
            grouping.header = self.document.header_at(start)
        return grouping.write(self._blocks(low, high))

    def _grouping(self, start: int, spans: Sequence[Span], sizes: Sizes) -> Grouping:
        text = self.document.text
        leaves = (CallingLeaves if self.mentions else Leaves)(text, spans, sizes)
        return Grouping(text, leaves, sizes, start)

    def _blocks(self, start: int, end: int) -> Sequence[Block]:
        """The blocks of the stretch. One that goes on from before has no marker any more."""
        blocks = list(self.document.blocks_in(start, end))
        if blocks and blocks[0].start < start:
            first = blocks[0]
            blocks[0] = first._replace(start=start, body=max(first.body, start), marker="")
        if blocks and blocks[-1].end > end:
            blocks[-1] = blocks[-1]._replace(end=end)
        return blocks

    def _spans(self, start: int, end: int) -> Sequence[Span]:
        """The styles of the stretch's characters, each as far as it goes there."""
        return [
            span
            if start <= span[0] and span[1] <= end
            else Span(max(span[0], start), min(span[1], end), span[2], span[3])
            for span in self.document.nesting.touching(start, end)
            if span[2] is not _QUOTE
        ]
