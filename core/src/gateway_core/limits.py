"""What may go out now: buckets of tokens, in integer nanoseconds. Pure: the time is passed in.

An attempt draws on several of them (attempt slots, the account's limit, the room's): `tokens` has
how they are taken together, `limiter` which buckets an instance has.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from math import isfinite
from typing import TYPE_CHECKING, ClassVar

from gateway_core.hookspecs import Limit
from gateway_core.queues import ClassQueue, Waiter
from gateway_core.verdicts import BucketReport

if TYPE_CHECKING:
    from gateway_core.rooms import Lane

SECOND = 1_000_000_000
NEVER = 1 << 62
"""A time that only an event can bring nearer: an answer, a resume."""

SLOWEST = 8.0
RECOVERY = 0.97
STRICTEST = 64.0
EAGER = 0.4
FORGIVING = 1.1
"""How many times as eager a strict bucket is with each answer at its full pace, up to `EAGER`."""
LONGEST_RESET = 86_400.0
SOON = 5 * SECOND
"""How far ahead a place among the attempts in flight may be reserved."""


class Bucket:
    """Something that attempts draw on: counts who is in flight, may be closed, has a queue.

    The base is a gate (closed or open) with a bound on attempts in flight; `paced` ones give
    tokens by the time as well.
    """

    paced: ClassVar[bool] = False

    __slots__ = (
        "asked", "capacity", "closed_until", "in_flight", "merged", "name", "reserved",
        "room", "shared", "slowness", "timer_at", "users", "waiting",
    )  # fmt: skip

    def __init__(self, name: str, capacity: int = NEVER, *, shared: bool = False) -> None:
        self.name = name
        self.capacity = capacity
        self.in_flight = 0
        self.closed_until = 0
        self.slowness = 1.0
        self.waiting: ClassQueue[Waiter] | None = None
        self.timer_at: int | None = None
        self.reserved: tuple[int, Lane] | None = None
        self.room: str | None = None
        self.shared = shared
        self.users = 0
        self.merged: Bucket | None = None
        self.asked: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} in_flight={self.in_flight}>"

    def free_at(self, now: int) -> int:
        """The earliest time for the next token; `NEVER` where only an event tells."""
        if self.in_flight >= self.capacity:
            return NEVER
        return max(now, self.closed_until)

    def spare(self, now: int, until: int) -> bool:
        """Whether a token taken now would still leave one at `until`."""
        return self.in_flight + 1 < self.capacity and self.closed_until <= max(now, until)

    def take(self, now: int) -> None:  # noqa: ARG002 - paced buckets need the time
        """Take a token; the caller has seen that it is free."""
        self.in_flight += 1

    def give_back(self) -> None:
        """Undo a take whose attempt never started."""
        self.in_flight -= 1

    def release(self, now: int) -> None:  # noqa: ARG002 - paced buckets need the time
        """The attempt that took a token was answered, or failed, at `now`."""
        self.in_flight -= 1
        if self.slowness > 1.0:
            self.slowness = max(1.0, self.slowness * RECOVERY)

    def close(self, until: int) -> None:
        """Let nobody pass before `until`."""
        self.closed_until = max(self.closed_until, until)

    def absorb(self, other: Bucket) -> None:
        """`other` turns out to be this one: what is known of it holds here."""
        self.close(other.closed_until)
        self.slowness = max(self.slowness, other.slowness)

    @property
    def period(self) -> int:
        """How long a token takes to come back."""
        return NEVER

    @property
    def pace(self) -> int:
        """Nanoseconds a token, in the long run; 0 where tokens come back as attempts end."""
        return 0

    @property
    def horizon(self) -> int:
        """How far ahead a lane may reserve: a token taken before is back by then."""
        period = self.period
        return 2 * period if period < NEVER else SOON

    def slow_down(self, until: int | None = None) -> None:  # noqa: ARG002 - strict ones learn by it
        """The platform refused what this bucket allowed: halve the pace, to recover slowly.

        until  when it would not refuse, where it said so
        """
        self.slowness = min(SLOWEST, self.slowness * 2.0)

    def idle(self, now: int) -> bool:
        """Whether forgetting the bucket would change nothing."""
        return (
            self.in_flight == 0
            and self.users == 0
            and not self.waiting
            and self.closed_until <= now
            and self.slowness == 1.0
        )


class EvenBucket(Bucket):
    """One token every `per / count`, counted from the starts of attempts."""

    paced = True

    __slots__ = ("interval", "limit", "next_at")

    def __init__(self, limit: Limit) -> None:
        super().__init__(limit.bucket)
        self.limit = limit
        self.interval = round(limit.per * SECOND / limit.count)
        self.next_at = 0
        if limit.start is not None:
            self.slowness = max(1.0, limit.count / limit.start)

    @property
    def period(self) -> int:
        """From one tick to the next."""
        return self.interval

    @property
    def pace(self) -> int:
        """The ticks as slow as they are now."""
        return self._step()

    def free_at(self, now: int) -> int:
        """The next tick of the pace, or the end of a closure."""
        return max(super().free_at(now), self.next_at)

    def spare(self, now: int, until: int) -> bool:
        """Whether the tick after this one comes by `until`."""
        return super().spare(now, until) and now + self._step() <= until

    def take(self, now: int) -> None:
        """Take this tick. One that comes late by less than a tick is made up for."""
        self.in_flight += 1
        step = self._step()
        self.next_at = (self.next_at if now - self.next_at < step else now) + step

    def give_back(self) -> None:
        """The tick is there for the next one."""
        super().give_back()
        self.next_at -= self._step()

    def idle(self, now: int) -> bool:
        """Idle once the next tick has passed."""
        return self.next_at <= now and super().idle(now)

    def renew(self, limit: Limit) -> None:
        """Another pace from the last tick on."""
        last = self.next_at - self._step()
        self.limit, self.interval = limit, round(limit.per * SECOND / limit.count)
        self.next_at = last + self._step()

    def _step(self) -> int:
        return round(self.interval * self.slowness) if self.slowness > 1.0 else self.interval


class WindowBucket(Bucket):
    """At most `count` in any `per`; a token comes back `per` after the answer.

    Between the request and the answer nobody knows when the platform counted it, so this is the
    earliest time at which a sliding window there has certainly let go of it.
    """

    paced = True

    __slots__ = ("count", "fresh_at", "limit", "per", "reported", "spent", "told")

    def __init__(self, limit: Limit) -> None:
        super().__init__(limit.bucket)
        self.limit = limit
        self.count = limit.count
        self.per = round(limit.per * SECOND)
        self.reported = False
        self.fresh_at = self.told = 0
        self.spent: deque[int] = deque()

    @property
    def period(self) -> int:
        """The whole window."""
        return self.per

    @property
    def pace(self) -> int:
        """The window's share of one token."""
        return round(self.per * self.slowness) // self.count

    def slow_down(self, until: int | None = None) -> None:
        """What the platform itself reports is no guess of ours: its report is believed instead."""
        if not self.reported:
            super().slow_down(until)

    def free_at(self, now: int) -> int:
        """When enough of the window has passed; `NEVER` while the tokens are in flight."""
        spent = self.spent
        while spent and spent[0] <= now:
            spent.popleft()
        at = max(now, self.closed_until)
        count = self._allowed()
        over = self.in_flight + len(spent) - count
        if over < 0:
            return at
        return max(at, spent[over]) if over < len(spent) else NEVER

    def spare(self, now: int, until: int) -> bool:
        """Whether a token beyond the one taken now is there by `until`."""
        back = sum(1 for at in self.spent if at <= until)
        used = self.in_flight + len(self.spent) - back + 1
        return used < self._allowed() and self.closed_until <= max(now, until)

    def release(self, now: int) -> None:
        """The answer came: the token is spent until `per` from now."""
        back = now + self.per
        super().release(now)
        if self.spent and self.spent[-1] > back:  # the platform reported a longer window
            back = self.spent[-1]
        self.spent.append(back)

    def absorb(self, other: Bucket) -> None:
        """Both drew on one window."""
        super().absorb(other)
        if isinstance(other, WindowBucket):
            self.spent = deque(sorted([*self.spent, *other.spent]))

    def idle(self, now: int) -> bool:
        """Idle once the window is empty."""
        return (not self.spent or self.spent[-1] <= now) and super().idle(now)

    def learn(self, report: BucketReport, now: int) -> None:
        """Believe the platform's own count of this window.

        Answers overtake each other: one of the same window that tells of fewer attempts is older
        than what is known, and takes nothing back.
        """
        if report.limit is not None:
            self.count = max(1, report.limit)
        reset = reset_of(report, now)
        if report.remaining is None or reset is None:
            return
        self.reported = True
        used = max(0, self.count - report.remaining)
        if 2 * (reset - self.fresh_at) <= reset - now:  # not clearly a later window
            used, reset = max(used, self.told), max(reset, self.fresh_at)
        self.told, self.fresh_at = used, reset
        self.spent = deque([reset] * used)

    def renew(self, limit: Limit) -> None:
        """Another window: what is spent comes back by it, unless the platform has said when."""
        per = round(limit.per * SECOND)
        if not self.reported:
            self.spent = deque(at - self.per + per for at in self.spent)
        self.limit, self.count, self.per = limit, limit.count, per

    def _allowed(self) -> int:
        return max(1, int(self.count / self.slowness)) if self.slowness > 1.0 else self.count


