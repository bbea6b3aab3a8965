"""Renders a Markdown document in Discord's dialect: what a stretch costs, and its content."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping
from typing import Any

from gateway_core.text import Document
from gateway_plugin_discord.rendering.dialect import units
from gateway_plugin_discord.rendering.lines import Line, Lines
from gateway_plugin_discord.rendering.replacements import Replacements
from gateway_plugin_discord.rendering.runs import Run
from gateway_plugin_discord.rendering.written import Written


class Dialect:
    """One document as Discord shows it; a `Rendering` of gateway_core.text.

    The document is written once, as a whole, and a part takes from the whole what it can. Lines
    that are cut at the part's ends are written anew: the rest of one, the beginning of another.

    previews  let Discord unfold links
    mentions  let the text notify people
    fields    makes a part's payload from the part's content
    lost      what Discord cannot show of the document, besides what no platform can; in the form of
              `degraded`
    made      the lines that are written anew, in order; `starts` are their places
    asked     where the last question began; its line, if that is written anew; where the rest
              begins in the content; and what the line costs. -1: no question went beyond the line,
              which may be long
    """

    def __init__(
        self,
        document: Document,
        fields: Callable[[str], Mapping[str, Any]],
        previews: bool = False,
        mentions: bool = False,
    ) -> None:
        self.document, self.fields = document, fields
        self.made: list[Line] = []
        self.starts: list[int] = []
        self.asked: tuple[int, Line | None, int, int] = (-1, None, 0, 0)
        self.lines = Lines(document, previews, mentions)
        found = Replacements(self.lines)
        self.written = Written(found)
        self.lost = [*self.lines.looks.lost(found.doubtful)]

    def cost(self, start: int, end: int) -> int:
        """UTF-16 units of the content; never fewer than its code points."""
        if start != self.asked[0]:
            first, low = self._beginning(start)
            self.asked = (start, first, low, -1 if first else 0)
        _, first, low, size = self.asked
        if first and end <= first.following:
            return units(self._of(first, start, end))
        if first and size < 0:
            size = units(self._of(first, start, first.end))
            self.asked = (start, first, low, size)
        found = self._ending(start, end)
        if found is None:
            return units(self._of(self._at(start), start, end))
        high, ending = found
        return size + self.written.size(low, high) + (units(ending) if ending else 0)

    def payload(self, start: int, end: int) -> Mapping[str, Any]:
        """The content, with the fields that every part has."""
        first, low = self._beginning(start)
        if first and end <= first.following:
            return self.fields(self._of(first, start, end))
        found = self._ending(start, end)
        if found is None:
            return self.fields(self._of(self._at(start), start, end))
        beginning = self._of(first, start, first.end) if first else ""
        high, ending = found
        return self.fields(f"{beginning}{self.written.content[low:high]}{ending}")

    def _beginning(self, start: int) -> tuple[Line | None, int]:
        """The line to write anew from `start` on, if any, and where the content to take begins."""
        low = self.written.start(start)
        if low is not None:
            return None, low
        text, inside = self.document.text, self.written.inside(start)
        if inside:
            low, since = inside
            again, rest = self.lines.again(start), Run(start, since, self.written.escape)
            return Line(text, (start, since), (again, again), [rest]), low
        first = self._at(start)
        if start >= first.end and first.following <= len(text):
            first = self._at(first.following)  # a line feed belongs to the next line
        return first, self.written.before(first.end)

    def _ending(self, start: int, end: int) -> tuple[int, str] | None:
        """Where the content to take ends, and the beginning of a line, written anew up to `end`.

        None if that line is also the line of `start`, so that nothing can be taken.
        """
        found = self.written.end(end)
        if found:
            return found
        last = self._at(end - 1)
        if last.start < start:
            return None
        return self.written.line(last.start), last.written(last.start, end)

    def _of(self, line: Line, start: int, end: int) -> str:
        header = self.document.header_at(start) if line.headed else ""
        return line.written(start, end, header)

    def _at(self, place: int) -> Line:
        """The line that contains `place`, or that is before it."""
        index = bisect_right(self.starts, place)
        if not index or place >= self.made[index - 1].following:
            self.made.insert(index, self.lines.at(place))
            self.starts.insert(index, self.made[index].start)
            return self.made[index]
        return self.made[index - 1]
