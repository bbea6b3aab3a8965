"""Tells one Ctrl-C from the next by the cancellations that a task gets.

Some frameworks repeat a cancellation in each turn of the loop as long as a task goes on; all these
count as one. A new Ctrl-C comes after turns without a cancellation. Time alone proves nothing,
since the loop may have stood still.
"""

from __future__ import annotations

import asyncio

QUIET = 0.05
"""Seconds without a cancellation, with turns of the loop after them, between two Ctrl-Cs."""


class Presses:
    """Counts the Ctrl-Cs of one task.

    begun  whether the task is being cancelled already
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, *, begun: bool) -> None:
        self._loop = loop
        self._quiet = True
        self._next: asyncio.Handle | None = None
        if begun:
            self.is_another()

    def is_another(self) -> bool:
        """The task was cancelled; returns whether this is a new Ctrl-C."""
        another, self._quiet = self._quiet, False
        self.end()
        self._next = self._loop.call_later(QUIET, self._passed)
        return another

    def _passed(self) -> None:
        # A cancellation of this turn reaches the task in the next turn, before that turn's calls.
        self._next = self._loop.call_soon(self._is_quiet)

    def _is_quiet(self) -> None:
        self._quiet = True

    def end(self) -> None:
        """Stop counting."""
        if self._next is not None:
            self._next.cancel()
