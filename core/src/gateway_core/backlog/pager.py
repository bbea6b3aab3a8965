"""Brings what a durable outbox keeps into the lanes: after a restart, and whenever places free.

What is kept but not in memory is *outside*; `streams` says how far each instance has come. This
module waits: for the outbox alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import trio

from gateway_core.accounts.instance_state import InstanceState
from gateway_core.backlog.capacity import Capacity
from gateway_core.backlog.cursors import InstanceCursor
from gateway_core.backlog.intake import Intake
from gateway_core.backlog.loader import Loader
from gateway_core.backlog.operator_requests import OperatorRequests
from gateway_core.backlog.restored import RestoredState
from gateway_core.backlog.schedule import Schedule
from gateway_core.backlog.spilled import Spilled
from gateway_core.clock import SECOND, Clock
from gateway_core.contract.envelopes import CHANGES, Envelope, MessageRef
from gateway_core.contract.errors import OutboxError
from gateway_core.contract.ids import position_of
from gateway_core.deliveries.delivery import Delivery
from gateway_core.deliveries.ending import CANCELLED
from gateway_core.engine.instance_registry import InstanceRegistry
from gateway_core.engine.partition import Partition
from gateway_core.outboxes.interface import Found, Kept, Outbox, Recovery, Request
from gateway_core.outboxes.journal import Journal
from gateway_core.telemetry import OUTBOX_FAILED, OUTBOX_RECOVERED, OUTBOX_UNSERVED, log_event

HORIZON = 60.0
"""Seconds until times outside are looked at again, whatever is known of them."""
AGAIN = 1.0
LATE = 5.0
"""Seconds for which deadlines outside may pass unseen while there is something to bring in."""


class Pager:
    """The way from the outbox into the partitions, for one gateway."""

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
    ) -> None:
        self._outbox = outbox
        self._registry = registry
        self._partition_of = partition_of
        self._clock = clock
        self._holds_suspended = holds_suspended
        self._streams: dict[str, InstanceCursor] = {}
        self._woken = trio.Event()
        self._looking_up = 0
        self.capacity = Capacity(capacity, self.wake)
        self._earlier = RestoredState(clock)
        self.spilled = Spilled(outbox, clock, registry.serving.get, observed=observed)
        self._intake = Intake(
            self.spilled, self.capacity, registry=registry, partition_of=partition_of, clock=clock,
            ended=self._ended_outside,
        )  # fmt: skip
        self._loader = Loader(
            outbox, self.spilled, self._intake, self.capacity,
            partitions=partitions, partition_of=partition_of,
        )  # fmt: skip
        self._times = Schedule(
            outbox, journal, self._intake, registry=registry, partition_of=partition_of,
            clock=clock, placed=self._put_behind,
        )  # fmt: skip
        self._asked = OperatorRequests(
            outbox,
            clock=clock,
            partition_of=partition_of,
            end=lambda kept: self._intake.end_kept(kept, CANCELLED),
            again=self._again,
        )

    # -- opening

    def open(self, recovery: Recovery) -> None:
        """Know what there is, and whose it is."""
        self.capacity.unfinished = sum(recovery.unfinished.values())
        self._times.open(scheduled=bool(recovery.scheduled))
        self._intake.open(recovery.last_id, recovery.unfinished)
        for instance_id, count in recovery.unfinished.items():
            if self._registry.serving.get(instance_id) is not None:
                self._streams[instance_id] = InstanceCursor()
            else:
                log_event(OUTBOX_UNSERVED, instance=instance_id, kept=count)
        self._earlier.open(recovery)
        for account in self._registry.all():
            self._earlier.tell(account)
        if self.capacity.unfinished:
            log_event(OUTBOX_RECOVERED, unfinished=self.capacity.unfinished)

    @property
    def unserved(self) -> dict[str, int]:
        """How many are kept of each instance that is not there."""
        return self._intake.unserved

    def serve(self, instance_id: str) -> None:
        """An instance was taken in: what is kept of it goes on."""
        account = self._registry.serving.get(instance_id)
        if account is not None:
            self._earlier.tell(account)
        if self._intake.outside_of(instance_id):
            self._streams[instance_id] = InstanceCursor()
            self.serve_on(instance_id)

    def serve_on(self, instance_id: str) -> None:
        """It was to be taken out, and stays: what came to be due meanwhile was passed over."""
        if self._intake.outside_of(instance_id):
            self._times.look_back()
            self.wake()

    def leave_off(self, instance_id: str) -> None:
        """An instance was taken out: what it has outside is kept."""
        self._streams.pop(instance_id, None)

    @property
    def unfinished(self) -> int:
        """How many the outbox keeps, in memory or not."""
        return self.capacity.unfinished

    def close(self) -> None:
        """Bring in no more; nobody waits for a place any more."""
        self.capacity.close()
        self.wake()

    # -- what stays outside

    def must_wait(self, delivery: Delivery, account: InstanceState) -> bool:
        """Whether it cannot enter memory yet: its time, others of its room, or a suspension."""
        envelope = delivery.envelope
        if delivery.due is not None and (
            delivery.due > delivery.accepted_at or self._follows(delivery)
        ):
            return True
        stream = self._streams.get(envelope.instance_id)
        behind = stream is not None and stream.holds(envelope.external_room_id)
        if behind and not _may_pass(envelope):
            return True
        return account.health.suspended is not None and self._suspended(account)

    def _follows(self, delivery: Delivery) -> bool:
        """Whether it changes a message that waits outside for its time."""
        envelope = delivery.envelope
        if not isinstance(envelope, CHANGES) or delivery.due == envelope.not_before:
            return False
        partition = self._partition_of(envelope.instance_id, envelope.external_room_id)
        return partition.targets.origin(delivery, self._clock.now()) is None

    def _suspended(self, account: InstanceState) -> bool:
        """Whether what it has outside stays there until it is resumed."""
        if not self._holds_suspended or account.health.suspended is None:
            return False
        account.health.on_resume = self.wake
        return True

    def leave(self, delivery: Delivery) -> None:
        """It is kept, and stays outside for now."""
        envelope = delivery.envelope
        self.spilled.add(delivery)
        partition = self._partition_of(envelope.instance_id, envelope.external_room_id)
        self._intake.left(delivery, partition)
        partition.observer.stored(delivery)
        left = (delivery.deadline - self._clock.now()) / SECOND
        deadline = self._clock.wall() + left
        if self._times.note_deadline(deadline):
            self.wake()
        if delivery.due is not None:
            delivery.waits.wait_for("schedule", self._clock.now())
            if isinstance(envelope, CHANGES) and delivery.due != envelope.not_before:
                self._times.follow(envelope.target, delivery)
            if self._times.note_due(delivery.due):
                self.wake()
            return
        self._put_behind(envelope.instance_id, envelope.external_room_id, position_of(delivery.id))

    def _put_behind(self, instance_id: str, room: str, position: int) -> None:
        """It has its place outside: its room is behind."""
        self._streams.setdefault(instance_id, InstanceCursor(done=True)).leave(room, position)
        self.wake()

    async def look_up(self, envelope_id: str) -> Found | None:
        """What the outbox knows of an envelope, to be joined at once. Raises `OutboxError`."""
        self._looking_up += 1
        try:
            return await self._outbox.find(envelope_id)
        finally:
            self._looking_up -= 1

    def join(self, found: Found) -> Delivery | None:
        """The delivery of an envelope that the outbox found; None: it is not outside any more."""
        if found.kept is None:
            return None
        envelope = found.kept.entry.envelope
        partition = self._partition_of(envelope.instance_id, envelope.external_room_id)
        known = self._intake.known(partition, found.envelope_id)
        return None if known else self.spilled.join(found)

    def withdraw(self, delivery: Delivery) -> bool:
        """End one that is outside; false where it has started."""
        if delivery.started or delivery.receipt is not None:
            return False
        self._intake.end(delivery, CANCELLED)
        return True

    def _ended_outside(self, delivery: Delivery) -> None:
        self._times.ended(delivery)

    def freed(self, delivery: Delivery) -> None:
        """An envelope in memory ended."""
        self.capacity.freed(delivery.id)
        envelope = delivery.envelope
        stream = self._streams.get(envelope.instance_id)
        if stream is None or stream.idle:
            return
        partition = self._partition_of(envelope.instance_id, envelope.external_room_id)
        if partition.admission.depth * 4 <= partition.admission.bound * 3:
            self.wake()

    def wake(self) -> None:
        """There may be something to bring in."""
        self._woken.set()

    # -- the task

    async def run(self) -> None:
        """Bring in what is outside, as places allow, until closed."""
        while not self.capacity.closed:
            self._woken = trio.Event()
            if not self._looking_up:  # what is being looked up may have ended since it was read
                self.capacity.read_anew()
            try:
                await self._asked.serve()
                busy = await self._round()
                if not busy:
                    self._loader.settling.over = True
            except OutboxError as error:
                log_event(OUTBOX_FAILED, error=str(error))
                await trio.sleep(AGAIN)
                continue
            if not busy:
                with trio.move_on_after(self._patience()):
                    await self._woken.wait()

    def _patience(self) -> float:
        """Seconds until the next look unasked."""
        if not self._something:
            return self._asked.wait
        wait = max(0.0, min(self._times.deadline, self._times.next_due) - self._clock.wall())
        paging = any(not stream.idle for stream in self._streams.values())
        return min(wait + 1e-6, self._asked.wait, AGAIN if paging else HORIZON)

    @property
    def _something(self) -> bool:
        """Whether anything may be outside."""
        paging = any(not stream.idle for stream in self._streams.values())
        return paging or self._times.scheduled

    async def _round(self) -> bool:
        """One page of each instance and of rooms that are behind; whether anything came in."""
        busy = False
        if self._times.scheduled and self._clock.wall() >= self._times.next_due:
            busy = await self._times.scan()
        for instance_id, stream in list(self._streams.items()):
            account = self._registry.serving.get(instance_id)
            if account is None or self.capacity.closed or stream.idle or self._suspended(account):
                continue
            if not stream.done:
                busy = await self._loader.next_page(account, stream) or busy
            busy = await self._loader.catch_up(account, stream) or busy
        late = self._clock.wall() - self._times.deadline
        if self._something and late >= (LATE if busy else 0.0):
            busy = await self._times.expire() or busy
        return busy

    # -- what operators ask

    def asked(self, request: Request) -> None:
        """Take a request; the task does it."""
        self._asked.add(request)
        self.wake()

    def _again(self, kept: Kept) -> None:
        """An operator wants a failed one tried again."""
        envelope = kept.entry.envelope
        partition = self._partition_of(envelope.instance_id, envelope.external_room_id)
        account = self._intake.reopened(kept, partition)
        if account is None:
            return
        if partition.admission.full(envelope.instance_id, envelope.external_room_id) is None:
            self._intake.take(kept, partition, account)
        else:
            self._put_behind(envelope.instance_id, envelope.external_room_id, kept.position)


def _may_pass(envelope: Envelope) -> bool:
    """Whether it needs none of those that are outside: not a message that may be among them."""
    if envelope.order != "none":
        return False
    if not isinstance(envelope, CHANGES):
        return True
    return isinstance(envelope.target, MessageRef) and bool(envelope.target.parts)
