"""Queues lanes that are ready for a worker, and breaks off attempts.

An attempt is broken off if it takes too long, or if its account may belong to another process now.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import attrs
import trio

from gateway_core.accounts.instance_state import InstanceState
from gateway_core.clock import NEVER, SECOND
from gateway_core.contract.validators import LONGEST
from gateway_core.deliveries.delivery import Delivery
from gateway_core.deliveries.ending import Ending
from gateway_core.engine.running_attempt import RunningAttempt
from gateway_core.scheduling.rooms import Lane

ROUNDING = 1_000
"""Nanoseconds: the float clock of a process that has run for years is no more exact than this."""


@attrs.define(eq=False)
class Worker:
    """A task, and the attempt that it makes now, which is broken off at `due`.

    scope      the cancel scope of the task's work; new after an attempt was broken off
    recording  the outbox is asked to record that the attempt begins
    unowned    the attempt is broken off since another process may own the account now
    """

    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    running: RunningAttempt | None = None
    due: int = NEVER
    broken_off: bool = False
    recording: bool = False
    unowned: bool = False

    def start_anew(self) -> None:
        """Make a new scope for the next attempts, since this attempt was broken off."""
        self.scope, self.running = trio.CancelScope(), None
        self.broken_off = self.recording = self.unowned = False

    def ends(self) -> None:
        """The attempt is over, or is being broken off."""
        self.due = NEVER

    def break_off(self) -> None:
        """Break the attempt off."""
        self.ends()
        self.broken_off = True
        self.scope.cancel()


class Over(NamedTuple):
    """A lane whose head (its first delivery) is over, so that a worker has to end it."""

    lane: Lane
    delivery: Delivery
    ending: Ending


class WorkQueue:
    """The lanes that are ready for the next worker, and one alarm for attempts that take too long.

    All attempts may take equally long, so the one that began first is due first. A cancel scope
    with a deadline for each attempt would cost more than the rest of a worker's work.

    runnable  lanes that hold their tokens; `over`: lanes whose head is over
    serving   the worker that runs now will take the next lane itself: no other is called
    resting   no attempt begins any more
    look_at   when `look` may find attempts to break off; `rearm(at)` is called if it gets earlier
    """

    def __init__(
        self, seconds: float, rearm: Callable[[int], None], call_worker: Callable[[], None]
    ) -> None:
        self._longest = round(min(seconds, LONGEST) * SECOND)
        self._rearm = rearm
        self._call_worker = call_worker
        self._workers: list[Worker] = []
        self.runnable: deque[Lane] = deque()
        self.over: deque[Over] = deque()
        self.serving = False
        self.resting = False
        self.look_at = NEVER

    def __len__(self) -> int:
        return len(self._workers)

    def disband(self) -> None:
        """Forget the workers, since their tasks have ended."""
        self._workers, self.look_at, self.serving = [], NEVER, False

    def join(self) -> Worker:
        """Add a worker."""
        worker = Worker()
        self._workers.append(worker)
        return worker

    def start(self, lane: Lane) -> None:
        """Hand a lane that holds its tokens to a worker: the one that runs now, or another."""
        if self.resting:
            return
        self.runnable.append(lane)
        if not self.serving:
            self._call_worker()

    def end(self, lane: Lane, delivery: Delivery, ending: Ending) -> None:
        """Hand a lane whose head is over to a worker."""
        self.over.append(Over(lane, delivery, ending))
        if not self.serving:
            self._call_worker()

    @property
    def is_busy(self) -> bool:
        """Whether an attempt is under way or being prepared, or a lane is ready for a worker."""
        return bool(self.runnable or self.over) or any(w.running for w in self._workers)

    @property
    def is_performing(self) -> bool:
        """Whether an attempt is under way, so that its outcome may become unknown."""
        return any(w.running is not None and w.running.step.started for w in self._workers)

    def rest(self) -> None:
        """Begin no more attempts: the gateway closes, and the outbox stores waiting envelopes."""
        self.resting = True
        self.runnable.clear()

    def call_next(self) -> None:
        """Call another worker for ready lanes, since the one that runs now is about to wait."""
        if self.runnable or self.over:
            self._call_worker()

    def begins(self, worker: Worker, running: RunningAttempt, now: int) -> None:
        """Note the attempt that the worker makes now, and when it will have taken too long."""
        worker.running = running
        worker.due = now + self._longest
        if worker.due < self.look_at:
            self.look_at = worker.due
            self._rearm(worker.due)

    def moved(self, worker: Worker, now: int) -> None:
        """The worker's attempt has sent more of a file, so its time begins anew."""
        worker.due = now + self._longest

    def look(self, now: int) -> None:
        """Break off the attempts that are due."""
        now += ROUNDING
        if now < self.look_at:
            return
        for worker in self._workers:
            if worker.due <= now:
                worker.break_off()
        self.look_at = min([worker.due for worker in self._workers], default=NEVER)

    def break_off_unowned(self, owned: Callable[[InstanceState], bool]) -> None:
        """Break off the attempts under way whose account this process may not own any more."""
        for worker in self._workers:
            running = worker.running
            if running is None or worker.broken_off or not running.step.started:
                continue
            if not owned(running.lane.room.account):
                worker.unowned = True
                worker.break_off()
