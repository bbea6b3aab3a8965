"""Makes the lives of one outbox: after a kill, nothing that a life does has an effect.

At the kill, every port of that life begins to raise `Killed`, a `SystemExit`: crash boundaries let
it through, `finally` blocks run, and none of them can change anything outside any more.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

import trio
from simulated.drawing import GRID


class Killed(SystemExit):
    """Raised by every port of a dead life."""


class Life:
    """One process: from the opening of its gateway until it ends, or is killed.

    steps  steps of its tasks; the life ends at step `kill_at`. Nothing is counted before one is set
    died   called when the life is killed
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.dead = False
        self.fell = trio.Event()
        self.over = trio.Event()
        self.scope = trio.CancelScope()
        self.task: trio.lowlevel.Task | None = None
        self.gateway: Any = None
        self.steps = 0
        self.kill_at: int | None = None
        self.gently = False
        self.died: Callable[[], None] = lambda: None

    def arm(self, steps: int, *, gently: bool = False) -> None:
        """End after so many more steps of its tasks; gently: the application is cancelled."""
        self.kill_at, self.gently = self.steps + steps, gently

    def stepped(self) -> None:
        """A task of this life is about to go on after an await."""
        self.steps += 1
        if self.kill_at is not None and self.steps >= self.kill_at:
            self.fall()

    def fall(self) -> None:
        """End the process here, before its next step."""
        self.kill_at = None
        self.dead = not self.gently
        if self.dead:
            self.died()
        self.fell.set()

    def has(self, task: trio.lowlevel.Task | None) -> bool:
        """Whether a task belongs to this life."""
        while task is not None and task is not self.task:
            nursery = task.parent_nursery
            task = None if nursery is None else nursery.parent_task
        return task is not None

    async def bury(self) -> None:
        """Once the life has ended, end all its tasks, also shielded ones."""
        await self.fell.wait()
        self.scope.cancel()
        while self.dead and not self.over.is_set():
            with suppress(AttributeError, RuntimeError):  # not there yet, or over already
                self.gateway._parts.tasks.nursery.start_soon(_killed)
            with trio.move_on_after(GRID):
                await self.over.wait()


async def _killed() -> None:
    raise Killed


LIFE: ContextVar[Life] = ContextVar("LIFE")
"""Set in the first task of a life, and so in all that it starts."""


def check() -> None:
    """Raise `Killed` in a dead life; every port calls this first, and after each await."""
    life = LIFE.get(None)
    if life is not None and life.dead:
        raise Killed
