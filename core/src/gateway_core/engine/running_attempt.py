"""An attempt under way, and one that failed."""

from __future__ import annotations

from typing import NamedTuple

import attrs

from gateway_core.accounts.instance_state import InstanceState
from gateway_core.contract.envelopes import Attempt
from gateway_core.contract.instances import Instance
from gateway_core.contract.verdicts import Reason, Verdict
from gateway_core.deliveries.delivery import Delivery
from gateway_core.deliveries.steps import Step
from gateway_core.scheduling.rooms import Lane


class RunningAttempt(NamedTuple):
    """An attempt under way: whose it is, with which settings, and what the adapter got."""

    lane: Lane
    delivery: Delivery
    step: Step
    attempt: Attempt
    instance: Instance


@attrs.frozen
class Failed:
    """A failed attempt, its verdict, and when (engine nanoseconds)."""

    running: RunningAttempt
    verdict: Verdict
    now: int

    @property
    def lane(self) -> Lane:
        """Whose turn it was."""
        return self.running.lane

    @property
    def delivery(self) -> Delivery:
        """The envelope's."""
        return self.running.delivery

    @property
    def step(self) -> Step:
        """The step that was tried."""
        return self.running.step

    @property
    def attempt(self) -> Attempt:
        """What the adapter got."""
        return self.running.attempt

    @property
    def limited(self) -> bool:
        """Whether it was refused by a limit, so that it counts as none."""
        return self.verdict.reason is Reason.RATE_LIMITED and self.verdict.dispatched == "no"

    @property
    def account(self) -> InstanceState:
        """Whose attempt it was."""
        return self.lane.room.account

    def is_repeat_safe(self) -> bool:
        """Whether the same attempt once more makes no copy."""
        step, hooks = self.step, self.account.hooks
        if step.kind in ("edit", "delete"):
            return True
        if step.kind == "call":
            return self.attempt.method in hooks.traits.repeat_safe_calls
        return step.deduplicated(hooks.deduplicates_for, self.now)


def doubt(lane: Lane, step: Step, now: int, quarantine: int = 0, *, harmless: bool = False) -> None:
    """Nobody knows what became of the lane's attempt of `step`: it may have made a copy.

    quarantine  nanoseconds in which it may still arrive, so that nothing else follows
    harmless    it is a call that may be repeated
    """
    lane.quiet = now + quarantine
    step.doubt(lane.begun, lane.room.account.hooks.deduplicates_for, now, harmless=harmless)
