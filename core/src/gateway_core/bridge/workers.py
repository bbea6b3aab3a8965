"""The tasks of the gateway's thread that perform calls, which begin in the order of the callers.

trio runs the tasks that are due in any order. So a task is not given a call as it is woken, but
takes the oldest as it runs, and a call goes on without a pause to where it has to wait: what a loop
or a thread sends to a room one after the other is accepted one after the other.
"""

from __future__ import annotations

from collections import deque

import trio

from gateway_core.bridge.calls import Call

MOST_IDLE = 100
"""Tasks that wait for another call; waking one costs a third of making one."""


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
        """Perform it after all that were begun before have begun."""
        self._calls.append(call)
        self.busy += 1
        if self._idle:
            trio.lowlevel.reschedule(self._idle.pop())
        else:
            self._nursery.start_soon(self._work)

    def fail(self, error: BaseException) -> None:
        """No task goes on: the thread broke."""
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
