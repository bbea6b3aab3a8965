"""Accepts envelopes that other processes hand over. Waits only for a slot and for the outbox."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import attrs
import trio

from gateway_core.contract.envelopes import MessageRef
from gateway_core.contract.errors import GatewayClosed, GatewayError, OutboxError
from gateway_core.outboxes.records import Request, RequestWithdrawn
from gateway_core.producers.written import Written, WrittenElsewhere
from gateway_core.submission.checks import check_envelope
from gateway_core.submission.door import Door
from gateway_core.submission.tickets import Ticket

MOST_JOINED = 10_000
"""The most ids of joined envelopes that are remembered, the newest ones."""


@attrs.define(eq=False)
class Accepting:
    """The door for other processes."""

    _door: Door
    _written: WrittenElsewhere
    _joined: OrderedDict[str, str] = attrs.field(factory=OrderedDict, init=False)

    async def accept(
        self, request: Request, comes_in: Callable[[], None] | None = None
    ) -> tuple[str, bool]:
        """Accept an envelope; its id, and whether it joined an envelope that had ended.

        comes_in  called once no later envelope can overtake it on its way into the outbox

        Raises as `submit` does. An envelope whose id the request gave counts as waited for by
        nobody in this process, until another one joins it. Only for a request that gives an id is
        it reported whether the joined envelope had ended.
        """
        envelope: Any = request.envelope
        check_envelope(envelope)
        awaited = request.awaited
        envelope = self._at_what_it_joined(envelope)
        stream = self._written.coming(request.envelope_id)
        if stream is None:
            ticket = await self._door.submit(
                envelope, wait=True, awaited=awaited, request=request, comes_in=comes_in
            )
        else:
            ticket = await self._accept_stream(envelope, stream, request)
        delivery = ticket._delivery  # noqa: SLF001 - a ticket is this project's own
        if ticket.id != request.envelope_id:
            delivery.hold()
            self._joins(request.envelope_id, ticket.id)
        elif awaited:
            delivery.is_awaited()
        receipt = delivery.receipt
        return ticket.id, bool(request.envelope_id) and receipt is not None and receipt.replayed

    async def _accept_stream(self, envelope: Any, stream: Written, request: Request) -> Ticket:
        """Accept a stream that another process writes, with the states that it has told since."""
        await trio.lowlevel.checkpoint()  # states may have come just after the request
        try:
            ticket = await self._door.submit(
                envelope, wait=True, growth=stream.growth, request=request
            )
        except GatewayError as error:
            again = isinstance(error, GatewayClosed | OutboxError)  # this owner or the next retries
            if not again or isinstance(error, RequestWithdrawn):
                self._written.accepted(request.envelope_id, None)
            raise
        delivery = ticket._delivery  # noqa: SLF001 - a ticket is this project's own
        self._written.accepted(request.envelope_id, delivery)
        return ticket

    def _joins(self, handed_id: str, envelope_id: str) -> None:
        """Remember the id of a joined envelope: its caller may name the message by that id."""
        self._joined[handed_id] = envelope_id
        if len(self._joined) > MOST_JOINED:
            self._joined.popitem(last=False)

    def _at_what_it_joined(self, envelope: Any) -> Any:
        """The envelope; a change of a joined envelope's message names the envelope it joined."""
        target = envelope.target
        if not isinstance(target, MessageRef) or target.envelope_id not in self._joined:
            return envelope
        target = attrs.evolve(target, envelope_id=self._joined[target.envelope_id])
        return attrs.evolve(envelope, target=target)
