"""Buckets of tokens, in integer nanoseconds. Sans-I/O: the time is passed in."""

# ruff: noqa: D102 - overrides do what the base says; queues, what `scheduling.classes` says

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Protocol, TypeAlias

import attrs

from gateway_core.clock import NEVER, SECOND
from gateway_core.contract.hookspecs import Limit
from gateway_core.ratelimits.pace import Pace, growth_of
from gateway_core.ratelimits.spent import Standing, name_of

SHARED = ("instance", "gateway")
"""Values of `Limit.of` whose limits several rooms draw on."""
SOON = SECOND
"""How far ahead a slot for an attempt in flight may be reserved: most attempts end sooner, and if
an account has one slot only, that slot is idle for as long."""

Rank: TypeAlias = tuple[int, int, int]
"""Class, then final before interim edits, then the start of the wait: the lowest goes first."""


class Taker(Protocol):
    """The object that takes tokens: in the scheduler, a lane."""

    rank: Rank


class WaitingTakers(Protocol):
    """The queue of a bucket; the scheduler decides who goes first."""

    def __bool__(self) -> bool: ...
    def push(self, lane: Any) -> None: ...
    def peek(self, now: int) -> Any: ...
    def pop(self, now: int) -> Any: ...
    def ahead(self, lane: Any) -> int: ...
    def ahead_of(self, lane: Any, now: int, *, fresh: bool) -> bool: ...
    def passed_by(self, lane: Any) -> None: ...


class Bucket:
    """A limit that attempts draw on: it counts attempts in flight, may be closed, and has a queue.

    The base is a gate (closed or open) with a bound on attempts in flight; `paced` buckets also
    give out tokens over time.

    of        whose limit it is, as `Limit.of` says
    shared    whether several rooms draw on it
    slowness  how many times slower than its limit it gives tokens
    """

    paced: ClassVar[bool] = False

    __slots__ = (
        "_pace", "asked", "capacity", "closed_until", "in_flight", "merged", "name", "of",
        "reserved", "shared", "slowness", "timer_at", "users", "waiting",
    )  # fmt: skip

    def __init__(self, name: str, capacity: int = NEVER, *, shared: bool = False) -> None:
        self.name, self.capacity, self.shared = name, capacity, shared
        self.of = "instance" if shared else "room"
        self.in_flight = self.users = self.closed_until = 0
        self.slowness = 1.0
        self._pace: Pace | None = None
        self.waiting: WaitingTakers | None = None
        self.timer_at: int | None = None
        self.reserved: tuple[int, Any] | None = None
        self.merged: Bucket | None = None
        self.asked: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} in_flight={self.in_flight}>"

    def free_at(self, now: int) -> int:
        """The earliest time for the next token; `NEVER` if only an event can bring it."""
        return NEVER if self.in_flight >= self.capacity else max(now, self.closed_until)

    def spare(self, now: int, until: int) -> bool:
        """Whether a token taken now would still leave one at `until`."""
        return self.in_flight + 1 < self.capacity and self.closed_until <= max(now, until)

    def take(self, now: int) -> None:  # noqa: ARG002 - paced buckets need the time
        """Take a token; the caller has seen that it is free."""
        self.in_flight += 1

    def give_back(self) -> None:
        """Undo a take whose attempt never started."""
        self.in_flight -= 1

    def free_for_all(self, count: int, now: int) -> int:  # noqa: ARG002 - windows mind how many
        """The earliest time for an attempt that takes `count` tokens at once."""
        return self.free_at(now)

    def take_more(self, count: int) -> None:
        """An attempt that took a token takes `count` more; a negative count: it never started."""

    def release_more(self, count: int, now: int) -> None:
        """The attempt was answered, or failed: its other tokens come back as its first one does."""

    def release(self, now: int, took: int = 0) -> None:  # noqa: ARG002 - bounded paces learn by it
        """The attempt that took a token was answered, or failed, at `now`; it lasted `took`."""
        self.in_flight -= 1
        if self._pace is not None:
            self._pace.answered(now)
            self.slowness = 1.0 / self._pace.share
            if self._pace.is_over(now):
                self._pace = None

    def close(self, until: int) -> None:
        """Let no attempt pass before `until`."""
        self.closed_until = max(self.closed_until, until)

    def absorb(self, other: Bucket) -> None:
        """`other` turns out to be this bucket: the closure and slowness of `other` hold here."""
        self.close(other.closed_until)
        if other.slowness > self.slowness:
            self._pace, self.slowness = other._pace, other.slowness

    def standing(self, now: int) -> Standing:
        """How much of the bucket is spent; attempts in flight count as if they ended now."""
        names = tuple(map(name_of, dict.fromkeys([self.name, *self.asked])))
        return Standing(names=names, closed=max(0, self.closed_until - now) / SECOND)

    def restore(self, standing: Standing, since: int, now: int) -> None:  # noqa: ARG002 - windows need the time
        """Apply what a previous process run had spent; its times count from `since`."""
        self.close(since + round(standing.closed * SECOND))

    def recall(self, at: int, count: int, now: int) -> None:
        """Count attempts of a previous process run that ended at `at`; a gate ignores them."""

    @property
    def period(self) -> int:
        """How long a token takes to come back."""
        return NEVER

    @property
    def pace(self) -> int:
        """Nanoseconds for each token, in the long run; 0 if tokens come back as attempts end."""
        return 0

    @property
    def horizon(self) -> int:
        """How far ahead a lane may reserve: a token taken before is back by then."""
        return 2 * self.period if self.period < NEVER else SOON

    def slow_down(self, now: int, until: int | None = None) -> None:
        """Slow down after a refusal, which may say until when; a gate has no pace."""

    def idle(self, now: int) -> bool:
        """Whether the bucket can be forgotten without a change to anything that still counts."""
        used = self.in_flight or self.users or self.waiting
        return not used and self.closed_until <= now and self.is_at_its_pace(now)

    def is_fresh(self, now: int) -> bool:
        """Whether a new bucket in its place would allow no more than it does."""
        return not self.in_flight and self.closed_until <= now

    def is_at_its_pace(self, now: int) -> bool:
        """Whether no refusal slows it down."""
        return self._pace is None or self._pace.is_old(now)

    def _slow_down(self, growth: float, now: int) -> None:
        """Halve the pace, unless the refused attempt began at an earlier pace."""
        self._pace = self._pace or Pace(growth)
        self._pace.refuse(self.in_flight, now)
        self.slowness = 1.0 / self._pace.share


