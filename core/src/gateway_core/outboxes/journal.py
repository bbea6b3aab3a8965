"""Tells a durable outbox what happens to deliveries, and makes deliveries of what it kept. Pure.

There is no journal where the outbox does not outlive the process: nobody would read it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway_core.clock import Clock, nanoseconds
from gateway_core.contract.envelopes import Call, Receipt, Send
from gateway_core.contract.ids import Ids, position_of
from gateway_core.contract.verdicts import ErrorClass, Reason, Scope, Verdict
from gateway_core.deliveries.delivery import Delivery
from gateway_core.deliveries.idempotency import scope_of
from gateway_core.deliveries.steps import ARRIVED, Step, send_steps
from gateway_core.outboxes.interface import Kept, Outbox, StepRecord, StepShape
from gateway_core.ratelimits.bucket import SECOND

INTERRUPTED = Verdict(
    error_class=ErrorClass.RETRYABLE,
    reason=Reason.OUTCOME_UNKNOWN,
    scope=Scope.INSTANCE,
    dispatched="unknown",
    raw="the process ended during the attempt",
)


class Journal:
    """Keeps a durable outbox up to date about the deliveries of one gateway."""

    def __init__(self, outbox: Outbox, clock: Clock, ids: Ids) -> None:
        self._outbox = outbox
        self._clock = clock
        self._ids = ids

    async def starting(self, delivery: Delivery, step: Step) -> None:
        """A try is about to begin. Awaited where its outcome could become unknown.

        Raises `OutboxError`: then it must not begin.
        """
        if step.kind in ("edit", "delete"):
            return
        first = step.first_at or self._clock.now() or 1
        record = self._record(step, number=step.number + 1, started=True, first_at=first)
        await self._outbox.attempt_started(delivery.id, record)

    def ended(self, delivery: Delivery, step: Step, wait: float = 0.0) -> None:
        """A try failed, or did not begin; nothing of the step for `wait` seconds."""
        until = self._clock.wall() + wait if wait > 0 else 0.0
        record = self._record(step, first_at=step.first_at, not_before=until)
        self._outbox.attempt_ended(delivery.id, record)

    def acknowledged(self, delivery: Delivery, step: Step) -> None:
        """The platform said yes. Of a message of one step, the end says it as well."""
        if len(delivery.steps or ()) > 1:
            self._outbox.acknowledged(delivery.id, self._record(step, first_at=step.first_at))

    def planned(self, delivery: Delivery) -> None:
        """The steps of the delivery do not follow from its plan alone."""
        self._outbox.replanned(delivery.id, [_shape(step) for step in delivery.steps or ()])
        for step in delivery.steps or ():
            if step.number or step.maybe_sent or step.outcome is not None:
                self.ended(delivery, step)

    def entered(self, delivery: Delivery) -> None:
        """What it waited for has come: its place is after all that is there now."""
        self.entered_id(delivery.id)

    def entered_id(self, envelope_id: str) -> int:
        """The same by its id; the position."""
        position = position_of(self._ids.next(self._clock.wall()))
        self._outbox.entered(envelope_id, position)
        return position

    def finished(self, receipt: Receipt) -> None:
        """The envelope ended."""
        self._outbox.finished(receipt)

    def closed(self, instance_id: str, operation: str, wait: float) -> None:
        """The platform wants no such operation (empty: none at all) for `wait` seconds."""
        self._outbox.closed(instance_id, operation, self._clock.wall() + wait, wait)

    def moved(self, instance_id: str, room: str, moved_to: str) -> None:
        """A room has a new id."""
        self._outbox.moved(instance_id, room, moved_to)

    def _record(
        self,
        step: Step,
        *,
        first_at: int,
        number: int | None = None,
        started: bool = False,
        not_before: float = 0.0,
    ) -> StepRecord:
        first = 0.0
        if first_at:
            first = self._clock.wall() - (self._clock.now() - first_at) / SECOND
        return StepRecord(
            serial=step.serial,
            number=step.number if number is None else number,
            started=started,
            attempts=step.attempts,
            maybe_sent=step.maybe_sent,
            transforms=step.transforms,
            first_at=first,
            not_before=not_before,
            outcome=step.outcome,
            message_id=step.message_id,
        )


def _shape(step: Step) -> StepShape:
    return StepShape(
        kind=step.kind,
        serial=step.serial,
        part=step.part,
        message_id=step.message_id,
        reply=step.reply,
        extra=step.extra,
        mode=step.mode,
    )


def restore_delivery(kept: Kept, now: int, wall: float, deduplicates_for: float) -> Delivery:
    """The delivery that an earlier life accepted, with all that is known of its steps.

    A stored deadline is never further away than it was at acceptance, whatever the wall clock
    says. A try that had begun counts as one that may have been accepted.
    """
    entry = kept.entry
    envelope, accepted = entry.envelope, entry.accepted_at
    delivery = Delivery(entry.id, envelope, entry.plan)
    if entry.priority:
        delivery.priority = entry.priority
    if envelope.key is not None:
        delivery.scope = scope_of(envelope)
    delivery.accepted_wall = accepted
    delivery.due = entry.due
    delivery.parent = entry.trace
    left = entry.deadline - max(wall, accepted)
    delivery.deadline = now + nanoseconds(left)
    delivery.cut = True
    if kept.records or kept.shapes is not None:
        _remember(delivery, kept, now=now, wall=wall, window=deduplicates_for)
    return delivery


def _remember(delivery: Delivery, kept: Kept, *, now: int, wall: float, window: float) -> None:
    """What is known of its steps."""
    delivery.steps = _steps(kept)
    delivery.transforms, delivery.degradations = _changes(kept)
    by_serial = {step.serial: step for step in delivery.steps or ()}
    for record in kept.records:
        step = by_serial.get(record.serial)
        if step is not None:
            _restore(step, record, now=now, wall=wall, window=window)
            delivery.started = delivery.started or record.number > 0
            if step.verdict is not None:
                delivery.verdict = step.verdict
            if record.maybe_sent and record.number > 1 and not window:
                delivery.possible_duplicate = True
    delivery.perhaps_begun()


def _changes(kept: Kept) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """How the envelope was changed and tried again, and what it lost by that, as its steps tell."""
    envelope, shapes = kept.entry.envelope, kept.shapes or ()
    modes = tuple(dict.fromkeys(shape.mode for shape in shapes if shape.mode != "as_asked"))
    replies = isinstance(envelope, Send) and envelope.reply_to is not None
    if shapes and replies and not any(shape.reply for shape in shapes):
        return (*modes, "without_reply"), (*modes, "reply dropped")
    return modes, modes


def _steps(kept: Kept) -> list[Step] | None:
    """None: they are planned when its turn comes."""
    envelope = kept.entry.envelope
    if kept.shapes is not None:
        return [_step(shape) for shape in kept.shapes]
    if isinstance(envelope, Send):
        return send_steps(envelope, kept.entry.plan)
    return [Step("call", 0)] if isinstance(envelope, Call) else None


def _step(shape: StepShape) -> Step:
    step = Step(
        shape.kind,
        shape.serial,
        part=shape.part,
        message_id=shape.message_id,
        reply=shape.reply,
        extra=shape.extra,
    )
    mode: Any = shape.mode
    step.mode = mode
    return step


def _restore(step: Step, record: StepRecord, *, now: int, wall: float, window: float) -> None:
    step.number = record.number
    step.attempts = record.attempts
    step.maybe_sent = record.maybe_sent
    step.transforms = record.transforms
    outcome: Any = record.outcome
    step.outcome = outcome
    if record.message_id is not None:
        step.message_id = record.message_id
    if record.first_at and (record.maybe_sent or record.started):
        step.first_at = now - nanoseconds(max(0.0, wall - record.first_at)) or -1
    if record.started and outcome is None:
        _interrupted(step, now=now, window=window)
    step.doubtful = bool(step.maybe_sent) and outcome is None


def _interrupted(step: Step, *, now: int, window: float) -> None:
    """Its last try began in the earlier life, and nobody knows how it ended."""
    step.verdict = INTERRUPTED
    step.attempts += 1
    if step.kind in ("send", "call"):
        known = bool(window) and now - step.first_at < nanoseconds(window)
        step.maybe_sent += 0 if step.maybe_sent and known else 1


def waits_until(kept: Kept, wall: float) -> float:
    """Seconds for which a platform asked to be left alone, of a step that is not done.

    They are never more than at acceptance, whatever the wall clock says.
    """
    open_ones: Sequence[StepRecord] = [r for r in kept.records if r.outcome not in ARRIVED]
    since = max(wall, kept.entry.accepted_at)
    return max((r.not_before - since for r in open_ones), default=0.0)
