"""A try at a step: whose it is, how it failed, and whether it may have arrived. Pure."""

from __future__ import annotations

from typing import NamedTuple

import attrs

from gateway_core.accounts.instance_state import InstanceState
from gateway_core.clock import nanoseconds
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
        """The envelope."""
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
        """Whether it was refused by a limit, so that no try was spent."""
        return self.verdict.reason is Reason.RATE_LIMITED and self.verdict.dispatched == "no"

    @property
    def account(self) -> InstanceState:
        """Whose attempt it was."""
        return self.lane.room.account


def note_doubt(
    lane: Lane, step: Step, now: int, quarantine: int = 0, *, harmless: bool = False
) -> None:
    """Nobody knows what became of the lane's try of `step`: it may have made a copy.

    quarantine  nanoseconds in which it may still arrive, so that nothing else follows
    harmless    it is a call that may be repeated: made twice, it changes nothing
    """
    step.doubtful = True
    lane.quiet = now + quarantine
    if step.kind in ("send", "call") and not harmless:
        safe = step.maybe_sent and within_dedup(lane.room.account, step, now)
        step.maybe_sent += 0 if safe else 1
        # The platform may have got it as the try began, and remembers it from then on.
        step.first_at = step.first_at or lane.begun or -1


def within_dedup(account: InstanceState, step: Step, now: int) -> bool:
    """Whether the platform still knows the step's key, so that a repeat makes no copy."""
    window = nanoseconds(account.hooks.traits.deduplicates_for)
    return now - (step.first_at or now) < window
