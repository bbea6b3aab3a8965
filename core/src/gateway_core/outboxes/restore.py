"""Makes deliveries from what a previous process run stored. Sans-I/O: the times are passed in."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gateway_core.clock import SECOND
from gateway_core.contract.envelopes import Call, Edit, Send
from gateway_core.contract.verdicts import ErrorClass, Reason, Scope, Verdict
from gateway_core.deliveries.delivery import Delivery
from gateway_core.deliveries.growing.growth import NOT_EDITED, Growth
from gateway_core.deliveries.idempotency import scope_of
from gateway_core.deliveries.step_files import FILES_REFUSED, StepFiles
from gateway_core.deliveries.steps import ARRIVED, LONG_AGO, REPEATED, Step, answering, send_steps
from gateway_core.outboxes.records import StepRecord, StepShape, StoredEntry

CLOCKS_AGREE = 1.0
"""Seconds by which an attempt may lie in the future. Beyond them, the clock is not the one by which
the attempt began, and nobody knows for how long the platform still recognises a repeat."""

INTERRUPTED = Verdict(
    error_class=ErrorClass.RETRYABLE,
    reason=Reason.OUTCOME_UNKNOWN,
    scope=Scope.INSTANCE,
    dispatched="unknown",
    raw="the process ended during the attempt",
)


def restore_delivery(
    stored: StoredEntry, now: int, wall: float, deduplicates_for: int, *, observed: bool
) -> Delivery:
    """The delivery that a previous run accepted, with all that is known of its steps.

    A stored deadline is never further away than it was at acceptance, whatever the wall clock
    says. An attempt that had begun counts as one that may have been accepted.
    """
    entry = stored.entry
    left = entry.deadline - max(wall, entry.accepted_at)
    delivery = Delivery(
        entry.id,
        entry.envelope,
        entry.plan,
        accepted_at=entry.accepted_at,
        deadline=now + round(left * SECOND),
        due=entry.due,
        scope=scope_of(entry.envelope, entry.asked_room),
        priority=entry.priority,
        traceparent=entry.trace,
        since=now,
        restored=True,
        observed=observed,
        sequence=stored.sequence,
        member=entry.member is not None,
    )
    delivery.has_position(stored.position)
    envelope, due = entry.envelope, entry.due
    if due is not None and due != envelope.not_before and envelope.target is None:
        delivery.delay(due)
    growth = _growth(stored)
    if stored.records or stored.shapes is not None:
        _recall_steps(delivery, stored, now=now, wall=wall, window=deduplicates_for)
    if growth is not None:
        growth.has_numbered(record.serial for record in stored.records)
        if any(record.message_id is None for record in _left(stored)):
            growth.left_nameless()
        delivery.grows_on(growth)
    return delivery


def catch_up(
    delivery: Delivery, stored: StoredEntry, now: int, wall: float, deduplicates_for: int
) -> None:
    """Apply what another owner has done meanwhile to a delivery that a caller holds here."""
    if delivery.started or delivery.growth is not None:
        return
    if stored.records or stored.shapes is not None:
        _recall_steps(delivery, stored, now=now, wall=wall, window=deduplicates_for)


def _growth(stored: StoredEntry) -> Growth | None:
    """The text of a stream of a previous run; None: the entry is no stream."""
    envelope = stored.entry.envelope
    if not isinstance(envelope, Send) or envelope.grows is None:
        return None
    number, text = stored.grown or (envelope.grows.stored_as, envelope.text)
    growth = Growth.restored(
        text,
        number,
        envelope.grows.broken_off,
        reply=envelope.reply_to,
        extra=envelope.extra or None,
        interaction=envelope.interaction,
        markdown=envelope.format == "markdown",
        elsewhere=envelope.grows.elsewhere,
    )
    growth.rest()
    return growth


def _recall_steps(
    delivery: Delivery, stored: StoredEntry, *, now: int, wall: float, window: int
) -> None:
    """Give the delivery what is known about its steps."""
    steps = _steps(stored)
    by_serial = {step.serial: step for step in steps or ()}
    known = [(by_serial[r.serial], r) for r in stored.records if r.serial in by_serial]
    harmless = getattr(stored.entry.envelope, "repeat_safe", False)
    for step, record in known:
        _restore(step, record, now=now, wall=wall, window=window, harmless=harmless)
    verdicts = [step.verdict for step, _ in known if step.verdict is not None]
    transforms, degradations = _changes(stored)
    delivery.recall(
        steps,
        transforms=transforms,
        degradations=degradations,
        started=any(record.number > 0 for _, record in known),
        verdict=verdicts[-1] if verdicts else None,
        possible_duplicate=any(
            _may_be_a_copy(record, stored.entry.accepted_at, window) for _, record in known
        )
        or NOT_EDITED in degradations,
    )


def _may_be_a_copy(record: StepRecord, accepted_at: float, window: int) -> bool:
    """Whether an attempt began after one that may have arrived, without sharing its key."""
    if not record.maybe_sent:
        return False
    if record.first_at and (accepted_at - record.first_at) * SECOND > -LONG_AGO / 2:
        return record.number > 0  # a later part of what was cut after it may have arrived
    return record.number > 1 and (not window or record.maybe_sent > 1)


def _changes(stored: StoredEntry) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The envelope's transforms, and what it lost by them, as its steps show."""
    envelope, shapes = stored.entry.envelope, stored.shapes or ()
    modes = tuple(dict.fromkeys(shape.mode for shape in shapes if shape.mode != "as_asked"))
    told = [words for shape in shapes if shape.part is not None for words in shape.part.degraded]
    lost = tuple(dict.fromkeys(words for words in told if words.startswith(FILES_REFUSED)))
    without = ("without_files",) * bool(lost)
    replies = isinstance(envelope, Send) and envelope.reply_to is not None
    grows = isinstance(envelope, Send) and envelope.grows is not None
    if grows and any(record.message_id is not None for record in _left(stored)):
        lost = (*lost, NOT_EDITED)
    if shapes and replies and not any(shape.reply for shape in shapes):
        return (*modes, "without_reply", *without), (*modes, "reply dropped", *lost)
    return (*modes, *without), (*modes, *lost)


