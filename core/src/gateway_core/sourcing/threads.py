"""Asks a source that blocks, in threads. This module waits: for these."""

from __future__ import annotations

from inspect import iscoroutinefunction
from typing import Any

import attrs
import trio

from gateway_core.contract.instances import Instance


@attrs.define(eq=False)
class InThread:
    """An async source made of one that blocks.

    A thread that does not come back counts as one look-up under way: there are never more threads
    than look-ups may be.
    """

    _source: Any
    _threads: trio.CapacityLimiter | None = attrs.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        if not callable(self._source) or iscoroutinefunction(self._source):
            text = "`instance_source` must be a function that blocks"
            raise TypeError(f"{text}: an async one is for gateway_core.aio and gateway_core")

    def bound(self, at_once: int) -> None:
        """So many look-ups may be under way."""
        self._threads = trio.CapacityLimiter(at_once)

    async def __call__(self, instance_id: str) -> Instance | None:
        """The account. Raises what it raises."""
        found: Instance | None = await trio.to_thread.run_sync(
            self._source, instance_id, abandon_on_cancel=True, limiter=self._threads
        )
        return found
