"""Measures how long deliveries wait, and for what. Sans-I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import attrs

SHORTEST_WAIT = 10_000_000
"""Nanoseconds from which a wait counts; in less, the envelope was on its way to a worker."""
NONE: Mapping[str, int] = {}
NO_WAIT = ("attempt", "")
"""States that end a wait: an attempt is under way, or the delivery has ended."""


@attrs.define(eq=False)
class Elapsed:
    """Nanoseconds that something spent in each of its states; it begins in none (empty)."""

    state: str = ""
    _since: int = 0
    _over: dict[str, int] = attrs.field(factory=dict)

    def turn(self, state: str, now: int) -> None:
        """It is in `state` from now on."""
        if state != self.state:
            self._over[self.state] = self.of(self.state, now)
            self.state, self._since = state, now

    def of(self, state: str, now: int) -> int:
        """How long it was in `state` until now, all times together."""
        over = self._over.get(state, 0)
        return over + now - self._since if state == self.state else over


class Mark(NamedTuple):
    """How long a group had waited for each cause when a delivery began to wait in it."""

    group: SharedWait
    suspension: int
    circuit: int
    slots: int


class SharedWait(Protocol):
    """A group whose members wait for the same thing, and which counts for how long."""

    def mark(self, now: int) -> Mark:
        """How long it has waited for each cause until now."""

    def split(self, waited: int, mark: Mark, now: int) -> dict[str, int]:
        """How long a delivery that came in at `mark` has waited for each cause."""


class WaitClock:
    """Counts how long one delivery waits for each cause; only observed deliveries have a clock."""

    __slots__ = ("_mark", "_passed", "_since")

    def __init__(self, since: int) -> None:
        self._since = since
        self._mark: Mark | None = None
        self._passed = NONE

    def turn(self, before: str, cause: str, now: int) -> None:
        """It waited for `before`, and waits for `cause` from now on."""
        if before != "attempt":
            waited = now - self._since
            if waited >= SHORTEST_WAIT or self._passed or (waited and cause not in NO_WAIT):
                self._note(before, waited, now)
        self._since, self._mark = now, None

    def join(self, before: str, group: SharedWait, now: int) -> None:
        """It waited for `before`, and from now on waits for whatever `group` waits for."""
        if self._mark is None or self._mark.group is not group:
            self._note(before, now - self._since, now)
            self._since, self._mark = now, group.mark(now)

    def take(self) -> Mapping[str, int]:
        """The long waits since the last call, by cause; the longest includes the short ones."""
        passed, self._passed = self._passed, NONE
        whole = sum(passed.values())
        if whole < SHORTEST_WAIT:
            return NONE
        longest = max(passed, key=lambda cause: passed[cause])
        long = {cause: w for cause, w in passed.items() if w >= SHORTEST_WAIT and cause != longest}
        return long | {longest: whole - sum(long.values())}

    def _note(self, cause: str, waited: int, now: int) -> None:
        mark, passed = self._mark, dict(self._passed)
        causes = {cause: waited} if mark is None else mark.group.split(waited, mark, now)
        for each, nanoseconds in causes.items():
            if nanoseconds:
                passed[each] = passed.get(each, 0) + nanoseconds
        self._passed = passed


def split(whole: int, parts: Sequence[tuple[str, int]], rest: str) -> dict[str, int]:
    """Divide a wait among causes: as long as `parts` say, and the remainder for `rest`."""
    found = {}
    for cause, nanoseconds in parts:
        found[cause] = min(whole, max(0, nanoseconds))
        whole -= found[cause]
    return found | {rest: whole}
