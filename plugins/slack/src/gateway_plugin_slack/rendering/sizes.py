"""Computes the size of any stretch of a text: its characters, and its rich text's JSON. Sans-I/O.

The size of the JSON is recorded while the elements are made: each element of one style, and each
container, needs braces and names; a link needs its URL again each time that its words change their
style. The computed size is never less than the size of what is written.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Mapping
from typing import Final, TypeAlias

from gateway_core.text import Style

FLAGS: Final[Mapping[Style, str]] = {
    Style.BOLD: "bold",
    Style.ITALIC: "italic",
    Style.STRIKE: "strike",
    Style.UNDERLINE: "underline",
    Style.CODE: "code",
}
"""The styles that Slack has, with Slack's names."""

TEXT: Final = len('{"type": "text", "text": ""}, ')
LINK: Final = len('{"type": "link", "url": "", "text": ""}, ')
STYLE: Final = len(', "style": {}')
FLAG: Final = len('"": true, ')
MENTION: Final = len('{"type": "usergroup", "usergroup_id": ""}, ') + TEXT

BORDER: Final = len(', "border": 1')
SECTION: Final = len('{"type": "rich_text_section", "elements": []}, ')
SOLID: Final = len('{"type": "rich_text_preformatted", "elements": []}, ')
LIST: Final = len('{"type": "rich_text_list", "style": "ordered", "elements": [], "indent": 8}, ')
OFFSET: Final = len(', "offset": ')
_AROUND: Final = len('[{"type": "rich_text", "elements": []}]')
_AGAIN: Final = SOLID + LIST + OFFSET + 9 + 2 * BORDER
"""For a part that begins inside a list: the rest of an item is a section, and a list follows."""


Table: TypeAlias = tuple[list[int], list[int], list[int]]


def size_of_style(names: Collection[str]) -> int:
    """Characters of JSON that an element needs for the styles with these names."""
    return STYLE + sum([FLAG + len(name) for name in names]) if names else 0


class Sizes:
    """The sizes of one document's JSON, by the places in the text where something begins.

    runs        the size of the element that begins there, a stretch in one style; the next
                stretch begins where a style ends
    containers  the size of the section, the list and the like that begin there
    """

    def __init__(self) -> None:
        self.runs = {0: TEXT}
        self.containers: dict[int, int] = {}
        self.table: Table | None = None

    def before(self, end: int) -> int:
        """The size of everything that begins before `end`, the end of the document."""
        size = _AROUND + _AGAIN + self.runs[0] - self.runs.get(end, 0)
        return size + sum(self.runs.values()) + sum(self.containers.values())

    def between(self, start: int, end: int) -> int:
        """The size of `start..end` besides its characters; never less for a greater `end`."""
        if self.table is None:
            self.table = self._made()
        places, looks, sums = self.table
        begun = looks[bisect_right(places, start) - 1]
        first, last = bisect_left(places, start), bisect_left(places, end)
        return _AROUND + _AGAIN + begun + sums[last] - sums[first]

    def _made(self) -> Table:
        """The places in order; the size of the run at each; the sum of all sizes before it.

        Called with the first question about a stretch: by then every size is recorded.
        """
        places = sorted(self.runs.keys() | self.containers.keys())
        looks, sums, look, total = [], [0], TEXT, 0
        for place in places:
            begun = self.runs.get(place, 0)
            look = begun or look
            total += begun + self.containers.get(place, 0)
            looks.append(look)
            sums.append(total)
        return places, looks, sums


class Tally:
    """Answers what `count` says of a stretch of a text; fast for stretches with the same start.

    `count` must be additive: for two texts together it says the sum.

    Invariant: `known` is the count of `start..end`, the stretch of the last question. A search asks
    about stretches that have the same start and end nearby, so only the difference is counted.
    """

    def __init__(self, text: str, count: Callable[[str], int]) -> None:
        self.text, self.count = text, count
        self.start = self.end = self.known = 0

    def between(self, start: int, end: int) -> int:
        """What `count` says of the characters of `start..end`."""
        if start != self.start:
            self.start = self.end = start
            self.known = 0
        if end - start < self.end - end:
            return self.count(self.text[start:end])
        if end < self.end:
            self.known -= self.count(self.text[end : self.end])
        else:
            self.known += self.count(self.text[self.end : end])
        self.end = end
        return self.known
