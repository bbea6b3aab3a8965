"""Queues the callers that wait for a slot, by class with aging. Sans-I/O: the time is passed in."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator

import attrs

from gateway_core.scheduling.classes import AGING, BULK, NORMAL


@attrs.define(eq=False)
class Waiter:
    """A caller that waits for a slot; `wake` is called once, with or without a slot.

    rank   the rank of its class
    since  when it began to wait
    """

    instance_id: str
    room_id: str
    wake: Callable[[], None]
    rank: int
    since: int
    granted: bool = False


class SlotQueue:
    """Callers that wait for the same slots: by class, and within a class the longest wait first.

    size  how many wait: each envelope's end asks for it
    """

    __slots__ = ("_by_class", "size")

    def __init__(self) -> None:
        self.size = 0
        self._by_class: tuple[OrderedDict[Waiter, None], ...] = tuple(
            OrderedDict() for _ in range(BULK + 1)
        )

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[Waiter]:
        for waiting in self._by_class:
            yield from waiting

    def __contains__(self, waiter: Waiter) -> bool:
        return waiter in self._by_class[waiter.rank]

    def add(self, waiter: Waiter) -> None:
        """Let `waiter` wait here, after the others of its class."""
        self._by_class[waiter.rank][waiter] = None
        self.size += 1

    def remove(self, waiter: Waiter) -> None:
        """Take `waiter` out of the queue."""
        del self._by_class[waiter.rank][waiter]
        self.size -= 1

    def before(self, rank: int) -> bool:
        """Whether a caller waits here that a newcomer of this class must not overtake."""
        return any(self._by_class[: rank + 1])

    def in_turn(self, now: int) -> list[Waiter]:
        """The first of each class, in the order in which a slot is offered to them.

        Bulk that has waited for `AGING` competes with normal by age alone, never with urgent.
        """
        heads = [next(iter(waiting)) for waiting in self._by_class if waiting]
        if len(heads) > 1:
            normal, bulk = heads[-2:]
            aged = normal.rank == NORMAL and now - bulk.since > AGING and bulk.since < normal.since
            if aged:
                heads[-2:] = [bulk, normal]
        return heads
