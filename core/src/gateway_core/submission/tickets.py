"""The handle of an accepted envelope."""

from __future__ import annotations

from functools import partial

import attrs
import trio

from gateway_core.contract.envelopes import Call, Delivered, MessageRef, Receipt
from gateway_core.contract.fast_init import fast_init
from gateway_core.contract.ids import position_of
from gateway_core.deliveries.delivery import Delivery

_delivered = fast_init(Delivered)
_COPIED = [field.name for field in attrs.fields(Receipt) if field.name != "ref"]


class Ticket:
    """An accepted envelope: its id, its ref (for an edit, the target), and its receipt.

    Any number of tasks may wait for the receipt. A task that gives up waiting changes nothing.
    """

    __slots__ = ("_accepted", "_waited")

    def __init__(self, delivery: Delivery, *, waited: bool = False) -> None:
        self._accepted = delivery
        self._waited = waited  # for an outbox, so other tasks have already run

    def __repr__(self) -> str:
        state = self._delivery.receipt.disposition if self._delivery.receipt else "unfinished"
        return f"<Ticket {self.id} {state}>"

    @property
    def _delivery(self) -> Delivery:
        """The accepted delivery, or its successor once its account has moved."""
        accepted = self._accepted
        return accepted if accepted.successor is None else accepted.newest

    @property
    def id(self) -> str:
        """The envelope's id."""
        return self._delivery.id

    @property
    def ended(self) -> bool:
        """Whether the receipt is there."""
        return self._delivery.receipt is not None and not self._delivery.stored

    @property
    def ref(self) -> MessageRef:
        """The message that a `Send` will make; for an edit, the message that it changes.

        For a `Call`, the message in the platform's answer; if the answer has none, a change of this
        ref ends `rejected`. Raises `TypeError` for an edit by key, and for a call without a room or
        about a message: before their end, these name no message.
        """
        ref = _ref_of(self._delivery)
        if ref is None:
            kind = type(self._delivery.envelope).__name__
            raise TypeError(f"{kind} has no message before it ends: await its receipt first")
        return ref

    async def receipt(self) -> Receipt:
        """Wait for the end. Never raises because of how the envelope ended.

        Raises `GatewayClosed` (`kept=True`) if an outbox stores the envelope for the next start, or
        for another process that owns its account now. In a process that only hands over, it also
        raises what `submit` would have raised in the owner.
        """
        return await wait_for_end(self._delivery)


async def wait_for_end(delivery: Delivery, *, joining: bool = False) -> Receipt:
    """Wait until the delivery has its receipt.

    joining  count the waiting task among those for whom the delivery goes on

    If the account moves to another process meanwhile, this goes on waiting for the delivery's
    successor.
    """
    delivery = delivery.newest
    if delivery.receipt is None and not delivery.stored:
        wake = partial(trio.lowlevel.reschedule, trio.lowlevel.current_task())

        def abort(_: object) -> trio.lowlevel.Abort:
            (delivery.leave if joining else delivery.forget)(wake)
            return trio.lowlevel.Abort.SUCCEEDED

        (delivery.join if joining else delivery.on_end)(wake)
        await trio.lowlevel.wait_task_rescheduled(abort)  # as `trio.Event` does, without the event
    else:
        await trio.lowlevel.checkpoint()
    if delivery.successor is not None:
        return await wait_for_end(delivery, joining=joining)
    if delivery.stored or delivery.receipt is None:
        raise delivery.why_no_receipt
    return delivery.receipt


def with_ref(delivery: Delivery, receipt: Receipt) -> Delivered:
    """The receipt of a send or an edit that was delivered or superseded, with its message's ref.

    For a superseded edit by key, the ref names the message that had the key when the edit came in.
    If there was no such message, the ref names no message, and a change of this ref is refused.
    """
    if isinstance(receipt, Delivered):
        return receipt
    ref = receipt.ref or _ref_of(delivery) or _named(delivery, _message_of(delivery))
    return _delivered(ref=ref, **{name: getattr(receipt, name) for name in _COPIED})


def _ref_of(delivery: Delivery) -> MessageRef | None:
    """The message that the delivery makes or changes; None: the message has no name yet."""
    envelope, receipt = delivery.envelope, delivery.receipt
    if receipt is not None and receipt.ref is not None:
        return receipt.ref
    if envelope.target is None:
        return _named(delivery, delivery.id) if envelope.external_room_id else None
    if isinstance(envelope, Call):
        return None
    return envelope.target if isinstance(envelope.target, MessageRef) else delivery.target


def _named(delivery: Delivery, envelope_id: str) -> MessageRef:
    """A ref to the message that the envelope with this id makes or made, without its parts."""
    return MessageRef(
        instance_id=delivery.envelope.instance_id,
        external_room_id=delivery.envelope.external_room_id,
        envelope_id=envelope_id,
        thread_id=delivery.thread_id,
    )


def _message_of(delivery: Delivery) -> str:
    """The id of the `Send` whose message an edit by key changes; empty: not known."""
    try:
        position_of(delivery.message)
    except ValueError:  # it holds the key itself if nobody knows the message
        return ""
    return delivery.message
