"""What a flight does when its turn in its lane has come: its next step, or its end. Never waits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway_core.contract.envelopes import Call, Delete, Disposition, Edit, Send
from gateway_core.contract.verdicts import ErrorClass, Reason, Verdict
from gateway_core.deliveries.delivery import Flight
from gateway_core.deliveries.steps import Step, send_steps
from gateway_core.engine.running_attempt import within_dedup

if TYPE_CHECKING:
    from gateway_core.engine.partition import Partition

NO_TARGET = Verdict(
    error_class=ErrorClass.NON_RETRYABLE,
    reason=Reason.MESSAGE_GONE,
    raw="the message to change was deleted, never arrived, or is not known any more",
)


class Turns:
    """Readies the flights of one partition."""

    def __init__(self, partition: Partition) -> None:
        self._partition = partition
        self._endings = partition.endings
        self._targets = partition.targets
        self._retries = partition.config.retries
        self._end_suspended = partition.config.when_suspended == "end"

    def prepare(self, flight: Flight, now: int) -> str | None:
        """Ready a flight at the head of its lane; the operation of its next step, if any."""
        if self._endings.finish_if_over(flight, now):
            return None
        if self._end_suspended and (verdict := self._suspended(flight)) is not None:
            self._endings.finish(flight, Disposition.FATAL, verdict, now)
            return None
        if flight.steps is None or flight.cut:
            ready = (
                self._plan_steps(flight, now)
                if flight.steps is None
                else self._goes_on(flight, now)
            )
            if not ready:
                return None
        step = flight.step
        if step is None:  # an edit that changes nothing
            self._endings.finish(flight, flight.disposition(), None, now)
            return None
        if step.maybe_sent and not self._may_repeat(flight, step, now):
            step.outcome = "unknown"
            return self.prepare(flight, now)
        return flight.envelope.operation if step.kind == "call" else step.kind

    def _suspended(self, flight: Flight) -> Verdict | None:
        return self._partition.lanes.room_of(flight.envelope).account.suspended

    def _may_repeat(self, flight: Flight, step: Step, now: int) -> bool:
        """The platform's memory of the key may have ended while the retry waited.

        And the last of the tries may have been cut off by the end of an earlier life.
        """
        if step.attempts >= self._retries.attempts:
            return False
        lane = flight.lane
        if lane is None or step.kind not in ("send", "call"):
            return True
        traits = lane.room.account.hooks.traits
        envelope = flight.envelope
        if isinstance(envelope, Call) and envelope.method in traits.repeat_safe_calls:
            return True
        if step.kind == "send" and within_dedup(lane.room.account, step, now):
            return True
        return envelope.on_unknown == "retry" and step.maybe_sent < self._retries.max_ambiguous

    def _plan_steps(self, flight: Flight, now: int) -> bool:
        envelope = flight.envelope
        if isinstance(envelope, Send):
            flight.steps = send_steps(envelope, flight.plan)
        elif isinstance(envelope, Call):
            flight.steps = [Step("call", 0)]
        else:
            return self._plan_change(flight, envelope, now)
        return True

    def _goes_on(self, flight: Flight, now: int) -> bool:
        """A change that an earlier life planned has its message to itself, as one that begins."""
        envelope = flight.envelope
        if isinstance(envelope, Send | Call) or self._targets.has_begun(flight):
            return True
        before = self._targets.before(flight, envelope, now)
        if before is not None:
            self._step_aside(flight, before, now)
        return before is None

    def _plan_change(self, flight: Flight, envelope: Edit | Delete, now: int) -> bool:
        """Steps of an edit or delete, against what stands in the room now."""
        before = self._targets.before(flight, envelope, now)
        if before is not None:
            self._step_aside(flight, before, now)
            return False
        flight.steps = self._targets.steps(flight, envelope, now)
        if flight.steps is None:
            self._endings.finish(flight, Disposition.REJECTED, NO_TARGET, now)
            return False
        flight.perhaps_begun()
        if self._partition.journal is not None:
            self._partition.journal.planned(flight)
        return True

    def _step_aside(self, flight: Flight, before: Flight, now: int) -> None:
        """Leave the lane until the message that it changes can be changed; then enter anew."""
        lane, flight.lane = flight.lane, None
        flight.parked = True
        flight.wait_for("target", now)
        if lane is not None and lane.queue and lane.queue[0] is flight:
            lane.queue.popleft()
        partition = self._partition
        callbacks = before.callbacks = before.callbacks or []
        callbacks.append(lambda: partition.arrivals.due(flight, partition.clock.now()))
