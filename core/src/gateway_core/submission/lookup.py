"""Finds an envelope that somebody asks about: under way, in the outbox, or ended. Never waits."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gateway_core.backlog.pager import Pager
from gateway_core.clock import Clock
from gateway_core.contract.envelopes import KeyRef
from gateway_core.deliveries.delivery import Delivery
from gateway_core.deliveries.idempotency import Scope, scope_of_key
from gateway_core.engine.partition import Partition
from gateway_core.outboxes.interface import Outbox
from gateway_core.submission.status import Status, status_ended, status_of
from gateway_core.submission.tickets import Ticket


class Lookup:
    """Answers for all partitions and the outbox."""

    def __init__(
        self,
        partitions: Sequence[Partition],
        partition_of: Callable[[str, str], Partition],
        pager: Pager | None,
        outbox: Outbox,
        clock: Clock,
    ) -> None:
        self._partitions = partitions
        self._partition_of = partition_of
        self._pager = pager
        self._outbox = outbox
        self._clock = clock

    def withdraw(self, what: Ticket | str) -> bool:
        """End it `cancelled` if it has not started; whether that was so."""
        envelope_id = _id_of(what, "a Ticket or an envelope's id")
        for partition in self._partitions:
            delivery = partition.deliveries.get(envelope_id)
            if delivery is not None:
                return partition.completion.withdraw(delivery)
        if self._pager is None:
            return False
        if isinstance(what, Ticket) and what.ended:
            return False
        spilled = self._pager.found(envelope_id)  # a ticket may be another gateway's
        return spilled is not None and self._pager.withdraw(spilled)

    def status(self, what: Ticket | KeyRef | str) -> Status | None:
        """Where it stands, by its id, ticket or key; None: not known (any more)."""
        if isinstance(what, KeyRef):
            return self._by_key(what)
        envelope_id = _id_of(what, "a Ticket, a KeyRef or an envelope's id")
        for partition in self._partitions:
            delivery = partition.deliveries.get(envelope_id)
            if delivery is not None:
                return self._unfinished(delivery)
            receipt = partition.completion.history.get(envelope_id)
            if receipt is not None:
                return status_ended(receipt)
        return self._kept(envelope_id)

    def _by_key(self, key: KeyRef) -> Status | None:
        partition = self._partition_of(key.instance_id, key.external_room_id)
        scope = scope_of_key(key)
        known = partition.keys.find(scope, self._clock.now())
        if known is None:
            return self._kept(scope)
        if known.delivery is not None:
            return self._unfinished(known.delivery)
        return status_ended(known.receipt) if known.receipt is not None else None

    def _unfinished(self, delivery: Delivery) -> Status:
        return status_of(delivery, self._clock.now(), self._clock.wall())

    def _kept(self, what: str | Scope) -> Status | None:
        """What a durable outbox remembers."""
        found = self._outbox.peek(what) if self._outbox.durable else None
        if found is None:
            return None
        if found.receipt is not None:
            return status_ended(found.receipt)
        due = found.kept.entry.due if found.kept is not None else None
        if due is None:
            return Status(envelope_id=found.envelope_id, state="unfinished", cause="outbox")
        return Status(
            envelope_id=found.envelope_id,
            state="unfinished",
            cause="schedule",
            estimate=max(0.0, due - self._clock.wall()),
        )


def _id_of(what: object, wanted: str) -> str:
    if isinstance(what, Ticket):
        return what.id
    if not isinstance(what, str):
        raise TypeError(f"must be {wanted}, not {type(what).__name__}")
    return what
