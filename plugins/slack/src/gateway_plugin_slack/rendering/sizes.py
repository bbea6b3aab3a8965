"""What any stretch takes: its characters, and besides them the JSON of its rich text. Sans-I/O.

The JSON is noted while it is written: each element of one style and each container take their
braces and names; a link takes its address as often as its words change their style. Never less than
what is written.
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
"""The styles that Slack has, and what it calls them."""

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
"""Where a part begins inside a list: what is left of an item is a section, and a list follows."""


Table: TypeAlias = tuple[list[int], list[int], list[int]]


def size_of_style(names: Collection[str]) -> int:
    """What an element takes for the styles of these names."""
    return STYLE + sum([FLAG + len(name) for name in names]) if names else 0


class Sizes:
    """Of one document, by the places where something begins.

    runs      what the JSON takes of the element that begins there, a stretch in one style; the
                end of a style begins the next
    containers  what it takes of the section, the list and the like that begin there
    """

    def __init__(self) -> None:
        self.runs = {0: TEXT}
        self.containers: dict[int, int] = {}
        self.table: Table | None = None

    def before(self, end: int) -> int:
        """What everything takes that begins before `end`, the end of the document."""
        size = _AROUND + _AGAIN + self.runs[0] - self.runs.get(end, 0)
        return size + sum(self.runs.values()) + sum(self.containers.values())

    def between(self, start: int, end: int) -> int:
        """What `start..end` takes besides its characters; never less for a greater `end`."""
        if self.table is None:
            self.table = self._made()
        places, looks, sums = self.table
        begun = looks[bisect_right(places, start) - 1]
        first, last = bisect_left(places, start), bisect_left(places, end)
        return _AROUND + _AGAIN + begun + sums[last] - sums[first]

    def _made(self) -> Table:
        """The places in order; the run that stands at each; the sum of all before it.

        Made when a stretch is asked about: then all is noted.
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
    """What `count` says of stretches of a text, asked again and again for one that begins alike.

    Of two texts together it says the sum.

    Invariant: `known` is that of `start..end`, which was asked about before. A search asks about
    stretches that begin there too and end nearby: the difference alone is counted.
    """

    def __init__(self, text: str, count: Callable[[str], int]) -> None:
        self.text, self.count = text, count
        self.start = self.end = self.known = 0

    def between(self, start: int, end: int) -> int:
        """What the characters of `start..end` count."""
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
