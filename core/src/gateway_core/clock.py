"""The engine's time: integer nanoseconds since the gateway opened, on trio's clock."""

from __future__ import annotations

from collections.abc import Callable

import trio

SECOND = 1_000_000_000
"""Nanoseconds."""
NEVER = 1 << 62
"""A time that only an event can bring nearer: an answer, a resume."""


class Clock:
    """What time it is. `wall` is the one source of POSIX time, passed in.

    start  when the gateway opened, on trio's clock, in seconds
    """

    __slots__ = ("_seconds", "start", "wall")

    def __init__(self, wall: Callable[[], float]) -> None:
        self._seconds = trio.lowlevel.current_clock().current_time
        self.start = self._seconds()
        self.wall = wall

    def now(self) -> int:
        """Nanoseconds since the gateway opened; monotonic."""
        return round((self._seconds() - self.start) * SECOND)
