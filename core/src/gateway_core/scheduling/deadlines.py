"""Orders the deadlines of one partition's deliveries, the earliest first. Sans-I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from heapq import heappop, heappush

import attrs

from gateway_core.clock import NEVER
from gateway_core.deliveries.delivery import Delivery

FEW = 64
SERIAL_BITS = 48
"""How many of an entry's lowest bits are its serial number; the bits above are its deadline."""


@attrs.define(eq=False, repr=False)
class Deadlines:
    """The deadlines of unfinished deliveries; those of ended ones stay until they are the majority.

    `rearm(at)` is called when the next deadline is earlier than it was. An entry is one number: the
    garbage collector would look at a tuple as often as at the delivery.
    """

    _rearm: Callable[[int], None]
    _heap: list[int] = attrs.field(factory=list)
    _deliveries: dict[int, Delivery] = attrs.field(factory=dict)
    _serial: int = 0
    _stale: int = 0

    def __len__(self) -> int:
        return len(self._heap)

    @property
    def next(self) -> int:
        """The earliest deadline."""
        return self._heap[0] >> SERIAL_BITS if self._heap else NEVER

    def add(self, delivery: Delivery) -> None:
        """Add a delivery's deadline."""
        self._serial += 1
        entry = delivery.deadline << SERIAL_BITS | self._serial
        self._deliveries[entry] = delivery
        heappush(self._heap, entry)
        if self._heap[0] == entry:
            self._rearm(delivery.deadline)

    def ended(self) -> None:
        """A delivery ended before its deadline."""
        self._stale += 1
        if self._stale > FEW and self._stale * 2 > len(self._heap):
            self._deliveries = {
                entry: delivery
                for entry, delivery in self._deliveries.items()
                if delivery.receipt is None
            }
            self._heap = sorted(self._deliveries)
            self._stale = 0

    def passed(self, now: int) -> Iterator[Delivery]:
        """Take out the unfinished deliveries whose deadline has passed, one by one."""
        while self._heap and self.next <= now:
            delivery = self._deliveries.pop(heappop(self._heap))
            if delivery.receipt is None and delivery.deadline <= now:
                yield delivery
            else:  # the delivery ended, or has a later deadline, which was added too
                self._stale = max(0, self._stale - 1)
