"""Brings what a durable outbox keeps into the lanes: after a restart, and whenever places free.

What is kept but not in memory is *outside*; `streams` says how far each instance has come. This
module waits: for the outbox alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import trio

from gateway_core.accounts import Account
from gateway_core.asking import Asked
from gateway_core.clock import Clock, nanoseconds
from gateway_core.envelopes import (
    Delete,
    Disposition,
    Edit,
)
from gateway_core.errors import OutboxError, Refused
from gateway_core.flights import Flight
from gateway_core.ids import position_of
from gateway_core.journal import Journal, waits_until
from gateway_core.limits import SECOND
from gateway_core.outbox import Kept, Outbox, Recovery, Request
from gateway_core.outside import Outside
from gateway_core.partition import Partition
from gateway_core.roster import Roster
from gateway_core.streams import Stream
from gateway_core.telemetry import OUTBOX_FAILED, OUTBOX_RECOVERED, OUTBOX_UNSERVED, tell

PAGE = 500
ROOMS_AT_ONCE = 100
HORIZON = 60.0
"""Seconds ahead of its time within which a scheduled envelope may wait in memory."""
AGAIN = 1.0
LATE = 5.0
"""Seconds for which deadlines outside may pass unseen while there is something to bring in."""
MOST_WITHDRAWN = 10_000


class Pager:
    """The way from the outbox into the partitions, for one gateway."""

    def __init__(
        self,
        outbox: Outbox,
        journal: Journal,
        *,
        roster: Roster,
        partitions: Sequence[Partition],
        partition_of: Callable[[str, str], Partition],
        clock: Clock,
        capacity: int,
        holds_suspended: bool,
    ) -> None:
        self._outbox = outbox
        self._journal = journal
        self._roster = roster
        self._partitions = partitions
        self._partition_of = partition_of
        self._clock = clock
        self._capacity = capacity
        self._holds_suspended = holds_suspended
        self._streams: dict[str, Stream] = {}
        self._unserved: dict[str, int] = {}
        self._scheduled = False
        self._due: tuple[float, int] = (0.0, -1)
        self._next_due = math.inf
        self._overdue: tuple[float, int] = (0.0, -1)
        self._deadline = 0.0
        self._woken = trio.Event()
        self._places = trio.lowlevel.ParkingLot()
        self._earlier = -1
        self._coming: set[str] = set()
        self._withdrawn: set[str] = set()
        self._asked = Asked(outbox, partition_of=partition_of, end=self._discard, again=self._again)
        self.outside = Outside(outbox, clock, self._account)
        self.unfinished = 0
        self.closed = False

    # -- opening

    def open(self, recovery: Recovery) -> None:
        """Know what there is, and whose it is."""
        self.unfinished = sum(recovery.unfinished.values())
        self._deadline = self._clock.wall()
        self._scheduled = bool(recovery.scheduled)
        self._next_due = 0.0 if self._scheduled else math.inf
        self._earlier = position_of(recovery.last_id) if recovery.last_id else -1
        for instance_id, count in recovery.unfinished.items():
            if self._account(instance_id) is not None:
                self._streams[instance_id] = Stream()
            else:
                self._unserved[instance_id] = count
                tell(OUTBOX_UNSERVED, instance=instance_id, kept=count)
        for (instance_id, room), moved_to in recovery.moves.items():
            account = self._account(instance_id)
            if account is not None:
                account.moved(room, moved_to)
        now, wall = self._clock.now(), self._clock.wall()
        for (instance_id, operation), (until, wait) in recovery.closures.items():
            account, left = self._account(instance_id), min(until - wall, wait)
            if account is not None and left > 0:
                account.close_again(operation, now + nanoseconds(left))
        if self.unfinished:
            tell(OUTBOX_RECOVERED, unfinished=self.unfinished)

    @property
    def unserved(self) -> dict[str, int]:
        """How many are kept of each instance that is not there."""
        return dict(self._unserved)

    def serve(self, instance_id: str) -> None:
        """An instance was taken in: what is kept of it goes on."""
        if self._unserved.pop(instance_id, None) is not None:
            self._streams[instance_id] = Stream()
            self._note_due(0.0)
            self._scheduled = True
            self.wake()

    def leave_off(self, instance_id: str) -> None:
        """An instance was taken out: what it has outside is kept."""
        stream = self._streams.pop(instance_id, None)
        if stream is not None and not stream.idle:
            self._unserved[instance_id] = self._unserved.get(instance_id, 0)

    def _account(self, instance_id: str) -> Account | None:
        try:
            return self._roster.account(instance_id)
        except Refused:
            return None

    # -- the outbox's bound

    @property
    def full(self) -> bool:
        """Whether the outbox keeps as much as it may."""
        return self.unfinished + len(self._coming) >= self._capacity

    async def place(self) -> None:
        """Wait until the outbox may keep one more."""
        while self.full and not self.closed:
            await self._places.park()

    def close(self) -> None:
        """Bring nothing in any more; wake those who wait for a place."""
        self.closed = True
        self._places.unpark_all()
        self.wake()

    # -- what is being appended

    def coming(self, envelope_id: str) -> None:
        """The outbox may have it from now on, though it is not accepted yet."""
        self._coming.add(envelope_id)

    def came(self, envelope_id: str, *, accepted: bool) -> None:
        """Its append is over."""
        self._coming.discard(envelope_id)
        if accepted:
            self.unfinished += 1
            return
        self._withdrawn.add(envelope_id)
        if len(self._withdrawn) > MOST_WITHDRAWN:
            self.wake()  # a round forgets them
        if self._places and not self.full:
            self._places.unpark()

    # -- what stays outside

    def must_wait(self, flight: Flight) -> bool:
        """Whether it cannot enter memory yet: its time, others of its room, or a suspension."""
        envelope = flight.envelope
        if (envelope.not_before or 0.0) > flight.accepted_wall + HORIZON:
            return True
        stream = self._streams.get(envelope.instance_id)
        if stream is not None and stream.holds(envelope.external_room_id):
            return True
        account = self._account(envelope.instance_id)
        return account is not None and self._suspended(account)

    def _suspended(self, account: Account) -> bool:
        """Whether what it has outside stays there until it is resumed."""
        if not self._holds_suspended or account.suspended is None:
            return False
        account.resumed = self.wake
        return True

    def leave(self, flight: Flight) -> None:
        """It is kept, and stays outside for now."""
        envelope = flight.envelope
        self.outside.add(flight)
        partition = self._partition_of(envelope.instance_id, envelope.external_room_id)
        partition.accepted += 1
        partition.outside += 1
        self._count(envelope.instance_id)
        if partition.watch is not None:
            partition.watch.kept(flight)
        left = (flight.deadline - self._clock.now()) / SECOND
        deadline = self._clock.wall() + left
        if deadline <= self._overdue[0]:  # the clock was set back behind what ended last
            self._overdue = (0.0, -1)
        if deadline < self._deadline:
            self._deadline = deadline
            self.wake()
        if (envelope.not_before or 0.0) > flight.accepted_wall:
            flight.wait_for("schedule", self._clock.now())
            self._scheduled = True
            self._note_due(envelope.not_before or 0.0)
            return
        stream = self._streams.setdefault(envelope.instance_id, Stream(done=True))
        stream.leave(envelope.external_room_id, position_of(flight.id))
        self.wake()

    def _count(self, instance_id: str) -> None:
        """One more is accepted."""
        account = self._account(instance_id)
        if account is not None:
            account.counts.accepted += 1

    def _note_due(self, due: float) -> None:
        """Look when it is due; from the beginning, where the last look went beyond that time."""
        if due <= self._due[0]:
            self._due = (0.0, -1)
        if due < self._next_due:
            self._next_due = due
            self.wake()

    def withdraw(self, flight: Flight) -> bool:
        """End one that is outside; false where it has started."""
        if flight.started or flight.receipt is not None:
            return False
        return self._end(flight, Disposition.CANCELLED)

    def _end(self, flight: Flight, disposition: Disposition) -> bool:
        """End one that is outside; false where its instance is not there."""
        envelope = flight.envelope
        account = self._account(envelope.instance_id)
        if account is None:
            return False
        self.outside.forget(flight.id)
        partition = self._partition_of(envelope.instance_id, envelope.external_room_id)
        self._came_in(partition, flight, account)
        partition.endings.finish_outside(flight, account, disposition)
        return True

    def freed(self, flight: Flight) -> None:
        """An envelope in memory ended."""
        self.unfinished -= 1
        if self._places:
            self._places.unpark()
        envelope = flight.envelope
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
        while not self.closed:
            self._woken = trio.Event()
            try:
                await self._asked.serve()
                busy = await self._round()
            except OutboxError as error:
                tell(OUTBOX_FAILED, error=str(error))
                await trio.sleep(AGAIN)
                continue
            if not busy:
                with trio.move_on_after(self._patience()):
                    await self._woken.wait()

    def _patience(self) -> float:
        """Seconds until the next look unasked."""
        if not self._something:
            return math.inf
        wait = max(0.0, min(self._deadline, self._next_due) - self._clock.wall())
        paging = any(not stream.idle for stream in self._streams.values())
        return min(wait + 1e-6, AGAIN if paging else HORIZON)

    @property
    def _something(self) -> bool:
        """Whether anything may be outside."""
        paging = any(not stream.idle for stream in self._streams.values())
        return paging or self._scheduled

    async def _round(self) -> bool:
        """One page of each instance and of rooms that are behind; whether anything came in."""
        busy = False
        self._withdrawn.clear()  # whatever is read from now on is without them
        if self._scheduled and self._clock.wall() >= self._next_due:
            busy = await self._scan_scheduled()
        for instance_id, stream in list(self._streams.items()):
            account = self._account(instance_id)
            if account is None or self.closed or stream.idle or self._suspended(account):
                continue
            if not stream.done:
                busy = await self._next_page(account, stream) or busy
            busy = await self._catch_up(account, stream) or busy
        late = self._clock.wall() - self._deadline
        if self._something and late >= (LATE if busy else 0.0):
            busy = await self._expire() or busy
        return busy

    async def _next_page(self, account: Account, stream: Stream) -> bool:
        stream.grown = False
        before = stream.cursor
        page = await self._outbox.page(account.instance.id, after=before, limit=PAGE)
        for kept in page:
            envelope = kept.entry.envelope
            partition = self._partition_of(envelope.instance_id, envelope.external_room_id)
            if kept.shapes is None and isinstance(envelope, Edit | Delete):
                await self.outside.recall(partition, envelope)
            if not self._take_in_turn(stream, kept, partition, account):
                return stream.cursor > before
            stream.cursor = kept.position
        if not page:
            stream.ended()
        return bool(page)

    def _take_in_turn(
        self, stream: Stream, kept: Kept, partition: Partition, account: Account
    ) -> bool:
        """Take it in, or leave it to its room; false: no place at all."""
        envelope = kept.entry.envelope
        instance_id, room = envelope.instance_id, envelope.external_room_id
        behind = stream.behind.get(room)
        if behind is not None:
            behind.newest = max(behind.newest, kept.position)
            return True
        full = partition.admission.full(instance_id, room)
        if full is None:
            self._take(kept, partition, account)
        elif not stream.crowded and (full.key[0] == "room" or self._has_place(instance_id)):
            stream.pass_by(room, kept.position)
        else:
            return False
        return True

    def _has_place(self, instance_id: str) -> bool:
        """Whether any partition can take something of the instance."""
        return any(part.admission.full(instance_id, "") is None for part in self._partitions)

    async def _catch_up(self, account: Account, stream: Stream) -> bool:
        """The next of rooms that are behind and have places."""
        came, instance_id = False, account.instance.id
        for room in self._rooms_with_places(instance_id, stream):
            behind = stream.behind[room]
            behind.look_back()
            newest = behind.newest
            page = await self._outbox.page(instance_id, room=room, after=behind.loaded, limit=PAGE)
            came = await self._take_of_room(page, stream, room, account) or came
            if not page:
                behind.loaded = max(behind.loaded, newest)
            behind.look_back()
            if behind.loaded >= behind.newest and stream.done:
                del stream.behind[room]
            else:
                stream.behind.move_to_end(room)
            if self.closed:
                break
        return came

    async def _take_of_room(
        self, page: Sequence[Kept], stream: Stream, room: str, account: Account
    ) -> bool:
        """As many as have a place; whether there were any."""
        instance_id = account.instance.id
        partition, came = self._partition_of(instance_id, room), False
        for kept in page:
            if kept.shapes is None and isinstance(kept.entry.envelope, Edit | Delete):
                await self.outside.recall(partition, kept.entry.envelope)
            if partition.admission.full(instance_id, room) is not None:
                break
            self._take(kept, partition, account)
            stream.behind[room].loaded = kept.position
            came = True
        return came

    def _rooms_with_places(self, instance_id: str, stream: Stream) -> Iterator[str]:
        """Some rooms that are behind, the one served longest ago first."""
        for room in list(stream.behind)[:ROOMS_AT_ONCE]:
            behind = stream.behind[room]
            if behind.loaded >= behind.newest and not stream.done:
                stream.behind.move_to_end(room)
                continue
            admission = self._partition_of(instance_id, room).admission
            if admission.full(instance_id, room) is None:
                yield room
            else:
                stream.behind.move_to_end(room)

    async def _expire(self) -> bool:
        """End what is outside and past its deadline; whether there may be more."""
        wall = self._clock.wall()
        before, self._deadline = self._deadline, math.inf  # lowered by what is left meanwhile
        try:
            found = await self._outbox.overdue(until=wall, after=self._overdue, limit=PAGE)
        except BaseException:
            self._deadline = before
            raise
        for kept in found.kept:
            envelope = kept.entry.envelope
            partition = self._partition_of(envelope.instance_id, envelope.external_room_id)
            if not self._known(partition, kept.entry.id):
                self._end(self.outside.flight(kept), Disposition.EXPIRED)
            self._overdue = (kept.entry.deadline, position_of(kept.entry.id))
        if found.kept:
            self._deadline = before
            return True
        if found.next is not None:
            self._deadline = min(self._deadline, found.next)
        return False

    async def _scan_scheduled(self) -> bool:
        """Give what is due its place, after all that is there; whether there may be more."""
        wall = self._clock.wall()
        page = await self._outbox.scheduled(until=wall, after=self._due, limit=PAGE)
        for kept in page:
            self._due = (kept.entry.due or 0.0, kept.position)
            envelope = kept.entry.envelope
            partition = self._partition_of(envelope.instance_id, envelope.external_room_id)
            served = self._account(envelope.instance_id) is not None
            if served and not self._known(partition, kept.entry.id):
                position = self._journal.entered_id(kept.entry.id)
                stream = self._streams.setdefault(envelope.instance_id, Stream(done=True))
                stream.leave(envelope.external_room_id, position)
        if page:
            return True
        self._next_due = math.inf
        for kept in await self._outbox.scheduled(until=math.inf, after=self._due, limit=1):
            self._next_due = min(self._next_due, kept.entry.due or 0.0)
        self._scheduled = self._next_due < math.inf
        return False

    # -- into memory

    def _known(self, partition: Partition, envelope_id: str) -> bool:
        """Whether it is in memory, ended since the page was read, or is not accepted (yet)."""
        return (
            envelope_id in partition.flights
            or envelope_id in partition.endings.history
            or envelope_id in self._coming
            or envelope_id in self._withdrawn
        )

    def _take(self, kept: Kept, partition: Partition, account: Account) -> None:
        """Bring it into its lane."""
        entry = kept.entry
        if self._known(partition, entry.id):
            return
        flight = self.outside.flight(kept, account)
        self.outside.forget(entry.id)
        partition.admission.add(account.instance.id, entry.envelope.external_room_id)
        self._came_in(partition, flight, account)
        hold = waits_until(kept, self._clock.wall()) if kept.records else 0.0
        partition.arrivals.resume(flight, account, entry.fingerprint, hold)

    def _came_in(self, partition: Partition, flight: Flight, account: Account) -> None:
        """Count it: as outside before, or as accepted now where an earlier life accepted it."""
        if position_of(flight.id) > self._earlier:
            partition.outside -= 1
        else:
            partition.accepted += 1
            account.counts.accepted += 1
            account.counts.recovered += 1

    # -- what operators ask

    def asked(self, request: Request) -> None:
        """Take a request; the task does it."""
        self._asked.add(request)
        self.wake()

    def _discard(self, kept: Kept) -> None:
        envelope = kept.entry.envelope
        partition = self._partition_of(envelope.instance_id, envelope.external_room_id)
        if not self._known(partition, kept.entry.id):
            self._end(self.outside.flight(kept), Disposition.CANCELLED)

    def _again(self, kept: Kept) -> None:
        """An operator wants a failed one tried again."""
        envelope = kept.entry.envelope
        self.unfinished += 1
        partition = self._partition_of(envelope.instance_id, envelope.external_room_id)
        partition.endings.history.pop(kept.entry.id, None)
        if position_of(kept.entry.id) > self._earlier:
            partition.accepted += 1
            partition.outside += 1
            self._count(envelope.instance_id)
        account = self._account(envelope.instance_id)
        if account is None:
            return
        if partition.admission.full(envelope.instance_id, envelope.external_room_id) is None:
            self._take(kept, partition, account)
        else:
            stream = self._streams.setdefault(envelope.instance_id, Stream(done=True))
            stream.leave(envelope.external_room_id, kept.position)
