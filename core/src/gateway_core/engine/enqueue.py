"""How envelopes come into a partition's lanes: new, brought back, or due. Never waits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway_core.clock import nanoseconds
from gateway_core.contract.envelopes import Delete, Disposition, Edit
from gateway_core.engine.running_attempt import within_dedup
from gateway_core.scheduling.rooms import Room
from gateway_core.scheduling.scheduler import Hold

if TYPE_CHECKING:
    from gateway_core.accounts.instance_state import Account
    from gateway_core.deliveries.delivery import Flight
    from gateway_core.engine.partition import Partition

FARTHEST = 1e9
"""Seconds: a schedule beyond is looked at again then."""


class Arrivals:
    """Takes flights into the lanes of one partition."""

    def __init__(self, partition: Partition) -> None:
        self._partition = partition
        self._clock = partition.clock
        self._lanes = partition.lanes
        self._targets = partition.targets
        self._endings = partition.endings
        self._shed = partition.config.shed

    def accept(self, flight: Flight, account: Account, *, shed: bool = False) -> None:
        """Take an envelope in. Its place was counted before; from here on it is accepted.

        shed  a policy voted so: it ends at once
        """
        now = self._clock.now()
        partition, envelope = self._partition, flight.envelope
        partition.accepted += 1
        account.counts.accepted += 1
        room = self._come_in(flight, account, now)
        if shed:
            self._endings.finish(flight, Disposition.SHED, None, now)
            return
        self._lanes.deadlines.add(flight)
        self._may_be_shed(flight)
        wait = envelope.not_before - flight.accepted_wall if envelope.not_before else 0.0
        superseded = wait <= 0 and self._superseded(flight, now)
        partition.measure()
        if wait > 0:
            self._park(flight, wait, now)
        elif not superseded:
            self._enter(flight, room, now)

    def resume(
        self, flight: Flight, account: Account, now: int, print_: str, hold: float = 0.0
    ) -> None:
        """Take in a flight that was accepted and counted before, and has its place.

        print_  its fingerprint, where it has a key
        hold    seconds for which the platform asked to be left alone
        """
        envelope, partition = flight.envelope, self._partition
        room = self._come_in(flight, account, now)
        if partition.watch is not None:
            partition.watch.resumed(flight, account, partition.index)
        if flight.scope is not None and partition.keys.find(flight.scope, now) is None:
            partition.keys.begin(flight.scope, flight, print_, now)
        self._lanes.deadlines.add(flight)
        self._may_be_shed(flight)
        wait = envelope.not_before - self._clock.wall() if envelope.not_before else 0.0
        parked = wait > 0 and not flight.started
        superseded = not parked and self._superseded(flight, now)
        partition.measure()
        if parked:
            self._park(flight, wait, now)
        elif not superseded:
            held = self._held(flight, account, hold, now) if flight.steps or hold else None
            self._enter(flight, room, now, hold=held)

    def due(self, flight: Flight, now: int) -> None:
        """What a parked flight waited for has come: it enters its lane."""
        if flight.receipt is None and flight.parked:
            waited_for_its_time = flight.cause == "schedule"
            if flight.cause == "target" or flight.due == flight.envelope.not_before:
                flight.due = None
                if self._partition.journal is not None:
                    self._partition.journal.entered(flight)
            flight.parked = False
            flight.wait_for("queue", now)
            if waited_for_its_time and self._superseded(flight, now):
                return
            self._enter(flight, self._lanes.room_of(flight.envelope), now)

    def _come_in(self, flight: Flight, account: Account, now: int) -> Room:
        self._partition.flights[flight.id] = flight
        room = self._lanes.room(account, flight.envelope.external_room_id)
        room.unfinished += 1
        if isinstance(flight.envelope, Edit | Delete):
            self._targets.comes(flight)
        flight.accepted_at = now
        if flight.cause == "queue":
            flight.since = now
        else:  # it was outside meanwhile
            flight.wait_for("queue", now)
        return room

    def _superseded(self, flight: Flight, now: int) -> bool:
        """End the edit that is of no use beside another one, if any; whether it is this one."""
        if not isinstance(flight.envelope, Edit):
            return False
        useless = self._targets.overtaken(flight, now)
        if useless is not None:
            self._endings.end(useless, Disposition.SUPERSEDED, None, now)
        return useless is flight

    def _may_be_shed(self, flight: Flight) -> None:
        if self._shed and flight.priority == "bulk" and not flight.started:
            self._endings.sheddable.add(flight)

    def _park(self, flight: Flight, wait: float, now: int) -> None:
        flight.parked = True
        flight.wait_for("schedule", now)
        self._lanes.at(now + nanoseconds(min(wait, FARTHEST)), flight)

    def _held(self, flight: Flight, account: Account, hold: float, now: int) -> Hold | None:
        """Why a resumed flight must not start at once: an unknown outcome, or the platform."""
        step = flight.step
        if step is not None and step.maybe_sent:
            quarantine = self._partition.config.retries.quarantine
            if step.kind in ("send", "call") and not within_dedup(account, step, now):
                quiet = now + nanoseconds(quarantine)
                return Hold(max(quiet, now + nanoseconds(hold)), quiet or 1)
        return Hold(now + nanoseconds(hold)) if hold > 0 else None

    def _enter(self, flight: Flight, room: Room, now: int, *, hold: Hold | None = None) -> None:
        envelope = flight.envelope
        independent = room.account.hooks.traits.independent_threads
        thread = self._targets.thread(flight, now) if independent else None
        key = f"{flight.id} alone" if envelope.order == "none" else thread
        self._lanes.push(flight, room, key, thread, now, hold=hold)
