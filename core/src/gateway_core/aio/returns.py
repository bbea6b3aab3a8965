"""Queues answers for one asyncio loop, and wakes the loop once for all that are queued."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from gateway_core.bridge.calls import Answer


class Returns:
    """The queue of answers from one gateway to the loop that opened it.

    later      calls a function once the gateway's thread has done its due work
    on_closed  called on the gateway's thread, once, if the loop is closed as an answer comes
    """

    later: Callable[[Callable[[], object]], None]

    def __init__(self, loop: asyncio.AbstractEventLoop, on_closed: Callable[[], None]) -> None:
        self._loop = loop
        self._on_closed = on_closed
        self._answers: deque[Answer] = deque()
        self._asked = False
        self._lost = False

    def bring(self, answer: Answer) -> None:
        """From the gateway's thread: let the loop end the answer's `waiter`, a future."""
        self._answers.append(answer)
        if not self._asked:
            self._asked = True
            self.later(self._call_take)

    def _call_take(self) -> None:
        self.run(self._take)

    def run(self, work: Callable[[], object]) -> None:
        """From the gateway's thread: let the loop call `work`."""
        try:
            self._loop.call_soon_threadsafe(work)
        except RuntimeError:  # the loop is closed, so nobody waits
            if not self._lost:
                self._lost = True
                self._on_closed()

    def _take(self) -> None:
        self._asked = False
        answers = self._answers
        for _ in range(len(answers)):
            waiter = answers.popleft().waiter
            if not waiter.done():
                waiter.set_result(None)
