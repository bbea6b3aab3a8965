"""Computes how much an account can send in a time by its declared limits, as a clerk would.

Nothing here knows how the gateway schedules. The limits, the earlier requests and the time that
answers take are enough to compute this with a pencil: the room that may go first always goes next.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Mapping, Sequence

import attrs

from gateway_core import Limit

HAIR = 1e-6


@attrs.frozen
class Made:
    """A request: from when until when it was under way, and the limits that it used."""

    begun: float
    ended: float
    limits: Sequence[Limit]


@attrs.define(eq=False)
class Room:
    """A lane, which makes one request at a time. `trip` is how long an answer takes at most.

    slots  the names of the slots; each request holds one of each while it is under way
    """

    limits: Sequence[Limit]
    trip: float
    slots: Sequence[str]
    free: float = 0.0
    last: float = -math.inf


class Sums:
    """What counts against each limit so far."""

    def __init__(self, slots: Mapping[str, int], made: Sequence[Made]) -> None:
        self._slots = slots
        self._begun: dict[str, float] = {}
        self._ends: dict[str, deque[float]] = {}
        self._held: dict[str, list[float]] = {name: [] for name in slots}
        self.sent: Counter[int] = Counter()
        for one in sorted(made, key=lambda one: one.begun):
            self._count(one)

    def _count(self, one: Made) -> None:
        for limit in one.limits:
            self._begun[limit.bucket] = one.begun
            self._ends.setdefault(limit.bucket, deque(maxlen=200)).append(one.ended)

    def sends(self, rooms: Sequence[Room], start: float, until: float) -> int:
        """How many requests begin from `start` to `until`, if every room always has another."""
        count = 0
        while rooms:
            at, room = min(((self._at(room, start), room) for room in rooms), key=_soonest)
            if at >= until - HAIR:
                break
            self._make(room, at)
            count += 1
        return count

    def _make(self, room: Room, at: float) -> None:
        room.free, room.last = at + room.trip, at
        for name in room.slots:
            self._held[name] = [*(end for end in self._held[name] if end > at), room.free]
        self._count(Made(at, room.free, room.limits))

    def _at(self, room: Room, start: float) -> float:
        return max(
            start, room.free, *map(self._allows, room.limits), *map(self._has_slot, room.slots)
        )

    def _has_slot(self, name: str) -> float:
        held, most = sorted(self._held[name]), self._slots[name]
        return held[-most] if len(held) >= most else 0.0

    def _allows(self, limit: Limit) -> float:
        """When the limit allows another request, by the words of `Limit`."""
        ends = sorted(self._ends.get(limit.bucket, ()))
        if limit.count == 1 or limit.pace != "even":
            return _windowed(ends, limit.count, limit.per)
        begun = self._begun.get(limit.bucket, -math.inf)
        paced = begun + limit.per / limit.count
        most = -math.inf if limit.most is None else _windowed(ends, limit.most, limit.per)
        return max(paced, most)


def _windowed(ends: Sequence[float], count: int, per: float) -> float:
    """When another request fits: `count` in any `per` seconds, each counted from its answer."""
    return ends[-count] + per if len(ends) >= count else -math.inf


def _soonest(found: tuple[float, Room]) -> tuple[float, float]:
    at, room = found
    return at, room.last
