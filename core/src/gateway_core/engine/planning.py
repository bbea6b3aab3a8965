"""Plans what a delivery at the head of its lane does next: an operation, an end, or a wait.

It plans and writes the plan down; nothing ends here, and nobody is told.
"""

from __future__ import annotations

from gateway_core.contract.envelopes import Call, Delete, Disposition, Edit, Send
from gateway_core.contract.verdicts import ErrorClass, Reason, Verdict
from gateway_core.deliveries.delivery import Delivery
from gateway_core.deliveries.ending import Aside, Ending, Planned, expired
from gateway_core.deliveries.steps import REPEATED, Step, send_steps
from gateway_core.engine.shard import Shard
from gateway_core.scheduling.rooms import Lane

NO_TARGET = Verdict(
    error_class=ErrorClass.NON_RETRYABLE,
    reason=Reason.MESSAGE_GONE,
    raw="the message to change was deleted, never arrived, or is not known any more",
)


class Planner:
    """Plans for the deliveries of one partition."""

    def __init__(self, shard: Shard) -> None:
        self._shard = shard
        self._targets = shard.targets
        self._retries = shard.config.retries
        self._end_suspended = shard.config.when_suspended == "end"

    def plan_next_step(self, delivery: Delivery, lane: Lane, now: int) -> Planned:
        """The operation of its next step, or why there is none."""
        if delivery.steps is not None and delivery.step is None:
            return Ending(delivery.disposition())
        if delivery.deadline <= now:
            return expired(delivery)
        if self._end_suspended and lane.room.account.health.suspended is not None:
            return Ending(Disposition.FATAL, lane.room.account.health.suspended)
        if delivery.steps is None or delivery.restored:
            refused = self._ready(delivery, now)
            if refused is not None:
                return refused
        step = delivery.step
        if step is None:  # an edit that changes nothing
            return Ending(delivery.disposition())
        if step.maybe_sent and not self._may_repeat(delivery, step, lane, now):
            step.end("unknown")
            return self.plan_next_step(delivery, lane, now)
        return delivery.envelope.operation if step.kind == "call" else step.kind

    def _may_repeat(self, delivery: Delivery, step: Step, lane: Lane, now: int) -> bool:
        """The platform's memory of the key may have ended while the retry waited.

        And the last of the attempts may have been cut off by the end of a previous process run.
        """
        if step.attempts >= self._retries.attempts:
            return False
        if step.kind not in REPEATED:
            return True
        hooks, envelope = lane.room.account.hooks, delivery.envelope
        if isinstance(envelope, Call) and envelope.method in hooks.traits.repeat_safe_calls:
            return True
        if step.kind == "send" and step.deduplicated(hooks.deduplicates_for, now):
            return True
        return envelope.on_unknown == "retry" and step.maybe_sent < self._retries.max_ambiguous

    def _ready(self, delivery: Delivery, now: int) -> Planned | None:
        """See to its steps; why it cannot go on."""
        envelope = delivery.envelope
        if isinstance(envelope, Send):
            if delivery.steps is None:
                delivery.follow(send_steps(envelope, delivery.plan))
        elif isinstance(envelope, Call):
            if delivery.steps is None:
                delivery.follow([Step("call", 0)])
        elif delivery.steps is None or not self._targets.has_begun(delivery):
            return self._ready_change(delivery, envelope, now)
        return None

    def _ready_change(
        self, delivery: Delivery, envelope: Edit | Delete, now: int
    ) -> Planned | None:
        """An edit or delete has its message to itself; then its steps, against what stands there.

        Those of one that a previous process run planned stay.
        """
        before = self._targets.before(delivery, envelope, now)
        if before is not None:
            return Aside(before)
        if delivery.steps is not None:
            return None
        steps = self._targets.steps(delivery, envelope, now)
        if steps is None:
            return Ending(Disposition.REJECTED, NO_TARGET)
        delivery.follow(steps)
        delivery.perhaps_begun()
        if self._shard.journal is not None:
            self._shard.journal.planned(delivery)
        return None
