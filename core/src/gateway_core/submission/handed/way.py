"""Accepts an envelope in a process that delivers nothing: once the outbox has it for its owner.

This module waits: for the outbox.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakValueDictionary

import attrs
import trio

from gateway_core.contract.envelopes import Disposition, Envelope, Receipt
from gateway_core.contract.errors import InstanceSuspended, Invalid, Problem
from gateway_core.contract.verdicts import Scope
from gateway_core.deliveries.growing.growth import Growth
from gateway_core.files.keeper import KeptFiles
from gateway_core.outboxes.handover import Handover, News
from gateway_core.submission.draft import Draft, Drafting
from gateway_core.submission.handed.delivery import HANDED, HandedDelivery
from gateway_core.submission.tickets import Ticket


class HandoverWay:
    """Hands over what was asked for, as its caller said it: the owner plans it, and policies vote.

    What nobody holds a ticket of is not waited for. The bytes of files are handed over as well, and
    needed here no more.
    """

    def __init__(self, drafting: Drafting, handover: Handover, files: KeptFiles) -> None:
        self._drafting = drafting
        self._files = files
        self._handover = handover
        self._waiting: WeakValueDictionary[str, HandedDelivery] = WeakValueDictionary()
        handover.waiting = self.unfinished
        handover.heard = self._heard

    async def accept(self, draft: Draft, *, wait: bool) -> Ticket:
        """Hand it over. Raises why it cannot be."""
        del wait  # the owner's bounds are the owner's: what waits for them is stored
        drafting = self._drafting
        drafting.check_open()
        asked = draft.asked
        if draft.growth is not None:
            asked = await self._whole(asked, draft.growth)
        handed_id = await self._handover.hand_over(
            asked, awaited=draft.awaited, files=await self._files.contents(draft.files)
        )
        now = drafting.clock.now()
        delivery = HandedDelivery(
            handed_id,
            draft.envelope,
            draft.plan,
            accepted_at=drafting.clock.wall(),
            scope=draft.scope,
            priority=draft.priority,
            since=now,
        )
        delivery.wait_for(HANDED, now)
        draft.partition.accepted += 1
        draft.account.counts.accepted += 1
        if drafting.closed:
            delivery.store()
        else:
            self._waiting[handed_id] = delivery
        return Ticket(delivery, waited=True)

    async def _whole(self, asked: Any, growth: Growth) -> Envelope:
        """The message that a stream has become: another process shows it once it is whole."""
        ended = trio.Event()
        growth.woken_by(lambda: None if growth.is_open else ended.set())
        if growth.is_open:
            await ended.wait()
        self._drafting.check_open()
        if growth.state == "deleted":
            raise Invalid([Problem("text", "is taken back: nothing of the stream is sent")])
        text, extra = growth.as_said
        whole: Envelope = attrs.evolve(asked, text=text, extra=extra or {}, grows=None)
        return whole

    def hopeless(self, receipt: Receipt) -> InstanceSuspended | None:
        """Why nobody should wait for the account: what waits for another is not ended `fatal`."""
        verdict, config = receipt.verdict, self._drafting.config
        if (
            verdict is None
            or receipt.disposition is not Disposition.FATAL
            or verdict.scope is not Scope.INSTANCE
            or config.when_suspended != "wait"
        ):
            return None
        return InstanceSuspended(instance_id=receipt.instance_id, why=str(verdict))

    def unfinished(self) -> list[str]:
        """The ids of those that somebody waits for."""
        return list(self._waiting.keys())

    def store(self) -> None:
        """The gateway closes: the outbox has them for their owner, who goes on."""
        for delivery in list(self._waiting.values()):
            delivery.store()
        self._waiting.clear()

    def _heard(self, news: News) -> None:
        delivery = self._waiting.get(news.id)
        if delivery is None or not delivery.hear(news):
            return
        del self._waiting[news.id]
        envelope, receipt = delivery.envelope, delivery.receipt
        place = envelope.instance_id, envelope.external_room_id
        partition = self._drafting.partition_of(*place)
        account = self._drafting.registry.present(envelope.instance_id)
        if receipt is not None:
            partition.completion.dispositions[receipt.disposition] += 1
            if account is not None:
                account.counts.end(receipt, copied=False, member=False)
        elif account is not None and delivery.refused is not None:
            partition.accepted -= 1
            account.counts.accepted -= 1
            account.counts.refuse(delivery.refused)
