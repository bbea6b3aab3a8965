"""Makes the receipt of a delivery that ends, with a ref to its messages. Sans-I/O."""

from __future__ import annotations

from typing import Any

from gateway_core.contract.envelopes import (
    Call,
    Delete,
    Delivered,
    Disposition,
    Edit,
    MessageRef,
    Receipt,
    Send,
)
from gateway_core.contract.fast_init import fast_init
from gateway_core.contract.verdicts import Verdict
from gateway_core.deliveries.delivery import Delivery
from gateway_core.deliveries.steps import ARRIVED, Step, carried, standing

_message_ref = fast_init(MessageRef)
_delivered = fast_init(Delivered)
_receipt = fast_init(Receipt)


def end(
    delivery: Delivery, disposition: Disposition, *, verdict: Verdict | None, ended_wall: float
) -> Receipt:
    """End the delivery, which happens once; return its receipt."""
    envelope, steps = delivery.envelope, delivery.steps
    if steps is None:
        steps = [Step("send", i, part=part) for i, part in enumerate(delivery.plan)]
    parts: list[Any] = []
    attempts = 0 if delivery.growth is None else delivery.growth.attempts
    for step in steps:
        if step.kind != "draft":
            parts.append(step.receipt(len(parts)))
        attempts += step.number
    if delivery.growth is not None:
        delivery.has_grown()
    ref: Any = _ref(delivery)
    arrived = ref is not None and disposition is Disposition.DELIVERED
    receipt = (_delivered if arrived else _receipt)(
        envelope_id=delivery.id,
        instance_id=envelope.instance_id,
        external_room_id=envelope.external_room_id,
        disposition=disposition,
        parts=tuple(parts),
        ref=ref,
        attempts=attempts,
        verdict=verdict if verdict is not None else delivery.verdict,
        possible_duplicate=delivery.possible_duplicate or _leaves_copies(delivery),
        degradations=delivery.degradations,
        transforms=delivery.transforms,
        moved_to=delivery.moved_to,
        accepted_at=delivery.accepted_at,
        ended_at=ended_wall,
        result=delivery.result,
    )
    delivery.end(receipt)
    return receipt


def _ref(delivery: Delivery) -> MessageRef | None:
    """A ref to the messages that stand in the room now; None: there are none."""
    envelope, changed, steps = delivery.envelope, delivery.target, delivery.steps or ()
    if isinstance(envelope, Delete):
        return None
    if isinstance(envelope, Call) and (envelope.target or not envelope.external_room_id):
        return None  # it concerns a message that has a ref, or no change could name its room
    if changed is None and isinstance(envelope, Edit):
        changed = envelope.target if isinstance(envelope.target, MessageRef) else None
    if not (parts := standing(steps, changed)):
        return None
    return _message_ref(
        instance_id=envelope.instance_id,
        external_room_id=envelope.external_room_id,
        envelope_id=delivery.id if changed is None else changed.envelope_id,
        thread_id=envelope.thread_id if changed is None else delivery.thread_id,
        parts=parts,
        revision=delivery.revision,
        extra=carried(steps, changed),
        possible_duplicate=(
            delivery.possible_duplicate
            or (changed is not None and changed.possible_duplicate)
            or (len(parts) < len(steps) and any(step.is_nameless for step in steps))
        ),
    )


def _leaves_copies(delivery: Delivery) -> bool:
    """Whether it changed a message of which unknown copies may stand in the room."""
    envelope = delivery.envelope
    if isinstance(envelope, Send):
        return False
    changed = delivery.target or getattr(envelope, "target", None)
    if not getattr(changed, "possible_duplicate", False):
        return False
    return any(step.outcome in ARRIVED or step.doubtful for step in delivery.steps or ())
