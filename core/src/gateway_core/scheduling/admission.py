"""Decides who may come in: unfinished envelopes counted against three bounds. Sans-I/O.

Partition, instance and room each have their own bound, so that a full room or instance refuses only
its own envelopes. Each class has the whole of a bound: an envelope is counted together with its own
class and the higher classes, so `urgent` sees only urgent envelopes and `bulk` sees all. No caller
ever waits for a slot that a lower class holds, however small the bound is. If all three classes
fill a bound one after the other, it holds three times as many envelopes, at the most.

A free slot goes to the highest class that waits for it, and within the class to the caller that has
waited longest. Newcomers overtake lower classes only.
"""

from __future__ import annotations

from typing import TypeAlias

import attrs

from gateway_core.deliveries.delivery import Delivery
from gateway_core.scheduling.classes import BULK
from gateway_core.scheduling.slot_queue import SlotQueue, Waiter

BoundKey: TypeAlias = tuple[str, ...]
PARTITION: BoundKey = ("partition",)


def keys_of(instance_id: str, room_id: str) -> tuple[BoundKey, BoundKey, BoundKey]:
    """The bounds that an envelope counts against, the widest first."""
    return PARTITION, ("instance", instance_id), ("room", instance_id, room_id)


@attrs.frozen
class Full:
    """The bound that is reached; `depth` counts the envelopes that the refused class sees."""

    key: BoundKey
    depth: int
    bound: int


@attrs.define(eq=False)
class Held:
    """The slots that one class holds, in the partition, by instance and by room."""

    total: int = 0
    instances: dict[str, int] = attrs.field(factory=dict)
    rooms: dict[tuple[str, str], int] = attrs.field(factory=dict)


