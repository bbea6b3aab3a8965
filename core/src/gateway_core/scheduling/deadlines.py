"""When the deliveries of one partition expire, the earliest first. Pure: the time is passed in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from heapq import heapify, heappop, heappush

from gateway_core.clock import NEVER
from gateway_core.deliveries.delivery import Delivery

FEW = 64


class Deadlines:
    """Of all that is unfinished, and of some that has ended: that is dropped once it outnumbers.

    `rearm(at)` is called when the next deadline is earlier than it was.
    """

    def __init__(self, rearm: Callable[[int], None]) -> None:
        self._rearm = rearm
        self._heap: list[tuple[int, int, Delivery]] = []
        self._serial = 0
        self._stale = 0

    def __len__(self) -> int:
        return len(self._heap)

    @property
    def next(self) -> int:
        """The earliest."""
        return self._heap[0][0] if self._heap else NEVER

    def add(self, delivery: Delivery) -> None:
        """It expires at its deadline."""
        self._serial += 1
        heappush(self._heap, (delivery.deadline, self._serial, delivery))
        if self._heap[0][1] == self._serial:
            self._rearm(delivery.deadline)

    def ended(self) -> None:
        """A delivery ended before."""
        self._stale += 1
        if self._stale > FEW and self._stale * 2 > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2].receipt is None]
            heapify(self._heap)
            self._stale = 0

    def passed(self, now: int) -> Iterator[Delivery]:
        """Take out those whose time has come, as long as there are some."""
        while self._heap and self._heap[0][0] <= now:
            delivery = heappop(self._heap)[2]
            if delivery.receipt is None:
                yield delivery
            else:
                self._stale = max(0, self._stale - 1)
