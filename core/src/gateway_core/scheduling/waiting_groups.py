"""Whose turn it is at what frees. Pure: the time is passed in.

A lane waits by itself at what is its own (the room's limit), and in a group with its like at what
they share (attempt slots, the account's limits). A group stands at the bucket of them that frees
last, so that what frees moves one group at most, and wakes one lane, however many wait.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from gateway_core.deliveries.waits import Elapsed, split
from gateway_core.ratelimits.acquire import Blocked
from gateway_core.ratelimits.bucket import NEVER, Bucket
from gateway_core.scheduling.classes import ClassQueue, Rank, Waiter

if TYPE_CHECKING:
    from gateway_core.accounts.instance_state import InstanceState
    from gateway_core.scheduling.rooms import Lane
    from gateway_core.scheduling.scheduler import Scheduler

Shared = tuple[Bucket, ...]
_COUNTED = ("suspension", "circuit", "slots")


class Mark(NamedTuple):
    """How long a group had waited for each cause as a delivery came to wait in it."""

    group: WaitingGroup
    suspension: int
    circuit: int
    slots: int


class WaitingGroup:
    """Lanes of one partition and account that draw on the same shared buckets.

    members   those who wait, in their order
    rank      of whoever went first among them when the group came to its bucket
    waits_at  the bucket at which it stands; it is in its queue while `waits_in` is that
    """

    __slots__ = (
        "_stood", "account", "home", "members", "rank", "shared", "wait_serial", "waits_at",
        "waits_in",
    )  # fmt: skip

    def __init__(self, shared: Shared, home: Scheduler, account: InstanceState) -> None:
        self.shared = shared
        self.home = home
        self.account = account
        self._stood = Elapsed()  # at what, while the account was in order
        self.members: ClassQueue[Lane] = ClassQueue()
        self.rank: Rank = (0, 0, 0)
        self.waits_at: Bucket | None = None
        self.waits_in: ClassQueue[Any] | None = None
        self.wait_serial = 0

    def join(self, lane: Lane, bucket: Bucket, now: int) -> Bucket:
        """Let `lane` wait here, by its rank, since `bucket` keeps it; where the group stands."""
        first = self.waits_in is None or not self.members or lane.rank < self.rank
        lane.group = self
        self.members.push(lane)
        if first or self.waits_at is None:
            self._stand(bucket, lane, now)
            return bucket
        return self.waits_at

    def _stand(self, bucket: Bucket, first: Lane, now: int) -> None:
        """Wait at `bucket`, by the rank of whoever goes first."""
        if bucket is not self.waits_at:
            self._stood.turn(first.cause_at(bucket), self.account.shut.of("", now))
        self.rank, self.waits_at = first.rank, bucket
        queue_of(bucket).push(self)

    # -- for how long, and for what

    def mark(self, now: int) -> Mark:
        """What it has waited for until now."""
        shut = self.account.shut
        slots = self._stood.of("slots", shut.of("", now))
        return Mark(self, shut.of("suspension", now), shut.of("circuit", now), slots)

    def split(self, waited: int, mark: Mark, now: int) -> dict[str, int]:
        """What a delivery waited for that came in at `mark`."""
        later = self.mark(now)
        parts = [(cause, getattr(later, cause) - getattr(mark, cause)) for cause in _COUNTED]
        return split(waited, parts, "account limit")

    # -- whose turn it is

    def go(
        self, first: Lane | None, now: int, bucket: Bucket, work: list[Bucket]
    ) -> Blocked | None:
        """Let a member try, `bucket` being free: `first`, or else whose turn it is.

        What keeps it keeps all of them, where it is shared: there the group stands from now on.
        """
        self.waits_in = None
        lane = first or self.members.peek(now)
        if lane is None:
            self.home.forget_group(self)
            return None
        lane.waits_in = None
        blocked = self.home.try_start(lane, now, bucket, work)
        if lane.running:
            self.members.passed_by(lane)
        if self.waits_in is None:
            following = self.members.peek(now)
            if following is None:
                self.home.forget_group(self)
            else:
                self._stand(bucket, following, now)
        return blocked


def queue_of(bucket: Bucket) -> ClassQueue[Waiter]:
    """The queue of those who wait at `bucket`, made with the first of them."""
    if bucket.waiting is None:
        bucket.waiting = ClassQueue()
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
    waiter: Lane | WaitingGroup | None = _holder(bucket, now)
    if waiter is None:
        waiter = bucket.waiting.pop(now) if bucket.waiting is not None else None
    if isinstance(waiter, WaitingGroup):
        return waiter.go(None, now, bucket, work)
    if waiter is None:
        return None
    if waiter.group is not None:
        return waiter.group.go(waiter, now, bucket, work)
    waiter.waits_in = None
    return waiter.home.try_start(waiter, now, bucket, work)


def _holder(bucket: Bucket, now: int) -> Lane | None:
    """The aged lane for which the bucket is reserved, if its time has come and it waits here."""
    if bucket.reserved is None:
        return None
    until, holder = bucket.reserved
    here = holder.waits_in is not None and holder.waits_at is bucket
    return holder if here and until <= now else None


def _set_alarm(bucket: Bucket, at: int, now: int) -> None:
    """Ring for the bucket when it frees, in the partition of whoever goes first."""
    if at >= NEVER or not bucket.waiting or (bucket.timer_at is not None and at >= bucket.timer_at):
        return
    head = bucket.waiting.peek(now)
    if head is not None:
        bucket.timer_at = at
        (head.home.stand_in or head.home).at(at, bucket)
