"""What the JSON of any stretch's rich text takes besides its characters: noted while it is written.

Each element of one style and each container take their braces and names; a link takes its address
as often as its words change their style. Never less than what is written.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Mapping
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
CALL: Final = len('{"type": "usergroup", "usergroup_id": ""}, ') + TEXT

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

    leaves      what the JSON takes of the element that begins there, a stretch in one style; the
                end of a style begins the next
    containers  what it takes of the section, the list and the like that begin there
    """

    def __init__(self) -> None:
        self.leaves = {0: TEXT}
        self.containers: dict[int, int] = {}
        self.table: Table | None = None

    def before(self, end: int) -> int:
        """What everything takes that begins before `end`, the end of the document."""
        size = _AROUND + _AGAIN + self.leaves[0] - self.leaves.get(end, 0)
        return size + sum(self.leaves.values()) + sum(self.containers.values())

    def between(self, start: int, end: int) -> int:
        """What `start..end` takes besides its characters; never less for a greater `end`."""
        if self.table is None:
            self.table = self._made()
        places, looks, sums = self.table
        begun = looks[bisect_right(places, start) - 1]
        first, last = bisect_left(places, start), bisect_left(places, end)
        return _AROUND + _AGAIN + begun + sums[last] - sums[first]

    def _made(self) -> Table:
        """The places in order; the leaf that stands at each; the sum of all before it.

        Made when a stretch is asked about: then all is noted.
        """
        places = sorted(self.leaves.keys() | self.containers.keys())
        looks, sums, look, total = [], [0], TEXT, 0
        for place in places:
            begun = self.leaves.get(place, 0)
            look = begun or look
            total += begun + self.containers.get(place, 0)
            looks.append(look)
            sums.append(total)
        return places, looks, sums
