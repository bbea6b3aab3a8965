"""Brings single envelopes from outside memory into their lanes, or to their end. Never waits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

from gateway_core.accounts.instance_state import Account
from gateway_core.backlog.capacity import Capacity
from gateway_core.backlog.spilled import Outside
from gateway_core.clock import Clock
from gateway_core.contract.envelopes import Disposition
from gateway_core.deliveries.delivery import Flight
from gateway_core.engine.instance_registry import Roster
from gateway_core.engine.partition import Partition
from gateway_core.outboxes.interface import Kept
from gateway_core.outboxes.journal import waits_until


class Intake:
    """Each comes in once, and is counted once.

    earlier  the newest id of an earlier life, all later ones of which sort after it; or empty
    ended    told of each that ended outside
    """

    def __init__(
        self,
        outside: Outside,
        capacity: Capacity,
        *,
        roster: Roster,
        partition_of: Callable[[str, str], Partition],
        clock: Clock,
        ended: Callable[[Flight], None],
    ) -> None:
        self._outside = outside
        self._ended = ended
        self._capacity = capacity
        self._roster = roster
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
        find = self._roster.find
        return {name: n for name, n in self._outside_of.items() if n and find(name) is None}

    def left(self, flight: Flight, partition: Partition) -> None:
        """Count one that is accepted and stays outside."""
        partition.accepted += 1
        partition.outside += 1
        self._outside_of[flight.envelope.instance_id] += 1
        account = self._roster.find(flight.envelope.instance_id)
        if account is not None:
            account.counts.accepted += 1

    def known(self, partition: Partition, envelope_id: str) -> bool:
        """Whether it is in memory, ended since the page was read, or is not accepted (yet)."""
        return (
            envelope_id in partition.flights
            or envelope_id in partition.endings.history
            or self._capacity.lacks(envelope_id)
        )

    def take(self, kept: Kept, partition: Partition, account: Account) -> None:
        """Bring it into its lane, unless it is known."""
        entry = kept.entry
        if self.known(partition, entry.id):
            return
        now, wall = self._clock.now(), self._clock.wall()
        flight = self._outside.take(kept, account, now, wall)
        partition.admission.add(account.instance.id, entry.envelope.external_room_id)
        self._came_in(partition, flight, account)
        hold = waits_until(kept, wall) if kept.records else 0.0
        partition.arrivals.resume(flight, account, now, entry.fingerprint, hold)

    def end_kept(self, kept: Kept, disposition: Disposition) -> None:
        """End it, unless it is known."""
        envelope = kept.entry.envelope
        partition = self._partition_of(envelope.instance_id, envelope.external_room_id)
        if not self.known(partition, kept.entry.id):
            self.end(self._outside.flight(kept), disposition)

    def end(self, flight: Flight, disposition: Disposition) -> None:
        """End one that is outside, whether its instance is there or not."""
        envelope = flight.envelope
        account = self._roster.present(envelope.instance_id)
        self._outside.forget(flight.id)
        partition = self._partition_of(envelope.instance_id, envelope.external_room_id)
        self._came_in(partition, flight, account)
        hooks = self._roster.hooks_of(envelope.instance_id)
        partition.endings.finish_outside(flight, account, disposition, hooks)
        self._ended(flight)

    def reopened(self, kept: Kept, partition: Partition) -> Account | None:
        """One that had ended is unfinished again, and outside; its account, if it is there."""
        account = self._roster.find(kept.entry.envelope.instance_id)
        self._capacity.reopened(kept.entry.id)
        self._outside_of[kept.entry.envelope.instance_id] += 1
        partition.endings.history.pop(kept.entry.id, None)
        if kept.entry.id > self.earlier:
            partition.accepted += 1
            partition.outside += 1
            if account is not None:
                account.counts.accepted += 1
        return account

    def _came_in(self, partition: Partition, flight: Flight, account: Account | None) -> None:
        """Count it: as outside before, or as accepted now where an earlier life accepted it."""
        self._outside_of[flight.envelope.instance_id] -= 1
        if flight.id > self.earlier:
            partition.outside -= 1
            return
        partition.accepted += 1
        if account is not None:
            account.counts.accepted += 1
            account.counts.recovered += 1
