"""Tells other processes how much this one counts, so that all keep to one bound.

This module waits only for time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import trio

from gateway_core.backlog.capacity import Capacity
from gateway_core.clock import Clock
from gateway_core.contract.envelopes import Priority

EACH = 1.0
"""Seconds between two exchanges of counts."""

Count: TypeAlias = Callable[[Mapping[Priority, int]], Mapping[Priority, int]]
"""`Shared.share_count`."""


async def share_count(capacity: Capacity, count: Count, clock: Clock) -> None:
    """Exchange counts of unfinished envelopes with the other processes, until cancelled."""
    while True:
        capacity.count_beside(count(capacity.classes), clock.now())
        await trio.sleep(EACH)
