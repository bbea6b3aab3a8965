"""Runs tasks in a seeded order: the same seed gives the same interleaving in every process.

trio chooses the order of tasks that are ready at the same moment. Two private names of trio make
this order follow a seed. Only this module uses these names.
"""

from __future__ import annotations

import gc
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import Any, TypeVar

import trio
import trio.testing
from trio._core import _run

T = TypeVar("T")

SWITCH = "_ALLOW_DETERMINISTIC_SCHEDULING"
GENERATOR = "_r"


@contextmanager
def seeded_schedule(seed: str) -> Iterator[None]:
    """In runs of trio that begin in this block, `seed` decides the order of ready tasks.

    Raises RuntimeError if trio no longer has the private names that this needs.
    """
    generator = getattr(_run, GENERATOR, None)
    if generator is None or not hasattr(_run, SWITCH):
        text = f"trio {trio.__version__} has no {SWITCH} or {GENERATOR} any more"
        raise RuntimeError(text)
    before, state = getattr(_run, SWITCH), generator.getstate()
    setattr(_run, SWITCH, True)
    generator.seed(seed)
    try:
        yield
    finally:
        setattr(_run, SWITCH, before)
        generator.setstate(state)


def run_seeded(seed: str, main: Callable[..., Awaitable[T]], *args: Any) -> T:
    """Like `trio.run`, but in virtual time that begins at 0, and with a seeded order of tasks.

    Garbage collection is off during the run, since finalisers would run at unseeded moments.
    """
    clock = trio.testing.MockClock(autojump_threshold=0)
    collected = gc.isenabled()
    gc.disable()
    try:
        with seeded_schedule(seed):
            return trio.run(main, *args, clock=clock)
    finally:
        if collected:
            gc.enable()


class Checkpoints:
    """Lets other tasks run: each call makes 0 to `most` checkpoints, as `seed` decides."""

    def __init__(self, seed: str, most: int = 3) -> None:
        self._random = Random(seed)  # noqa: S311 - a plan to repeat, not a secret
        self._most = most

    async def __call__(self) -> None:
        """Make so many checkpoints. If the number is 0, no other task can run."""
        for _ in range(self._random.randint(0, self._most)):
            await trio.lowlevel.checkpoint()
