"""Keeps worker threads for the exit, when from Python 3.12 on no new thread can be started.

Files and name look-ups need worker threads. trio reuses a worker thread that ended its work less
than 10 s ago. So a few threads are kept waiting in a function until the exit. Then they are
released, and kept in use.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from functools import partial

import trio

NEEDED = sys.version_info >= (3, 12)
NUMBER = 3
"""Threads: one for an outbox, one for an exporter, one for a name look-up."""
KEPT_IN_USE = 4.0
"""Seconds between uses of the threads; trio ends a thread after 10 s without work."""


class SpareThreads:
    """Worker threads that are held from the start of the gateway's thread until `release`."""

    def __init__(self) -> None:
        self._held = threading.Event()
        self._limiter: trio.CapacityLimiter

    async def keep(self) -> None:
        """Hold the threads, and keep them from ending once they are released."""
        if not NEEDED:
            return
        self._limiter = trio.CapacityLimiter(NUMBER)
        await self._all_at_work(self._held.wait)
        while True:
            await trio.sleep(KEPT_IN_USE)
            await self._all_at_work(partial(_meet, threading.Barrier(NUMBER)))

    async def _all_at_work(self, work: Callable[[], object]) -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(NUMBER):
                nursery.start_soon(self._one, work)

    async def _one(self, work: Callable[[], object]) -> None:
        await trio.to_thread.run_sync(work, limiter=self._limiter, abandon_on_cancel=True)

    def release(self) -> None:
        """The process exits: make the threads available to any work that needs one."""
        self._held.set()


def _meet(together: threading.Barrier) -> None:
    try:
        together.wait(1)
    except threading.BrokenBarrierError:
        return
