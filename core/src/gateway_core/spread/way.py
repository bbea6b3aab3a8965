"""Accepts an envelope where its account is owned, or hands it over. Waits: for the outbox."""

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
    """The way of one that owns some accounts, and hands over for the others."""

    _pager: Pager
    _here: DurableWay
    _elsewhere: HandoverWay

    async def accept(self, draft: Draft, *, wait: bool) -> Ticket:
        """Accept it, or hand it over, wherever its account is when it comes to be stored.

        What was handed over before for its room comes in first: as long as no owner has taken that,
        this one is handed over as well, even if its account is owned here by now. What was handed
        over itself is never handed over again: it would lose its turn, and stand there twice.
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
        elif draft.taken:  # its next owner takes it from where it lies
            raise OutboxError(f"account {instance_id} belongs to another process now")
        draft.slot = False
        return await self._elsewhere.accept(draft, wait=wait)

    def handed_for(self, instance_id: str) -> HandoverWay | None:
        """The way of an account that another process owns; None: this one does."""
        return None if self._pager.accounts.has(instance_id) else self._elsewhere

    def follow(self, delivery: Delivery) -> Delivery:
        """What stands for a delivery here whose account another process is to have."""
        return self._elsewhere.follow(delivery)
