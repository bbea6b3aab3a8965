"""Envelope ids: sortable by acceptance, from a time and a generator that are passed in."""

from __future__ import annotations

from random import Random


class Ids:
    """Ids of 30 hexadecimal digits: milliseconds, a counter, and the gateway's own mark."""

    def __init__(self, rng: Random) -> None:
        self._mark = f"{rng.getrandbits(48):012x}"
        self._last = 0
        self._count = 0

    def next(self, wall: float) -> str:
        """A new id; later ones sort later, even when the wall clock steps back."""
        milliseconds = max(int(wall * 1000), self._last)
        if milliseconds == self._last:
            self._count += 1
        else:
            self._last, self._count = milliseconds, 0
        return f"{milliseconds:012x}{self._count:06x}{self._mark}"
