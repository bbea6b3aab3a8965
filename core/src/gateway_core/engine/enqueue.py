"""How envelopes come into a partition's lanes: new, brought back, or due. Never waits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway_core.clock import nanoseconds
from gateway_core.contract.envelopes import Delete, Disposition, Edit
from gateway_core.engine.running_attempt import within_dedup
from gateway_core.scheduling.rooms import Room
from gateway_core.scheduling.scheduler import Hold

if TYPE_CHECKING:
    from gateway_core.accounts.instance_state import InstanceState
    from gateway_core.deliveries.delivery import Delivery
    from gateway_core.engine.partition import Partition

FARTHEST = 1e9
"""Seconds: a schedule beyond is looked at again then."""


class Enqueuer:
    """Takes deliveries into the lanes of one partition."""

    def __init__(self, partition: Partition) -> None:
        self._partition = partition
        self._clock = partition.clock
        self._scheduler = partition.scheduler
        self._targets = partition.targets
        self._completion = partition.completion
        self._shed = partition.config.shed

    def accept(self, delivery: Delivery, account: InstanceState, *, shed: bool = False) -> None:
        """Take an envelope in. Its place was counted before; from here on it is accepted.

        shed  a policy voted so: it ends at once
        """
        now = self._clock.now()
        partition, envelope = self._partition, delivery.envelope
        partition.accepted += 1
        account.counts.accepted += 1
        room = self._come_in(delivery, account, now)
        if shed:
            self._completion.finish(delivery, Disposition.SHED, None, now)
            return
        self._scheduler.deadlines.add(delivery)
        self._may_be_shed(delivery)
        wait = envelope.not_before - delivery.accepted_wall if envelope.not_before else 0.0
        superseded = wait <= 0 and self._superseded(delivery, now)
        partition.measure()
        if wait > 0:
            self._park(delivery, wait, now)
        elif not superseded:
            self._enter(delivery, room, now)

    def resume(
        self, delivery: Delivery, account: InstanceState, now: int, print_: str, hold: float = 0.0
    ) -> None:
        """Take in a delivery that was accepted and counted before, and has its place.

        print_  its fingerprint, where it has a key
        hold    seconds for which the platform asked to be left alone
        """
        envelope, partition = delivery.envelope, self._partition
        room = self._come_in(delivery, account, now)
        if partition.watch is not None:
            partition.watch.resumed(delivery, account, partition.index)
        if delivery.scope is not None and partition.keys.find(delivery.scope, now) is None:
            partition.keys.begin(delivery.scope, delivery, print_, now)
        self._scheduler.deadlines.add(delivery)
        self._may_be_shed(delivery)
        wait = envelope.not_before - self._clock.wall() if envelope.not_before else 0.0
        parked = wait > 0 and not delivery.started
        superseded = not parked and self._superseded(delivery, now)
        partition.measure()
        if parked:
            self._park(delivery, wait, now)
        elif not superseded:
            held = self._held(delivery, account, hold, now) if delivery.steps or hold else None
            self._enter(delivery, room, now, hold=held)

    def due(self, delivery: Delivery, now: int) -> None:
        """What a parked delivery waited for has come: it enters its lane."""
        if delivery.receipt is None and delivery.parked:
            waited_for_its_time = delivery.cause == "schedule"
            if delivery.cause == "target" or delivery.due == delivery.envelope.not_before:
                delivery.due = None
                if self._partition.journal is not None:
                    self._partition.journal.entered(delivery)
            delivery.parked = False
            delivery.wait_for("queue", now)
            if waited_for_its_time and self._superseded(delivery, now):
                return
            self._enter(delivery, self._scheduler.room_of(delivery.envelope), now)

    def _come_in(self, delivery: Delivery, account: InstanceState, now: int) -> Room:
        self._partition.deliveries[delivery.id] = delivery
        room = self._scheduler.room(account, delivery.envelope.external_room_id)
        room.unfinished += 1
        if isinstance(delivery.envelope, Edit | Delete):
            self._targets.comes(delivery)
        delivery.accepted_at = now
        if delivery.cause == "queue":
            delivery.since = now
        else:  # it was outside meanwhile
            delivery.wait_for("queue", now)
        return room

    def _superseded(self, delivery: Delivery, now: int) -> bool:
        """End the edit that is of no use beside another one, if any; whether it is this one."""
        if not isinstance(delivery.envelope, Edit):
            return False
        useless = self._targets.overtaken(delivery, now)
        if useless is not None:
            self._completion.end(useless, Disposition.SUPERSEDED, None, now)
        return useless is delivery

    def _may_be_shed(self, delivery: Delivery) -> None:
        if self._shed and delivery.priority == "bulk" and not delivery.started:
            self._completion.sheddable.add(delivery)

    def _park(self, delivery: Delivery, wait: float, now: int) -> None:
        delivery.parked = True
        delivery.wait_for("schedule", now)
        self._scheduler.at(now + nanoseconds(min(wait, FARTHEST)), delivery)

    def _held(
        self, delivery: Delivery, account: InstanceState, hold: float, now: int
    ) -> Hold | None:
        """Why a resumed delivery must not start at once: an unknown outcome, or the platform."""
        step = delivery.step
        if step is not None and step.maybe_sent:
            quarantine = self._partition.config.retries.quarantine
            if step.kind in ("send", "call") and not within_dedup(account, step, now):
                quiet = now + nanoseconds(quarantine)
                return Hold(max(quiet, now + nanoseconds(hold)), quiet or 1)
        return Hold(now + nanoseconds(hold)) if hold > 0 else None

    def _enter(self, delivery: Delivery, room: Room, now: int, *, hold: Hold | None = None) -> None:
        envelope = delivery.envelope
        independent = room.account.hooks.traits.independent_threads
        thread = self._targets.thread(delivery, now) if independent else None
        key = f"{delivery.id} alone" if envelope.order == "none" else thread
        self._scheduler.push(delivery, room, key, thread, now, hold=hold)
