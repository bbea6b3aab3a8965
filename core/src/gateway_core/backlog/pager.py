"""Brings stored envelopes into the lanes: after a restart, and whenever slots become free.

An envelope that is stored but not in memory is *spilled*. Each instance has cursors, which say how
far its envelopes were loaded. This module waits only for the outbox.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import trio

from gateway_core.accounts.instance_state import InstanceState
from gateway_core.backlog.capacity import Capacity
from gateway_core.backlog.cursors import Cursors, InstanceCursors
from gateway_core.backlog.intake import Intake
from gateway_core.backlog.loader import Loader
from gateway_core.backlog.looking import waits
from gateway_core.backlog.operator_requests import OperatorRequests
from gateway_core.backlog.owning.accounts import Accounts
from gateway_core.backlog.owning.ownership import Ownership
from gateway_core.backlog.schedule import Schedule
from gateway_core.backlog.spilled import Spilled
from gateway_core.clock import SECOND, Clock
from gateway_core.contract.envelopes import Envelope, MessageRef
from gateway_core.contract.errors import OutboxError
from gateway_core.deliveries.delays import Place, place_of
from gateway_core.deliveries.delivery import Delivery
from gateway_core.deliveries.ending import CANCELLED
from gateway_core.engine.instances.instance_registry import InstanceRegistry
from gateway_core.engine.partition import Partition
from gateway_core.outboxes.interface import Outbox
from gateway_core.outboxes.journal import Journal
from gateway_core.outboxes.records import (
    Found,
    Overview,
    Request,
    StoredEntry,
    Stream,
    stream_of,
)
from gateway_core.outboxes.spreading import Spreading
from gateway_core.outboxes.troubles import Troubles
from gateway_core.scheduling.classes import RANKS, URGENT
from gateway_core.telemetry import OUTBOX_RECOVERED, log_event

HORIZON = 60.0
"""Seconds after which the times of spilled envelopes are looked at again in any case."""
AGAIN = 1.0
LATE = 5.0
"""Seconds for which deadlines of spilled envelopes may pass unseen while others are loaded."""


class Pager:
    """Brings envelopes from the outbox into the partitions of one gateway."""

    def __init__(
        self,
        outbox: Outbox,
        journal: Journal,
        *,
        registry: InstanceRegistry,
        partitions: Sequence[Partition],
        partition_of: Callable[[str, str], Partition],
        clock: Clock,
        capacity: int,
        holds_suspended: bool,
        observed: bool,
        spread: Spreading | None = None,
    ) -> None:
        self._outbox = outbox
        self._journal = journal
        self._registry, self._partitions = registry, partitions
        self._clock = clock
        self._holds_suspended = holds_suspended
        self._cursors = Cursors()
        self._woken = trio.Event()
        self._looking_up = 0
        self._unsure: list[Delivery] = []
        self._troubles = Troubles()
        self.capacity = Capacity(capacity, self.wake)

        def partition_for(envelope: Envelope) -> Partition:
            return partition_of(envelope.instance_id, envelope.external_room_id)

        self.spilled = Spilled(outbox, clock, registry, observed, partition_for)
        self._intake = Intake(self.spilled, self.capacity, registry, clock, partition_of)
        self._loader = Loader(outbox, self.spilled, self._intake, self.capacity, partitions)
        self._schedule = Schedule(
            outbox,
            journal,
            self._intake,
            clock,
            put_behind=self._put_behind,
            goes_on=self._goes_on,
        )
        self.accounts = Accounts(
            registry, partitions, self.capacity, self._intake, self._loader, self._schedule,
            journal, clock, spread, self.wake,
            ownership=Ownership(outbox, journal, clock, spread), cursors=self._cursors,
        )  # fmt: skip
        for partition in partitions:
            partition.first_is_stored = self._may_go_on
        self._intake.on_end = self._spilled_ended
        self._intake.on_delay = self._delayed
        look = functools.partial(waits, registry, partitions)
        self.requests = OperatorRequests(
            outbox,
            self._intake,
            partitions,
            clock,
            look=look,
            put_behind=self._put_behind,
            note_deadline=self._schedule.deadlines.note,
            position=journal.entered_id,
            must_follow=self._must_follow,
        )
        self.accounts.on_gone = self.accounts.moving.given_up = self.requests.forget

    # -- opening and closing

    async def recover(self) -> Overview:
        """Read the totals that previous process runs left, and own the accounts.

        Raises `OutboxError`.
        """
        overview = await self._outbox.overview()
        self.accounts.tell_served()
        await self.accounts.ownership.open(self._registry.all(), self._registry.wide)
        self._open(overview)
        return overview

    def _open(self, overview: Overview) -> None:
        """Give the totals to each component, and note which instances have stored envelopes."""
        self.capacity.open(overview)
        self._cursors.pressing = True
        self._schedule.open(overview.unfinished, scheduled=bool(overview.scheduled))
        if not (overview.scheduled and self._registry.delays):
            self.accounts.knows_delayed.set()
        self._intake.open(overview)
        for instance_id, count in overview.unfinished.items():
            if instance_id in self._registry.serving:
                self._cursors.of[instance_id] = InstanceCursors()
            else:
                self.accounts.on_unserved(instance_id, count)
        for instance_id in set(overview.groups) - overview.unfinished.keys():
            if instance_id not in self._registry.serving:
                self.accounts.on_unserved(instance_id, 0)
        if self.capacity.unfinished:
            log_event(OUTBOX_RECOVERED, unfinished=self.capacity.unfinished)

    def follow(self, follow: Callable[[Delivery], Delivery]) -> None:
        """Set the function that returns a delivery's successor once another process owns it."""
        self._intake.follow = follow

    def _goes_on(self, instance_id: str) -> bool:
        return self.accounts.goes_on(instance_id)

    def close(self) -> None:
        """Stop loading, and wake all callers that wait for a slot."""
        self.capacity.close()
        self.accounts.close()
        self.wake()

    # -- spilled envelopes

    def place(self, delivery: Delivery) -> None:
        """Give a change that was just stored a position after all other envelopes.

        While this change was being stored, an older change that waited for its message may have
        entered. The next process run must find both changes in the order in which they are made.
        """
        if delivery.due is None and delivery.sequence < self._journal.newest:
            self._journal.entered(delivery)

    def is_loading(self, instance_id: str) -> bool:
        """Whether all that is accepted for the account now, and keeps an order, is spilled."""
        cursors = self._cursors.of.get(instance_id)
        return cursors is not None and not cursors.ordered.done

    def must_wait(self, delivery: Delivery, account: InstanceState) -> bool:
        """Whether the envelope must stay in the outbox for now.

        The reason is its time, its room's spilled envelopes, its account's owner, or a suspension.
        """
        envelope = delivery.envelope
        if not self.accounts.has(envelope.instance_id):
            return True
        if delivery.due is not None and (
            delivery.due > delivery.accepted_at or self._follows(delivery)
        ):
            return True
        return self._must_follow(envelope) or self._suspended(account)

    def _must_follow(self, envelope: Envelope) -> bool:
        """Whether the envelope must come in after its room's spilled envelopes.

        With `order="none"`, only changes do, and a change of a known message only after changes.
        """
        cursors = self._cursors.of.get(envelope.instance_id)
        if cursors is None:
            return False
        room, change = envelope.external_room_id, envelope.target is not None
        if envelope.order != "none":
            return cursors.holds(room, change=change)
        if envelope.target is None:
            return False
        if isinstance(envelope.target, MessageRef) and envelope.target.parts:
            return cursors.may_hold_change(room)
        return cursors.holds(room, change=True)

    def _follows(self, delivery: Delivery) -> bool:
        """Whether the delivery changes a message that is spilled and scheduled."""
        envelope = delivery.envelope
        if envelope.target is None or delivery.due == envelope.not_before:
            return False
        partition = self._intake.partition_for(envelope)
        return partition.targets.origin(delivery, self._clock.now()) is None

    def _suspended(self, account: InstanceState) -> bool:
        """Whether the account's spilled envelopes stay spilled until the account is resumed."""
        if account.health.suspended is None or not self._holds_suspended:
            return False
        account.health.on_resume = self.wake
        return True

    def leave(self, delivery: Delivery) -> None:
        """Leave a stored delivery in the outbox for now: it is spilled."""
        envelope = delivery.envelope
        self.spilled.add(delivery)
        partition = self._intake.partition_for(envelope)
        self._intake.count_spilled(delivery.id, delivery.given_sequence, envelope, partition)
        partition.observer.stored(delivery)
        if delivery.due is None:
            left = (delivery.deadline - self._clock.now()) / SECOND
            if self._schedule.deadlines.note(self._clock.wall() + left):
                self.wake()
            stream = stream_of(envelope, delivery.priority)
            place = envelope.instance_id, envelope.external_room_id
            change = envelope.target is not None
            self._put_behind(*place, delivery.position, stream, change=change)
            return
        delivery.wait_for("schedule", self._clock.now())
        if envelope.target is not None and delivery.due != envelope.not_before:
            self._schedule.follow(envelope.target, delivery)
        if self._schedule.note(delivery):
            self.wake()
        place = place_of(envelope)
        if partition.delays.is_released(place, delivery.id, self._clock.wall()):
            self._may_go_on(place)  # the envelope for which it waits ended as it was being stored

    def _may_go_on(self, place: Place) -> None:
        """Let a room's first delayed envelope go on, which is spilled."""
        self._schedule.may_go_on(place)
        self.wake()

    def _put_behind(
        self, instance_id: str, room: str, position: int, stream: Stream, *, change: bool = True
    ) -> None:
        """Note that an envelope waits at its position in the outbox, so its room is behind."""
        cursors = self._cursors.of.get(instance_id)
        if cursors is None:
            cursors = self._cursors.of[instance_id] = InstanceCursors(done=True)
        cursors.spill(room, position, stream, change=change)
        self._cursors.pressing = self._cursors.pressing or cursors.pressing
        self.wake()

    def _delayed(self, delivery: Delivery) -> None:
        """Keep an envelope spilled that another process accepted and policies here delay."""
        self.spilled.add(delivery)
        self._journal.postponed(delivery)
        if self._schedule.note(delivery):
            self.wake()

    def _spilled_ended(self, delivery: Delivery) -> None:
        """Note that a spilled envelope ended."""
        self._schedule.ended(delivery)
        cursors = self._cursors.of.get(delivery.envelope.instance_id)
        if cursors is not None:
            cursors.ended(delivery.envelope.external_room_id)

    async def look_up(self, envelope_id: str) -> Found | None:
        """What the outbox knows about an envelope. Raises `OutboxError`.

        The caller passes the result to `join` at once.
        """
        self._looking_up += 1
        try:
            return await self._outbox.find(envelope_id)
        finally:
            self._looking_up -= 1

    def join(self, found: Found) -> Delivery | None:
        """The delivery of an envelope that the outbox found; None: it is not spilled any more."""
        if found.stored is None:
            return None
        partition = self._intake.partition_for(found.stored.entry.envelope)
        known = self._intake.known(partition, found.envelope_id)
        return None if known else self.spilled.join(found)

    def reopened(self, stored: StoredEntry) -> Delivery | None:
        """Make a failed entry unfinished again, and return its delivery; None: it is spilled."""
        self.requests.reopened(stored)
        return self._intake.partition_for(stored.entry.envelope).deliveries.get(stored.entry.id)

    def withdraw(self, delivery: Delivery) -> bool:
        """End a spilled envelope; false: it has started, or has ended already."""
        if delivery.started or delivery.receipt is not None:
            return False
        self._intake.end(delivery, CANCELLED)
        return True

    def freed(self, delivery: Delivery, now: int) -> None:
        """Note that an envelope in memory ended."""
        instance_id = delivery.envelope.instance_id
        self.capacity.freed(delivery.id, instance_id, RANKS[delivery.priority], now)
        cursors = self._cursors.of.get(instance_id)
        if cursors is None or cursors.idle:
            return
        admission = self._intake.partition_for(delivery.envelope).admission
        if admission.depth_for(cursors.highest()) * 4 <= admission.bound * 3:
            self.wake()

    def requested(self, request: Request) -> None:
        """Queue an operator's request for the task."""
        self.requests.add(request)
        self.wake()

    def wake(self) -> None:
        """There may be something to load."""
        self._woken.set()

    # -- the task

    async def run(self) -> None:
        """Load spilled envelopes, as slots become free, until closed."""
        while not self.capacity.closed:
            self._woken = trio.Event()
            if not self._looking_up:  # an envelope may end while it is being looked up
                self.capacity.read_anew()
            try:
                if self.accounts.ownership.lost:
                    await self.accounts.let_go_of_lost()
                if not self.accounts.knows_delayed.is_set():
                    await self._schedule.find_delayed()
                    self.accounts.knows_delayed.set()
                await self.accounts.ownership.take()
                if self.accounts.are_recounted:
                    await self._recount()
                await self._tell_ends()
                self.accounts.taken()
                await self.requests.serve()
                busy = await self._round()
                if self._troubles.times:
                    self._troubles.over()
            except OutboxError as error:
                self._troubles.failed(error)
                await trio.sleep(AGAIN)
                continue
            if not busy:
                self._loader.gc_freeze.done = True
                with trio.move_on_after(self._patience()):
                    await self._woken.wait()

    async def _recount(self) -> None:
        """Count anew what is stored, unless all accounts are lost again meanwhile."""
        overview = await self._outbox.overview()
        if self.accounts.are_recounted:
            self._intake.recount(overview, self._partitions)
            self.accounts.recounted()
            self._unsure = self.spilled.all()

    async def _tell_ends(self) -> None:
        """Tell callers that wait for a spilled envelope if another process has ended it."""
        while self._unsure:
            delivery = self._unsure[-1]
            found = await self._outbox.find(delivery.id)
            self._unsure.pop()
            if found is not None and found.receipt is not None and delivery.receipt is None:
                self.spilled.forget(delivery.id)
                delivery.replay(found.receipt)
                delivery.notify()

    @property
    def _paging(self) -> bool:
        """Whether any spilled envelope waits for a slot."""
        return any(not cursor.idle for cursor in self._cursors.of.values())

    def _patience(self) -> float:
        """Seconds until the next round, unless the task is woken before."""
        paging, asked = self._paging, min(self.requests.wait, self.accounts.ownership.wait)
        if not paging and not self._schedule.scheduled:
            return asked
        time = min(self._schedule.deadlines.next, self._schedule.due.next)
        wait = max(0.0, time - self._clock.wall()) + 1e-6
        return min(wait, asked, AGAIN if paging else HORIZON)

    async def _round(self) -> bool:
        """Load a page for each instance and for rooms that are behind; whether anything came in."""
        busy, schedule = False, self._schedule
        if schedule.scheduled and self._clock.wall() >= schedule.due.next:
            busy = await schedule.scan()
        if schedule.releases and not busy:
            busy = await schedule.let_go_on()
        for instance_id, cursors in list(self._cursors.of.items()):
            busy = await self._load_pressing() or busy
            if (account := self._to_load(instance_id, cursors)) is not None:
                busy = await self._loader.load(account, cursors) or busy
            if cursors.idle and self._cursors.of.get(instance_id) is cursors:
                del self._cursors.of[instance_id]
        late = self._clock.wall() - schedule.deadlines.next
        if (self._paging or schedule.scheduled) and late >= (LATE if busy else 0.0):
            busy = await schedule.expire() or busy
        return busy

    async def _load_pressing(self) -> bool:
        """Load the urgent envelopes that stand alone, of every instance, before all others."""
        busy = False
        while self._cursors.pressing:
            self._cursors.pressing = False
            for instance_id, cursors in list(self._cursors.of.items()):
                account = self._to_load(instance_id, cursors) if cursors.pressing else None
                if account is not None:
                    busy = await self._loader.next_page(account, cursors.alone[URGENT]) or busy
        return busy

    def _to_load(self, instance_id: str, cursors: InstanceCursors) -> InstanceState | None:
        """The account, if some of its envelopes may be loaded now."""
        account = self._registry.serving.get(instance_id)
        if account is None or not self.accounts.has(instance_id) or self.capacity.closed:
            return None
        return None if cursors.idle or self._suspended(account) else account
