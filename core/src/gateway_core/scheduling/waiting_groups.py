"""Decides which waiting lane gets a bucket that has become free. Sans-I/O: the time is passed in.

A lane waits by itself at what is its own (the room's limit), and in a group with its like at what
they share (attempt slots, the account's limits). A group stands at the bucket of them that becomes
free last, so that a free bucket moves one group at most, and wakes one lane, however many wait.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from gateway_core.accounts.instance_state import InstanceState
from gateway_core.clock import NEVER
from gateway_core.deliveries.waits import Elapsed, Mark, split
from gateway_core.ratelimits.acquire import Blocked
from gateway_core.ratelimits.bucket import Bucket, Rank, WaitingTakers
from gateway_core.scheduling.classes import ClassQueue, Waiter

Shared = tuple[Bucket, ...]
_COUNTED = ("suspension", "circuit", "slots")


class Member(Waiter, Protocol):
    """A lane, as groups and buckets see it."""

    group: Any
    running: bool
    scheduler: Any

    @property
    def waits_at(self) -> Bucket | None: ...  # noqa: D102 - as `rooms.Lane` says

    def cause_at(self, bucket: Bucket) -> str:
        """What it waits for at `bucket`."""
        ...


class Home(Protocol):
    """The scheduler of a partition, as far as its groups use it."""

    def forget_group(self, group: WaitingGroup) -> None:
        """Nobody waits in it any more."""
        ...

    def try_start(
        self, lane: Any, now: int, woken: Bucket | None, work: list[Bucket]
    ) -> Blocked | None:
        """Start the lane; or queue it where it is blocked, and add that bucket to `work`."""
        ...


class WaitingGroup:
    """Lanes of one partition and account that draw on the same shared buckets.

    members   those who wait, in their order
    rank      of whoever went first among them when the group came to its bucket
    waits_at  the bucket at which it stands; it is in its queue while `waits_in` is that
    """

    __slots__ = (
        "_stood", "account", "members", "rank", "scheduler", "shared", "wait_serial", "waits_at",
        "waits_in",
    )  # fmt: skip

    def __init__(self, shared: Shared, scheduler: Home, account: InstanceState) -> None:
        self.shared = shared
        self.scheduler = scheduler
        self.account = account
        self._stood = Elapsed()  # at what, while the account was in order
        self.members: ClassQueue[Any] = ClassQueue()
        self.rank: Rank = (0, 0, 0)
        self.waits_at: Bucket | None = None
        self.waits_in: Any = None
        self.wait_serial = 0

    def join(self, lane: Member, bucket: Bucket, now: int) -> Bucket:
        """Let `lane` wait here, by its rank, since `bucket` keeps it; where the group stands."""
        first = self.waits_in is None or not self.members or lane.rank < self.rank
        lane.group = self
        self.members.push(lane)
        if first or self.waits_at is None:
            self._stand(bucket, lane, now)
            return bucket
        return self.waits_at

    def _stand(self, bucket: Bucket, first: Member, now: int) -> None:
        """Wait at `bucket`, by the rank of whoever goes first."""
        if bucket is not self.waits_at:
            in_order = self.account.health.shut.of("", now)
            self._stood.turn(first.cause_at(bucket), in_order)
        self.rank, self.waits_at = first.rank, bucket
        queue_of(bucket).push(self)

    def dissolve(self) -> None:
        """All members have left."""
        self.scheduler.forget_group(self)

    # -- for how long, and for what

    def mark(self, now: int) -> Mark:
        """What it has waited for until now."""
        shut = self.account.health.shut
        slots = self._stood.of("slots", shut.of("", now))
        return Mark(self, shut.of("suspension", now), shut.of("circuit", now), slots)

    def split(self, waited: int, mark: Mark, now: int) -> dict[str, int]:
        """What a delivery waited for that came in at `mark`."""
        later = self.mark(now)
        parts = [(cause, getattr(later, cause) - getattr(mark, cause)) for cause in _COUNTED]
        return split(waited, parts, "account limit")

    # -- whose turn it is

    def go(
        self, first: Member | None, now: int, bucket: Bucket, work: list[Bucket]
    ) -> Blocked | None:
        """Let a member try, `bucket` being free: `first`, or else whose turn it is.

        What keeps it keeps all of them, where it is shared: there the group stands from now on.
        """
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
    """The queue of those who wait at `bucket`, made with the first of them."""
    if bucket.waiting is None:
        bucket.waiting = ClassQueue[Waiter]()
    return bucket.waiting


def shared_of(buckets: Sequence[Bucket]) -> Shared:
    """Those that other rooms draw on as well: what makes lanes alike."""
    return tuple([bucket for bucket in buckets if bucket.shared])


def serve_waiters(work: list[Bucket], now: int) -> None:
    """Serve the queues of these buckets as far as tokens go, then set their alarms."""
    while work:
        bucket = work.pop()
        free = bucket.free_at(now) if bucket.merged is None else now
        if free > now:
            _set_alarm(bucket, free, now)
            continue
        if not bucket.waiting:
            continue
        blocked = _serve(bucket, now, work)
        if blocked is None or blocked.bucket is not bucket:
            work.append(bucket)
        else:  # an aged lane has reserved what this one wants
            while bucket in work:
                work.remove(bucket)
            _set_alarm(bucket, blocked.at, now)


def _serve(bucket: Bucket, now: int, work: list[Bucket]) -> Blocked | None:
    """Let one try whose turn it is: an aged lane whose time has come, else by class."""
    waiter: Any = _holder(bucket, now)
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


def _holder(bucket: Bucket, now: int) -> Member | None:
    """The aged lane for which the bucket is reserved, if its time has come and it waits here."""
    if bucket.reserved is None:
        return None
    holder: Member
    until, holder = bucket.reserved
    here = holder.waits_in is not None and holder.waits_at is bucket
    return holder if here and until <= now else None


def _set_alarm(bucket: Bucket, at: int, now: int) -> None:
    """Ring for the bucket when it is free, in the partition of whoever goes first."""
    if at >= NEVER or not bucket.waiting or (bucket.timer_at is not None and at >= bucket.timer_at):
        return
    head = bucket.waiting.peek(now)
    if head is not None:
        bucket.timer_at = at
        (head.scheduler.stand_in or head.scheduler).at(at, bucket)
