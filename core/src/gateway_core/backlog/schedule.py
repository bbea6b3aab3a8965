"""What outside memory has its time: scheduled envelopes that are due, and deadlines that pass.

This module waits: for the outbox alone.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable

from gateway_core.backlog.intake import Intake
from gateway_core.clock import Clock
from gateway_core.contract.envelopes import KeyRef, Target
from gateway_core.contract.ids import position_of
from gateway_core.deliveries.delivery import Delivery
from gateway_core.deliveries.idempotency import Scope, scope_of_key
from gateway_core.engine.instance_registry import InstanceRegistry
from gateway_core.engine.partition import Partition
from gateway_core.outboxes.interface import Outbox
from gateway_core.outboxes.journal import Journal

PAGE = 500
MOST_FOLLOWERS = 10_000


class Schedule:
    """The next due time and the next deadline outside memory; POSIX times.

    placed     told of each scheduled envelope that has its place now: instance, room, position
    scheduled  whether anything outside waits for its time
    """

    def __init__(
        self,
        outbox: Outbox,
        journal: Journal,
        intake: Intake,
        *,
        registry: InstanceRegistry,
        partition_of: Callable[[str, str], Partition],
        clock: Clock,
        placed: Callable[[str, str, int], None],
    ) -> None:
        self._outbox = outbox
        self._journal = journal
        self._intake = intake
        self._registry = registry
        self._partition_of = partition_of
        self._clock = clock
        self._placed = placed
        self._due: tuple[float, int] = (0.0, -1)
        self._noted = math.inf
        self._overdue: tuple[float, int] = (0.0, -1)
        self._earliest = math.inf
        self._followers: OrderedDict[str | Scope, list[tuple[str, str, str]]] = OrderedDict()
        self._following = 0
        self.scheduled = False
        self.next_due = math.inf
        self.deadline = 0.0

    def open(self, *, scheduled: bool) -> None:
        """Nothing is known of earlier lives' times but whether there are some."""
        self.deadline = self._clock.wall()
        self.scheduled = scheduled
        self.next_due = 0.0 if scheduled else math.inf

    def note_deadline(self, deadline: float) -> bool:
        """Something outside ends then; whether that is earlier than all before."""
        self._earliest = min(self._earliest, deadline)
        if deadline <= self._overdue[0]:  # the clock was set back behind what ended last
            self._overdue = (0.0, -1)
        earlier = deadline < self.deadline
        self.deadline = min(self.deadline, deadline)
        return earlier

    def note_due(self, due: float) -> bool:
        """Something outside is due then; whether that is earlier than all before.

        It is looked for from the beginning, where the last look went beyond that time.
        """
        self.scheduled = True
        self._noted = min(self._noted, due)
        if due <= self._due[0]:
            self._due = (0.0, -1)
        earlier = due < self.next_due
        self.next_due = min(self.next_due, due)
        return earlier

    def look_back(self) -> None:
        """What was passed over, as its instance was not there, has its time again."""
        self._overdue, self.deadline = (0.0, -1), min(self.deadline, self._clock.wall())
        self.note_due(0.0)

    async def scan(self) -> bool:
        """Give what is due its place, after all that is there; whether there may be more."""
        wall, self._noted = self._clock.wall(), math.inf  # lowered by what is left meanwhile
        page = await self._outbox.scheduled(until=wall, after=self._due, limit=PAGE)
        for kept in page:
            envelope = kept.entry.envelope
            self._give_place(envelope.instance_id, envelope.external_room_id, kept.entry.id)
        if page:
            reached = page[-1].entry.due or 0.0
            self._due = (reached, page[-1].position) if reached < self._noted else (0.0, -1)
            return True
        await self._look_ahead()
        return False

    async def _look_ahead(self) -> None:
        """Find the next due time."""
        before, self.next_due = self.next_due, math.inf  # lowered by what is left meanwhile
        try:
            found = await self._outbox.scheduled(until=math.inf, after=self._due, limit=1)
        except BaseException:
            self.next_due = before
            raise
        for kept in found:
            self.next_due = min(self.next_due, kept.entry.due or 0.0)
        self.scheduled = self.next_due < math.inf

    def _give_place(self, instance_id: str, room: str, envelope_id: str) -> None:
        """Unless its instance is not there, or it is known: then it has its place."""
        partition = self._partition_of(instance_id, room)
        served = self._registry.serving.get(instance_id) is not None
        if served and not self._intake.known(partition, envelope_id):
            self._placed(instance_id, room, self._journal.entered_id(envelope_id))

    def follow(self, target: Target, delivery: Delivery) -> None:
        """A change waits outside for its message, which waits there for its time.

        So many are remembered; others learn when they are due that their message has ended.
        """
        name = scope_of_key(target) if isinstance(target, KeyRef) else target.envelope_id
        envelope = delivery.envelope
        place = (envelope.instance_id, envelope.external_room_id, delivery.id)
        self._followers.setdefault(name, []).append(place)
        self._following += 1
        while self._following > MOST_FOLLOWERS:
            self._following -= len(self._followers.popitem(last=False)[1])

    def ended(self, delivery: Delivery) -> None:
        """It ended outside memory: what would change it need not wait for its time."""
        names = [delivery.id] if delivery.scope is None else [delivery.id, delivery.scope]
        for name in names if self._followers else ():
            followers = self._followers.pop(name, ())
            self._following -= len(followers)
            for instance_id, room, envelope_id in followers:
                self._give_place(instance_id, room, envelope_id)

    async def expire(self) -> bool:
        """End what is outside and past its deadline; whether there may be more.

        What waits for an instance that is not there is kept.
        """
        wall = self._clock.wall()
        before, self.deadline = self.deadline, math.inf  # lowered by what is left meanwhile
        self._earliest = math.inf
        try:
            found = await self._outbox.overdue(until=wall, after=self._overdue, limit=PAGE)
        except BaseException:
            self.deadline = before
            raise
        for kept in found.kept:
            if self._registry.serving.get(kept.entry.envelope.instance_id) is not None:
                self._intake.end_kept(kept)
            self._overdue = (kept.entry.deadline, position_of(kept.entry.id))
        if found.kept:
            if self._earliest <= self._overdue[0]:
                self._overdue = (0.0, -1)
            self.deadline = before
            return True
        if found.next is not None:
            self.deadline = min(self.deadline, found.next)
        return False