def _left(stored: StoredEntry) -> list[StepRecord]:
    """The records of a stream's messages that belong to no step any more, and may still stand."""
    serials = {shape.serial for shape in stored.shapes or ()}
    return [
        record
        for record in stored.records
        if serials
        and record.serial not in serials
        and (record.message_id is not None or record.outcome == "delivered")
    ]


def _steps(stored: StoredEntry) -> list[Step] | None:
    """The steps of the entry; None: they are planned when its turn comes."""
    envelope = stored.entry.envelope
    if stored.shapes is not None:
        steps = [_step(shape) for shape in stored.shapes]
        if isinstance(envelope, Send | Edit) and envelope.interaction is not None:
            answering(steps, envelope.interaction)
        return steps
    if isinstance(envelope, Send):
        return send_steps(envelope, stored.entry.plan)
    return [Step("call", 0)] if isinstance(envelope, Call) and envelope.target is None else None


def _step(shape: StepShape) -> Step:
    mode: Any = shape.mode
    files = None
    if shape.files is not None:
        files = StepFiles(shape.files, held=shape.held, before=shape.before, more=shape.more)
    return Step(
        shape.kind,
        shape.serial,
        part=shape.part,
        message_id=shape.message_id,
        reply=shape.reply,
        extra=shape.extra,
        mode=mode,
        files=files,
        said=shape.said,
        place=shape.place,
    )


def _restore(
    step: Step, record: StepRecord, *, now: int, wall: float, window: int, harmless: bool
) -> None:
    first_at = 0
    if record.first_at and step.kind in REPEATED and not harmless:
        age = wall - record.first_at
        first_at = LONG_AGO if age < -CLOCKS_AGREE else now - round(max(0.0, age) * SECOND) or -1
    step.restore(
        number=record.number,
        attempts=record.attempts,
        maybe_sent=record.maybe_sent,
        transforms=record.transforms,
        outcome=record.outcome,
        message_id=record.message_id if record.message_id is not None else step.message_id,
        first_at=first_at,
    )
    if step.files is not None:
        step.files.ids, step.files.more = record.files, record.more or step.files.more
    if record.started and record.outcome is None:
        step.interrupt(INTERRUPTED, window, now, harmless=harmless)


def waits_until(stored: StoredEntry, wall: float) -> float:
    """Seconds for which the platform wants no further attempt at a step that is not done.

    They are never more than at acceptance, whatever the wall clock says.
    """
    return _left_of((r for r in stored.records if not _interrupted(r)), stored, wall)


def arrives_within(stored: StoredEntry, wall: float) -> float:
    """Seconds within which an attempt of a lost owner may still arrive; 0: there is none."""
    return _left_of((r for r in stored.records if _interrupted(r)), stored, wall)


def _interrupted(record: StepRecord) -> bool:
    return record.started and record.outcome is None


def _left_of(records: Iterable[StepRecord], stored: StoredEntry, wall: float) -> float:
    """Seconds until the last of these records' times that belongs to a step that is not done."""
    since = max(wall, stored.entry.accepted_at)
    left = (record.not_before - since for record in records if record.outcome not in ARRIVED)
    return max(0.0, max(left, default=0.0))
