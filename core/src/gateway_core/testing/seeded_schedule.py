"""A seeded order of tasks: the same seed gives the same interleaving in every process.

trio runs the tasks that are ready at the same moment in an order of its own. The two private names
that make this order a drawn one are kept here and nowhere else.
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
    """Tasks that are ready together run in an order drawn from `seed`, in runs begun within.

    Raises RuntimeError where trio has moved the names that this stands on.
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
    """`trio.run` in virtual time from 0 on, with a seeded order of tasks.

    The collector rests meanwhile: finalisers would run at moments that nobody has drawn.
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
    """From none to `most` checkpoints at a port, drawn from `seed`: others run in between."""

    def __init__(self, seed: str, most: int = 3) -> None:
        self._random = Random(seed)  # noqa: S311 - a plan to repeat, not a secret
        self._most = most

    async def __call__(self) -> None:
        """Let others run, or not. With none drawn it is no checkpoint at all."""
        for _ in range(self._random.randint(0, self._most)):
            await trio.lowlevel.checkpoint()
