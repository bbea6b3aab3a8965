"""Brings single spilled envelopes into their lanes, or to their end. Never waits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import attrs

from gateway_core.accounts.instance_state import InstanceState
from gateway_core.backlog.capacity import Capacity
from gateway_core.backlog.spilled import Spilled
from gateway_core.clock import Clock
from gateway_core.contract.envelopes import Envelope
from gateway_core.deliveries.delays import Place, in_order
from gateway_core.deliveries.delivery import Delivery
from gateway_core.deliveries.ending import SHED, Ending, expired
from gateway_core.engine.instances.instance_registry import InstanceRegistry
from gateway_core.engine.partition import Partition
from gateway_core.outboxes.records import Overview, StoredEntry
from gateway_core.outboxes.restore import arrives_within, waits_until
from gateway_core.scheduling.classes import RANKS


@attrs.define(eq=False)
class Intake:
    """Brings each envelope in once, and counts it once.

    spilled_of  how many envelopes of each instance are spilled
    on_end      called with each delivery that ended while it was spilled
    follow      returns a delivery's successor once another process owns the account; None: the
                callers that wait for the delivery learn that the outbox stores it
    on_delay    called with each delivery that another process accepted and policies here delay
    """

    _spilled: Spilled
    _capacity: Capacity
    _registry: InstanceRegistry
    _clock: Clock
    partition_of: Callable[[str, str], Partition]
    spilled_of: Counter[str] = attrs.field(factory=Counter, init=False)
    on_end: Callable[[Delivery], None] = attrs.field(init=False)
    on_delay: Callable[[Delivery], None] = attrs.field(init=False)
    follow: Callable[[Delivery], Delivery] | None = attrs.field(default=None, init=False)
    _spilled_here: Counter[tuple[str, int]] = attrs.field(factory=Counter, init=False)
    _last: tuple[str, int] = attrs.field(default=("", -1), init=False)
    _last_of: dict[str, tuple[str, int]] = attrs.field(factory=dict, init=False)

    def open(self, overview: Overview) -> None:
        """Count everything that previous process runs left as spilled."""
        self._last = _last_of(overview)
        self.spilled_of.update(overview.unfinished)

    def recount(self, overview: Overview, partitions: Sequence[Partition]) -> None:
        """Count everything that is stored as spilled, and as left by another process.

        No envelope is in a lane. The envelopes count as accepted when they come in again.
        """
        for (instance_id, index), count in self._spilled_here.items():
            partitions[index].spilled -= count
            partitions[index].accepted -= count
            account = self._registry.serving.get(instance_id)
            if account is not None:
                account.counts.accepted -= count
        self._spilled_here.clear()
        self._last_of.clear()
        self.spilled_of.clear()
        self.open(overview)
        self._capacity.recount(overview, self._clock.now())

    def gained(self, instance_id: str, left: Overview) -> int:
        """Count what former owners left of an account that is owned now; how much is spilled."""
        self._last_of[instance_id] = _last_of(left)
        self.spilled_of[instance_id] = count = left.unfinished.get(instance_id, 0)
        self._capacity.gained(instance_id, left.classes)
        return count

    def lost(self, account: InstanceState, partitions: Sequence[Partition]) -> None:
        """Drop the spilled deliveries and the counts of an account that another process gets.

        None of the account's envelopes is in a lane any more. Its stored envelopes are not counted
        here any longer, no matter which process accepted them.
        """
        instance_id = account.instance.id
        for delivery in self._spilled.of(instance_id):
            self._spilled.forget(delivery.id)
            self._follow(delivery)
            delivery.pass_to_another()
            delivery.notify()
        for partition in partitions:
            count = self._spilled_here.pop((instance_id, partition.index), 0)
            partition.spilled -= count
            partition.accepted -= count
            account.counts.accepted -= count
        self.spilled_of.pop(instance_id, None)
        self._capacity.lost(instance_id, self._clock.now())

    def forget(self, instance_id: str) -> None:
        """Forget an account that has no unfinished envelopes and is taken out of memory."""
        self._last_of.pop(instance_id, None)

    def _follow(self, delivery: Delivery) -> None:
        if self.follow is not None:
            delivery.goes_on_as(self.follow(delivery))

    def partition_for(self, envelope: Envelope) -> Partition:
        """The partition that serves the envelope's room."""
        return self.partition_of(envelope.instance_id, envelope.external_room_id)

    def known(self, partition: Partition, envelope_id: str) -> bool:
        """Whether an envelope is in memory, ended since the page was read, or is not accepted."""
        return (
            envelope_id in partition.deliveries
            or envelope_id in partition.completion.history
            or self._capacity.lacks(envelope_id)
        )

    def take(self, stored: StoredEntry, partition: Partition, account: InstanceState) -> None:
        """Bring an entry into its lane, unless it is known, or a policy sheds or delays it."""
        entry = stored.entry
        if self.known(partition, entry.id):
            return
        self._comes_back(stored, partition)
        now, wall = self._clock.now(), self._clock.wall()
        delivery = self._spilled.take(stored, account, now, wall)
        if not (entry.voted or delivery.started) and self._put_off(delivery, partition, account):
            return
        room, rank = entry.envelope.external_room_id, RANKS[delivery.priority]
        partition.admission.add(account.instance.id, room, rank)
        self._came_in(partition, delivery, account)
        hold = waits_until(stored, wall) if stored.records else 0.0
        arrives = arrives_within(stored, wall) if stored.records else 0.0
        partition.enqueuer.resume(delivery, account, now, entry.fingerprint, hold, arrives)

    def _put_off(self, delivery: Delivery, partition: Partition, account: InstanceState) -> bool:
        """Let policies vote on an envelope that another process accepted; whether they keep it out.

        They keep it out if they shed or delay it.
        """
        if "admit" not in account.hooks.served:
            return False
        vote, until = account.hooks.admit(delivery.envelope, partition.pressure())
        if vote == "shed":
            self.end(delivery, SHED)
            return True
        if vote is not None:
            self._capacity.reclass(account.instance.id, RANKS[delivery.priority], RANKS[vote])
            delivery.reclass(vote)
        until = partition.delayed(delivery, until, self._clock.wall())
        if until is not None:
            self.on_delay(delivery)
        return until is not None

    def delayed_again(self, stored: StoredEntry, wall: float) -> Delivery | None:
        """The delivery of an entry that is due, if a policy delays it again; None: it goes on."""
        entry = stored.entry
        account = self._registry.serving.get(entry.envelope.instance_id)
        partition = self.partition_for(entry.envelope)
        if account is None or self.known(partition, entry.id):
            return None
        delivery = self._spilled.delivery(stored)
        until = partition.delay_again(delivery, account.hooks, wall)
        return None if until is None else delivery

    def held_room(self, stored: StoredEntry) -> Place | None:
        """The room whose later envelopes wait for this entry, which a previous run delayed.

        None: no envelope waits for it.
        """
        entry, envelope = stored.entry, stored.entry.envelope
        if entry.due == envelope.not_before or not in_order(envelope):
            return None
        known = self.known(self.partition_for(envelope), entry.id)
        return None if known else (envelope.instance_id, envelope.external_room_id)

    def end_stored(
        self, stored: StoredEntry, how: Callable[[Delivery], Ending] | None = None
    ) -> bool:
        """End an entry, unless it is known; whether it was ended. Without `how` it expires."""
        if self.known(self.partition_for(stored.entry.envelope), stored.entry.id):
            return False
        self._comes_back(stored, self.partition_for(stored.entry.envelope))
        delivery = self._spilled.delivery(stored)
        if how is None:
            cause = cause_of(stored, self._registry, self._clock.wall())
            self.end(delivery, expired(delivery, cause))
        else:
            self.end(delivery, how(delivery))
        return True

    def end(self, delivery: Delivery, ending: Ending) -> None:
        """End a spilled envelope, no matter whether its instance is configured now."""
        instance_id, partition = (
            delivery.envelope.instance_id,
            self.partition_for(delivery.envelope),
        )
        account = self._registry.present(instance_id)
        self._spilled.forget(delivery.id)
        self._came_in(partition, delivery, account)
        hooks = self._registry.hooks_of(instance_id)
        partition.completion.complete_spilled(delivery, account, ending, hooks)
        self.on_end(delivery)

    def _comes_back(self, stored: StoredEntry, partition: Partition) -> None:
        """Reopen an envelope whose ending here was not written before another process owned it."""
        if stored.entry.id in partition.completion.unsure:
            del partition.completion.unsure[stored.entry.id]
            self.reopened(stored, partition)

    def reopened(self, stored: StoredEntry, partition: Partition) -> InstanceState | None:
        """Count an ended envelope as unfinished and spilled again; its account, if it is there.

        If the envelope ended in a previous run, a page may have shown it before this call, so that
        it has already ended a second time. Then it stays known.
        """
        name, envelope, history = (
            stored.entry.id,
            stored.entry.envelope,
            partition.completion.history,
        )
        before = history.get(name)
        over = (
            before is not None
            and before.accepted_at == stored.entry.accepted_at
            and not self._is_of_this_run(envelope.instance_id, name, stored.sequence)
        )
        rank = RANKS[stored.entry.stream.priority]
        self._capacity.reopened(name, envelope.instance_id, rank, over=over)
        if not over:
            history.pop(name, None)
        return self.count_spilled(name, stored.sequence, envelope, partition)

    def count_spilled(
        self, envelope_id: str, sequence: int | None, envelope: Envelope, partition: Partition
    ) -> InstanceState | None:
        """Count an envelope that is spilled from now on; its account, if it is there."""
        account = self._registry.serving.get(envelope.instance_id)
        self.spilled_of[envelope.instance_id] += 1
        if self._is_of_this_run(envelope.instance_id, envelope_id, sequence):
            partition.accepted += 1
            partition.spilled += 1
            self._spilled_here[envelope.instance_id, partition.index] += 1
            if account is not None:
                account.counts.accepted += 1
        return account

    def pass_to_another(self, delivery: Delivery, account: InstanceState) -> None:
        """Let go of a delivery in memory whose account another process owns: it stays stored."""
        instance_id, partition = (
            delivery.envelope.instance_id,
            self.partition_for(delivery.envelope),
        )
        self._follow(delivery)
        partition.completion.pass_to_another(delivery, account)
        self.spilled_of[instance_id] += 1
        if self._is_of_this_run(instance_id, delivery.id, delivery.given_sequence):
            partition.spilled += 1
            self._spilled_here[instance_id, partition.index] += 1
            return
        partition.accepted -= 1  # the envelope counts when it comes in again
        account.counts.accepted -= 1
        account.counts.recovered -= 1

    def _is_of_this_run(self, instance_id: str, envelope_id: str, sequence: int | None) -> bool:
        """Whether the envelope came after this process opened the outbox or got the account."""
        last_id, last_sequence = self._last_of.get(instance_id, self._last)
        return envelope_id > last_id if sequence is None else sequence > last_sequence

    def _came_in(
        self, partition: Partition, delivery: Delivery, account: InstanceState | None
    ) -> None:
        """Count an envelope as no longer spilled; a previous run's counts as accepted now."""
        instance_id = delivery.envelope.instance_id
        self.spilled_of[instance_id] -= 1
        if not self.spilled_of[instance_id]:
            del self.spilled_of[instance_id]
        if self._is_of_this_run(instance_id, delivery.id, delivery.given_sequence):
            partition.spilled -= 1
            self._spilled_here[instance_id, partition.index] -= 1
            if not self._spilled_here[instance_id, partition.index]:
                del self._spilled_here[instance_id, partition.index]
            return
        partition.accepted += 1
        if account is not None:
            account.counts.accepted += 1
            account.counts.recovered += 1


def cause_of(stored: StoredEntry, registry: InstanceRegistry, wall: float) -> str:
    """What the envelope waits for in the outbox; `wall` is the POSIX time now."""
    if stored.entry.due is not None and stored.entry.due > wall:
        return "schedule"
    account = registry.serving.get(stored.entry.envelope.instance_id)
    return "no instance" if account is None else account.health.trouble or "outbox"


def _last_of(overview: Overview) -> tuple[str, int]:
    """The newest id and the highest sequence at the time of the overview."""
    return overview.last_id, -1 if overview.sequence is None else overview.sequence
