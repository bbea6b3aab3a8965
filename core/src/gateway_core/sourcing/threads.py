"""Asks a source that blocks, in threads. This module waits: for the threads."""

from __future__ import annotations

from inspect import iscoroutinefunction
from typing import Any

import attrs
import trio

from gateway_core.contract.instances import Instance


@attrs.define(eq=False)
class InThread:
    """Makes a blocking source an async one.

    A thread that does not return counts as a look-up under way, so there are never more threads
    than look-ups are allowed.
    """

    _source: Any
    _threads: trio.CapacityLimiter | None = attrs.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        if not callable(self._source) or iscoroutinefunction(self._source):
            text = "`instance_source` must be a blocking function"
            raise TypeError(f"{text}; an async one is for gateway_core.aio and gateway_core")

    def bound(self, at_once: int) -> None:
        """Allow at most `at_once` look-ups under way."""
        self._threads = trio.CapacityLimiter(at_once)

    async def __call__(self, instance_id: str) -> Instance | None:
        """The account. Raises what the source raises."""
        found: Instance | None = await trio.to_thread.run_sync(
            self._source, instance_id, abandon_on_cancel=True, limiter=self._threads
        )
        return found