class Admission:
    """The slots of one partition; `depth` counts all classes. A rank names a class."""

    def __init__(self, *, partition: int, instance: int, room: int) -> None:
        self.bound = partition
        self.depth = 0
        self.closed = False
        self._bounds = (partition, instance, room)
        self._held = tuple(Held() for _ in range(BULK + 1))
        self._seen_by = tuple(self._held[: rank + 1] for rank in range(BULK + 1))
        self._waiting: dict[BoundKey, SlotQueue] = {}

    def depth_of(self, instance_id: str) -> int:
        """How many unfinished envelopes an instance has here."""
        return sum(held.instances.get(instance_id, 0) for held in self._held)

    def depth_for(self, rank: int) -> int:
        """How many unfinished envelopes a class sees here."""
        return sum(held.total for held in self._seen_by[rank])

    @property
    def waiters(self) -> int:
        """How many callers wait for a slot."""
        return sum(map(len, self._waiting.values()))

    def take(self, instance_id: str, room_id: str, rank: int) -> Full | None:
        """Take a slot; if there is none, return the bound that keeps the envelope out."""
        held, room = self._held[rank], (instance_id, room_id)
        of_instance, of_room = held.instances.get(instance_id, 0), held.rooms.get(room, 0)
        if self._waiting or self.depth != held.total:
            full = self.full(instance_id, room_id, rank)
            if full is not None:
                return full
        else:  # no other class has envelopes to count
            all_of, (most_of_all, most_of_instance, most_of_room) = held.total, self._bounds
            if all_of >= most_of_all or of_instance >= most_of_instance or of_room >= most_of_room:
                return self._reached(instance_id, room_id, rank)
        self.depth += 1
        held.total += 1
        held.instances[instance_id] = of_instance + 1
        held.rooms[room] = of_room + 1
        return None

    def full(self, instance_id: str, room_id: str, rank: int) -> Full | None:
        """The bound that keeps an envelope out, if one does."""
        if self._waiting:
            for key, bound in zip(keys_of(instance_id, room_id), self._bounds, strict=True):
                queue = self._waiting.get(key)
                if queue is not None and queue.before(rank):
                    return Full(key, self._depth(key, rank), bound)
        return self._reached(instance_id, room_id, rank)

    def narrowest(self, instance_id: str, room_id: str) -> BoundKey | None:
        """The narrowest bound that all classes together have reached; None: they reached none.

        An envelope that ends under it frees a slot of every bound that is reached.
        """
        keys = keys_of(instance_id, room_id)
        reached = [k for k, b in zip(keys, self._bounds, strict=True) if self._depth(k, BULK) >= b]
        return reached[-1] if reached else None

    def add(self, instance_id: str, room_id: str, rank: int) -> None:
        """Take a slot."""
        held, room = self._held[rank], (instance_id, room_id)
        self.depth += 1
        held.total += 1
        held.instances[instance_id] = held.instances.get(instance_id, 0) + 1
        held.rooms[room] = held.rooms.get(room, 0) + 1

    def remove(self, instance_id: str, room_id: str, rank: int, now: int) -> None:
        """Give a slot back, or hand it on to a caller that waits for it."""
        held, room = self._held[rank], (instance_id, room_id)
        self.depth -= 1
        held.total -= 1
        left = held.instances[instance_id] - 1
        if left:
            held.instances[instance_id] = left
        else:
            del held.instances[instance_id]
        left = held.rooms[room] - 1
        if left:
            held.rooms[room] = left
        else:
            del held.rooms[room]
        if self._waiting:
            for key in reversed(keys_of(instance_id, room_id)):
                self._hand_on(key, now)

    def wait(self, waiter: Waiter, full: Full) -> None:
        """Queue `waiter` at the bound that is reached."""
        self._queue(waiter, full.key)

    def give_up(self, waiter: Waiter, now: int) -> None:
        """The waiter was cancelled: return its slot, or take it out of its queue."""
        if waiter.granted:
            self.remove(waiter.instance_id, waiter.room_id, waiter.rank, now)
            return
        for key in keys_of(waiter.instance_id, waiter.room_id):
            queue = self._waiting.get(key)
            if queue is not None and waiter in queue:
                queue.remove(waiter)
                self._hand_on(key, now)

    def close(self) -> None:
        """Wake all waiters without a slot."""
        self.closed = True
        waiting, self._waiting = self._waiting, {}
        for queue in waiting.values():
            for waiter in queue:
                waiter.wake()

    def _queue(self, waiter: Waiter, key: BoundKey) -> None:
        self._waiting.setdefault(key, SlotQueue()).add(waiter)

    def _hand_on(self, key: BoundKey, now: int) -> None:
        """Give free slots under the bound to the callers that wait for them."""
        queue = self._waiting.get(key)
        if queue is None:
            return
        while self._serve(key, queue, now):
            pass
        if not queue and self._waiting.get(key) is queue:
            del self._waiting[key]

    def _serve(self, key: BoundKey, queue: SlotQueue, now: int) -> bool:
        """Let one caller in, or on to another bound; False: all callers wait for this bound."""
        for waiter in queue.in_turn(now):
            full = self._reached(waiter.instance_id, waiter.room_id, waiter.rank)
            if full is not None and full.key == key:
                continue
            queue.remove(waiter)
            if full is not None:
                self._queue(waiter, full.key)
                return True
            self.add(waiter.instance_id, waiter.room_id, waiter.rank)
            waiter.granted = True
            waiter.wake()
            return True
        return False

    def _depth(self, key: BoundKey, rank: int) -> int:
        """How many envelopes count against the class's bound."""
        seen = self._seen_by[rank]
        if len(key) == 1:
            return sum(held.total for held in seen)
        if len(key) == 2:  # noqa: PLR2004 - an instance's
            return sum(held.instances.get(key[1], 0) for held in seen)
        return sum(held.rooms.get((key[1], key[2]), 0) for held in seen)

    def _reached(self, instance_id: str, room_id: str, rank: int) -> Full | None:
        """The widest bound that is reached for the class."""
        all_of = of_instance = of_room = 0
        room = (instance_id, room_id)
        for held in self._seen_by[rank]:
            if held.total:  # mostly one class alone is here
                all_of += held.total
                of_instance += held.instances.get(instance_id, 0)
                of_room += held.rooms.get(room, 0)
        most_of_all, most_of_instance, most_of_room = self._bounds
        if all_of >= most_of_all:
            return Full(PARTITION, all_of, most_of_all)
        if of_instance >= most_of_instance:
            return Full(("instance", instance_id), of_instance, most_of_instance)
        if of_room >= most_of_room:
            return Full(("room", instance_id, room_id), of_room, most_of_room)
        return None


@attrs.define(eq=False)
class Sheddable:
    """The bulk envelopes of one partition, by the bounds under which their end frees a slot."""

    _by_key: dict[BoundKey, dict[str, Delivery]] = attrs.field(factory=dict)

    def add(self, delivery: Delivery) -> None:
        """Add a delivery that may be shed until it starts."""
        for key in _keys_for(delivery):
            self._by_key.setdefault(key, {})[delivery.id] = delivery

    def discard(self, delivery: Delivery) -> None:
        """Remove a delivery that has ended or started, and can no longer be shed."""
        for key in _keys_for(delivery):
            deliveries = self._by_key.get(key, {})
            if deliveries.pop(delivery.id, None) is not None and not deliveries:
                del self._by_key[key]

    def newest(self, key: BoundKey) -> Delivery | None:
        """The newest bulk envelope that has not started, under the bound `key`."""
        while (deliveries := self._by_key.get(key)) is not None:
            delivery = deliveries[next(reversed(deliveries))]
            if not delivery.started:
                return delivery
            self.discard(delivery)
        return None


def _keys_for(delivery: Delivery) -> tuple[BoundKey, BoundKey, BoundKey]:
    envelope = delivery.envelope
    return keys_of(envelope.instance_id, envelope.external_room_id)
