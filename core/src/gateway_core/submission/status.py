"""Says where an envelope is, and when its next attempt will probably begin. Sans-I/O."""

from __future__ import annotations

from itertools import takewhile
from typing import Literal

import attrs

from gateway_core.clock import NEVER, SECOND
from gateway_core.contract.envelopes import Receipt
from gateway_core.deliveries.delivery import Delivery
from gateway_core.ratelimits.bucket import Bucket
from gateway_core.scheduling.rooms import Lane, lane_of
from gateway_core.scheduling.wait_causes import cause_now

State = Literal["unfinished", "ended"]


@attrs.frozen(kw_only=True)
class Status:
    """Where an envelope is.

    cause     what it waits for, while unfinished
    attempts  attempts made so far
    estimate  seconds until its next attempt will probably begin, judging by the limits, the
              envelopes before it, and the waits that a platform asked for; at most the seconds
              until its deadline. None: it has ended, or waits for something unpredictable (a
              resume, an answer)
    receipt   how it ended; None while unfinished
    """

    envelope_id: str
    state: State
    cause: str = ""
    attempts: int = 0
    estimate: float | None = None
    receipt: Receipt | None = None


def status_of(delivery: Delivery, now: int, wall: float) -> Status:
    """The status of an unfinished envelope; `wall` is the same instant as `now`, as POSIX time."""
    wait = _until_due(delivery, wall) if delivery.parked else _until_its_turn(delivery, now)
    if wait is not None:
        wait = max(0, min(wait, delivery.deadline - now))
    return Status(
        envelope_id=delivery.id,
        state="unfinished",
        cause=cause_now(delivery),
        attempts=sum(step.number for step in delivery.steps or ()),
        estimate=None if wait is None else wait / SECOND,
    )


def status_ended(receipt: Receipt) -> Status:
    """The status of an envelope that ended."""
    return Status(
        envelope_id=receipt.envelope_id, state="ended", attempts=receipt.attempts, receipt=receipt
    )


def _until_due(delivery: Delivery, wall: float) -> int | None:
    """Nanoseconds until the delivery is due; None: it does not wait for its schedule."""
    due = delivery.due if delivery.delayed else delivery.envelope.not_before
    if due is None or delivery.cause != "schedule":
        return None
    return round((due - wall) * SECOND)


def _until_its_turn(delivery: Delivery, now: int) -> int | None:
    """Nanoseconds until its lane starts, and for a token for each step before it in the lane."""
    lane = lane_of(delivery)
    wait = None if lane is None else _until_lane_starts(lane, now)
    if lane is None or wait is None:
        return None
    before = takewhile(lambda other: other is not delivery, lane.queue)
    steps = sum(_steps_left(other) for other in before if other.receipt is None)
    rounds = [_round(bucket) for limits in lane.asked.values() for bucket in limits]
    return wait + steps * max(rounds, default=0)


def _round(bucket: Bucket) -> int:
    """Nanoseconds from a lane's token to its next one: all lanes that wait there go before it."""
    waiting = bucket.waiting.ahead(None) if bucket.waiting is not None else 0
    return bucket.pace * max(1, waiting)


def _steps_left(delivery: Delivery) -> int:
    if delivery.steps is None:
        return max(1, len(delivery.plan))
    return sum(step.outcome is None for step in delivery.steps)


def _until_lane_starts(lane: Lane, now: int) -> int | None:
    """Nanoseconds until the lane's next attempt, after the lanes before it at its bucket."""
    if lane.doubt or (not lane.running and lane.room.account.limits.is_shut):
        return None
    if lane.timer_at is not None:
        return max(0, lane.timer_at - now)
    bucket = lane.waits_at
    if bucket is None:  # the lane is under way
        return 0
    if bucket.closed_until >= NEVER:
        return None
    at = bucket.free_at(now)
    if at >= NEVER:  # the bucket's tokens are in flight, and come back one by one
        at = now + bucket.pace
    ahead = bucket.waiting.ahead(lane) if bucket.waiting is not None else 0
    return at - now + ahead * bucket.pace
