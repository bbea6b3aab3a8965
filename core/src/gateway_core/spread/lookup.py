"""Finds an envelope that somebody asks about, in this process or at its account's owner.

This module waits: for the outbox, and for another process if only that one can answer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any

import attrs
import trio

from gateway_core.contract.envelopes import KeyRef
from gateway_core.contract.errors import OutboxError
from gateway_core.deliveries.delivery import Delivery
from gateway_core.outboxes.handover import Handover
from gateway_core.submission.handed.delivery import HandedDelivery
from gateway_core.submission.handed.lookup import HandedLookup
from gateway_core.submission.lookup import Lookup, id_of
from gateway_core.submission.status import Status
from gateway_core.submission.tickets import Ticket


@attrs.define(eq=False)
class SpreadLookup:
    """Finds envelopes in memory at once; asks the outbox or the owner about all others.

    closed  whether the gateway closes: from then on, envelopes in memory belong to the next owner
    """

    _here: Lookup
    _elsewhere: HandedLookup
    _handover: Handover
    _spawn: Callable[[Callable[[], Awaitable[Any]]], None]
    _closed: Callable[[], bool]

    async def status(self, what: Ticket | KeyRef | str) -> Status | None:
        """The envelope's status at the time of the call; None: it is not known (any more)."""
        await trio.lowlevel.checkpoint_if_cancelled()
        status = self._here.known(what)
        if status is not None:
            await trio.lowlevel.cancel_shielded_checkpoint()
            return status
        return await self._elsewhere.status(what)

    async def withdraw(self, what: Ticket | str) -> bool:
        """End the envelope `cancelled` if it has not started; returns whether it has ended so."""
        name = id_of(what, "a Ticket or an envelope's id")
        await trio.lowlevel.checkpoint_if_cancelled()
        done = None if self._closed() else self._here.withdraw_known(name)
        if done is not None:
            await trio.lowlevel.cancel_shielded_checkpoint()
            return done
        return await self._elsewhere.withdraw(what)

    def withdraw_held(self, delivery: Delivery) -> bool:
        """Withdraw the delivery, since its caller gave up: here, or by asking its owner."""
        if not isinstance(delivery, HandedDelivery):
            return not self._closed() and self._here.withdraw_held(delivery)
        if delivery.was_here:
            self._spawn(partial(self._cancel, delivery.id))
            return False
        return self._elsewhere.withdraw_held(delivery)

    async def _cancel(self, envelope_id: str) -> None:
        with suppress(OutboxError):  # the owner was not reached, so the delivery goes on
            await self._handover.cancel(envelope_id)
