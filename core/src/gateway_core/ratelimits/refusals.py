"""Decides, in one function, what a 429 closes, slows down and teaches. Sans-I/O."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from gateway_core.clock import SECOND
from gateway_core.contract.verdicts import Scope, Verdict
from gateway_core.ratelimits.bucket import Bucket, slow_down
from gateway_core.ratelimits.instance_limits import InstanceLimits, RoomGates

WIDE = (Scope.INSTANCE, Scope.OPERATION)
"""Scopes of a refusal that concern more than one room."""


@attrs.frozen(kw_only=True)
class RefusedAttempt:
    """An attempt that a limit refused.

    begun         when the attempt began, in engine nanoseconds
    drawn         the buckets of the limits that the attempt drew on
    names_limits  whether the channel's refusals say whose limit was met
    """

    operation: str
    room_id: str
    thread: str | None
    gates: RoomGates
    begun: int
    drawn: Sequence[Bucket]
    names_limits: bool


@attrs.frozen(kw_only=True)
class Refusal:
    """The effects of a refusal.

    foreseen  whether a bucket that the attempt drew on was closed already when the refusal came
    closed    whether a bucket that the attempt draws on is closed now
    changed   buckets whose waiters must be looked at again
    durable   what the next process run must keep closed as well: an operation, or empty for the
              whole instance; None: neither
    """

    foreseen: bool
    closed: bool
    changed: list[Bucket]
    durable: str | None


def refuse(
    limits: InstanceLimits, refused: RefusedAttempt, verdict: Verdict, wait: float | None, now: int
) -> Refusal:
    """Apply a refusal: learn what it reports, close what it names, slow down what allowed it.

    wait  seconds for which the named scope is closed; None: nothing is closed, since the attempt
          may have been accepted all the same
    """
    own = limits.gates(refused.gates, refused.thread, refused.operation)
    gates = (limits.gate, *refused.drawn, *own)
    foreseen = any(gate.closed_until > now for gate in gates)  # before its own report closes some
    changed = limits.registry.learn(verdict.buckets, now)
    if wait is None:
        return Refusal(foreseen=foreseen, closed=False, changed=changed, durable=None)
    until = now + round(wait * SECOND)
    closed = _close(limits, refused, verdict.scope, until, now)
    # Several rooms limited at once may be the account's limit, whatever each verdict says.
    wide = verdict.scope in WIDE or (limits.trial is not None and limits.trial.gate in closed)
    whose = "instance" if wide else "room"
    slowed = [bucket for bucket in refused.drawn if bucket.of == whose]
    slow_down(slowed, now, None if verdict.retry_after is None else until)
    return Refusal(
        foreseen=foreseen,
        closed=bool(closed) or any(bucket.closed_until > now for bucket in refused.drawn),
        changed=[*changed, *closed, *slowed],  # a bucket may be free now: a refusal took no token
        durable={Scope.INSTANCE: "", Scope.OPERATION: refused.operation}.get(verdict.scope),
    )


def _close(  # noqa: PLR0911 - a decision table, one return a row
    limits: InstanceLimits, refused: RefusedAttempt, scope: Scope, until: int, now: int
) -> list[Bucket]:
    """Close what the scope names; if the channel names no limits, perhaps doubt the account."""
    if scope is Scope.INSTANCE:
        return [limits.close(until, now)]
    if scope is Scope.OPERATION:
        return [limits.close_operation(refused.operation, until, now)]
    if scope is Scope.THREAD:
        return [refused.gates.close_thread(refused.thread, until)]
    if scope is not Scope.ROOM:
        return []
    if refused.operation == "draft":
        return [refused.gates.close_to_passing(until)]
    gate = refused.gates.close_room(refused.room_id, until)
    if refused.names_limits:
        return [gate]
    several = limits.registry.hit(refused.room_id, now) or limits.trial is not None
    return [gate, limits.doubt(until, refused.begun, now)] if several else [gate]
