"""How long something has been in each of its states, and a wait by what it was for. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

SHORTEST_WAIT = 10_000_000
"""Nanoseconds from which a wait is one; below, the envelope was on its way to a worker."""
NONE: Mapping[str, int] = {}
"""No waits."""


class Elapsed:
    """Nanoseconds that something spent in each of its states; it begins in none (empty)."""

    __slots__ = ("_over", "_since", "state")

    def __init__(self) -> None:
        self.state = ""
        self._since = 0
        self._over: dict[str, int] = {}

    def turn(self, state: str, now: int) -> None:
        """It is in `state` from now on."""
        if state != self.state:
            self._over[self.state] = self.of(self.state, now)
            self.state, self._since = state, now

    def of(self, state: str, now: int) -> int:
        """How long it was in `state` until now, all times together."""
        over = self._over.get(state, 0)
        return over + now - self._since if state == self.state else over


def split(whole: int, parts: Sequence[tuple[str, int]], rest: str) -> dict[str, int]:
    """A wait by causes: as long as they say, what is left to `rest`, the whole in sum."""
    found = {}
    for cause, nanoseconds in parts:
        found[cause] = min(whole, max(0, nanoseconds))
        whole -= found[cause]
    return found | {rest: whole}


def summed(waits: Mapping[str, int], more: Mapping[str, int]) -> dict[str, int]:
    """Both, cause by cause."""
    found = dict(waits)
    for cause, nanoseconds in more.items():
        if nanoseconds:
            found[cause] = found.get(cause, 0) + nanoseconds
    return found


def told(waits: Mapping[str, int]) -> Mapping[str, int]:
    """The waits that are worth telling; the longest takes those that are not, so that the sum is.

    Nothing where all of them together are not.
    """
    whole = sum(waits.values())
    if whole < SHORTEST_WAIT:
        return NONE
    longest = max(waits, key=lambda cause: waits[cause])
    long = {cause: w for cause, w in waits.items() if w >= SHORTEST_WAIT and cause != longest}
    return long | {longest: whole - sum(long.values())}
