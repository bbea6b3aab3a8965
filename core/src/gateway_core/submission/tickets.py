"""The handle of an accepted envelope."""

from __future__ import annotations

import trio

from gateway_core.contract.envelopes import Call, MessageRef, Receipt, Send
from gateway_core.contract.errors import GatewayClosed
from gateway_core.deliveries.delivery import Delivery


class Ticket:
    """An accepted envelope: its id, its ref (an edit's target at once), and its receipt.

    Any number of tasks may wait for the receipt; waiting and giving up changes nothing.
    """

    __slots__ = ("_delivery", "_replayed", "_waited")

    def __init__(
        self, delivery: Delivery, replayed: Receipt | None = None, *, waited: bool = False
    ) -> None:
        self._delivery = delivery
        self._replayed = replayed
        self._waited = waited  # for an outbox, before it was made: others had their turn

    def __repr__(self) -> str:
        state = self._delivery.receipt.disposition if self._delivery.receipt else "unfinished"
        return f"<Ticket {self.id} {state}>"

    @property
    def id(self) -> str:
        """The envelope's id."""
        return self._delivery.id

    @property
    def ended(self) -> bool:
        """Whether the receipt is there."""
        return self._delivery.receipt is not None

    @property
    def ref(self) -> MessageRef:
        """The message that a `Send` makes, before it is there; of an edit, the message edited.

        Raises `TypeError` for a `Call` or an edit by key, which name no message yet.
        """
        envelope = self._delivery.envelope
        if self._delivery.receipt is not None and self._delivery.receipt.ref is not None:
            return self._delivery.receipt.ref
        if isinstance(envelope, Send):
            return MessageRef(
                instance_id=envelope.instance_id,
                external_room_id=envelope.external_room_id,
                envelope_id=self._delivery.id,
                thread_id=envelope.thread_id,
            )
        if not isinstance(envelope, Call) and isinstance(envelope.target, MessageRef):
            return envelope.target
        raise TypeError(f"{type(envelope).__name__} names no message before it ends")

    async def receipt(self) -> Receipt:
        """Wait for the end. Never raises for an ending.

        Raises `GatewayClosed` (`kept=True`) where a durable outbox keeps it for the next start.
        """
        if self._replayed is not None:
            await trio.lowlevel.checkpoint()
            return self._replayed
        return await wait_for_end(self._delivery)


async def wait_for_end(delivery: Delivery) -> Receipt:
    """Wait until the delivery has its receipt."""
    if delivery.receipt is None and not delivery.stored:
        done = trio.Event()
        delivery.on_end(done.set)
        try:
            await done.wait()
        except trio.Cancelled:
            delivery.forget(done.set)
            raise
    else:
        await trio.lowlevel.checkpoint()
    if delivery.receipt is None:
        raise GatewayClosed("the outbox keeps the envelope for the next start", kept=True)
    return delivery.receipt
