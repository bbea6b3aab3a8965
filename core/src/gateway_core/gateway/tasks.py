"""Where a gateway's own tasks run."""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from typing import Any

import trio


class Tasks:
    """The nursery of a gateway's tasks, which are in the gateway's context and never a caller's.

    nursery  there while the gateway is open
    """

    def __init__(self) -> None:
        self.nursery: trio.Nursery | None = None
        self._context = contextvars.copy_context()

    def spawn(self, task: Callable[[], Any]) -> None:
        """Start one."""
        assert self.nursery is not None, "the gateway is not open"  # noqa: S101 - an invariant
        self._context.run(self.nursery.start_soon, task)
