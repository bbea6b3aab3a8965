"""Makes signs: calls that leave no message, outside of every queue. This module waits.

A sign is not an envelope: it is not accepted, not stored and not counted as one, and a gateway that
closes does not wait for it. A typing sign only takes tokens that are free and that nobody waits
for; otherwise it is passed over. An acknowledgement, which has limits of its own, is made at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import attrs
import trio

from gateway_core.accounts.instance_state import InstanceState
from gateway_core.clock import SECOND, Clock
from gateway_core.contract.addresses import Address
from gateway_core.contract.envelopes import Attempt, Json
from gateway_core.contract.errors import AttemptTimeout, HookContractError
from gateway_core.contract.hookspecs import Sign
from gateway_core.contract.verdicts import ErrorClass, Reason, Scope, Verdict
from gateway_core.plugins.boundary import PASSING, pass_on, stopped
from gateway_core.ratelimits.bucket import Bucket
from gateway_core.scheduling.waiting_groups import serve_waiters
from gateway_core.telemetry import SIGN_FAILED, log_event

Kind = Literal["typing", "acknowledge"]
MOST_AT_ONCE = 16
"""The most signs of one account under way: slow signs take no more of its connections."""


@attrs.frozen
class FailedSign:
    """A sign that was refused, or whose outcome nobody knows."""

    verdict: Verdict


class Signs:
    """Makes the signs of all accounts."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def make(
        self,
        account: InstanceState,
        address: Address,
        sign: Sign,
        kind: Kind,
        *,
        within: float,
        arguments: Mapping[str, Json] | None = None,
        number: int = 1,
    ) -> Literal["made", "passed over"] | FailedSign:
        """Make a sign once.

        within     seconds that the call may take
        arguments  replace the sign's own: those that clear the sign
        number     1 for the first attempt
        """
        room = account.addresses.get(address.external_room_id, address.external_room_id)
        buckets = self._take(account, room, address.thread_id, kind)
        if buckets is None:
            account.counts.signs[kind, "passed over"] += 1
            return "passed over"
        attempt = Attempt(
            operation=f"call:{sign.method}",
            envelope_id="",
            instance_id=account.instance.id,
            room=room,
            thread=address.thread_id,
            method=sign.method,
            arguments=sign.arguments if arguments is None else arguments,
            number=number,
        )
        account.signs += 1
        begun = self._clock.now()
        try:
            error = await self._perform(account, attempt, within)
        finally:
            account.signs -= 1
            self._release(buckets, begun)
        if error is None:
            account.counts.signs[kind, "made"] += 1
            return "made"
        return self._failed(account, attempt, kind, error)

    async def _perform(
        self, account: InstanceState, attempt: Attempt, within: float
    ) -> Exception | None:
        try:
            with trio.move_on_after(within) as scope:
                async with account.sessions.use() as session:
                    await account.hooks.perform(account.instance, session, attempt)
        except PASSING:
            raise
        except BaseException as raised:  # noqa: BLE001 - the boundary stands here
            await pass_on(raised)
            return stopped(raised)
        return AttemptTimeout(within) if scope.cancelled_caught else None

    def _failed(
        self, account: InstanceState, attempt: Attempt, kind: Kind, error: Exception
    ) -> Literal["made"] | FailedSign:
        """Log a failed sign. What it says about the account's limits holds for messages as well."""
        verdict = account.hooks.classify_error(account.instance, attempt, error)
        if verdict.error_class is ErrorClass.DONE:
            account.counts.signs[kind, "made"] += 1
            return "made"
        account.counts.signs[kind, "failed"] += 1
        now = self._clock.now()
        if verdict.buckets:
            serve_waiters(account.limits.registry.learn(verdict.buckets, now), now)
        limited = verdict.reason is Reason.RATE_LIMITED and verdict.scope is Scope.INSTANCE
        if limited and verdict.retry_after:
            until = now + round(verdict.retry_after * SECOND)
            serve_waiters([account.limits.close(until, now)], now)
        log_event(
            SIGN_FAILED,
            instance=account.instance.id,
            operation=attempt.operation,
            reason=verdict.reason.value,
            scope=verdict.scope.value,
        )
        return FailedSign(verdict)

    def _take(
        self, account: InstanceState, room: str, thread: str | None, kind: Kind
    ) -> list[Bucket] | None:
        """Take a token from each bucket; None: a token is not free, or somebody waits for one."""
        now, limits = self._clock.now(), account.limits
        out_of_order = account.unfit or account.health.removed or limits.gate.free_at(now) > now
        if out_of_order or (kind == "typing" and account.signs >= MOST_AT_ONCE):
            return None
        if kind == "typing" and limits.trial is not None:
            return None
        lane = thread if account.hooks.traits.independent_threads else None
        try:
            named = account.hooks.rate_limit(account.instance, room, lane, kind, "bulk")
        except HookContractError:
            return None
        buckets = limits.registry.buckets(named, now)
        if kind == "typing" and not all(_is_spare(bucket, now) for bucket in buckets):
            for bucket in buckets:
                bucket.users -= 1
            return None
        for bucket in buckets:
            bucket.take(now)
        return buckets

    def _release(self, buckets: Sequence[Bucket], begun: int) -> None:
        now, contended = self._clock.now(), []
        for bucket in buckets:
            bucket.release(now, now - begun)
            bucket.users -= 1
            if bucket.waiting is not None:
                contended.append(bucket)
        if contended:
            serve_waiters(contended, now)


def _is_spare(bucket: Bucket, now: int) -> bool:
    """Whether the bucket has a free token that nobody waits for or has reserved."""
    return not bucket.waiting and bucket.reserved is None and bucket.free_at(now) <= now


def is_final(verdict: Verdict) -> bool:
    """Whether the same sign would fail again."""
    return verdict.error_class in (ErrorClass.NON_RETRYABLE, ErrorClass.FATAL)
