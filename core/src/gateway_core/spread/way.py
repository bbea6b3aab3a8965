"""Accepts an envelope if its account is owned here, else hands it over. Waits: for the outbox."""

from __future__ import annotations

import attrs

from gateway_core.backlog.pager import Pager
from gateway_core.contract.errors import OutboxError
from gateway_core.deliveries.delivery import Delivery
from gateway_core.submission.draft import Draft
from gateway_core.submission.durable import DurableWay
from gateway_core.submission.handed.way import HandoverWay
from gateway_core.submission.tickets import Ticket


@attrs.define(eq=False)
class SpreadWay:
    """How a process accepts envelopes that owns some accounts, and hands over for the others."""

    _pager: Pager
    _here: DurableWay
    _elsewhere: HandoverWay

    async def accept(self, draft: Draft, *, wait: bool) -> Ticket:
        """Accept the envelope, or hand it over; who owns its account when it is stored decides.

        Envelopes that were handed over earlier for its room come first. As long as no owner has
        taken them, this one is handed over as well, even if its account is owned here by now. A
        `taken` envelope, which was handed over itself, is never handed over again: it would lose
        its turn, and be stored twice.
        """
        instance_id = draft.account.instance.id
        room = draft.asked.external_room_id
        if self._pager.accounts.has(instance_id) and (
            draft.taken or not self._elsewhere.untaken(instance_id, room)
        ):
            try:
                return await self._here.accept(draft, wait=wait)
            except OutboxError:
                if self._pager.accounts.has(instance_id) or draft.taken:
                    raise
        elif draft.taken:  # its next owner takes it from the outbox
            raise OutboxError(f"account {instance_id} belongs to another process now")
        draft.slot = False
        return await self._elsewhere.accept(draft, wait=wait)

    def handed_for(self, instance_id: str) -> HandoverWay | None:
        """The way to hand over an account's envelopes; None: this process owns the account."""
        return None if self._pager.accounts.has(instance_id) else self._elsewhere

    def follow(self, delivery: Delivery) -> Delivery:
        """The delivery that stands here for one whose account another process is about to own."""
        return self._elsewhere.follow(delivery)
