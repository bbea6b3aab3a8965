"""Writes a document's rich text elements once; a part reuses those that it has as a whole."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Final

from gateway_core.authors import Mentions
from gateway_core.text import Block, Document, Span, Style
from gateway_plugin_slack.rendering.blocks import Grouping
from gateway_plugin_slack.rendering.mentions import MentioningRuns
from gateway_plugin_slack.rendering.runs import Element, Runs
from gateway_plugin_slack.rendering.sizes import TEXT, Sizes

_QUOTE: Final = Style.QUOTE

_OF_RUNS: Final = ("rich_text_section", "rich_text_quote")


class Written:
    """One document's elements, and their sizes; with `mentions`, its mentions as well.

    Invariant: `whole[i]` is the element of `starts[i]..ends[i]` of the text. The runs of a section
    or quote cover that stretch, one after the other. `edges` has the index of the section or quote
    that was cut last, and the places where its runs begin and end. All text before `taken` has been
    given out.
    """

    def __init__(self, document: Document, mentions: Mentions) -> None:
        self.document, self.mentions = document, mentions
        self.sizes = sizes = Sizes()
        self.edges: tuple[int, list[int]] = (-1, [])
        self.taken = 0
        spans = [span for span in document.spans if span[2] is not _QUOTE]
        if len(spans) < len(document.spans):  # a quote begins with a block, which is counted
            ends = [span[1] for span in document.spans if span[2] is _QUOTE]
            sizes.runs.update(dict.fromkeys(ends, TEXT))
        grouping = self._grouping(0, spans, sizes)
        self.whole, self.starts = grouping.write(document.blocks), grouping.starts
        self.ends = grouping.ends

    def between(self, start: int, end: int) -> list[Element]:
        """The elements of the part `start..end`. No list or table in it is given out again."""
        text = self.document.text
        if self.taken == 0 == start and end == len(text):
            self.taken = end
            return self.whole
        if start < self.taken or text[start] == "\n" or text[end - 1] == "\n":
            return self._written(start, start, end)
        self.taken = end
        elements: list[Element] = []
        first, last = bisect_right(self.ends, start), bisect_left(self.starts, end)
        cut = first < last and self.starts[first] < start
        if cut and self.whole[first]["type"] == "rich_text_list":
            # The rest of the list may be a section, which the next element may continue. After
            # that element, everything is the same as in the whole document.
            first += 2
            elements = self._written(start, start, self.starts[first] if first < last else end)
        elements += [self._held(index, start, end) for index in range(first, last)]
        return elements

    def _held(self, index: int, start: int, end: int) -> Element:
        """The piece, in the part, of an element that begins in it, or of a cut one but no list."""
        element = self.whole[index]
        low, high = max(self.starts[index], start), min(self.ends[index], end)
        if low == self.starts[index] and high == self.ends[index]:
            return element
        if self.mentions or element["type"] not in _OF_RUNS:
            [element] = self._written(start, low, high)
            return element
        return {**element, "elements": self._runs(index, low, high)}

    def _runs(self, index: int, start: int, end: int) -> list[Element]:
        """The runs of a section or quote, as far as they are in `start..end`."""
        runs: list[Element] = self.whole[index]["elements"]
        if self.edges[0] != index:
            lengths = [len(run["text"]) for run in runs]
            self.edges = index, [*accumulate(lengths, initial=self.starts[index])]
        _, edges = self.edges
        first, last = bisect_right(edges, start) - 1, bisect_left(edges, end)
        held = runs[first:last]
        held[-1] = _cut(held[-1], 0, end - edges[last - 1])
        held[0] = _cut(held[0], start - edges[first], end - edges[first])
        return held

    def _written(self, start: int, low: int, high: int) -> list[Element]:
        """The elements of `low..high` in a part that begins at `start`."""
        grouping = self._grouping(start, self._spans(low, high), Sizes())
        if low == start:
            grouping.header = self.document.header_at(start)
        return grouping.write(self._blocks(low, high))

    def _grouping(self, start: int, spans: Sequence[Span], sizes: Sizes) -> Grouping:
        text = self.document.text
        if self.mentions:
            runs: Runs = MentioningRuns(text, spans, sizes, self.mentions)
        else:
            runs = Runs(text, spans, sizes)
        return Grouping(text, runs, sizes, start)

    def _blocks(self, start: int, end: int) -> Sequence[Block]:
        """The blocks of the stretch. A block that began before the stretch has no marker in it."""
        blocks = list(self.document.blocks_in(start, end))
        if blocks and blocks[0].start < start:
            first = blocks[0]
            blocks[0] = first._replace(start=start, body=max(first.body, start), marker="")
        if blocks and blocks[-1].end > end:
            blocks[-1] = blocks[-1]._replace(end=end)
        return blocks

    def _spans(self, start: int, end: int) -> Sequence[Span]:
        """The styles of the stretch's characters, each cut to the stretch."""
        return [
            span
            if start <= span[0] and span[1] <= end
            else Span(max(span[0], start), min(span[1], end), span[2], span[3])
            for span in self.document.nesting.touching(start, end)
            if span[2] is not _QUOTE
        ]


def _cut(run: Element, start: int, end: int) -> Element:
    """A run with only `start..end` of its text; the same run if that is the whole text."""
    text = run["text"][start:end]
    if len(text) == len(run["text"]):
        return run
    cut = {**run, "text": text}
    if "style" in run:
        cut["style"] = {**run["style"]}
    return cut