class PacedBucket(Bucket):
    """One token every `per / count`, counted from the starts of attempts."""

    paced = True

    __slots__ = ("limit", "next_at", "period", "streams")

    period: int

    def __init__(self, limit: Limit) -> None:
        super().__init__(limit.bucket, shared=limit.of in SHARED)
        self.limit, self.of = limit, limit.of
        self.period = round(limit.per * SECOND / limit.count)
        self.next_at = 0
        self.streams: Any = None  # `interims.Pace` of the open streams that draw on it
        if limit.start is not None and limit.start < limit.count:
            self._pace = Pace(self._growth, share=limit.start / limit.count)
            self.slowness = limit.count / limit.start

    @property
    def pace(self) -> int:
        return self._step()

    def free_at(self, now: int) -> int:
        return max(super().free_at(now), self.next_at)

    def spare(self, now: int, until: int) -> bool:
        return super().spare(now, until) and now + self._step() <= until

    def take(self, now: int) -> None:
        """Take this tick. If that is late by less than a tick, the next tick makes up for it."""
        self.in_flight += 1
        step = self._step()
        self.next_at = (self.next_at if now - self.next_at < step else now) + step

    def take_more(self, count: int) -> None:
        self.next_at += count * self._step()

    def slow_down(self, now: int, until: int | None = None) -> None:  # noqa: ARG002 - the closure waits
        self._slow_down(self._growth, now)

    def give_back(self) -> None:
        super().give_back()
        self.next_at -= self._step()

    def idle(self, now: int) -> bool:
        return self.next_at <= now and super().idle(now)

    def is_fresh(self, now: int) -> bool:
        return self.next_at <= now and super().is_fresh(now)

    def standing(self, now: int) -> Standing:
        tick = max(0, self.next_at - now) / SECOND
        return attrs.evolve(super().standing(now), tick=tick)

    def restore(self, standing: Standing, since: int, now: int) -> None:
        super().restore(standing, since, now)
        tick = since + round(standing.tick * SECOND)
        self.next_at = max(self.next_at, min(tick, now + self._step()))

    def recall(self, at: int, count: int, now: int) -> None:  # noqa: ARG002 - the last one counts
        self.next_at = max(self.next_at, at + self._step())

    def renew(self, limit: Limit) -> None:
        """Use another pace from the last tick on."""
        last = self.next_at - self._step()
        self.limit, self.period = limit, round(limit.per * SECOND / limit.count)
        self.next_at = last + self._step()

    @property
    def _growth(self) -> float:
        return growth_of(self.limit.count, self.limit.per)

    def _step(self) -> int:
        return round(self.period * self.slowness) if self.slowness > 1.0 else self.period


def slow_down(buckets: Sequence[Bucket], now: int, until: int | None = None) -> None:
    """After an unforeseen 429, slow down the bucket whose tokens come back first.

    Nobody knows which of the buckets caused the refusal. Slowing the fastest one eases the others
    as well. A long window that is halved when half of it is spent would stop its room for all the
    rest of the window.
    """
    if buckets:
        min(buckets, key=lambda bucket: bucket.period).slow_down(now, until)
