"""A clock for the gateway's thread, which tests of asyncio programs or of blocking code advance."""

from __future__ import annotations

import threading
import time
from functools import partial

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from gateway_core.bridge.calls import Answer, Call
from gateway_core.bridge.thread import TrioThread, start_thread_on
from gateway_core.contract.validators import is_finite
from gateway_core.testing.arguments import must

LEAST_STEP = 0.001
"""Seconds that each step advances at least, so that a task that is always due cannot stop time."""
LONGEST = 30.0
"""Seconds of real time that the gateway may take for all tasks that become due."""
TOO_LATE = (
    "the gateway's thread of this process runs on the real clock: it was started before the first"
    " test that asks for `gateway` or `gateway_clock`, by a gateway that was opened without them"
)


class DrivenTime:
    """A clock that runs like real time; `advance` skips time."""

    def __init__(self) -> None:
        self._clock = MockClock(rate=1.0)
        self._ahead = 0.0
        thread = start_thread_on(self._clock)
        if thread is None:
            raise RuntimeError(TOO_LATE)
        self._thread: TrioThread = thread

    def wall(self) -> float:
        """POSIX time, including all skipped seconds."""
        return time.time() + self._ahead

    def advance(self, seconds: float) -> None:
        """Skip so many seconds. The gateway does everything that becomes due in these seconds.

        Returns once the gateway has nothing to do but wait.
        """
        must("seconds", seconds, "seconds, 0 or more", fits=is_finite(seconds) and seconds >= 0)
        lock = threading.Lock()
        lock.acquire()

        def heard(_: Answer) -> None:
            lock.release()

        call = Call(self._live, (seconds,), {}, heard)
        self._thread.post(partial(self._thread.workers.begin, call))
        if not lock.acquire(timeout=LONGEST):
            text = f"the gateway took more than {LONGEST:g} s for what became due in {seconds:g} s"
            raise TimeoutError(text)
        call.result()

    async def _live(self, seconds: float) -> None:
        end = trio.current_time() + seconds
        await wait_all_tasks_blocked()
        while (left := end - trio.current_time()) > 0:
            due = trio.lowlevel.current_statistics().seconds_to_next_deadline
            step = min(left, max(due, LEAST_STEP))
            self._clock.jump(step)
            self._ahead += step
            await wait_all_tasks_blocked()


_driven: list[DrivenTime] = []


def driven_time() -> DrivenTime:
    """The driven clock of this process. Raises `RuntimeError` if the thread has the real clock."""
    if not _driven:
        _driven.append(DrivenTime())
    return _driven[0]
