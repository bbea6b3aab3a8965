"""Plans the next step of a delivery at the head of its lane. Never waits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway_core.contract.envelopes import Call, Delete, Disposition, Edit, Send
from gateway_core.contract.verdicts import ErrorClass, Reason, Verdict
from gateway_core.deliveries.delivery import Delivery
from gateway_core.deliveries.steps import Step, send_steps
from gateway_core.engine.running_attempt import within_dedup

if TYPE_CHECKING:
    from gateway_core.engine.partition import Partition

NO_TARGET = Verdict(
    error_class=ErrorClass.NON_RETRYABLE,
    reason=Reason.MESSAGE_GONE,
    raw="the message to change was deleted, never arrived, or is not known any more",
)


class Planner:
    """Readies the deliveries of one partition."""

    def __init__(self, partition: Partition) -> None:
        self._partition = partition
        self._completion = partition.completion
        self._targets = partition.targets
        self._retries = partition.config.retries
        self._end_suspended = partition.config.when_suspended == "end"

    def prepare(self, delivery: Delivery, now: int) -> str | None:
        """Ready a delivery at the head of its lane; the operation of its next step, if any."""
        if self._completion.finish_if_over(delivery, now):
            return None
        if self._end_suspended and (verdict := self._suspended(delivery)) is not None:
            self._completion.finish(delivery, Disposition.FATAL, verdict, now)
            return None
        if delivery.steps is None or delivery.cut:
            ready = (
                self._plan_steps(delivery, now)
                if delivery.steps is None
                else self._goes_on(delivery, now)
            )
            if not ready:
                return None
        step = delivery.step
        if step is None:  # an edit that changes nothing
            self._completion.finish(delivery, delivery.disposition(), None, now)
            return None
        if step.maybe_sent and not self._may_repeat(delivery, step, now):
            step.outcome = "unknown"
            return self.prepare(delivery, now)
        return delivery.envelope.operation if step.kind == "call" else step.kind

    def _suspended(self, delivery: Delivery) -> Verdict | None:
        return self._partition.scheduler.room_of(delivery.envelope).account.suspended

    def _may_repeat(self, delivery: Delivery, step: Step, now: int) -> bool:
        """The platform's memory of the key may have ended while the retry waited.

        And the last of the tries may have been cut off by the end of an earlier life.
        """
        if step.attempts >= self._retries.attempts:
            return False
        lane = delivery.lane
        if lane is None or step.kind not in ("send", "call"):
            return True
        traits = lane.room.account.hooks.traits
        envelope = delivery.envelope
        if isinstance(envelope, Call) and envelope.method in traits.repeat_safe_calls:
            return True
        if step.kind == "send" and within_dedup(lane.room.account, step, now):
            return True
        return envelope.on_unknown == "retry" and step.maybe_sent < self._retries.max_ambiguous

    def _plan_steps(self, delivery: Delivery, now: int) -> bool:
        envelope = delivery.envelope
        if isinstance(envelope, Send):
            delivery.steps = send_steps(envelope, delivery.plan)
        elif isinstance(envelope, Call):
            delivery.steps = [Step("call", 0)]
        else:
            return self._plan_change(delivery, envelope, now)
        return True

    def _goes_on(self, delivery: Delivery, now: int) -> bool:
        """A change that an earlier life planned has its message to itself, as one that begins."""
        envelope = delivery.envelope
        if isinstance(envelope, Send | Call) or self._targets.has_begun(delivery):
            return True
        before = self._targets.before(delivery, envelope, now)
        if before is not None:
            self._step_aside(delivery, before, now)
        return before is None

    def _plan_change(self, delivery: Delivery, envelope: Edit | Delete, now: int) -> bool:
        """Steps of an edit or delete, against what stands in the room now."""
        before = self._targets.before(delivery, envelope, now)
        if before is not None:
            self._step_aside(delivery, before, now)
            return False
        delivery.steps = self._targets.steps(delivery, envelope, now)
        if delivery.steps is None:
            self._completion.finish(delivery, Disposition.REJECTED, NO_TARGET, now)
            return False
        delivery.perhaps_begun()
        if self._partition.journal is not None:
            self._partition.journal.planned(delivery)
        return True

    def _step_aside(self, delivery: Delivery, before: Delivery, now: int) -> None:
        """Leave the lane until the message that it changes can be changed; then enter anew."""
        lane, delivery.lane = delivery.lane, None
        delivery.parked = True
        delivery.wait_for("target", now)
        if lane is not None and lane.queue and lane.queue[0] is delivery:
            lane.queue.popleft()
        partition = self._partition
        callbacks = before.callbacks = before.callbacks or []
        callbacks.append(lambda: partition.enqueuer.due(delivery, partition.clock.now()))
