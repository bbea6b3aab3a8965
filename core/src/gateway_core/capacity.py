"""How much a durable outbox may keep: what is unfinished, what is being appended, who waits.

This module waits: for a place in the outbox.
"""

from __future__ import annotations

from collections.abc import Callable

import trio

MOST_WITHDRAWN = 10_000


class Capacity:
    """The outbox's own bound, whatever of it is in memory.

    wake  called where a round of the pager shall forget who was withdrawn
    """

    def __init__(self, most: int, wake: Callable[[], None]) -> None:
        self._most = most
        self._wake = wake
        self._places = trio.lowlevel.ParkingLot()
        self._coming: set[str] = set()
        self._withdrawn: set[str] = set()
        self.unfinished = 0
        self.closed = False

    @property
    def full(self) -> bool:
        """Whether the outbox keeps as much as it may."""
        return self.unfinished + len(self._coming) >= self._most

    async def place(self) -> None:
        """Wait until the outbox may keep one more, or the gateway closes."""
        while self.full and not self.closed:
            await self._places.park()

    def close(self) -> None:
        """Nobody waits any more."""
        self.closed = True
        self._places.unpark_all()

    def coming(self, envelope_id: str) -> None:
        """The outbox may have it from now on, though it is not accepted yet."""
        self._coming.add(envelope_id)

    def came(self, envelope_id: str, *, accepted: bool) -> None:
        """Its append is over."""
        self._coming.discard(envelope_id)
        if accepted:
            self.unfinished += 1
            return
        self._withdrawn.add(envelope_id)
        if len(self._withdrawn) > MOST_WITHDRAWN:
            self._wake()
        if self._places and not self.full:
            self._places.unpark()

    def freed(self) -> None:
        """An envelope ended."""
        self.unfinished -= 1
        if self._places:
            self._places.unpark()

    def lacks(self, envelope_id: str) -> bool:
        """Whether it is not accepted (yet), though a page may have it."""
        return envelope_id in self._coming or envelope_id in self._withdrawn

    def read_anew(self) -> None:
        """What is read from now on is without those that were withdrawn."""
        self._withdrawn.clear()
