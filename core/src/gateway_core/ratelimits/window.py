"""Windows: buckets whose tokens come back a time after the answer. Sans-I/O."""

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
"""The share of its slowness that each answer takes off a strict bucket, at first."""
FORGIVING = 1.1
"""How many times as eager it is with each answer at its own pace, up to `EAGER`."""
STRICT_FOR = 3_600 * SECOND
"""A chat that was refused and then rests for so long is taken to be as configured again: whoever
writes there once an hour never asks too early, however strict it is."""
LONGEST_RESET = 86_400.0
MADE_UP = 2
"""Ticks of an even pace that a full window delayed and that may follow at once."""
CERTAIN = 0.9
"""The share of the quickest answer's time that certainly passes on the way there and back."""
FORGETTING = SECOND // 10_000
"""How much longer, at the most, the quickest answer is taken to have been with each slower one."""
FARTHEST = 10
"""It is taken for no more than this part of the window: the first answers may all come late."""
FIRST = 4
"""The first answer may have taken so many times as long as the quickest."""


class _SlidingWindow(Bucket):
    """A bound on attempts in any `per`; `spent` says when each ended one counts no more."""

    __slots__ = ()

    per: int
    spent: Spent

    def _allowed(self) -> int:
        """Attempts in any `per`."""
        raise NotImplementedError

    def free_for_all(self, count: int, now: int) -> int:
        """As many as the window has at most; for more, when all of it is free."""
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
        """What is spent comes back so much later: the window has another length now."""
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

    Between the request and the answer nobody knows when the platform counted it, so this is the
    earliest time at which a sliding window there has certainly let go of it.
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
        """Believe the platform's own count; a report of fewer attempts in one window is older."""
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
        """Nobody knows what was spent before `opened`: as if half of it, evenly.

        So a room that had no more than half of its window meets no refusal after a restart, and
        one that was quiet waits for nothing as long as it has no more than the other half.
        """
        half = self.count // 2
        for n in range(1, half + 1):
            at = opened + n * self.per // (half + 1)
            if at > now:
                self.spent.append(at)

    def idle(self, now: int) -> bool:
        return (self.streams is None or not self.streams.owed) and super().idle(now)

    def renew(self, limit: Limit) -> None:
        """Another window: what is spent comes back by it, unless the platform has said when."""
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
    """A window of one token: spaced from the answers, and it learns what is stricter than it.

    A refusal lengthens the wait, at most twofold and to no more than the platform itself said.
    Each answer takes a share (`eager`) of it off, which each refusal halves: so one flood is soon
    forgotten, and a room that always allows less is asked too early less and less often. Refusals
    in a row that say how long to wait have one reason, and count as one.
    An hour after the last of them, that is forgotten as well.
    """

    __slots__ = ("_answered", "_before", "_in_a_row", "_refused_at", "eager")

    def __init__(self, limit: Limit) -> None:
        super().__init__(limit)
        self.eager = EAGER
        self._answered: int | None = None
        self._refused_at = 0
        self._in_a_row: float | None = None  # the slowness before the first of them
        self._before: tuple[int | None, float, float | None] = (None, 1.0, None)

    def is_at_its_pace(self, now: int) -> bool:
        last = max(self._refused_at, self._answered or 0)
        return self.slowness == 1.0 or now - last >= STRICT_FOR

    def release(self, now: int, took: int = 0) -> None:  # noqa: ARG002
        """The answer came; if it is a refusal, `slow_down` follows and takes that back."""
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
        """Each comes back a wait after the one before."""
        step = round(self.per * self.slowness)
        for n in range(2, count + 2):
            self.spent.append(now + n * step)

    def slow_down(self, now: int, until: int | None = None) -> None:
        """Wait longer after each answer; where the platform said for how long, then as long now."""
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
    """A window that the platform's answers report; until the first, one attempt at a time."""

    __slots__ = ("_unreported", "known_at")

    def __init__(self, limit: Limit) -> None:
        super().__init__(limit)
        self.known_at = NEVER
        self._unreported = False  # the last that was spent is that of the last answer

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
        """It begins with one attempt at a time anyway."""

    def release(self, now: int, took: int = 0) -> None:
        self.known_at = min(self.known_at, now + 1)  # others start once it has been read
        super().release(now, took)
        self._unreported = True

    def slow_down(self, now: int, until: int | None = None) -> None:
        """After a refusal that reported nothing: it drew nothing, and until when is told."""
        if self._unreported and until is not None and self.spent:
            self.spent.pop()
        super().slow_down(now, until)

    def _replace_spent(self, runs: Iterable[tuple[int, int]]) -> None:
        super()._replace_spent(runs)
        self._unreported = False


class BoundedBucket(_SlidingWindow, PacedBucket):
    """An even pace, and at most `most` in any `per`: two buckets would pass lanes to and fro.

    A token comes back `per` after the answer, less what the next request certainly takes to get
    there and this answer took to come back: the time of the quickest answer of late (`quickest`),
    for a request and its answer cover both ways. So a pace at its window loses nothing to the
    distance, while an answer that came late holds its token for as long as it was late.
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
        """Take this tick. Some that came late, as the window was full, are made up for."""
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
    """When the platform's window is fresh, within a day; None where it names no time."""
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