class StrictBucket(WindowBucket):
    """A window of one token: spaced from the answers, and it learns what is stricter than it.

    A refusal lengthens the wait, at most twofold and to no more than the platform itself said.
    Each answer then takes a share of it off, a share that each refusal halves: so one flood is soon
    forgotten, and a room that always allows less is asked too early more and more seldom.

    eager  the share, as a part of one
    """

    __slots__ = ("_answered", "_before", "eager")

    def __init__(self, limit: Limit) -> None:
        super().__init__(limit)
        self.eager = EAGER
        self._answered: int | None = None
        self._before: tuple[int | None, float] = (None, 1.0)

    def release(self, now: int) -> None:
        """The answer came; if it is a refusal, `slow_down` follows and takes that back."""
        self._before = (self._answered, self.slowness)
        self._answered = now
        self.in_flight -= 1
        self.spent.append(now + round(self.per * self.slowness))
        if self.slowness > 1.0:
            self.slowness = max(1.0, self.slowness * (1.0 - self.eager))
        else:
            self.eager = min(EAGER, self.eager * FORGIVING)

    def slow_down(self, until: int | None = None) -> None:
        """Wait longer after each answer; where the platform said for how long, then as long now."""
        refused = self._answered
        self._answered, slowness = self._before
        told = STRICTEST
        if until is not None and refused is not None and until > refused:
            self.spent.clear()
            if self._answered is not None:
                told = (until - self._answered) / self.per
        self.eager /= 2
        self.slowness = min(STRICTEST, 2.0 * slowness, max(told, slowness))


