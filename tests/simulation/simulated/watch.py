"""Looks at the world whenever it is at rest: nothing can run before time moves.

This is the only module that reads the engine's insides: only there can it be seen that something
waits without a reason. Everything else is judged from outside.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import trio
import trio.testing
from simulated.bytes_stored import expect_stored
from simulated.drawing import GRID
from simulated.ledger import HAIR, LONGEST_COMMIT, Ledger
from simulated.lives import Life

from gateway_contrib.durable.committer import LONGEST_PAUSE
from gateway_core import Gateway
from gateway_core.clock import NEVER, SECOND
from gateway_core.engine.attempts import OUTBOX_PAUSE
from gateway_core.scheduling.classes import CLASSES, URGENT

LONGEST_RESTART = 1.0
LONGEST_UPLOAD = 10.0
"""Seconds in which the bytes of an upload move."""
SLOW_REQUESTS = 2
"""How many of an upload's requests may be answered late; each answer gives it time again."""
MOST_STEPS = 60_000
"""Steps of tasks at one instant after which nothing useful happens any more."""


class Violated(Exception):
    """An invariant does not hold; the ledger says which."""


class Steps(trio.abc.Instrument):
    """Counts steps since the last rest, and stops a world that never comes to rest."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.count = 0
        self.scope: trio.CancelScope | None = None
        self.life: Life | None = None

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """Count a step; if a life is to end at one of its steps, this may be the step."""
        self.count += 1
        life = self.life
        if life is not None and life.kill_at is not None and life.has(task):
            life.stepped()
        if self.count == MOST_STEPS and self.scope is not None:
            self._ledger.violations.append(f"{MOST_STEPS} steps at one instant, lately {task.name}")
            self.scope.cancel()


class Watch:
    """Checks the world at every rest. A state that may last for a tick is reported only later."""

    def __init__(self, ledger: Ledger, gateway: Gateway, steps: Steps) -> None:
        self._ledger = ledger
        self._gateway = gateway
        self._steps = steps
        self._since: dict[Any, float] = {}
        self._seen: set[Any] = set()
        self.rests = 0

    async def run(self) -> None:
        """Look at each instant of virtual time, once all that can happen then has happened."""
        while True:
            await trio.testing.wait_all_tasks_blocked()
            self._steps.count = 0
            self.rests += 1
            self.look()
            if self._ledger.violations:
                raise Violated
            wait = trio.lowlevel.current_statistics().seconds_to_next_deadline
            if wait == math.inf:
                self._ledger.wrong("nothing will ever happen again")
                raise Violated
            await trio.sleep(max(0.0, wait))

    def look(self) -> None:
        """Make every check that holds at rest."""
        self._seen.clear()
        if self._ledger.gateway is None:  # it was killed at this instant
            return
        self._ledger.look_for_unseen()
        self._conservation()
        if self._gateway._life.stopped.is_set():
            return
        self._late()
        spool = self._gateway._parts.files.spool
        if spool is not None:
            expect_stored(self._ledger, spool._kept, over=False)
        for partition in self._gateway._partitions:
            self._lanes(partition)
            self._waiters(partition)
        self._urgent()
        self._accounts()
        self._since = {what: at for what, at in self._since.items() if what in self._seen}

    def _conservation(self) -> None:
        statistics, ledger = self._gateway.statistics(), self._ledger
        expect = ledger.expect
        expect(statistics.conserved, f"not conserved: {statistics.accepted}")
        born = sum(entry.born == ledger.life and entry.heard for entry in ledger.entries)
        born += ledger.reopened_here
        # An earlier life's envelopes count once they come in; all are stored from the start.
        fits = born <= statistics.accepted <= born + ledger.recovered
        expect(fits, f"{statistics.accepted} accepted, not {born} (+ {ledger.recovered})")
        if ledger.setup.durable:
            left = len(ledger.unfinished)
            expect(statistics.stored == left, f"{statistics.stored} kept, {left} unfinished")
        counted = {d: n for d, n in statistics.dispositions.items() if n}
        expect(counted == dict(ledger.ended), f"counted {counted}, told {dict(ledger.ended)}")
        for account in () if ledger.setup.durable else statistics.instances:
            if account.id in ledger.absent or ledger.has_come_back(account.id):
                continue  # its counts went with the old instance
            known = sum(account.dispositions.values()) + account.unfinished
            expect(account.accepted == known, f"{account.accepted} of {account.id}, {known} known")
        for part in statistics.partitions:
            most = len(CLASSES) * part.bound
            expect(part.depth <= most, f"partition {part.index} holds {part.depth} of {most}")
        parts = statistics.partitions
        places = sum(part.depth - part.unfinished + part.spilled for part in parts)
        fits = places == ledger.appending
        if ledger.setup.durable:  # some are appended without a place
            fits = 0 <= places <= ledger.appending
        expect(fits, f"{places} places taken for {ledger.appending} appends")

    def _late(self) -> None:
        """No envelope outlives its deadline, except during an attempt under way."""
        now, patience = trio.current_time(), self._gateway.config.attempt_timeout
        for entry in self._ledger.unfinished:
            # A member of a group may have its turn when its time is over.
            begun = max(entry.accepted_at, self._ledger.born_at + LONGEST_COMMIT)
            due = max(entry.deadline, begun)
            due += 0.0 if entry.spoken is None else LONGEST_COMMIT
            if now <= due + GRID or entry.envelope.instance_id in self._ledger.absent:
                continue
            partition = self._gateway._partitions[entry.partition]
            delivery = partition.deliveries.get(entry.id) or _delivery(partition, entry.envelope)
            if delivery is None and self._ledger.ending and self._ledger.setup.durable:
                continue  # outside memory: the next life has to end it
            running = delivery is not None and delivery.lane is not None and delivery.lane.running
            uploads = len(getattr(entry.envelope, "files", None) or ())  # each may begin in time
            grace = patience * (1 + uploads) if running else 0.0
            if delivery is None:  # it is outside memory, and each look at the file takes a while
                grace = 4 * LONGEST_COMMIT + GRID * self._rooms_of_groups()  # read one by one
                if entry.spoken is not None:
                    continue  # a stream's time, which counts from its end, is looked at inside
                # And a look comes after the writes, which a full disk keeps waiting.
                due = max(due, self._ledger.unwritten_at + LONGEST_PAUSE)
            grace += GRID + 2 * LONGEST_RESTART + _ahead(partition, entry)
            self._ledger.expect(now <= due + grace, f"{entry} outlives its deadline")

    def _rooms_of_groups(self) -> int:
        """The number of rooms with unfinished members of groups."""
        ledger = self._ledger
        mine = (e.envelope for e in ledger.unfinished if ledger.groups.of(e.envelope) is not None)
        return len({envelope.external_room_id for envelope in mine})

    def _lasts(self, what: Any, longest: float, text: Callable[[], str]) -> None:
        """A state must not last for longer than that."""
        now = trio.current_time()
        since = self._since.setdefault(what, now)
        self._seen.add(what)
        if now - since > longest + HAIR:
            self._ledger.wrong(text())

    def _lanes(self, partition: Any) -> None:
        """A lane runs, waits for something that is missing, or has nothing to do."""
        if not partition.alive:
            return
        now = partition.clock.now()
        work = partition.workers.work
        if work.runnable:
            self._lasts(("runnable", partition.index), GRID, lambda: "a ready lane has no worker")
        if work.over:
            self._lasts(("over", partition.index), GRID, lambda: "nobody ends what is over")
        for room in partition.scheduler.rooms.values():
            for lane in room.lanes.values():
                if not (work.resting and lane.running) or lane in _attempted(work):
                    self._lane(lane, room, now)

    def _lane(self, lane: Any, room: Any, now: int) -> None:
        name = f"lane {room.id} {lane.key}"
        ended = not lane.running and lane.queue and lane.queue[0].receipt is not None
        if ended and lane.quiet <= now:
            longest = OUTBOX_PAUSE / SECOND if self._ledger.setup.trouble.disk else 0.0
            self._lasts(
                (id(lane), "ended"), longest + GRID, lambda: f"{name} waits for what has ended"
            )
        if lane.running:
            longest = self._gateway.config.attempt_timeout + GRID + LONGEST_RESTART
            if self._ledger.setup.files is not None:  # an upload has time as long as it moves
                longest += LONGEST_UPLOAD + SLOW_REQUESTS * self._gateway.config.attempt_timeout
            self._lasts((id(lane), lane.begun), longest, lambda: f"{name} runs for ever")
        elif lane.waits_in is not None:
            bucket = lane.waits_at
            reserved = bucket.reserved is not None and bucket.reserved[0] > now
            free = bucket.free_for_all(lane.cost, now) <= now and not self._costly(bucket, now)
            if free and not reserved and bucket.merged is None:
                text = f"{name} waits for {bucket}, which is free"
                self._lasts((id(lane), lane.wait_serial, "free"), GRID, lambda: text)
        elif lane.timer_at is not None:
            late = now > lane.timer_at + SECOND // 4
            self._ledger.expect(not late, f"{name} sleeps on after its time")
        elif not lane.doubt and lane.queue:
            self._ledger.wrong(f"{name} is forgotten with {len(lane.queue)} in it")

    def _costly(self, bucket: Any, now: int) -> bool:
        """Whether an album waits in the bucket for several tokens, and all others wait after it."""
        if self._ledger.setup.files is None:
            return False
        return any(
            lane.cost > 1 and lane.waits_in is not None and lane.waits_at is bucket
            and bucket.free_for_all(lane.cost, now) > now
            for partition in self._gateway._partitions
            for room in partition.scheduler.rooms.values()
            for lane in room.lanes.values()
        )  # fmt: skip

    def _waiters(self, partition: Any) -> None:
        """A caller waits for a slot only if there is none."""
        admission = partition.admission
        for key, queue in admission._waiting.items():
            self._ledger.expect(queue, f"nobody waits at {key}, and is waited for")
            for first in queue.in_turn(partition.clock.now()):
                full = admission._reached(first.instance_id, first.room_id, first.rank)
                self._ledger.expect(full is not None, f"somebody waits at {key}, which has room")

    def _urgent(self) -> None:
        """An urgent envelope without order is in memory within a second, whatever else waits.

        After that, it waits only for its account's next token, before lower classes: `_lanes`
        checks that free tokens are taken.
        """
        ledger = self._ledger
        for entry in ledger.unfinished:
            envelope = entry.envelope
            if entry.priority != "urgent" or envelope.order != "none" or entry.parked:
                continue
            name, partition = envelope.instance_id, self._gateway._partitions[entry.partition]
            health = getattr(self._gateway._registry._accounts.get(name), "health", None)
            if health is None or health.suspended is not None or ledger.ending:
                continue
            place = name, envelope.external_room_id, URGENT
            inside = entry.id in partition.deliveries or not ledger.setup.durable
            if inside or partition.admission._reached(*place) is not None:
                continue
            # Each look at the file takes a while, and comes after the writes.
            late = 1.0 + 4 * LONGEST_COMMIT
            if trio.current_time() > ledger.unwritten_at + LONGEST_PAUSE + late:
                self._lasts(("urgent", entry.number), late, lambda e=entry: f"{e} stays outside")  # type: ignore[misc]  # bound at once

    def _accounts(self) -> None:
        """If an instance is in trouble, something looks after it."""
        for account in self._gateway._registry._accounts.values():
            name, health, gate = account.instance.id, account.health, account.limits.gate
            probed = health.probing or not health.needs_probe
            self._ledger.expect(probed, f"nobody looks after {name}")
            shut = gate.closed_until >= NEVER
            reason = health.suspended or health.refused or health.open
            self._ledger.expect(not shut or reason, f"{name} is shut for no reason")
            narrow = gate.capacity < NEVER and not health.open
            self._ledger.expect(not narrow, f"{name} stays half open")
            waits = self._gateway._clock.start + gate.closed_until / SECOND - HAIR
            asked = shut or self._ledger.closes(name, waits)
            self._ledger.expect(asked, f"{name} is closed whole, and only a room was named")


def _attempted(work: Any) -> list[Any]:
    """The lanes of attempts under way. While a partition rests, other lanes only hold tokens."""
    workers = [worker for worker in work._workers if worker.running is not None]
    return [worker.running.lane for worker in workers]


def _ahead(partition: Any, entry: Any) -> float:
    """Seconds until a change's message is due: a class's time for the change counts from then."""
    envelope = entry.envelope
    target = getattr(envelope, "target", None)
    if target is None or envelope.ttl is not None or envelope.deadline is not None:
        return 0.0
    message = partition.deliveries.get(getattr(target, "envelope_id", "")) or next(
        (d for d in partition.deliveries.values() if _is_named(d.envelope, target)), None
    )
    due = None if message is None else message.envelope.not_before
    return 0.0 if due is None else max(0.0, float(due - entry.accepted_wall))


def _is_named(envelope: Any, target: Any) -> bool:
    key = getattr(target, "key", None)
    return key is not None and (key, target.external_room_id) == (
        envelope.key, envelope.external_room_id
    )  # fmt: skip


def _delivery(partition: Any, envelope: Any) -> Any:
    return next((d for d in partition.deliveries.values() if d.envelope is envelope), None)
