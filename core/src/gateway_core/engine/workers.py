"""The tasks that make a partition's attempts, and which attempt has taken too long. Never waits."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs
import trio

from gateway_core.clock import nanoseconds
from gateway_core.contract.validators import LONGEST
from gateway_core.ratelimits.bucket import NEVER

if TYPE_CHECKING:
    from gateway_core.engine.running_attempt import RunningAttempt

ROUNDING = 1_000
"""Nanoseconds: what a clock that has run for years lacks must not make an alarm ring in vain."""


@attrs.define(eq=False)
class Worker:
    """A task, and the try that it makes now: that is broken off at `due`, engine nanoseconds.

    scope      what the task works in until one of its tries was broken off
    recording  the outbox is asked to record that the try begins
    """

    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    running: RunningAttempt | None = None
    due: int = NEVER
    broken_off: bool = False
    recording: bool = False

    def start_anew(self) -> None:
        """What was broken off has ended: the next tries have a scope of their own."""
        self.scope, self.running = trio.CancelScope(), None
        self.broken_off = self.recording = False

    def ends(self) -> None:
        """The attempt is over, or is being broken off."""
        self.due = NEVER


class AttemptClock:
    """The workers of one life of a partition.

    An attempt that begins later is due later, as all may take equally long. So there is one alarm
    for all of them, and nothing to set for each: a deadline of its own scope costs more than the
    rest of what a worker does.

    look_at  when `look` may have something to break off; `rearm()` is called as it gets earlier
    """

    def __init__(self, seconds: float, rearm: Callable[[], None]) -> None:
        self._longest = nanoseconds(min(seconds, LONGEST))
        self._rearm = rearm
        self._workers: list[Worker] = []
        self.look_at = NEVER

    def __len__(self) -> int:
        return len(self._workers)

    def disband(self) -> None:
        """Their tasks have ended."""
        self._workers, self.look_at = [], NEVER

    def join(self) -> Worker:
        """One more."""
        worker = Worker()
        self._workers.append(worker)
        return worker

    def begins(self, worker: Worker, running: RunningAttempt, now: int) -> None:
        """The worker makes this try, which may take as long as any."""
        worker.running = running
        worker.due = now + self._longest
        if worker.due < self.look_at:
            self.look_at = worker.due
            self._rearm()

    def look(self, now: int) -> None:
        """Break off the attempts whose time is over."""
        now += ROUNDING
        if now < self.look_at:
            return
        for worker in self._workers:
            if worker.due <= now:
                worker.ends()
                worker.broken_off = True
                worker.scope.cancel()
        self.look_at = min([worker.due for worker in self._workers], default=NEVER)
