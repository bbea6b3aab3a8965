"""When the deliveries of one partition expire, the earliest first. Sans-I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from heapq import heapify, heappop, heappush

import attrs

from gateway_core.clock import NEVER
from gateway_core.deliveries.delivery import Delivery

FEW = 64


@attrs.define(eq=False, repr=False)
class Deadlines:
    """The deadlines of unfinished deliveries, and of ended ones until those are the majority.

    `rearm(at)` is called when the next deadline is earlier than it was.
    """

    _rearm: Callable[[int], None]
    _heap: list[tuple[int, int, Delivery]] = attrs.field(factory=list)
    _serial: int = 0
    _stale: int = 0

    def __len__(self) -> int:
        return len(self._heap)

    @property
    def next(self) -> int:
        """The earliest deadline."""
        return self._heap[0][0] if self._heap else NEVER

    def add(self, delivery: Delivery) -> None:
        """Add a delivery's deadline."""
        self._serial += 1
        heappush(self._heap, (delivery.deadline, self._serial, delivery))
        if self._heap[0][1] == self._serial:
            self._rearm(delivery.deadline)

    def ended(self) -> None:
        """A delivery ended before its deadline."""
        self._stale += 1
        if self._stale > FEW and self._stale * 2 > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2].receipt is None]
            heapify(self._heap)
            self._stale = 0

    def passed(self, now: int) -> Iterator[Delivery]:
        """Take out the unfinished deliveries whose deadline has passed, one by one."""
        while self._heap and self._heap[0][0] <= now:
            delivery = heappop(self._heap)[2]
            if delivery.receipt is None:
                yield delivery
            else:
                self._stale = max(0, self._stale - 1)
