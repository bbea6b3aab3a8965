"""Finds where in its source each place of a visible text came from. Sans-I/O."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import TypeAlias

from gateway_core.text.octets import Octets
from gateway_core.text.tables import Place, Row

Trace: TypeAlias = tuple[Sequence[int], Sequence[int]]
"""Places of a text in order, and where in the source each came from; below zero: from nowhere.

The second sequence may be shorter: the origins of the remaining places are not known.
"""


class Origins:
    """Finds places of a text in its source, and the other way round, both in code points.

    rows    stretches that can find more places inside themselves
    octets  the source's octets, in which a parser's trace counts; None: it counts in code points
    """

    def __init__(self, source: str, length: int, trace: Trace, rows: Sequence[Row]) -> None:
        self.source, self.length, self.rows = source, length, rows
        self.places, self.origins = trace
        self.octets: Octets | None = None
        self.found = -1
        self.near: Trace = trace

    def source_at(self, place: int) -> int:
        """Where in the source the character at `place` came from."""
        if place <= 0:
            return 0
        places, origins = self._known_by(place)
        count = len(origins)
        following = bisect_left(places, place, 0, count)
        last = following - 1
        while following < count and origins[following] < 0:
            following += 1
        if following < count and places[following] == place:
            return self._code_points(origins[following])
        while last >= 0 and origins[last] < 0:
            last -= 1
        mark, octet = (places[last], origins[last]) if last >= 0 else (0, 0)
        origin = self._code_points(octet)
        if following == count:
            return min(origin + place - mark, len(self.source))
        return min(origin + place - mark, max(self._code_points(origins[following]), origin))

    def place_of(self, origin: int) -> int:
        """The place of the first character that came from `origin` or from after it.

        For origins that `source_at` returned.
        """
        most = origin if self.octets is None else len(self.source[:origin].encode())
        marks = [(0, 0), *_known(self.places, self.origins)]
        near = self._known_by(marks[_last(marks, most)][0] + 1)
        if near[0] is not self.places:
            marks = _known(*near)
        found = _last(marks, most)
        follows = marks[found + 1][0] if found + 1 < len(marks) else self.length
        mark, begun = marks[found]
        place = min(mark + origin - self._code_points(begun), follows)
        if begun < most:
            return place
        while found and marks[found - 1][1] == begun:
            found -= 1
        return marks[found][0]

    def _code_points(self, octet: int) -> int:
        return octet if self.octets is None else self.octets.code_points(octet)

    def _known_by(self, place: int) -> Trace:
        """The known places around a place: the whole trace; in a row, the row's and the next one.

        The last row's places are remembered, since a row that many parts are cut from is needed
        for each of them.
        """
        found = bisect_left(self.rows, (place,)) - 1
        if found < 0 or place > self.rows[found][1]:
            return self.places, self.origins
        if found != self.found:
            self.found, self.near = found, self._in_row(self.rows[found])
        return self.near

    def _in_row(self, row: Row) -> Trace:
        _, end, known = row
        marks = known()
        count = len(self.origins)
        following = bisect_left(self.places, end, 0, count)
        while following < count and self.origins[following] < 0:
            following += 1
        if following < count:
            marks.append((self.places[following], self.origins[following]))
        return [mark[0] for mark in marks], [mark[1] for mark in marks]


def _known(places: Sequence[int], origins: Sequence[int]) -> list[Place]:
    known = zip(places, origins, strict=False)
    return [(place, origin) for place, origin in known if origin >= 0]


def _last(marks: Sequence[Place], octet: int) -> int:
    """The index of the last mark that came from `octet` or from before it."""
    return max([index for index, mark in enumerate(marks) if mark[1] <= octet], default=0)
