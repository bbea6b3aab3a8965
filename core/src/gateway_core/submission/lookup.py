"""Finds an envelope that somebody asks about: under way, in the outbox, or ended.

This module waits: for the outbox. What memory tells is told as of the moment of the call.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import trio

from gateway_core.backlog.pager import Pager
from gateway_core.clock import Clock
from gateway_core.contract.envelopes import KeyRef
from gateway_core.deliveries.delivery import Delivery
from gateway_core.deliveries.idempotency import scope_of_key
from gateway_core.engine.partition import Partition
from gateway_core.outboxes.interface import Found, Outbox
from gateway_core.submission.status import Status, status_ended, status_of
from gateway_core.submission.tickets import Ticket


class Lookup:
    """Answers for all partitions and the outbox."""

    def __init__(
        self,
        partitions: Sequence[Partition],
        partition_of: Callable[[str, str], Partition],
        pager: Pager | None,
        outbox: Outbox | None,
        clock: Clock,
    ) -> None:
        self._partitions = partitions
        self._partition_of = partition_of
        self._pager = pager
        self._outbox = outbox
        self._clock = clock

    # -- at once, of what is in memory

    def withdraw_held(self, delivery: Delivery) -> bool:
        """End it `cancelled` if it has not started; whether that was so. Somebody has its ticket.

        Whoever has its ticket keeps it in memory, wherever its envelope is.
        """
        return bool(self._withdraw(delivery.id))

    def known(self, what: Ticket | KeyRef | str) -> Status | None:
        """Where it stands, as far as memory tells; None: the outbox may know it."""
        if isinstance(what, KeyRef):
            return self._known_by_key(what)
        envelope_id = _id_of(what, "a Ticket, a KeyRef or an envelope's id")
        for partition in self._partitions:
            delivery = partition.deliveries.get(envelope_id)
            if delivery is not None:
                return self._unfinished(delivery)
            receipt = partition.completion.history.get(envelope_id)
            if receipt is not None:
                return status_ended(receipt)
        return None

    def _known_by_key(self, key: KeyRef) -> Status | None:
        partition = self._partition_of(key.instance_id, key.external_room_id)
        known = partition.keys.find(scope_of_key(key), self._clock.now())
        if known is None:
            return None
        if known.delivery is not None:
            return self._unfinished(known.delivery)
        return status_ended(known.receipt) if known.receipt is not None else None

    def _unfinished(self, delivery: Delivery) -> Status:
        return status_of(delivery, self._clock.now(), self._clock.wall())

    def _withdraw(self, envelope_id: str) -> bool | None:
        """The same as `withdraw_held`, by an id; None: it is not in memory."""
        for partition in self._partitions:
            delivery = partition.deliveries.get(envelope_id)
            if delivery is not None:
                return partition.completion.withdraw(delivery)
            if envelope_id in partition.completion.history:
                return False
        spilled = self._pager.spilled.get(envelope_id) if self._pager is not None else None
        if spilled is None or self._pager is None:
            return None
        return self._pager.withdraw(spilled)

    # -- with the outbox's help

    async def status(self, what: Ticket | KeyRef | str) -> Status | None:
        """Where it stands at the time of the call; None: not known (any more)."""
        await trio.lowlevel.checkpoint_if_cancelled()
        status = self.known(what)
        if status is None and self._outbox is not None:
            return await self._status_outside(what, self._outbox)
        await trio.lowlevel.cancel_shielded_checkpoint()
        return status

    async def _status_outside(self, what: Ticket | KeyRef | str, outbox: Outbox) -> Status | None:
        """As the outbox knows it, unless it came in or ended during the look-up."""
        await trio.lowlevel.checkpoint()
        found = await outbox.find(
            scope_of_key(what) if isinstance(what, KeyRef) else _id_of(what, "an envelope's id")
        )
        status = self.known(what)
        if status is None and found is not None and isinstance(what, KeyRef):
            status = self.known(found.envelope_id)  # it may have freed its key
        if status is not None or found is None:
            return status
        return self._kept(found)

    def _kept(self, found: Found) -> Status | None:
        """Of what is in the outbox alone."""
        if found.receipt is not None:
            return status_ended(found.receipt)
        if found.kept is None:  # of the message that it made, the newest edit alone is known
            return None
        due = found.kept.entry.due
        return Status(
            envelope_id=found.envelope_id,
            state="unfinished",
            cause="outbox" if due is None else "schedule",
            estimate=None if due is None else max(0.0, due - self._clock.wall()),
        )

    async def withdraw(self, what: Ticket | str) -> bool:
        """End it `cancelled` if it has not started; whether that was so."""
        envelope_id = _id_of(what, "a Ticket or an envelope's id")
        await trio.lowlevel.checkpoint_if_cancelled()
        done = self._withdraw(envelope_id)
        ended = isinstance(what, Ticket) and what.ended
        if done is None and self._pager is not None and not ended:
            return await self._withdraw_outside(envelope_id, self._pager)
        await trio.lowlevel.cancel_shielded_checkpoint()
        return bool(done)

    async def _withdraw_outside(self, envelope_id: str, pager: Pager) -> bool:
        """One that the outbox alone has, unless it came in or ended during the look-up."""
        await trio.lowlevel.checkpoint()
        found = await pager.look_up(envelope_id)
        done = self._withdraw(envelope_id)
        if done is not None or found is None:
            return bool(done)
        delivery = pager.join(found)
        return delivery is not None and pager.withdraw(delivery)


def _id_of(what: object, wanted: str) -> str:
    if isinstance(what, Ticket):
        return what.id
    if not isinstance(what, str):
        raise TypeError(f"must be {wanted}, not {type(what).__name__}")
    return what
