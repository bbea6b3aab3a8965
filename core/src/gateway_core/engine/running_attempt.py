"""Describes an attempt under way and a failed one, and says whether a repeat makes a copy."""

from __future__ import annotations

from typing import NamedTuple

import attrs

from gateway_core.accounts.instance_state import InstanceState
from gateway_core.contract.envelopes import Attempt, Call
from gateway_core.contract.instances import Instance
from gateway_core.contract.verdicts import Reason, Verdict
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

    def is_repeat_safe(self) -> bool:
        """Whether a repeat makes no copy."""
        return is_repeat_safe(self.step, self.delivery, self.account.hooks, self.now)


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
