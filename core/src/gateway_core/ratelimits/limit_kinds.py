"""A class for each kind of platform limit, and the choice between them. Sans-I/O.

A token comes back some time after the answer of the attempt that took it. Whose limit it is, for
example the room's: `contract.hookspecs.Limit.of`.
"""

# ruff: noqa: D102 - overrides do what `bucket.Bucket` says

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite
from typing import Any

import attrs

from gateway_core.clock import NEVER, SECOND
from gateway_core.contract.hookspecs import Limit
from gateway_core.contract.verdicts import BucketReport
from gateway_core.ratelimits.bucket import SHARED, Bucket, PacedBucket
from gateway_core.ratelimits.pace import growth_of
from gateway_core.ratelimits.spent import Spent, Standing

STRICTEST = 64.0
EAGER = 0.5
"""The share of its slowness that a spaced bucket loses with each answer, at first."""
FORGIVING = 1.1
"""The factor by which `eager` grows with each answer at the limit's own pace, up to `EAGER`."""
STRICT_FOR = 3_600 * SECOND
"""A room that was refused and then rests for so long counts as configured again: a program that
writes there once an hour never asks too early, however strict the room is."""
LONGEST_RESET = 86_400.0
MADE_UP = 2
"""How many ticks of an even pace may follow at once after a full window delayed them."""
CERTAIN = 0.9
"""The share of the quickest answer's time that certainly passes on the way there and back."""
FORGETTING = SECOND // 10_000
"""Nanoseconds by which `quickest` grows, at the most, with each slower answer."""
FARTHEST = 10
"""`quickest` is at most the window divided by this, since the first answers may all come late."""
FIRST = 4
"""The first answer may have taken so many times as long as the quickest one."""


class _SlidingWindow(Bucket):
    """A bound on attempts in any `per`; `spent` says when each ended attempt counts no more."""

    __slots__ = ()

    per: int
    spent: Spent

    def _allowed(self) -> int:
        """Attempts in any `per`."""
        raise NotImplementedError

    def free_for_all(self, count: int, now: int) -> int:
        """The earliest time for `count` tokens; for more than the window has, for all of it."""
        at = self.free_at(now)
        if count == 1:
            return at
        left = self.spent.left(now)
        over = self.in_flight + left + min(count, self._allowed()) - self._allowed()
        if over <= 0:
            return at
        return max(at, self.spent.when(over)) if over <= left else NEVER

    def take_more(self, count: int) -> None:
        super().take_more(count)
        self.in_flight += count

    def release_more(self, count: int, now: int) -> None:
        self.in_flight -= count
        self.spent.append(now + self.per, count)

    def spare(self, now: int, until: int) -> bool:
        still = self.spent.after(until)
        return self.in_flight + still + 1 < self._allowed() and super().spare(now, until)

    def absorb(self, other: Bucket) -> None:
        super().absorb(other)
        if isinstance(other, WindowBucket | type(self)):
            self._replace_spent([*self.spent.runs(), *other.spent.runs()])

    def idle(self, now: int) -> bool:
        return self.spent.last <= now and super().idle(now)

    def standing(self, now: int) -> Standing:
        runs = [(at, count) for at, count in self.spent.runs() if at > now]
        if self.in_flight:
            runs.append((now + self.per, self.in_flight))
        back = tuple(((at - now) / SECOND, count) for at, count in runs)
        return attrs.evolve(super().standing(now), back=back)

    def restore(self, standing: Standing, since: int, now: int) -> None:
        super().restore(standing, since, now)
        for seconds, count in standing.back:
            at = since + round(seconds * SECOND)
            if at > now:
                self.spent.append(at, count)

    def recall(self, at: int, count: int, now: int) -> None:
        super().recall(at, count, now)
        if at + self.per > now:
            self.spent.append(at + self.per, count)

    def _replace_spent(self, runs: Iterable[tuple[int, int]]) -> None:
        self.spent.replace(runs, self.per)

    def _put_off(self, later: int) -> None:
        """Let spent tokens come back so much later, since the window has another length now."""
        self._replace_spent([(at + later, count) for at, count in self.spent.runs()])

    def is_fresh(self, now: int) -> bool:
        return self.spent.last <= now and super().is_fresh(now)

    def _free_at(self, now: int, at: int) -> int:
        """The earliest time from `at` on at which the window has a token."""
        left = self.spent.left(now)
        over = self.in_flight + left - self._allowed()
        if over < 0:
            return at
        return max(at, self.spent.when(over + 1)) if over < left else NEVER


