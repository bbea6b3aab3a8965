"""Decides which waiting lane gets a bucket that has become free. Sans-I/O: the time is passed in.

A lane waits by itself at its own bucket (the room's limit), and in a group at buckets that it
shares with other lanes (attempt slots, the account's limits). A group waits at the bucket that
becomes free last. So a free bucket moves one group at most, and wakes one lane, however many wait.
"""

from __future__ import annotations

from typing import Any, Protocol

import attrs

from gateway_core.accounts.instance_state import InstanceState
from gateway_core.clock import NEVER
from gateway_core.deliveries.waits import Elapsed, Mark, split
from gateway_core.ratelimits.acquire import Blocked
from gateway_core.ratelimits.bucket import Bucket, Rank, WaitingTakers
from gateway_core.ratelimits.concurrency import ConcurrencyLimits
from gateway_core.scheduling.classes import ClassQueue, Waiter

Shared = tuple[Bucket, ...]
MOST_TURNS = 20_000
"""Turns of one call of `serve_waiters` at the most: more than the lanes that it starts or moves."""
REST = 10_000_000
"""Nanoseconds until a bucket is served again after so many turns."""
_COUNTED = ("suspension", "circuit", "slots")


class Member(Waiter, Protocol):
    """A lane, as groups and buckets see it."""

    group: Any
    running: bool

    def cause_at(self, bucket: Bucket) -> str: ...  # noqa: D102 - as `rooms.Lane` says


class Home(Protocol):
    """The scheduler of a partition, as far as its lanes and groups use it."""

    groups: dict[Shared, WaitingGroup]
    slots: ConcurrencyLimits

    def pause(self, lane: Any, until: int) -> None: ...  # noqa: D102 - as the scheduler says
    def try_start(  # noqa: D102 - likewise
        self, lane: Any, now: int, woken: Bucket | None, work: list[Bucket]
    ) -> Blocked | None: ...


@attrs.define(eq=False, repr=False)
class WaitingGroup:
    """Lanes of one partition and account that draw on the same shared buckets.

    rank      the rank of its first lane when the group came to its bucket
    waits_at  the bucket at which the group waits; `waits_in`: that bucket's queue, while in it
    """

    shared: Shared
    scheduler: Home
    account: InstanceState
    _stood: Elapsed = attrs.field(factory=Elapsed)  # times by cause, while the account was in order
    members: ClassQueue[Any] = attrs.field(factory=ClassQueue)
    rank: Rank = (0, 0, 0)
    waits_at: Bucket | None = None
    waits_in: Any = None
    wait_serial: int = 0

    def join(self, lane: Member, bucket: Bucket, now: int) -> Bucket:
        """Let `lane` wait here, blocked by `bucket`; returns the bucket where the group waits."""
        first = self.waits_in is None or not self.members or lane.rank < self.rank
        lane.group = self
        self.members.push(lane)
        if first or self.waits_at is None:
            self._stand(bucket, lane, now)
            return bucket
        return self.waits_at

    def _stand(self, bucket: Bucket, first: Member, now: int) -> None:
        """Wait at `bucket`, by the rank of the first lane."""
        if bucket is not self.waits_at:
            in_order = self.account.health.shut.of("", now)
            self._stood.turn(first.cause_at(bucket), in_order)
        self.rank, self.waits_at = first.rank, bucket
        queue_of(bucket).push(self)

    def dissolve(self) -> None:
        """Forget the group: all members have left."""
        if self.scheduler.groups.get(self.shared) is self:
            del self.scheduler.groups[self.shared]

    def mark(self, now: int) -> Mark:
        """How long the group has waited for each cause until now."""
        shut = self.account.health.shut
        slots = self._stood.of("slots", shut.of("", now))
        return Mark(self, shut.of("suspension", now), shut.of("circuit", now), slots)

    def split(self, waited: int, mark: Mark, now: int) -> dict[str, int]:
        """How long a delivery that came in at `mark` waited for each cause."""
        later = self.mark(now)
        parts = [(cause, getattr(later, cause) - getattr(mark, cause)) for cause in _COUNTED]
        return split(waited, parts, "account limit")

    def go(
        self, first: Member | None, now: int, bucket: Bucket, work: list[Bucket]
    ) -> Blocked | None:
        """Let `first`, or the next member, try to start; then the group waits again."""
        self.waits_in = None
        lane = first or self.members.peek(now)
        if lane is None:
            self.dissolve()
            return None
        lane.waits_in = None
        blocked = self.scheduler.try_start(lane, now, bucket, work)
        if lane.running:
            self.members.passed_by(lane)
        if self.waits_in is None:
            following = self.members.peek(now)
            if following is None:
                self.dissolve()
            else:
                self._stand(bucket, following, now)
        return blocked


def queue_of(bucket: Bucket) -> WaitingTakers:
    """The queue at `bucket`, made with its first waiter."""
    if bucket.waiting is None:
        bucket.waiting = ClassQueue[Waiter]()
    return bucket.waiting


def serve_waiters(work: list[Bucket], now: int) -> None:
    """Serve the queues of these buckets while there are tokens, then set their alarms.

    Free buckets can hand lanes to each other without end. So after `MOST_TURNS` turns each bucket
    waits for an alarm, and the program's other tasks run.
    """
    turns = 0
    while work:
        bucket = work.pop()
        turns += 1
        if turns > MOST_TURNS:
            _set_alarm(bucket, now + REST, now)
            continue
        free = bucket.free_at(now) if bucket.merged is None else now
        if free > now:
            _set_alarm(bucket, free, now)
            continue
        if not bucket.waiting:
            continue
        blocked = _serve(bucket, now, work)
        if blocked is None or blocked.bucket is not bucket:
            work.append(bucket)
        else:  # an aged lane has reserved the token
            while bucket in work:
                work.remove(bucket)
            _set_alarm(bucket, blocked.at, now)


def _serve(bucket: Bucket, now: int, work: list[Bucket]) -> Blocked | None:
    """Let a waiter try: the lane that holds a reservation whose time has come, else by class."""
    waiter: Any = None
    if bucket.reserved is not None:
        until, holder = bucket.reserved
        if until <= now and holder.waits_in is not None and holder.waits_at is bucket:
            waiter = holder
    if waiter is None:
        waiter = bucket.waiting.pop(now) if bucket.waiting is not None else None
    if waiter is None:
        return None
    group: WaitingGroup | None = waiter if waiter.members is not None else waiter.group
    if group is not None:
        return group.go(None if group is waiter else waiter, now, bucket, work)
    waiter.waits_in = None
    home: Home = waiter.scheduler
    return home.try_start(waiter, now, bucket, work)


def _set_alarm(bucket: Bucket, at: int, now: int) -> None:
    """Ring for the bucket when it is free, in the partition of its first waiter."""
    if at >= NEVER or not bucket.waiting or (bucket.timer_at is not None and at >= bucket.timer_at):
        return
    head = bucket.waiting.peek(now)
    if head is not None:
        bucket.timer_at = at
        (head.scheduler.stand_in or head.scheduler).at(at, bucket)