class LearnedBucket(WindowBucket):
    """A window that the platform's answers tell of: until the first came, one attempt at a time.

    An answer is read right after its token came back, at the same time: others go after that.
    """

    __slots__ = ("known_at",)

    def __init__(self, limit: Limit) -> None:
        super().__init__(limit)
        self.known_at = NEVER

    def free_at(self, now: int) -> int:
        """As in a window; `NEVER` while the first attempt is in flight."""
        at = super().free_at(now)
        if self.known_at < NEVER:
            return max(at, self.known_at)
        return NEVER if self.in_flight else at

    def spare(self, now: int, until: int) -> bool:
        """As in a window; before the first answer nothing is to spare."""
        return self.known_at < NEVER and super().spare(now, until)

    def release(self, now: int) -> None:
        """The answer came, and with it what is to be known."""
        self.known_at = min(self.known_at, now + 1)
        super().release(now)


def reset_of(report: BucketReport, now: int) -> int | None:
    """When the platform's window is fresh, within a day; None where it names no time."""
    seconds = report.reset_after
    if seconds is None or not isfinite(seconds):
        return None
    return now + round(min(max(0.0, seconds), LONGEST_RESET) * SECOND)


def bucket_for(limit: Limit) -> Bucket:
    """The bucket that keeps `limit`. A count of one is strict: spaced from the answers."""
    if limit.pace == "learned":
        return LearnedBucket(limit)
    if limit.count == 1:
        return StrictBucket(limit)
    return EvenBucket(limit) if limit.pace == "even" else WindowBucket(limit)


def slow_down(buckets: Sequence[Bucket], until: int | None = None) -> None:
    """After a 429 that nobody foresaw: slow down the one of these whose tokens come back first.

    Which of them refused is not known. The fastest one, slowed, eases the others as well; a long
    window, halved where half of it is spent, would hold its room for all the rest of the window.
    """
    if buckets:
        min(buckets, key=lambda bucket: bucket.period).slow_down(until)
