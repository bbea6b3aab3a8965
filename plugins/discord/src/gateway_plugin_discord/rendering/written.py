"""Writes a document for Discord, and finds the text's places in what is written. Sans-I/O."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import accumulate

from gateway_plugin_discord.rendering.blocks import in_fence, is_solid
from gateway_plugin_discord.rendering.dialect import APIECE, escaping, wide
from gateway_plugin_discord.rendering.replacements import Replacements


class Written:
    """The visible text, escaped, with its replacements; finds the text's places in the content.

    content  all of the written text
    loose    the stretches of the visible text between the replacements; `begins` has their places

    Invariant: `pieces[2 * i]` is what is written for `loose[i]`, and `pieces[2 * i + 1]` is the
    replacement after it. A line feed of the text is in a fence or in such a stretch. In a stretch
    it ends a line, and is also a line feed of the content.
    """

    def __init__(self, found: Replacements) -> None:
        document = found.lines.document
        self.text, self.blocks = document.text, document.blocks
        self.closed, self.writes = found.closed, found.writes
        self.mentions = found.lines.mentions
        self.escape = escaping(mentions=self.mentions)
        blocks, replacements = document.blocks, found.all()
        self.first, self.last = (blocks[0].start, blocks[-1].end) if blocks else (0, 0)
        columns = zip(*replacements, strict=True) if replacements else ((), (), ())
        starts, ends, replaced = columns
        self.begins: Sequence[int] = (self.first, *ends)
        places = zip(self.begins, (*starts, self.last), strict=True)
        self.loose = [self.text[begin:end] for begin, end in places]
        self.pieces = [""] * (2 * len(replaced) + 1)
        self.pieces[::2] = self.escape(APIECE.join(self.loose)).split(APIECE)
        self.pieces[1::2] = replaced
        self.content = "".join(self.pieces)
        self.offsets = [0, *accumulate(map(len, self.pieces))]
        self.wide = wide(self.content)
        self.lines: dict[int, tuple[list[int], list[int]]] = {}

    def size(self, low: int, high: int) -> int:
        """UTF-16 units of the content from `low` to `high`."""
        if not self.wide:
            return high - low
        return high - low + bisect_left(self.wide, high) - bisect_left(self.wide, low)

    def start(self, place: int) -> int | None:
        """Where the line at `place` begins in the content; None if no line begins at `place`."""
        begins = place <= self.first or self._feeds(place - 1)
        return self.line(place) if begins and self.text[place] != "\n" else None

    def inside(self, place: int) -> tuple[int, int] | None:
        """For a part that begins inside a line: from where on it takes content, and that place.

        The first result is a place in the content, the second is the same place in the text. The
        text between `place` and there is in no style. None if `place` is in a style, or in a
        replacement.
        """
        if self.text[place] == "\n":
            return None
        index = bisect_left(self.begins, place) - 1
        if self.begins[index] + len(self.loose[index]) != place:
            index = bisect_right(self.begins, place) - 1
        begin, loose = self.begins[index], self.loose[index]
        if begin in self.closed or place > begin + len(loose):
            return None
        feed = loose.find("\n", place - begin)
        if feed < 0:
            return self.offsets[2 * index + 1], begin + len(loose)
        return self.before(begin + feed), begin + feed

    def end(self, place: int) -> tuple[int, str] | None:
        """For a part that ends at `place`: up to where it takes content, and what is added to it.

        None if `place` is in a replacement that cannot be cut here.
        """
        if self.text[place - 1] == "\n":
            return self._behind_line(place)
        index = bisect_left(self.begins, place) - 1
        begin, loose, offset = self.begins[index], self.loose[index], self.offsets[2 * index]
        inside = place - begin
        if inside > len(loose):
            return self._in_replaced(index, place)
        if begin in self.closed:
            return offset, self.escape(loose[:inside]) + self.closed[begin]
        if inside == len(loose):
            return self.offsets[2 * index + 1], ""
        # If nothing in the stretch is escaped, nothing in its beginning is escaped either, except a
        # "<" that has lost the space after it or the rest of a mention.
        if self._is_as_seen(index) and loose[inside - 1] != "<" and not self.mentions:
            return offset + inside, ""
        feed = loose.rfind("\n", 0, inside)
        if feed >= 0:
            offset = self.before(begin + feed) + 1
        return offset, self.escape(loose[feed + 1 : inside])

    def line(self, start: int) -> int:
        """Where the line that begins at `start` begins in the content."""
        return self.before(start - 1) + 1 if start > self.first else 0

    def before(self, place: int) -> int:
        """How much content is before the line feed at `place`, or before the end of the text."""
        index = bisect_right(self.begins, place) - 1
        inside = place - self.begins[index]
        if self._is_as_seen(index):
            return self.offsets[2 * index] + inside
        if index not in self.lines:
            self.lines[index] = _ends(self.loose[index]), _ends(self.pieces[2 * index])
        seen, written = self.lines[index]
        return self.offsets[2 * index] + written[bisect_left(seen, inside)]

    def _in_replaced(self, index: int, place: int) -> tuple[int, str] | None:
        """As `end`, for a place in the replacement after a stretch, or at the replacement's end."""
        begin = self.begins[index]
        start, offset = begin + len(self.loose[index]), self.offsets[2 * index + 1]
        if start in self.writes:
            written = self.writes[start](self.text[start:place])
            return offset, written + self.closed.get(begin, "")
        block = self.blocks[bisect_right(self.blocks, (start + 1,)) - 1]
        if is_solid(block):
            return offset, in_fence(block, self.text, place)
        ends = place == self.last or self._feeds(place)
        return (self.before(place), "") if ends else None

    def _behind_line(self, place: int) -> tuple[int, str] | None:
        """As `end`, for a place after a line feed, which is not written at the end of a part."""
        block = self.blocks[bisect_right(self.blocks, (place,)) - 1]
        end = min(block.end, place - 1)
        whole = self.text[end - 1] != "\n" and self._feeds(end)
        return (self.before(end), "") if whole else None

    def _feeds(self, place: int) -> bool:
        """Whether there is a line feed at `place` that ends a line."""
        index = bisect_right(self.begins, place) - 1
        inside = place - self.begins[index]
        return inside < len(self.loose[index]) and self.loose[index][inside] == "\n"

    def _is_as_seen(self, index: int) -> bool:
        """Whether nothing is escaped in a stretch."""
        return len(self.pieces[2 * index]) == len(self.loose[index])


def _ends(text: str) -> list[int]:
    """Where the lines of a text end."""
    return [end + feeds for feeds, end in enumerate(accumulate(map(len, text.split("\n"))))]
