"""Brings single envelopes from outside memory into their lanes, or to their end. Never waits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

from gateway_core.accounts.instance_state import InstanceState
from gateway_core.backlog.capacity import Capacity
from gateway_core.backlog.spilled import Spilled
from gateway_core.clock import Clock
from gateway_core.deliveries.delivery import Delivery
from gateway_core.deliveries.ending import Ending, expired
from gateway_core.engine.instance_registry import InstanceRegistry
from gateway_core.engine.partition import Partition
from gateway_core.outboxes.interface import Kept
from gateway_core.outboxes.restore import waits_until


class Intake:
    """Each comes in once, and is counted once.

    earlier  the newest id of an earlier life, all later ones of which sort after it; or empty
    ended    told of each that ended outside
    """

    def __init__(
        self,
        spilled: Spilled,
        capacity: Capacity,
        *,
        registry: InstanceRegistry,
        partition_of: Callable[[str, str], Partition],
        clock: Clock,
        ended: Callable[[Delivery], None],
    ) -> None:
        self._spilled = spilled
        self._ended = ended
        self._capacity = capacity
        self._registry = registry
        self._partition_of = partition_of
        self._clock = clock
        self._outside_of: Counter[str] = Counter()
        self.earlier = ""

    def open(self, earlier: str, unfinished: Mapping[str, int]) -> None:
        """What earlier lives left is all outside."""
        self.earlier = earlier
        self._outside_of.update(unfinished)

    def outside_of(self, instance_id: str) -> int:
        """How many of the instance are outside."""
        return self._outside_of[instance_id]

    @property
    def unserved(self) -> dict[str, int]:
        """How many are kept of each instance that is not there."""
        find = self._registry.serving.get
        return {name: n for name, n in self._outside_of.items() if n and find(name) is None}

    def left(self, delivery: Delivery, partition: Partition) -> None:
        """Count one that is accepted and stays outside."""
        partition.accepted += 1
        partition.spilled += 1
        self._outside_of[delivery.envelope.instance_id] += 1
        account = self._registry.serving.get(delivery.envelope.instance_id)
        if account is not None:
            account.counts.accepted += 1

    def known(self, partition: Partition, envelope_id: str) -> bool:
        """Whether it is in memory, ended since the page was read, or is not accepted (yet)."""
        return (
            envelope_id in partition.deliveries
            or envelope_id in partition.completion.history
            or self._capacity.lacks(envelope_id)
        )

    def take(self, kept: Kept, partition: Partition, account: InstanceState) -> None:
        """Bring it into its lane, unless it is known."""
        entry = kept.entry
        if self.known(partition, entry.id):
            return
        now, wall = self._clock.now(), self._clock.wall()
        delivery = self._spilled.take(kept, account, now, wall)
        partition.admission.add(account.instance.id, entry.envelope.external_room_id)
        self._came_in(partition, delivery, account)
        hold = waits_until(kept, wall) if kept.records else 0.0
        partition.enqueuer.resume(delivery, account, now, entry.fingerprint, hold)

    def end_kept(self, kept: Kept, ending: Ending | None = None) -> None:
        """End it, unless it is known; by itself, since its deadline passed."""
        envelope = kept.entry.envelope
        partition = self._partition_of(envelope.instance_id, envelope.external_room_id)
        if not self.known(partition, kept.entry.id):
            delivery = self._spilled.delivery(kept)
            self.end(delivery, ending or expired(delivery))

    def end(self, delivery: Delivery, ending: Ending) -> None:
        """End one that is spilled, whether its instance is there or not."""
        envelope = delivery.envelope
        account = self._registry.present(envelope.instance_id)
        self._spilled.forget(delivery.id)
        partition = self._partition_of(envelope.instance_id, envelope.external_room_id)
        self._came_in(partition, delivery, account)
        hooks = self._registry.hooks_of(envelope.instance_id)
        partition.completion.complete_spilled(delivery, account, ending, hooks)
        self._ended(delivery)

    def reopened(self, kept: Kept, partition: Partition) -> InstanceState | None:
        """One that had ended is unfinished again, and outside; its account, if it is there."""
        account = self._registry.serving.get(kept.entry.envelope.instance_id)
        self._capacity.reopened(kept.entry.id)
        self._outside_of[kept.entry.envelope.instance_id] += 1
        partition.completion.history.pop(kept.entry.id, None)
        if kept.entry.id > self.earlier:
            partition.accepted += 1
            partition.spilled += 1
            if account is not None:
                account.counts.accepted += 1
        return account

    def _came_in(
        self, partition: Partition, delivery: Delivery, account: InstanceState | None
    ) -> None:
        """Count it: as outside before, or as accepted now where an earlier life accepted it."""
        self._outside_of[delivery.envelope.instance_id] -= 1
        if delivery.id > self.earlier:
            partition.spilled -= 1
            return
        partition.accepted += 1
        if account is not None:
            account.counts.accepted += 1
            account.counts.recovered += 1
