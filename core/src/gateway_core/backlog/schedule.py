"""Finds spilled envelopes that are due or past their deadline. Waits only for the outbox."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import attrs
import trio

from gateway_core.backlog.intake import Intake
from gateway_core.clock import SECOND, Clock
from gateway_core.contract.envelopes import KeyRef, Target
from gateway_core.contract.ids import sequence_of
from gateway_core.deliveries.delays import Place
from gateway_core.deliveries.delivery import Delivery
from gateway_core.deliveries.idempotency import scope_of_key
from gateway_core.deliveries.remembered import Scope
from gateway_core.outboxes.interface import Outbox
from gateway_core.outboxes.journal import Journal
from gateway_core.outboxes.records import StoredEntry, Stream, stream_of
from gateway_core.outboxes.restore import arrives_within

PAGE = 500
MOST_FOLLOWERS = 10_000
START = (0.0, -1)
"""A time and position before all others."""


@attrs.define(eq=False)
class Times:
    """The due times, or the deadlines, of spilled envelopes, read page after page. POSIX times.

    next      the earliest time that a spilled envelope may have
    reached   the time and position up to which the outbox was read
    earliest  the earliest time noted since the last page was requested
    """

    next: float = math.inf
    reached: tuple[float, int] = START
    earliest: float = math.inf

    def note(self, time: float) -> bool:
        """Note the time of a spilled envelope; whether it is earlier than all others.

        If reading has passed that time already, reading starts again from the beginning.
        """
        self.earliest = min(self.earliest, time)
        if time <= self.reached[0]:
            self.reached = START
        earlier = time < self.next
        self.next = min(self.next, time)
        return earlier

    def advance(self, time: float, position: int) -> None:
        """Note how far a page was read; start again if an earlier time was noted meanwhile."""
        self.reached = (time, position) if time < self.earliest else START

    @contextmanager
    def looking(self) -> Iterator[float]:
        """Determine `next` anew from times noted in the block; gives the former `next`.

        If the block fails, `next` is as before.
        """
        before, self.next = self.next, math.inf
        try:
            yield before
        except BaseException:
            self.next = before
            raise


@attrs.define(eq=False)
class Schedule:
    """The next due time and the next deadline of spilled envelopes.

    put_behind  called with instance, room, position and stream of an envelope that is due now
    goes_on     whether this process goes on with an account's stored envelopes
    unread      accounts of which envelopes may be due that were not looked for since the account
                came: what is accepted for them now comes after these
    _arrived_at  the first time at which envelopes past their deadline are looked at again, since an
                 attempt of a lost owner may arrive until then
    """

    _outbox: Outbox
    _journal: Journal
    _intake: Intake
    _clock: Clock
    _put_behind: Callable[[str, str, int, Stream], None]
    _goes_on: Callable[[str], bool]
    due: Times = attrs.field(factory=Times, init=False)
    deadlines: Times = attrs.field(factory=Times, init=False)
    _followers: OrderedDict[str | Scope, list[tuple[str, str, str, Stream]]] = attrs.field(
        factory=OrderedDict, init=False
    )
    _arrived_at: float = attrs.field(default=math.inf, init=False)
    _released: dict[Place, None] = attrs.field(factory=dict, init=False)
    _following: int = attrs.field(default=0, init=False)
    unread: set[str] = attrs.field(factory=set, init=False)
    _has_read: trio.Event = attrs.field(factory=trio.Event, init=False)

    def open(self, stored: Iterable[str], *, scheduled: bool) -> None:
        """Open, knowing only whether previous process runs left scheduled envelopes.

        stored  the accounts that have stored envelopes
        """
        self.deadlines.next = self._clock.wall()
        if scheduled:
            self.due.next = 0.0
            self.unread.update(stored)

    @property
    def releases(self) -> bool:
        """Whether a room's first delayed envelope may go on before its time."""
        return bool(self._released)

    @property
    def scheduled(self) -> bool:
        """Whether any spilled envelope waits for its due time."""
        return self.due.next < math.inf

    def look_back(self, *unread: str) -> None:
        """Read all times again: envelopes of instances that were not there were passed over.

        unread  instances for which nothing is accepted until that is done
        """
        self.deadlines.note(0.0)
        self.due.note(0.0)
        self.unread.update(unread)

    async def until_read(self, instance_id: str) -> None:
        """Wait until the account's envelopes that are due have entered."""
        while instance_id in self.unread:
            await self._has_read.wait()

    def all_read(self, instance_ids: Iterable[str]) -> None:
        """What is due of these accounts has entered, or enters somewhere else."""
        self.unread.difference_update(instance_ids)
        self._has_read.set()
        self._has_read = trio.Event()

    async def scan(self) -> bool:
        """Put envelopes that are due at the end of their rooms; whether there may be more."""
        wall, self.due.earliest = self._clock.wall(), math.inf
        page = await self._outbox.scheduled(until=wall, after=self.due.reached, limit=PAGE)
        for stored in page:
            envelope = stored.entry.envelope
            place = envelope.instance_id, envelope.external_room_id
            if self._goes_on(envelope.instance_id) and not self._delayed(stored, wall):
                self._enter(*place, stored.entry.id, stored.entry.stream)
        if page:
            self.due.advance(page[-1].entry.due or 0.0, page[-1].position)
            return True
        with self.due.looking():
            found = await self._outbox.scheduled(until=math.inf, after=self.due.reached, limit=1)
        for stored in found:
            self.due.next = min(self.due.next, stored.entry.due or 0.0)
        if self.unread and self.due.next > wall:  # else somebody has looked back meanwhile
            self.all_read(tuple(self.unread))
        return False

    def _delayed(self, stored: StoredEntry, wall: float) -> bool:
        """Whether an envelope that is due must wait longer.

        Policies delay it again, or other envelopes of its room are delayed.
        """
        delivery = self._intake.delayed_again(stored, wall)
        if delivery is None:
            return False
        self._journal.postponed(delivery)
        self.note(delivery)
        return True

    def note(self, delivery: Delivery) -> bool:
        """Note a spilled delivery's due time and deadline; whether one of them is the earliest."""
        left = (delivery.deadline - self._clock.now()) / SECOND
        ends_first = self.deadlines.note(self._clock.wall() + left)
        return self.due.note(delivery.due or 0.0) or ends_first

    async def find_delayed(self) -> None:
        """Find envelopes that a previous run delayed: later envelopes of their rooms wait."""
        after, found = START, list[tuple[int, str, Place, float]]()
        while page := await self._outbox.scheduled(until=math.inf, after=after, limit=PAGE):
            after = (page[-1].entry.due or 0.0, page[-1].position)
            for stored in page:
                if (place := self._intake.held_room(stored)) is not None:
                    due = stored.entry.due or 0.0
                    found.append((stored.position, stored.entry.id, place, due))
        for _, name, place, due in sorted(found):
            partition = self._intake.partition_of(*place)
            if not self._intake.known(partition, name):
                partition.delays.hold(place, name, due)

    def may_go_on(self, place: Place) -> None:
        """Note a room whose first delayed envelope is spilled, and need not wait for another."""
        self._released[place] = None

    async def let_go_on(self) -> bool:
        """Let the first delayed envelopes of such rooms go on; whether there may be more."""
        for _ in range(PAGE):
            if not self._released:
                return False
            await self._let_first_go_on(next(iter(self._released)))
        return True

    async def _let_first_go_on(self, place: Place) -> None:
        """Put the first delayed envelope of a room at its end, unless policies delay it again.

        An envelope that is being stored meanwhile is not found: `leave` notes its room again.
        """
        delays = self._intake.partition_of(*place).delays
        name = delays.first(place)
        found = None if name is None else await self._outbox.find(name)
        if name != delays.first(place):
            return
        del self._released[place]
        stored = None if found is None else found.stored
        if name is None or stored is None or not self._goes_on(place[0]):
            return
        if not self._delayed(stored, self._clock.wall()):
            self._enter(*place, name, stored.entry.stream)

    def _enter(self, instance_id: str, room: str, envelope_id: str, stream: Stream) -> None:
        """Give an envelope its position, unless it is known or its account does not go on here."""
        partition = self._intake.partition_of(instance_id, room)
        if self._goes_on(instance_id) and not self._intake.known(partition, envelope_id):
            self._put_behind(instance_id, room, self._journal.entered_id(envelope_id), stream)
            partition.release((instance_id, room), envelope_id)

    def follow(self, target: Target, delivery: Delivery) -> None:
        """Let a spilled change wait for its message, which is scheduled.

        The number of remembered changes is bounded. The others learn only when they are due that
        their message has ended.
        """
        name = scope_of_key(target) if isinstance(target, KeyRef) else target.envelope_id
        envelope = delivery.envelope
        place = envelope.instance_id, envelope.external_room_id
        stream = stream_of(envelope, delivery.priority)
        follower = (*place, delivery.id, stream)
        self._followers.setdefault(name, []).append(follower)
        self._following += 1
        while self._following > MOST_FOLLOWERS:
            self._following -= len(self._followers.popitem(last=False)[1])

    def ended(self, delivery: Delivery) -> None:
        """A spilled envelope ended: its changes need not wait for its time."""
        names = [delivery.id] if delivery.scope is None else [delivery.id, delivery.scope]
        for name in names if self._followers else ():
            followers = self._followers.pop(name, ())
            self._following -= len(followers)
            for follower in followers:
                self._enter(*follower)

    async def expire(self) -> bool:
        """End spilled envelopes that are past their deadline; whether there may be more.

        Envelopes of an instance that is not there stay stored. One whose attempt may still arrive
        comes into its lane first, where it ends, and where the next one waits for that attempt.
        """
        times, wall = self.deadlines, self._clock.wall()
        if self._arrived_at <= wall:
            self._arrived_at, times.reached = math.inf, START
        times.earliest = math.inf
        with times.looking() as before:
            found = await self._outbox.overdue(until=wall, after=times.reached, limit=PAGE)
        for stored in found.stored:
            if arrives := arrives_within(stored, wall):
                self._arrived_at = min(self._arrived_at, wall + arrives)
            elif self._goes_on(stored.entry.envelope.instance_id):
                self._intake.end_stored(stored)
        if found.stored:
            last = found.stored[-1]
            times.advance(last.entry.deadline, sequence_of(last.entry.id, last.sequence))
            times.next = before
            return True
        times.next = min(
            times.next, self._arrived_at, math.inf if found.next is None else found.next
        )
        return False
