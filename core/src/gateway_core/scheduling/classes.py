"""The priority classes, and which waiting lane goes first, with aging and shares. Sans-I/O.

A class is a row of `CLASSES` and a word of `contract.envelopes.Priority`.
"""

from __future__ import annotations

from collections.abc import Mapping
from heapq import heappop, heappush
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

import attrs

from gateway_core.contract.envelopes import Priority
from gateway_core.ratelimits.bucket import Rank


@attrs.frozen
class PriorityClass:
    """One class of envelopes.

    rank          0 goes first
    share         tenths of a grant that the class earns with each grant of a higher class
    ttl           seconds until its envelopes expire, unless they or a setting say otherwise
    may_be_shed   whether its envelopes may be ended to free slots for higher classes
    """

    rank: int
    share: int
    ttl: float
    may_be_shed: bool = False


CLASSES: Mapping[Priority, PriorityClass] = {
    "urgent": PriorityClass(0, share=0, ttl=300.0),
    "normal": PriorityClass(1, share=2, ttl=3600.0),
    "bulk": PriorityClass(2, share=1, ttl=86_400.0, may_be_shed=True),
}
URGENT, NORMAL, BULK = [CLASSES[name].rank for name in ("urgent", "normal", "bulk")]
RANKS = {name: each.rank for name, each in CLASSES.items()}
GRANT = 10
SHARES = tuple(each.share for each in CLASSES.values())

AGING = 30_000_000_000
"""Nanoseconds after which bulk competes with normal by age alone (never with urgent)."""


class Waiter(Protocol):
    """A lane that waits, or a group of such lanes.

    waits_in  the queue in which it waits, as `wait_serial`
    members   of a group, its lanes in their order; None: it is a lane
    """

    rank: Rank
    waits_in: Any
    wait_serial: int

    @property
    def members(self) -> ClassQueue[Any] | None: ...  # noqa: D102 - said above
    def dissolve(self) -> None: ...  # noqa: D102 - as `WaitingGroup` says


_W = TypeVar("_W", bound=Waiter)
_Heap: TypeAlias = list[tuple[int, int, int, _W]]


class ClassQueue(Generic[_W]):
    """Lanes that wait for the same thing. An entry whose lane has left is dropped later."""

    __slots__ = ("_credit", "_heaps", "_serial")

    def __init__(self) -> None:
        self._heaps: tuple[_Heap[_W], _Heap[_W], _Heap[_W]] = ([], [], [])
        self._credit = [0, 0, 0]
        self._serial = 0

    def __bool__(self) -> bool:
        urgent, normal, bulk = self._heaps  # called often, and most heaps are empty
        return bool(
            (normal and self._trim(normal))
            or (urgent and self._trim(urgent))
            or (bulk and self._trim(bulk))
        )

    def push(self, lane: _W) -> None:
        """Let `lane` wait here."""
        self._serial += 1
        lane.waits_in = self
        lane.wait_serial = self._serial
        rank = lane.rank
        heappush(self._heaps[rank[0]], (rank[1], rank[2], self._serial, lane))

    def peek(self, now: int) -> _W | None:
        """The lane that `pop` would return."""
        chosen = self._choose(now)
        return None if chosen is None else self._heaps[chosen][0][3]

    def ahead_of(self, lane: Waiter, now: int, *, fresh: bool) -> bool:
        """Whether a lane that waits here goes before `lane`, which waits elsewhere or is `fresh`.

        Shares and age count against a fresh lane only. Between lanes that wait at several buckets
        the rank alone decides: the order is the same everywhere, so lanes never wait for each
        other.
        """
        chosen = self._choose(now)
        if chosen is None:
            return False
        _, since, _, head = self._heaps[chosen][0]
        mine = lane.rank[0]
        if head is lane:
            return False
        if chosen <= mine or not fresh:
            return head.rank < lane.rank
        aged = mine == NORMAL and now - since > AGING and since < lane.rank[2]
        return aged or self._credit[chosen] >= GRANT

    def ahead(self, lane: Waiter | None) -> int:
        """How many lanes wait here, alone or in groups, and rank before `lane`; None: all."""
        mine, count = (BULK + 1,) if lane is None else (*lane.rank, lane.wait_serial), 0
        for own, heap in enumerate(self._heaps[: mine[0] + 1]):
            for interim, since, serial, waiter in heap:
                if waiter.waits_in is not self or waiter.wait_serial != serial:
                    continue
                if waiter.members is not None:
                    count += waiter.members.ahead(lane)
                else:
                    count += (own, interim, since, serial) < mine
        return count

    def passed_by(self, lane: Waiter) -> None:
        """Count a grant to `lane`: its class pays, and each class that waits below it earns."""
        went = lane.rank[0]
        self._credit[went] = max(0, self._credit[went] - GRANT)
        for below in range(went + 1, 3):
            heap = self._heaps[below]
            if heap and self._trim(heap):
                self._credit[below] += SHARES[below]

    def pop(self, now: int) -> _W | None:
        """Take out the lane that goes next."""
        chosen = self._choose(now)
        if chosen is None:
            return None
        lane = heappop(self._heaps[chosen])[3]
        lane.waits_in = None
        self.passed_by(lane)
        return lane

    def _choose(self, now: int) -> int | None:
        heaps = self._heaps
        waiting = [c for c in (URGENT, NORMAL, BULK) if heaps[c] and self._trim(heaps[c])]
        if not waiting:
            return None
        for owed in reversed(waiting):
            if self._credit[owed] >= GRANT:
                return owed
        if waiting[0] == NORMAL and waiting[-1] == BULK:
            since = heaps[BULK][0][1]
            if now - since > AGING and since < heaps[NORMAL][0][1]:
                return BULK
        return waiting[0]

    def _trim(self, heap: _Heap[_W]) -> bool:
        """Drop leading entries whose lane has left; returns whether an entry remains."""
        while heap:
            _, _, serial, waiter = heap[0]
            if waiter.waits_in is self and waiter.wait_serial == serial:
                if waiter.members is None or waiter.members:
                    return True
                waiter.waits_in = None  # a group whose members have all left
                waiter.dissolve()
            heappop(heap)
        return False