class WindowBucket(_SlidingWindow):
    """At most `count` in any `per`; a token comes back `per` after the answer.

    Nobody knows when, between the request and the answer, the platform counted the attempt. So this
    is the earliest time at which a sliding window there has certainly dropped it.
    """

    paced = True

    __slots__ = ("count", "fresh_at", "limit", "per", "reported", "spent", "streams", "told")

    def __init__(self, limit: Limit) -> None:
        super().__init__(limit.bucket, shared=limit.of in SHARED)
        self.limit, self.of = limit, limit.of
        self.count = limit.count
        self.per = round(limit.per * SECOND)
        self.reported = False
        self.fresh_at = self.told = 0
        self.spent = Spent(self.per)
        self.streams: Any = None  # `interims.Pace` of the open streams that draw on it

    @property
    def period(self) -> int:
        return self.per

    @property
    def pace(self) -> int:
        return round(self.per * self.slowness) // self.count

    def slow_down(self, now: int, until: int | None = None) -> None:  # noqa: ARG002 - strict ones learn by it
        """Slow down, unless the platform reports its window: the report is believed instead."""
        if not self.reported:
            self._slow_down(growth_of(self.count, self.per / SECOND), now)

    def free_at(self, now: int) -> int:
        return self._free_at(now, max(now, self.closed_until))

    def release(self, now: int, took: int = 0) -> None:
        super().release(now, took)
        self.spent.append(now + self.per)

    def learn(self, report: BucketReport, now: int) -> None:
        """Believe the platform's count; within a window, a report of fewer attempts is older."""
        if report.limit is not None:
            self.count = max(1, report.limit)
        reset = reset_of(report, now)
        if report.remaining is None or reset is None:
            return
        self.reported, self.slowness, self._pace = (
            True,
            1.0,
            None,
        )  # what was guessed before is known now
        used = max(0, self.count - report.remaining)
        if 2 * (reset - self.fresh_at) <= reset - now:  # not clearly a later window
            used, reset = max(used, self.told), max(reset, self.fresh_at)
        self.told, self.fresh_at = used, reset
        self._replace_spent([(reset, used)] if used else [])

    def standing(self, now: int) -> Standing:
        return attrs.evolve(super().standing(now), count=self.count if self.reported else 0)

    def restore(self, standing: Standing, since: int, now: int) -> None:
        super().restore(standing, since, now)
        if standing.count:
            self.reported, self.count = True, standing.count
            self.told, self.fresh_at = self.spent.left(now), self.spent.last

    def start_carefully(self, opened: int, now: int) -> None:
        """Assume that half of the window was spent, evenly: nobody knows what was before `opened`.

        So a room that had used no more than half of its window meets no refusal after a restart. A
        room that was quiet waits for nothing as long as it uses no more than the other half.
        """
        half = self.count // 2
        for n in range(1, half + 1):
            at = opened + n * self.per // (half + 1)
            if at > now:
                self.spent.append(at)

    def idle(self, now: int) -> bool:
        return (self.streams is None or not self.streams.owed) and super().idle(now)

    def renew(self, limit: Limit) -> None:
        """Use another window: spent tokens come back by it, unless the platform has said when."""
        per = round(limit.per * SECOND)
        later = 0 if self.reported else per - self.per
        self.limit, self.count, self.per = limit, limit.count, per
        if later:
            self._put_off(later)

    @property
    def allowed(self) -> int:
        """Attempts in any `per`, at its present pace."""
        return self._allowed()

    def free_for(self, count: int, now: int) -> int:
        """The earliest time at which so many tokens are free; `NEVER`: attempts must end first."""
        left = self.spent.left(now)
        over = self.in_flight + left + count - self._allowed()
        if over <= 0:
            return now
        return self.spent.when(over) if over <= left else NEVER

    def _allowed(self) -> int:
        return max(1, int(self.count / self.slowness)) if self.slowness > 1.0 else self.count


class SpacedBucket(WindowBucket):
    """A window of one token, spaced from the answers; it learns if the platform is stricter.

    A refusal lengthens the wait, at most twofold and to no more than the platform itself said.
    Each answer takes a share (`eager`) off the slowness, and each refusal halves that share. So one
    flood is soon forgotten, and a room that always allows less is asked too early ever more rarely.
    Refusals in a row that say how long to wait have one reason, and count as one. After an hour
    without a refusal or an answer, all of this is forgotten.
    """

    __slots__ = ("_answered", "_before", "_in_a_row", "_refused_at", "eager")

    def __init__(self, limit: Limit) -> None:
        super().__init__(limit)
        self.eager = EAGER
        self._answered: int | None = None
        self._refused_at = 0
        self._in_a_row: float | None = None  # the slowness before the first refusal of a row
        self._before: tuple[int | None, float, float | None] = (None, 1.0, None)

    def is_at_its_pace(self, now: int) -> bool:
        last = max(self._refused_at, self._answered or 0)
        return self.slowness == 1.0 or now - last >= STRICT_FOR

    def release(self, now: int, took: int = 0) -> None:  # noqa: ARG002
        """The answer came; if it is a refusal, `slow_down` follows and takes this back."""
        self._before = (self._answered, self.slowness, self._in_a_row)
        self._answered, self._in_a_row = now, None
        self.in_flight -= 1
        self.spent.append(now + round(self.per * self.slowness))
        if self.slowness > 1.0:
            self.slowness = max(1.0, self.slowness * (1.0 - self.eager))
        else:
            self.eager = min(EAGER, self.eager * FORGIVING)

    def take_more(self, count: int) -> None:
        """One attempt is in flight, whatever it costs."""

    def release_more(self, count: int, now: int) -> None:
        """Each token comes back one wait after the token before it."""
        step = round(self.per * self.slowness)
        for n in range(2, count + 2):
            self.spent.append(now + n * step)

    def slow_down(self, now: int, until: int | None = None) -> None:
        """Wait longer after each answer; this time as long as the platform said, if it did."""
        refused, self._refused_at = self._answered, now
        self._answered, slowness, first = self._before
        told = STRICTEST
        if until is not None and refused is not None and until > refused:
            self.spent.clear()
            if self._answered is not None:
                told = (until - self._answered) / self.per
        else:
            first = None
        if first is None:
            self.eager /= 2
        self._in_a_row = slowness = slowness if first is None else first
        self.slowness = min(STRICTEST, 2.0 * slowness, max(told, slowness))


