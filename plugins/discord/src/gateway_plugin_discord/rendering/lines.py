"""Makes the lines of a document as Discord shows them, each when it is needed. Sans-I/O."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final, TypeAlias

from gateway_core.text import Block, Document, Kind, Span, Style
from gateway_plugin_discord.rendering.blocks import fences, is_solid, leads, writes_fenced
from gateway_plugin_discord.rendering.dialect import MARKED
from gateway_plugin_discord.rendering.runs import Run, joint, runs_of
from gateway_plugin_discord.rendering.spans import Looks

# Enum members as globals: CPython 3.11 takes longer to find one in its class than to make a call.
_QUOTE: Final = Style.QUOTE
_TABLE: Final = Kind.TABLE
_HEADING: Final = Kind.HEADING

_BOLD: Final = MARKED[Style.BOLD]


def outermost_first(span: Span) -> tuple[int, int]:
    """The sort key by which a span comes before the spans inside it."""
    return span.start, -span.end


def lines_between(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The lines of a stretch that are not empty, without their line feeds."""
    while (feed := text.find("\n", start, end)) >= 0:
        if start < feed:
            yield start, feed
        start = feed + 1
    if start < end:
        yield start, end


Joined: TypeAlias = tuple[str, list[int], list[int]]


class Line:
    """A line of a block, or all of a block in a fence; any stretch of the line can be written.

    start      where the line begins in the visible text; its runs follow its marker
    following  where the next line begins; after the end of the text if there is none
    leads      the beginning of the line, and that of a part that begins inside the line
    headed     whether it is a table, whose header is repeated in a part that begins inside it
    """

    def __init__(
        self,
        text: str,
        place: tuple[int, int],
        leads: tuple[str, str],
        runs: Sequence[Run],
        *,
        headed: bool = False,
    ) -> None:
        self.text, self.runs, self.headed = text, runs, headed
        self.start, self.following = place
        self.lead, self.again = leads
        self.body, self.end = runs[0].start, runs[-1].end
        self.starts = [self.start, *[run.start for run in runs[1:]]]
        self.joined: Joined | None = None

    def whole(self) -> str:
        """All of the line except its `lead`."""
        return f"{self.runs[0].opened()}{self._joined()[0]}{self.runs[-1].closed()}"

    def written(self, start: int, end: int, header: str = "") -> str:
        """The piece of the line that a part has between two places, after its table's `header`.

        The marks around the piece are opened and closed; there are none around a marker alone.
        """
        if end <= self.body:
            return self._lead(start)
        first, last = self._at(start), self._at(end - 1)
        begun = self._begun(first, start, end, header)
        if first >= last:
            return begun + self.runs[first].closed()
        content, begins, ends = self._joined()
        run = self.runs[last]
        between = content[ends[first] : begins[last]]
        return f"{begun}{between}{self._body(run, run.start, end)}{run.closed()}"

    def _at(self, place: int) -> int:
        return max(bisect_right(self.starts, place) - 1, 0)

    def _lead(self, start: int) -> str:
        return self.lead if start <= self.start else self.again

    def _begun(self, index: int, start: int, end: int, header: str) -> str:
        """A run from `start` on, as the beginning of a part."""
        run = self.runs[index]
        opened, above = run.opened(), run.write(header) if header else ""
        return f"{self._lead(start)}{opened}{above}{self._body(run, max(start, run.start), end)}"

    def _body(self, run: Run, start: int, end: int) -> str:
        return run.write(self.text[start : max(min(end, run.end), start)])

    def _joined(self) -> Joined:
        """All runs with the marks between them, and where the body of each run begins and ends."""
        if self.joined is not None:
            return self.joined
        pieces = [self._body(self.runs[0], self.body, self.end)]
        begins, ends = [0], [len(pieces[0])]
        for before, run in pairwise(self.runs):
            between = joint(before, pieces[-1], run)
            pieces += between, self._body(run, run.start, run.end)
            begins.append(ends[-1] + len(between))
            ends.append(begins[-1] + len(pieces[-1]))
        self.joined = "".join(pieces), begins, ends
        return self.joined


class Lines:
    """Finds and makes the lines of a document.

    spans       all spans except quotes, in order of their starts, the longer first
    renumbered  markers that are shown as text, by the starts of their blocks
    replaced    lines that are already made, by the starts of their content
    """

    def __init__(self, document: Document, previews: bool, mentions: bool) -> None:
        self.document, self.mentions = document, mentions
        self.looks = Looks(document, previews)
        self.spans = [span for span in document.spans if span[2] is not _QUOTE]
        self.renumbered: dict[int, str] = {}
        self.replaced: dict[int, Line] = {}

    def at(self, place: int) -> Line:
        """The line that contains `place`, or that is before it; a line includes its line feed."""
        blocks = self.document.blocks
        index = max(bisect_right(blocks, (place + 1,)) - 1, 0)
        last = index + 1 == len(blocks)
        following = len(self.document.text) + 1 if last else blocks[index + 1].start
        make = self._solid if is_solid(blocks[index]) else self._flowing
        return make(blocks[index], place, following)

    def again(self, place: int) -> str:
        """The beginning of a part that begins inside a line of a paragraph, heading or item."""
        block = self.document.blocks[bisect_right(self.document.blocks, (place + 1,)) - 1]
        level = block.level if block.kind is _HEADING else 0
        return leads(level, block.quote > 0, block.depth, block.marker)[1]

    def touching(self, low: int, high: int) -> list[Span]:
        """The spans in the line at `low..high`, the outermost first."""
        return self.spans[bisect_left(self.spans, (low,)) : bisect_left(self.spans, (high,))]

    def split(self) -> None:
        """Split the spans that reach over a line feed, so that no span is in two lines."""
        text, spans = self.document.text, self.spans
        self.spans = []
        for span in spans:
            start, end, style, value = span
            for low, high in lines_between(text, start, end):
                part = Span(low, high, style, value)
                self.looks.wholes[part] = span
                self.spans.append(part)
        self.spans.sort(key=outermost_first)

    def _solid(self, block: Block, _: int, following: int) -> Line:
        text, (start, _, end) = self.document.text, block[:3]
        lead = "> " if block.quote else ""
        run = Run(start, end, writes_fenced(block), (fences(block, text[start:end]),))
        headed = block.kind is _TABLE
        return Line(text, (start, following), (lead, lead), [run], headed=headed)

    def _flowing(self, block: Block, place: int, following: int) -> Line:
        """The line at `place`, or the last one, of a paragraph, a heading or an item."""
        text = self.document.text
        start, body, end, kind, level, _, quote, depth, marker = block
        marker = self.renumbered.get(start, marker)
        level = level if kind is _HEADING else 0
        lead, again, bold = leads(level, quote > 0, depth, marker)
        feed = text.rfind("\n", body, min(place, end))
        low = body if feed < 0 else feed + 1
        if low in self.replaced:
            return self.replaced[low]
        if low != body:
            start, lead = low, again
        feed = text.find("\n", max(place, low), end)
        high, following = (end, following) if feed < 0 else (feed, feed + 1)
        looks = [self.looks.of(span) for span in self.touching(low, high)]
        around = _BOLD if bold else None
        runs = runs_of(text, (low, high), looks, around, mentions=self.mentions)
        return Line(text, (start, following), (lead, again), runs)
