"""Decides who may come in: unfinished envelopes counted against three bounds. Sans-I/O.

Partition, instance and room each have their bound, so that a backlog refuses only its own. A free
slot goes to the caller that has waited longest for it; newcomers never overtake.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TypeAlias

import attrs

BoundKey: TypeAlias = tuple[str, ...]
PARTITION: BoundKey = ("partition",)


def keys_of(instance_id: str, room_id: str) -> tuple[BoundKey, BoundKey, BoundKey]:
    """The bounds that an envelope counts against, the widest first."""
    return PARTITION, ("instance", instance_id), ("room", instance_id, room_id)


@attrs.frozen
class Full:
    """The bound that is reached."""

    key: BoundKey
    depth: int
    bound: int


@attrs.define(eq=False)
class Waiter:
    """A caller that waits for a slot; `wake` is called once, with or without a slot."""

    instance_id: str
    room_id: str
    wake: Callable[[], None]
    granted: bool = False


class Admission:
    """The slots of one partition."""

    def __init__(self, *, partition: int, instance: int, room: int) -> None:
        self.bound = partition
        self.depth = 0
        self.closed = False
        self._bounds = (partition, instance, room)
        self._counts: dict[BoundKey, int] = {}
        self._waiting: dict[BoundKey, deque[Waiter]] = {}

    def depth_of(self, instance_id: str) -> int:
        """How many unfinished envelopes an instance has here."""
        return self._counts.get(("instance", instance_id), 0)

    @property
    def waiters(self) -> int:
        """How many callers wait for a slot."""
        return sum(map(len, self._waiting.values()))

    def full(self, instance_id: str, room_id: str) -> Full | None:
        """The bound that keeps an envelope out, if one does."""
        if self._waiting:
            for key, bound in zip(keys_of(instance_id, room_id), self._bounds, strict=True):
                if key in self._waiting:
                    return Full(key, self._depth(key), bound)
        return self._reached(instance_id, room_id)

    def narrowest(self, instance_id: str, room_id: str) -> BoundKey:
        """The narrowest bound that is reached: an end there frees a slot under all of them."""
        keys = keys_of(instance_id, room_id)
        reached = [k for k, b in zip(keys, self._bounds, strict=True) if self._depth(k) >= b]
        return reached[-1] if reached else PARTITION

    def add(self, instance_id: str, room_id: str) -> None:
        """Take a slot."""
        counts = self._counts
        self.depth += 1
        key: BoundKey = ("instance", instance_id)
        counts[key] = counts.get(key, 0) + 1
        key = ("room", instance_id, room_id)
        counts[key] = counts.get(key, 0) + 1

    def remove(self, instance_id: str, room_id: str) -> None:
        """Give a slot back, or hand it on to a caller that waits for it."""
        self.depth -= 1
        room: BoundKey = ("room", instance_id, room_id)
        instance: BoundKey = ("instance", instance_id)
        for key in (instance, room):
            left = self._counts[key] - 1
            if left:
                self._counts[key] = left
            else:
                del self._counts[key]
        if self._waiting:
            for key in (room, instance, PARTITION):
                self._hand_on(key)

    def wait(self, waiter: Waiter, full: Full) -> None:
        """Queue at the bound that is reached."""
        self._waiting.setdefault(full.key, deque()).append(waiter)

    def give_up(self, waiter: Waiter) -> None:
        """The waiter was cancelled: return its slot, or take it out of its queue."""
        if waiter.granted:
            self.remove(waiter.instance_id, waiter.room_id)
            return
        for key, queue in list(self._waiting.items()):
            if waiter in queue:
                queue.remove(waiter)
                self._hand_on(key)

    def close(self) -> None:
        """Wake all waiters without a slot."""
        self.closed = True
        waiting, self._waiting = self._waiting, {}
        for queue in waiting.values():
            for waiter in queue:
                waiter.wake()

    def _hand_on(self, key: BoundKey) -> None:
        queue = self._waiting.get(key)
        while queue:
            waiter = queue[0]
            full = self._reached(waiter.instance_id, waiter.room_id)
            if full is not None and full.key == key:
                return
            queue.popleft()
            if full is not None:
                self._waiting.setdefault(full.key, deque()).append(waiter)
                continue
            self.add(waiter.instance_id, waiter.room_id)
            waiter.granted = True
            waiter.wake()
        self._waiting.pop(key, None)

    def _depth(self, key: BoundKey) -> int:
        return self.depth if key == PARTITION else self._counts.get(key, 0)

    def _reached(self, instance_id: str, room_id: str) -> Full | None:
        partition, instance, room = self._bounds
        if self.depth >= partition:
            return Full(PARTITION, self.depth, partition)
        key: BoundKey = ("instance", instance_id)
        depth = self._counts.get(key, 0)
        if depth >= instance:
            return Full(key, depth, instance)
        key = ("room", instance_id, room_id)
        depth = self._counts.get(key, 0)
        return Full(key, depth, room) if depth >= room else None
