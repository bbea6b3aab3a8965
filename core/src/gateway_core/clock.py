"""Measures the engine's time: integer nanoseconds since the gateway opened, on trio's clock."""

from __future__ import annotations

from collections.abc import Callable

import trio

SECOND = 1_000_000_000
"""Nanoseconds in a second."""
NEVER = 1 << 62
"""A time that never comes; only an event, such as an answer or a resume, ends such a wait."""


class Clock:
    """Tells the time. `wall`, which is passed in, is the only source of POSIX time.

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
