"""The engine's time: integer nanoseconds since the gateway opened, on trio's clock."""

from __future__ import annotations

from collections.abc import Callable

import trio

SECOND = 1_000_000_000
"""Nanoseconds."""
NEVER = 1 << 62
"""A time that only an event can bring nearer: an answer, a resume."""


class Clock:
    """What time it is. `wall` is the one source of POSIX time, passed in."""

    __slots__ = ("_seconds", "_start", "wall")

    def __init__(self, wall: Callable[[], float]) -> None:
        self._seconds = trio.lowlevel.current_clock().current_time
        self._start = self._seconds()
        self.wall = wall

    def now(self) -> int:
        """Nanoseconds since the gateway opened; monotonic."""
        return round((self._seconds() - self._start) * SECOND)

    def trio_time(self, at: int) -> float:
        """The same instant on trio's clock, in seconds."""
        return self._start + at / SECOND


def nanoseconds(seconds: float) -> int:
    """Seconds as the engine counts them."""
    return round(seconds * SECOND)
