"""Describes an attempt under way and a failed one, and says whether a repeat makes a copy."""

from __future__ import annotations

from typing import NamedTuple

import attrs

from gateway_core.accounts.instance_state import InstanceState
from gateway_core.contract.envelopes import Attempt, Call
from gateway_core.contract.instances import Instance
from gateway_core.contract.verdicts import ErrorClass, Reason, Verdict
from gateway_core.deliveries.delivery import Delivery
from gateway_core.deliveries.steps import MADE, Step
from gateway_core.plugins.front import ChannelHooks
from gateway_core.scheduling.rooms import Lane


class RunningAttempt(NamedTuple):
    """An attempt under way, with the settings that it began with."""

    lane: Lane
    delivery: Delivery
    step: Step
    attempt: Attempt
    instance: Instance


@attrs.frozen
class Failed:
    """A failed attempt, its verdict, and when it failed (engine nanoseconds)."""

    lane: Lane
    delivery: Delivery
    step: Step
    attempt: Attempt
    instance: Instance
    verdict: Verdict
    now: int

    @property
    def account(self) -> InstanceState:
        """The instance that made the attempt."""
        return self.lane.room.account

    @property
    def limited(self) -> bool:
        """Whether a rate limit refused the attempt, so that it does not count as one."""
        return self.verdict.reason is Reason.RATE_LIMITED and self.verdict.dispatched == "no"

    @property
    def found_gone(self) -> bool:
        """Whether the message to delete is gone, and counts as deleted.

        It does not if it was the last one and nobody has found any other one either.
        """
        if not _was_gone(self.step.kind, self.verdict):
            return False
        others = [step for step in self.delivery.steps or () if step is not self.step]
        alone = all(_was_gone(step.kind, step.verdict) for step in others)
        return not alone or self.delivery.growth is not None

    def is_repeat_safe(self) -> bool:
        """Whether a repeat makes no copy."""
        return is_repeat_safe(self.step, self.delivery, self.account.hooks, self.now)


def _was_gone(kind: str, verdict: Verdict | None) -> bool:
    """Whether a message to delete was gone, and no attempt of ours can have deleted it."""
    if kind != "delete" or verdict is None or verdict.reason is not Reason.MESSAGE_GONE:
        return False
    return verdict.error_class is ErrorClass.NON_RETRYABLE


def is_repeat_safe(step: Step, delivery: Delivery, hooks: ChannelHooks, now: int) -> bool:
    """Whether a repeat of the delivery's step makes no copy."""
    envelope = delivery.envelope
    if isinstance(envelope, Call):
        return envelope.repeat_safe or envelope.method in hooks.traits.repeat_safe_calls
    if step.kind not in MADE:
        return True
    return step.kind == "send" and step.deduplicated(hooks.deduplicates_for, now)


def doubt(lane: Lane, step: Step, now: int, quarantine: int = 0, *, harmless: bool = False) -> None:
    """Note that the outcome of the lane's attempt is unknown: the attempt may have arrived.

    quarantine  nanoseconds in which it may still arrive, so that the lane sends nothing else
    harmless    the step is a call that may be repeated
    """
    lane.quiet = now + quarantine
    step.doubt(lane.begun, lane.room.account.hooks.deduplicates_for, now, harmless=harmless)