class LearnedBucket(WindowBucket):
    """A window that the platform's answers report; before the first, one attempt at a time."""

    __slots__ = ("_unreported", "known_at")

    def __init__(self, limit: Limit) -> None:
        super().__init__(limit)
        self.known_at = NEVER
        self._unreported = False  # whether the last spent token is the last answer's

    def free_at(self, now: int) -> int:
        at = super().free_at(now)
        if self.known_at < NEVER:
            return max(at, self.known_at)
        return NEVER if self.in_flight else at

    def spare(self, now: int, until: int) -> bool:
        return self.known_at < NEVER and super().spare(now, until)

    def restore(self, standing: Standing, since: int, now: int) -> None:
        super().restore(standing, since, now)
        if standing.count:
            self.known_at = now

    def start_carefully(self, opened: int, now: int) -> None:
        """Do nothing: the bucket begins with one attempt at a time anyway."""

    def release(self, now: int, took: int = 0) -> None:
        self.known_at = min(self.known_at, now + 1)  # others start once the answer has been read
        super().release(now, took)
        self._unreported = True

    def slow_down(self, now: int, until: int | None = None) -> None:
        """A refusal that says until when, but reports no window, took no token: return it."""
        if self._unreported and until is not None and self.spent:
            self.spent.pop()
        super().slow_down(now, until)

    def _replace_spent(self, runs: Iterable[tuple[int, int]]) -> None:
        super()._replace_spent(runs)
        self._unreported = False


class BoundedBucket(_SlidingWindow, PacedBucket):
    """An even pace, and at most `most` in any `per`: two buckets would pass lanes to and fro.

    A token comes back `per` after the answer, less the time that the next request certainly takes
    to get there and that this answer took to come back. That is the time of the quickest recent
    answer (`quickest`), since a request and its answer cover both ways. So a pace at its window
    loses nothing to the distance, while an answer that came late holds its token for as long as it
    was late.
    """

    __slots__ = ("most", "per", "quickest", "spent")

    def __init__(self, limit: Limit, most: int) -> None:
        super().__init__(limit)
        self.most = most
        self.quickest = NEVER
        self.per = round(limit.per * SECOND)
        self.spent = Spent(self.per)

    def free_at(self, now: int) -> int:
        return self._free_at(now, max(now, self.next_at, self.closed_until))

    def take(self, now: int) -> None:
        """Take this tick. Up to `MADE_UP` ticks that a full window delayed are made up for."""
        self.in_flight += 1
        step = self._step()
        self.next_at = max(self.next_at, now - MADE_UP * step) + step

    def release(self, now: int, took: int = 0) -> None:
        super().release(now)
        took = min(took, self.per // FARTHEST)
        if self.quickest == NEVER:
            took //= FIRST
        slower = took - self.quickest
        self.quickest = took if slower < 0 else self.quickest + min(slower >> 8, FORGETTING)
        self.spent.append(now + self.per - int(self.quickest * CERTAIN))

    def renew(self, limit: Limit) -> None:
        super().renew(limit)
        per = round(limit.per * SECOND)
        later, self.per = per - self.per, per
        self._put_off(later)
        self.most = limit.most or limit.count

    def _allowed(self) -> int:
        return self.most


def reset_of(report: BucketReport, now: int) -> int | None:
    """When the platform's window is fresh, within a day; None: the report names no time."""
    seconds = report.reset_after
    if seconds is None or not isfinite(seconds):
        return None
    return now + round(min(max(0.0, seconds), LONGEST_RESET) * SECOND)


def bucket_for(limit: Limit) -> Bucket:
    """The bucket of `limit`; a count of one is spaced from the answers."""
    if limit.pace == "learned":
        return LearnedBucket(limit)
    if limit.count == 1:
        return SpacedBucket(limit)
    if limit.pace == "window":
        return WindowBucket(limit)
    return PacedBucket(limit) if limit.most is None else BoundedBucket(limit, limit.most)
