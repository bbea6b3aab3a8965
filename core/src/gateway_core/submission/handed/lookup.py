"""Finds an envelope that somebody asks about, in a process that delivers nothing.

This module waits for the outbox, and for the owner if only the owner knows the answer.
"""

from __future__ import annotations

from typing import Any

import attrs
import trio

from gateway_core.contract.envelopes import KeyRef
from gateway_core.deliveries.delivery import Delivery
from gateway_core.deliveries.idempotency import scope_of_key
from gateway_core.outboxes.handover import Handover, News
from gateway_core.outboxes.refusals import refusal_of
from gateway_core.submission.handed.asking import Asking
from gateway_core.submission.handed.delivery import HANDED, TAKEN, HandedDelivery, receipt_of
from gateway_core.submission.lookup import check_ref, id_of
from gateway_core.submission.status import Status, status_ended
from gateway_core.submission.tickets import Ticket

PATIENCE = 2.0
"""Seconds to wait for an owner that says what an envelope waits for."""


@attrs.define(eq=False)
class HandedLookup:
    """Asks the outbox, and the owner for what only the owner's memory has."""

    _handover: Handover
    _asking: Asking

    async def status(self, what: Ticket | KeyRef | str) -> Status | None:
        """The envelope's status; it waits as `handed` until an owner has taken it.

        None: not known (any more). If no owner answers within two seconds, the status is as the
        outbox knows it. Raises `OutboxError` if the envelope ended and nobody here can read how.
        """
        if isinstance(what, Ticket) and what.ended:
            await trio.lowlevel.checkpoint()
            receipt = what._delivery.receipt  # noqa: SLF001 - a ticket is this package's own
            return None if receipt is None else status_ended(receipt)
        if isinstance(what, KeyRef):
            check_ref(what)
        asked = "a Ticket, a KeyRef or an envelope's id"
        name = scope_of_key(what) if isinstance(what, KeyRef) else id_of(what, asked)
        news = await self._handover.find(name)
        return None if news is None else await self._status(news)

    async def _status(self, news: News) -> Status | None:
        if news.refused is not None and news.envelope_id is not None:  # the envelope was accepted
            raise refusal_of(news.refused)
        receipt = receipt_of(news)
        if receipt is not None:
            return status_ended(receipt)
        name = news.id if news.envelope_id is None else news.envelope_id
        if news.answered_at is None:
            return Status(envelope_id=name, state="unfinished", cause=HANDED)
        if not news.stored:
            return None
        with trio.move_on_after(PATIENCE):
            plain = await self._asking.ask(news.instance_id, "status", id=name)
            if plain["status"] is not None:
                return Status(**plain["status"])
            again = await self._handover.find(name)  # usually, the envelope ended meanwhile
            if again is not None and (receipt := receipt_of(again)) is not None:
                return status_ended(receipt)
        return Status(envelope_id=name, state="unfinished", cause=TAKEN)

    async def withdraw(self, what: Ticket | str) -> bool:
        """End the envelope `cancelled` if it has not started; whether it was ended."""
        name = id_of(what, "a Ticket or an envelope's id")
        await trio.lowlevel.checkpoint_if_cancelled()
        if isinstance(what, Ticket) and what.ended:
            await trio.lowlevel.cancel_shielded_checkpoint()
            return False
        return await self._handover.cancel(name)

    def withdraw_held(self, delivery: Delivery) -> bool:
        """Let the owner withdraw a delivery whose caller gave up, unless somebody waits for it."""
        if isinstance(delivery, HandedDelivery):
            self._handover.leave(delivery.handed_id)
        return False


def told(status: Status | None) -> dict[str, Any]:
    """An unfinished envelope's status, as `HandedLookup` reads it; None inside if it has ended."""
    if status is None or status.receipt is not None:
        return {"status": None}
    fields = ("envelope_id", "state", "cause", "attempts", "estimate")
    return {"status": {name: getattr(status, name) for name in fields}}
