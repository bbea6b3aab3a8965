"""Those outside memory that somebody waits for, and what the outbox knows of keys and messages.

This module waits: for the outbox alone.
"""

from __future__ import annotations

from collections.abc import Callable
from weakref import WeakValueDictionary

from gateway_core.accounts.instance_state import InstanceState
from gateway_core.clock import SECOND, Clock
from gateway_core.contract.envelopes import Delete, Edit, KeyRef, MessageRef
from gateway_core.deliveries.delivery import Delivery
from gateway_core.deliveries.idempotency import Known, Scope, frees_its_key, scope_of_key
from gateway_core.engine.partition import Partition
from gateway_core.outboxes.interface import Found, Kept, Outbox
from gateway_core.outboxes.restore import restore_delivery


class Spilled:
    """The deliveries of envelopes outside, as long as anybody holds a ticket of them.

    A million may be outside, and nearly all tickets are dropped: a delivery that nobody holds is
    not kept either, and made anew when its envelope comes in. Nothing tells whether it was kept:
    nobody has it to ask, and those that are left are always taken in the order of their ids.
    """

    def __init__(
        self,
        outbox: Outbox,
        clock: Clock,
        account_of: Callable[[str], InstanceState | None],
        *,
        observed: bool,
    ) -> None:
        self._outbox = outbox
        self._clock = clock
        self._account_of = account_of
        self._observed = observed
        self._deliveries: WeakValueDictionary[str, Delivery] = WeakValueDictionary()
        self._keyed = 0
        self._closed = False

    def add(self, delivery: Delivery) -> None:
        """It stays outside for now."""
        self._keyed += delivery.scope is not None
        self._deliveries[delivery.id] = delivery
        delivery.waits.wait_for("outbox", self._clock.now())

    def get(self, envelope_id: str) -> Delivery | None:
        """The delivery of an envelope outside, if anybody waits for it."""
        return self._deliveries.get(envelope_id)

    def all(self) -> list[Delivery]:
        """Those that anybody waits for, in order."""
        return sorted(self._deliveries.values(), key=lambda delivery: delivery.id)

    def keep(self) -> None:
        """The gateway ends: who waits for one, or comes to, hears that it is kept."""
        self._closed = True
        for delivery in self.all():
            delivery.store()

    def forget(self, envelope_id: str) -> None:
        """It is outside no more."""
        self._deliveries.pop(envelope_id, None)

    def take(self, kept: Kept, account: InstanceState, now: int, wall: float) -> Delivery:
        """The same as `delivery`; it is outside no more."""
        delivery = self._deliveries.pop(kept.entry.id, None)
        return delivery or self._restored(kept, account, now, wall)

    def delivery(self, kept: Kept) -> Delivery:
        """The one that somebody waits for, or a new one."""
        delivery = self._deliveries.get(kept.entry.id)
        if delivery is not None:
            return delivery
        account = self._account_of(kept.entry.envelope.instance_id)
        return self._restored(kept, account, self._clock.now(), self._clock.wall())

    def _restored(
        self, kept: Kept, account: InstanceState | None, now: int, wall: float
    ) -> Delivery:
        window = account.hooks.deduplicates_for if account is not None else 0
        return restore_delivery(kept, now, wall, window, observed=self._observed)

    def join(self, found: Found) -> Delivery | None:
        """The delivery of an envelope that the outbox found, so that one can wait for it."""
        if found.kept is None:
            return None
        delivery = self._deliveries.get(found.envelope_id)
        if delivery is None:
            delivery = self._deliveries[found.envelope_id] = self.delivery(found.kept)
            if self._closed:
                delivery.store()
            delivery.waits.wait_for("outbox", self._clock.now())
        return delivery

    async def known(self, partition: Partition, scope: Scope) -> Known | None:
        """What a key that is not in memory stands for. Raises `OutboxError`."""
        keyed = -1
        while keyed != self._keyed:  # what is accepted meanwhile may have the key, outside memory
            keyed = self._keyed
            found = await self._outbox.find(scope)
        now = self._clock.now()
        known = partition.keys.find(scope, now)
        if known is not None or found is None:
            return known
        if found.receipt is not None:
            since = now - round(max(0.0, self._clock.wall() - found.receipt.ended_at) * SECOND)
            partition.keys.remember(scope, found.fingerprint, found.receipt, since)
            return partition.keys.find(scope, now)
        ended = partition.completion.history.get(found.envelope_id)  # during the look-up
        if ended is not None:
            free = frees_its_key(ended)
            return None if free else Known(found.fingerprint, ended.envelope_id, now, receipt=ended)
        delivery = partition.deliveries.get(found.envelope_id) or self.join(found)
        return Known(found.fingerprint, found.envelope_id, now, delivery=delivery)

    async def recall(
        self, partition: Partition, envelope: Edit | Delete, before: str = ""
    ) -> float | None:
        """Let the partition know the message that an edit or a delete is of.

        Where that waits outside for its time, the time (POSIX): the change waits there as well.

        before  the change's own id, if it has one: it is of no message accepted later
        """
        target = envelope.target
        name = target.envelope_id if isinstance(target, MessageRef) else ""
        if isinstance(target, KeyRef):
            scope = scope_of_key(target)
            known = partition.keys.find(scope, self._clock.now())
            known = known or await self.known(partition, scope)
            name = known.envelope_id if known is not None else ""
            name = "" if before and name > before else name
        if name and not partition.targets.knows(name):
            found = await self._outbox.find(name)
            if partition.targets.knows(name):  # it came in, or ended, during the look-up
                return None
            kept = found.kept if found is not None else None
            if kept is not None and not before and kept.entry.due is not None:
                return kept.entry.due
            made = self.join(found) if found is not None else None
            if made is not None and name not in partition.completion.history:
                partition.targets.expect(made)
                return None
            sent = found.receipt if found is not None else None
            newest = found.newest if found is not None else None
            partition.targets.recalled(target, newest or (sent.ref if sent is not None else None))
        return None
