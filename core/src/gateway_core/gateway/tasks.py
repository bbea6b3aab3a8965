"""Runs a gateway's own tasks."""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from typing import Any

import trio


class Tasks:
    """The nursery of a gateway's tasks; they run in the gateway's context, never in a caller's.

    nursery  None until the gateway opens
    """

    def __init__(self) -> None:
        self.nursery: trio.Nursery | None = None
        self._context = contextvars.copy_context()

    def spawn(self, task: Callable[[], Any]) -> None:
        """Start `task`."""
        assert self.nursery is not None, "the gateway is not open"  # noqa: S101 - an invariant
        self._context.run(self.nursery.start_soon, task)
