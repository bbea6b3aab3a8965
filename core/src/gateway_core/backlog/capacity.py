"""How much a durable outbox may keep: what is unfinished, what is being appended, who waits.

This module waits: for a slot in the outbox.
"""

from __future__ import annotations

from collections.abc import Callable

import trio

MOST_GONE = 10_000


class Capacity:
    """The outbox's own bound, whatever of it is in memory.

    wake  called where a round of the pager shall forget who is gone
    """

    def __init__(self, most: int, wake: Callable[[], None]) -> None:
        self._most = most
        self._wake = wake
        self._waiting = trio.lowlevel.ParkingLot()
        self._held = 0
        self._coming: set[str] = set()
        self._gone: set[str] = set()
        self.unfinished = 0
        self.closed = False

    def take(self) -> bool:
        """Hold a slot from now on, if there is one: for `coming`, or until `let_go`."""
        if self.unfinished + len(self._coming) + self._held >= self._most:
            return False
        self._held += 1
        return True

    async def slot(self) -> None:
        """Wait for a slot, which is held then; or for the gateway to close."""
        if not self.take():
            await self._waiting.park()  # whoever wakes it has taken the slot for it

    def let_go(self) -> None:
        """A slot that was held is not needed after all."""
        self._held -= 1
        self._hand_on()

    def close(self) -> None:
        """Nobody waits any more."""
        self.closed = True
        self._held += len(self._waiting)
        self._waiting.unpark_all()

    def coming(self, envelope_id: str) -> None:
        """The outbox may have it from now on, though it is not accepted yet: the slot is its."""
        self._held -= 1
        self._coming.add(envelope_id)

    def came(self, envelope_id: str, *, accepted: bool) -> None:
        """Its append is over."""
        self._coming.discard(envelope_id)
        if accepted:
            self.unfinished += 1
            return
        self._note(envelope_id)
        self._hand_on()

    def freed(self, envelope_id: str) -> None:
        """An envelope ended."""
        self.unfinished -= 1
        self._note(envelope_id)
        if self._waiting:
            self._hand_on()

    def reopened(self, envelope_id: str) -> None:
        """One that had ended is unfinished again."""
        self.unfinished += 1
        self._gone.discard(envelope_id)

    def lacks(self, envelope_id: str) -> bool:
        """Whether a page may have it that is not accepted (yet), or has ended since it was read."""
        return envelope_id in self._coming or envelope_id in self._gone

    def read_anew(self) -> None:
        """What is read from now on is without those that are gone."""
        self._gone.clear()

    def _note(self, envelope_id: str) -> None:
        self._gone.add(envelope_id)
        if len(self._gone) > MOST_GONE:
            self._wake()

    @property
    def _full(self) -> bool:
        return self.unfinished + len(self._coming) + self._held >= self._most

    def _hand_on(self) -> None:
        """Whoever has waited longest has what is free, before anybody who comes now."""
        while self._waiting and not self._full:
            self._held += 1
            self._waiting.unpark()
