"""Takes all the tokens of an attempt in one step, or none of them. Sans-I/O.

A lane that must wait queues at the bucket that becomes free last. After a long wait it reserves
there, so that younger lanes that need less do not starve it.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from gateway_core.ratelimits.bucket import Bucket, Taker


@attrs.frozen
class Blocked:
    """Why tokens could not be taken: the bucket that becomes free last, and when."""

    bucket: Bucket
    at: int


def acquire_all(
    lane: Taker, buckets: Sequence[Bucket], now: int, woken: Bucket | None, cost: int = 1
) -> Blocked | None:
    """Take one token of each bucket; or take none, and return what blocks the lane.

    woken  the bucket whose queue the lane was just popped from: no lane is ahead of it there
    cost   how many tokens the attempt takes of each bucket with a pace
    """
    if cost > 1:
        return _take_in_turn(lane, buckets, now, woken, cost)
    for bucket in buckets:
        if (
            bucket.waiting is not None
            or bucket.reserved is not None
            or bucket.in_flight >= bucket.capacity
            or bucket.closed_until > now
            or (bucket.paced and bucket.free_at(now) > now)
        ):
            return _take_in_turn(lane, buckets, now, woken)
    for bucket in buckets:
        if bucket.paced:
            bucket.take(now)
        else:  # what `take` does, without the call: most buckets are gates
            bucket.in_flight += 1
    return None


def _take_in_turn(
    lane: Taker, buckets: Sequence[Bucket], now: int, woken: Bucket | None, cost: int = 1
) -> Blocked | None:
    """Do as `acquire_all` says if a lane waits at a bucket, or a bucket is not free.

    The lane waits at the bucket that becomes free last. It waits after other lanes only if nothing
    but these lanes blocks it: two buckets that handed lanes to each other would never let the
    engine go on.
    """
    worst, worst_at = None, now
    for bucket in buckets:
        at = bucket.free_for_all(cost, now)
        first = bucket is woken or _is_due(lane, bucket, now)
        queue = None if first or at > worst_at else bucket.waiting
        if queue is not None and queue.ahead_of(lane, now, fresh=woken is None):
            if woken is None or worst is not woken:
                worst, worst_at = bucket, max(at, worst_at)
            continue
        if at <= now and bucket.reserved is not None:
            until, holder = bucket.reserved
            if holder is not lane and until > now and not bucket.spare(now, until):
                at = until + 1
        if at > worst_at or (bucket is woken and at == worst_at > now):
            worst, worst_at = bucket, at
    if worst is not None:
        return Blocked(worst, worst_at)
    for bucket in buckets:
        bucket.take(now)
        bucket.take_more(cost - 1)
        if woken is None and bucket.waiting is not None:
            bucket.waiting.passed_by(lane)
    return None


def _is_due(lane: Taker, bucket: Bucket, now: int) -> bool:
    """Whether the time of the lane's reservation has come: lanes that wait here waited for it."""
    return bucket.reserved is not None and bucket.reserved[1] is lane and bucket.reserved[0] <= now


def reserve(lane: Taker, buckets: Sequence[Bucket], until: int, now: int) -> None:
    """Keep younger lanes from delaying an aged lane past `until`, when its wait ends anyway.

    Reserves only buckets in which a token taken now may be missing then: a lane whose room is
    closed for an hour delays no other lane before its time.
    """
    for bucket in buckets:
        holder = bucket.reserved
        if until - now <= bucket.horizon and (
            holder is None
            or holder[1] is lane
            or holder[0] < now  # the holder left, or waits elsewhere and reserves again
            or lane.rank < holder[1].rank
        ):
            bucket.reserved = (until, lane)


def unreserve(lane: Taker, buckets: Sequence[Bucket]) -> None:
    """Give up what `reserve` took."""
    for bucket in buckets:
        if bucket.reserved is not None and bucket.reserved[1] is lane:
            bucket.reserved = None
