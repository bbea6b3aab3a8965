"""Holds spilled envelopes that have a ticket, and asks the outbox about keys and messages.

This module waits only for the outbox.
"""

from __future__ import annotations

from collections.abc import Callable
from weakref import WeakValueDictionary

import attrs

from gateway_core.accounts.instance_state import InstanceState
from gateway_core.clock import SECOND, Clock
from gateway_core.contract.envelopes import Envelope, KeyRef, Target
from gateway_core.deliveries.delivery import Delivery
from gateway_core.deliveries.idempotency import Known, frees_its_key, scope_of_key
from gateway_core.deliveries.remembered import Scope
from gateway_core.engine.instances.instance_registry import InstanceRegistry
from gateway_core.engine.partition import Partition
from gateway_core.outboxes.interface import Outbox
from gateway_core.outboxes.records import Found, StoredEntry
from gateway_core.outboxes.restore import catch_up, restore_delivery


@attrs.define(eq=False)
class Spilled:
    """The deliveries of spilled envelopes, as long as somebody holds a ticket for them.

    A million envelopes may be spilled, and callers drop nearly all tickets. A delivery without a
    ticket is dropped as well, and is made again when its envelope comes in.

    observed  whether an observer listens to deliveries
    """

    _outbox: Outbox
    _clock: Clock
    _registry: InstanceRegistry
    _observed: bool
    _partition_for: Callable[[Envelope], Partition]
    _deliveries: WeakValueDictionary[str, Delivery] = attrs.field(
        factory=WeakValueDictionary, init=False
    )
    _keyed: int = attrs.field(default=0, init=False)
    _closed: bool = attrs.field(default=False, init=False)

    def add(self, delivery: Delivery) -> None:
        """Add a delivery that is spilled from now on."""
        self._keyed += delivery.scope is not None
        self._deliveries[delivery.id] = delivery
        delivery.wait_for("outbox", self._clock.now())

    def get(self, envelope_id: str) -> Delivery | None:
        """The delivery of a spilled envelope, if somebody holds it."""
        return self._deliveries.get(envelope_id)

    def all(self) -> list[Delivery]:
        """The deliveries that somebody holds, in the order of their acceptance."""
        return sorted(self._deliveries.values(), key=lambda delivery: delivery.sequence)

    def of(self, instance_id: str) -> list[Delivery]:
        """The deliveries of an account that somebody holds."""
        return [each for each in self.all() if each.envelope.instance_id == instance_id]

    def store(self) -> None:
        """The gateway ends: all tickets, also later ones, report that their envelope is stored."""
        self._closed = True
        for delivery in self.all():
            delivery.store()

    def forget(self, envelope_id: str) -> None:
        """Forget a delivery that is no longer spilled."""
        self._deliveries.pop(envelope_id, None)

    def take(self, stored: StoredEntry, account: InstanceState, now: int, wall: float) -> Delivery:
        """Return the delivery, as `delivery` does; it is no longer spilled."""
        delivery = self._deliveries.pop(stored.entry.id, None)
        if delivery is None:
            return self._restored(stored, account, now, wall)
        catch_up(delivery, stored, now, wall, account.hooks.deduplicates_for)
        return delivery

    def delivery(self, stored: StoredEntry) -> Delivery:
        """The delivery that somebody holds, or a new one."""
        delivery = self._deliveries.get(stored.entry.id)
        account = self._registry.serving.get(stored.entry.envelope.instance_id)
        now, wall = self._clock.now(), self._clock.wall()
        if delivery is None:
            return self._restored(stored, account, now, wall)
        window = account.hooks.deduplicates_for if account is not None else 0
        catch_up(delivery, stored, now, wall, window)
        return delivery

    def _restored(
        self, stored: StoredEntry, account: InstanceState | None, now: int, wall: float
    ) -> Delivery:
        window = account.hooks.deduplicates_for if account is not None else 0
        return restore_delivery(stored, now, wall, window, observed=self._observed)

    def join(self, found: Found) -> Delivery | None:
        """The delivery of a spilled envelope that the outbox found, for another ticket.

        None: the envelope has ended.
        """
        if found.stored is None:
            return None
        delivery = self._deliveries.get(found.envelope_id)
        if delivery is None:
            delivery = self._deliveries[found.envelope_id] = self.delivery(found.stored)
            if self._closed:
                delivery.store()
            delivery.wait_for("outbox", self._clock.now())
        return delivery

    async def known(self, partition: Partition, scope: Scope) -> Known | None:
        """What a key that is not in memory stands for. Raises `OutboxError`."""
        keyed = -1
        while keyed != self._keyed:  # an envelope that was spilled meanwhile may have the key
            keyed = self._keyed
            found = await self._outbox.find(scope)
        now, keys = self._clock.now(), partition.keys_of(scope)
        known = keys.find(scope, now)
        if known is not None or found is None:
            return known
        if found.receipt is not None:
            since = now - round(max(0.0, self._clock.wall() - found.receipt.ended_at) * SECOND)
            asked = scope, found.fingerprint, found.receipt, since
            return keys.remember(*asked, found.sequence)
        if found.stored is not None:  # policies may have moved it to another room
            partition = self._partition_for(found.stored.entry.envelope)
        ended = partition.completion.history.get(found.envelope_id)  # during the look-up
        if ended is not None:
            free = frees_its_key(ended)
            name = ended.envelope_id
            known = Known(found.fingerprint, name, now, None, ended, found.sequence)
            return None if free else known
        delivery = partition.deliveries.get(found.envelope_id) or self.join(found)
        return Known(
            found.fingerprint, found.envelope_id, now, delivery, given_sequence=found.sequence
        )

    async def room_of(self, partition: Partition, target: Target) -> str | None:
        """The room of a message that is named by its key; None: unknown, or the ref names it."""
        if not isinstance(target, KeyRef):
            return None
        scope = scope_of_key(target)
        known = partition.keys_of(scope).named(scope, self._clock.now())
        if known is None or known.room is None:
            known = await self.known(partition, scope)
        return None if known is None else known.room

    async def recall(
        self, partition: Partition, target: Target, before: int | None = None
    ) -> float | None:
        """Tell the partition about the message that an envelope concerns.

        If the message is spilled and scheduled, returns its due time (POSIX): the envelope waits
        for that time too.

        before  the envelope's own sequence, if it has one: messages accepted later are not meant
        """
        if isinstance(target, KeyRef):
            scope = scope_of_key(target)
            known = partition.keys_of(scope).named(scope, self._clock.now())
            known = known or await self.known(partition, scope)
            name = known.envelope_id if known is not None else ""
            if known is not None and before is not None and known.sequence > before:
                name = ""
        else:
            name = target.envelope_id
        if not name or partition.targets.knows(name):
            return None
        found = await self._outbox.find(name)
        if found is None or partition.targets.knows(name):  # the message came in or ended meanwhile
            return None
        if found.stored is not None and before is None and found.stored.entry.due is not None:
            return found.stored.entry.due
        message = self.join(found)
        if message is not None and name not in partition.completion.history:
            partition.targets.expect(message)
        else:
            sent = found.receipt.ref if found.receipt is not None else None
            partition.targets.recalled(target, found.newest or sent)
        return None
