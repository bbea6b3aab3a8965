"""How many unfinished envelopes a durable outbox may store. This module waits: for a slot in it."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import trio

MOST_GONE = 10_000


@attrs.define(eq=False)
class Capacity:
    """The outbox's own bound, whatever part of it is in memory.

    wake        asks the pager for a new round, so that ended envelopes can be forgotten
    unfinished  envelopes that were accepted and have not ended
    """

    _most: int
    _wake: Callable[[], None]
    unfinished: int = attrs.field(default=0, init=False)
    closed: bool = attrs.field(default=False, init=False)
    _waiting: trio.lowlevel.ParkingLot = attrs.field(factory=trio.lowlevel.ParkingLot, init=False)
    _held: int = attrs.field(default=0, init=False)
    _coming: set[str] = attrs.field(factory=set, init=False)
    _gone: set[str] = attrs.field(factory=set, init=False)

    def take(self) -> bool:
        """Hold a slot, if one is free, until `coming` or `let_go`."""
        if self._full:
            return False
        self._held += 1
        return True

    async def slot(self) -> None:
        """Wait until a slot is held, or until the gateway closes."""
        if not self.take():
            await self._waiting.park()  # the slot was taken by the caller of `unpark`

    def let_go(self) -> None:
        """A held slot is not needed after all."""
        self._held -= 1
        self._hand_on()

    def close(self) -> None:
        """Let nobody wait any more."""
        self.closed = True
        self._held += len(self._waiting)
        self._waiting.unpark_all()

    def coming(self, envelope_id: str) -> None:
        """Use a held slot: the outbox may store the envelope, which is not accepted yet."""
        self._held -= 1
        self._coming.add(envelope_id)

    def came(self, envelope_id: str, *, accepted: bool) -> None:
        """The envelope's append is over."""
        self._coming.discard(envelope_id)
        if accepted:
            self.unfinished += 1
            return
        self._note_gone(envelope_id)
        self._hand_on()

    def freed(self, envelope_id: str) -> None:
        """An envelope ended."""
        self.unfinished -= 1
        self._note_gone(envelope_id)
        self._hand_on()

    def reopened(self, envelope_id: str) -> None:
        """An envelope that had ended is unfinished again."""
        self.unfinished += 1
        self._gone.discard(envelope_id)

    def lacks(self, envelope_id: str) -> bool:
        """Whether a page may show the envelope though it is not accepted yet, or has ended."""
        return envelope_id in self._coming or envelope_id in self._gone

    def read_anew(self) -> None:
        """Forget the ended envelopes: later pages do not show them."""
        self._gone.clear()

    def _note_gone(self, envelope_id: str) -> None:
        self._gone.add(envelope_id)
        if len(self._gone) > MOST_GONE:
            self._wake()

    @property
    def _full(self) -> bool:
        return self.unfinished + len(self._coming) + self._held >= self._most

    def _hand_on(self) -> None:
        """Give free slots to the longest waiting, before any later caller."""
        while self._waiting and not self._full:
            self._held += 1
            self._waiting.unpark()
