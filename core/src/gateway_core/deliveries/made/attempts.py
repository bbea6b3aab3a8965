"""Makes the next attempt of a delivery, as the adapter gets it. Sans-I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from gateway_core.contract.envelopes import ANSWER, REVISE, UPLOAD, Attempt, Call, Edit, Send
from gateway_core.contract.fast_init import fast_init
from gateway_core.deliveries.delivery import Delivery
from gateway_core.deliveries.steps import CHANGING, NATIVE, Step

BY_TOKEN_OF = {"send": ANSWER, "edit": REVISE}
"""The operation of a step that is made by a reply token."""

_attempt = fast_init(Attempt)


def next_attempt(delivery: Delivery, room: str) -> tuple[Step, Attempt] | None:
    """The next step and its attempt in `room`; None: there is none."""
    step = delivery.step if delivery.receipt is None else None
    return None if step is None else (step, _attempt_at(delivery, step, room))


def step_operation(delivery: Delivery, step: Step) -> str:
    """The operation of the step's limits and its attempt, except for answers by a reply token."""
    if step.kind == "call":
        return delivery.envelope.operation
    files = step.files
    uploads = files is not None and files.are_uploaded and not files.named
    return UPLOAD if uploads and step.kind == "send" else step.kind


def _attempt_at(delivery: Delivery, step: Step, room: str) -> Attempt:
    """The step's next attempt; its number is that of the last one plus one."""
    envelope = delivery.envelope
    call = envelope if isinstance(envelope, Call) else None
    native = {} if delivery.growth is None else _natively(delivery, step)
    held = step.files is not None and step.files.held
    dropped = "without_reply" in delivery.transforms
    made = _attempt(
        operation=step_operation(delivery, step),
        envelope_id=delivery.id,
        instance_id=envelope.instance_id,
        room=room,
        thread=envelope.thread_id if delivery.target is None else delivery.target.thread_id,
        reply=None if dropped else step.reply,
        part=step.part,
        extra=step.extra,
        message_id=step.message_id,
        method=call.method if call else None,
        arguments=call.arguments if call else native,
        number=step.number + 1,
        key=_key(delivery, step),
        mode=step.mode,
        place=None if step.place is None else step.place_in_part,
        without_reply=dropped,
        keeps_files=held and isinstance(envelope, Edit) and envelope.files is None,
    )
    if step.interaction is None:
        return made
    ephemeral = isinstance(envelope, Send) and envelope.ephemeral
    return attrs.evolve(
        made,
        operation=BY_TOKEN_OF[step.kind],
        interaction=step.interaction,
        ephemeral=ephemeral,
    )


def _key(delivery: Delivery, step: Step) -> str:
    """The attempt's key.

    All steps at one message of a stream have the same serial. So each change of it has a key of its
    own: the state that it shows, whose number alone would begin anew after a restart. The drafts of
    a message share the key of the message.
    """
    key = f"{delivery.id}.{step.serial}"
    if delivery.growth is None or step.kind not in CHANGING:
        return key
    state = f"{key}.{step.kind}{max(0, delivery.growth.planned)}"
    part = step.part
    return state if part is None else f"{state}.{part.span[1]}.{part.digest[:8]}"


def _natively(delivery: Delivery, step: Step) -> Mapping[str, Any]:
    """The arguments of an attempt that shows a stream natively; else empty."""
    native = None if delivery.growth is None else delivery.growth.native
    return native.arguments if native is not None and step.kind in NATIVE else {}
