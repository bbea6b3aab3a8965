"""Makes envelope ids, which sort by acceptance; time and random generator are passed in."""

from __future__ import annotations

from random import Random

_COUNT_BITS = 14
_MOST = (1 << _COUNT_BITS - 1) - 1
"""The upper half of a millisecond's ids is reserved for the ids that a shared outbox gives."""
SLOTS = 128
"""How many processes can draw ids for one outbox at once, each from a part of the lower half."""


class Ids:
    """Ids of 30 hexadecimal digits: milliseconds, a counter, and the gateway's own mark."""

    def __init__(self, rng: Random) -> None:
        self._mark = f"{rng.getrandbits(48):012x}"
        self._last = self._count = 0
        self._first, self._most = 0, _MOST

    def draw_from(self, slot: int) -> None:
        """Draw ids only from this slot, 0 to 127; other processes use other slots meanwhile."""
        width = (_MOST + 1) // SLOTS
        drawn = (slot * width, width - 1)
        if drawn != (self._first, self._most):
            self._first, self._most = drawn
            self._last, self._count = self._last + 1, 0

    def go_on_after(self, last_id: str, position: int | None = None) -> None:
        """Make later ids sort after `last_id` of a previous run, whatever the wall clock says.

        position  later ids sort after this position as well
        """
        last = -1 if position is None else position >> _COUNT_BITS
        if last_id:
            last = max(last, int(last_id[:12], 16))
        if last >= self._last:  # else this process's ids sort after it already
            self._last, self._count = last + 1, 0

    def next(self, wall: float) -> str:
        """A new id; later ids sort later, even if the wall clock steps back."""
        milliseconds = max(int(wall * 1000), self._last)
        if milliseconds > self._last:
            self._last, self._count = milliseconds, 0
        elif self._count < self._most:
            self._count += 1
        else:
            self._last, self._count = milliseconds + 1, 0
        return f"{self._last:012x}{self._first + self._count:06x}{self._mark}"

    def next_position(self, wall: float) -> int:
        """A position after all earlier ids and positions, and before all later ones."""
        return position_of(self.next(wall))


def id_of_time(wall: float) -> str:
    """The beginning of that time's ids: it sorts before them, and after all earlier ids."""
    return f"{int(max(0.0, wall) * 1000):012x}"


def sequence_of(envelope_id: str, given: int | None) -> int:
    """An envelope's sequence: as the outbox has given it; if `given` is None, the id's position."""
    return position_of(envelope_id) if given is None else given


def position_of(envelope_id: str) -> int:
    """An id's position among all others of one outbox, an integer below 2**62."""
    number = int(envelope_id[:18], 16)
    return number >> 24 << _COUNT_BITS | number & 0xFFFFFF
