"""Performs calls in tasks of the gateway's thread, and begins them in the order of the callers.

trio runs due tasks in any order. So a task gets no call when it is woken, but takes the oldest call
when it runs. A call then goes on without a pause until it has to wait. So messages that a loop or a
thread sends to a room one after the other are accepted one after the other.
"""

from __future__ import annotations

from collections import deque

import trio

from gateway_core.bridge.calls import Call

MOST_IDLE = 100
"""Most tasks that wait for another call; waking a task costs a third of making one."""


class Workers:
    """As many tasks as there are calls under way; a few wait for the next ones.

    busy  how many calls are under way
    """

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._calls: deque[Call] = deque()
        self._begun: set[Call] = set()
        self._idle: list[trio.lowlevel.Task] = []
        self.busy = 0

    def begin(self, call: Call) -> None:
        """Perform a call; it starts after all calls that were passed in before."""
        self._calls.append(call)
        self.busy += 1
        if self._idle:
            trio.lowlevel.reschedule(self._idle.pop())
        else:
            self._nursery.start_soon(self._work)

    def fail(self, error: BaseException) -> None:
        """Fail all calls, since the thread broke and no task goes on."""
        for call in (*self._begun, *self._calls):
            call.fail(error)

    async def _work(self) -> None:
        task = trio.lowlevel.current_task()
        own = task.context

        def abort(_: object) -> trio.lowlevel.Abort:
            self._idle.remove(task)
            return trio.lowlevel.Abort.SUCCEEDED

        while True:
            call = self._calls.popleft()
            self._begun.add(call)
            try:
                await call.perform(task)
            finally:
                self._begun.discard(call)
                self.busy -= 1
                task.context = own
            if len(self._idle) >= MOST_IDLE:
                return
            self._idle.append(task)
            await trio.lowlevel.wait_task_rescheduled(abort)
