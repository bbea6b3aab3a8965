"""Accepts an envelope that another process delivers, once the outbox has it for its owner.

This module waits only for the outbox.
"""

from __future__ import annotations

from collections import Counter
from weakref import WeakValueDictionary

from gateway_core.contract.envelopes import Disposition, Receipt, Send
from gateway_core.contract.errors import InstanceSuspended, Invalid, Problem
from gateway_core.contract.verdicts import Scope
from gateway_core.deliveries.delivery import Delivery
from gateway_core.files.keeper import KeptFiles
from gateway_core.outboxes.handover import Handover, News
from gateway_core.submission.draft import Draft, Drafting
from gateway_core.submission.handed.bound import Bound
from gateway_core.submission.handed.delivery import HANDED, TAKEN, HandedDelivery
from gateway_core.submission.handed.growing import Telling, opening
from gateway_core.submission.tickets import Ticket


class HandoverWay:
    """Hands over an envelope as its caller made it: the owner plans it, and lets policies vote.

    An envelope without a ticket is not waited for. The bytes of files are handed over as well, and
    are not needed here any longer.

    keeps_order  remember for each room which envelopes no owner has taken yet (`untaken`)
    bound        the outbox's bound
    """

    keeps_order = False

    def __init__(
        self, drafting: Drafting, handover: Handover, telling: Telling, files: KeptFiles
    ) -> None:
        self._telling = telling
        self._drafting = drafting
        self.bound = Bound(handover, drafting)
        self._files = files
        self._handover = handover
        self._waiting: WeakValueDictionary[str, HandedDelivery] = WeakValueDictionary()
        self._untaken: dict[str, tuple[str, str]] = {}
        self._open_rooms: Counter[tuple[str, str]] = Counter()
        handover.waiting = self.unfinished
        handover.heard = self._heard

    async def accept(self, draft: Draft, *, wait: bool) -> Ticket:
        """Hand the envelope over. Raises the reason if that is not possible.

        Of the owner's bounds only the outbox's matters here: what waits for the others is stored.
        """
        drafting = self._drafting
        drafting.check_open()
        await self.bound.take(draft, wait=wait)
        try:
            return await self._hand_over(draft)
        finally:
            self.bound.let_go(draft)

    async def _hand_over(self, draft: Draft) -> Ticket:
        drafting = self._drafting
        asked, growth, grows = draft.asked, draft.growth, False
        if growth is not None and isinstance(asked, Send):
            if growth.state == "deleted":
                text = "was taken back before it was sent: nothing of the stream is sent"
                raise Invalid([Problem("text", text)])
            asked = opening(asked, growth)
            grows = not (asked.grows is not None and asked.grows.stored_as)
        async with self._files.whole(draft.files) as files:
            handed_id = await self._handover.hand_over(asked, awaited=draft.awaited, files=files)
        now = drafting.clock.now()
        delivery = HandedDelivery(
            handed_id,
            draft.envelope,
            draft.plan,
            accepted_at=drafting.clock.wall(),
            scope=draft.scope,
            priority=draft.priority,
            since=now,
            growth=growth,
        )
        delivery.wait_for(HANDED, now)
        draft.partition.accepted += 1
        draft.partition.handed += 1
        draft.account.counts.accepted += 1
        if drafting.closed:
            delivery.store()
        else:
            self._waiting[handed_id] = delivery
            if self.keeps_order:
                room = asked.instance_id, asked.external_room_id
                self._untaken[handed_id] = room
                self._open_rooms[room] += 1
        if growth is not None and grows:
            self._telling.begin(delivery, growth)
        return Ticket(delivery, waited=True)

    def follow(self, accepted: Delivery) -> HandedDelivery:
        """The successor of a delivery that another process owns from now on.

        The owner is told how a stream that this process writes grows. If this process had handed
        the envelope over to itself, its caller has the successor already.
        """
        known = self._waiting.get(accepted.id)
        if known is not None:
            return known
        delivery = HandedDelivery.following(accepted)
        growth = delivery.growth
        delivery.wait_for(TAKEN, self._drafting.clock.now())
        self._waiting[delivery.handed_id] = delivery
        if growth is not None and growth.is_open and not growth.elsewhere:
            self._telling.begin(delivery, growth)
        self._handover.expect()
        return delivery

    def handed_for(self, _instance_id: str) -> HandoverWay | None:
        """Return the way itself: another process delivers for every account."""
        return self

    def hopeless(self, receipt: Receipt) -> InstanceSuspended | None:
        """The error that says not to wait for the account; None: the account may work.

        With `when_suspended = "wait"`, envelopes end `fatal` only if the account has never worked.
        """
        verdict, config = receipt.verdict, self._drafting.config
        if (
            verdict is None
            or receipt.disposition is not Disposition.FATAL
            or verdict.scope is not Scope.INSTANCE
            or config.when_suspended != "wait"
        ):
            return None
        return InstanceSuspended(instance_id=receipt.instance_id, why=str(verdict))

    def untaken(self, instance_id: str, room: str) -> bool:
        """Whether an envelope of the room was handed over and no owner has taken it yet."""
        return (instance_id, room) in self._open_rooms

    def unfinished(self) -> list[str]:
        """The ids of the handed-over envelopes about which this process needs news."""
        return list({**self._untaken, **self._waiting})

    def store(self) -> None:
        """The gateway closes: report all envelopes as stored; their owner goes on with them."""
        for delivery in list(self._waiting.values()):
            delivery.store()
        self._waiting.clear()

    def _taken(self, handed_id: str) -> None:
        """Note that an owner has taken the envelope, or that no owner will."""
        room = self._untaken.pop(handed_id, None)
        if room is not None:
            self._open_rooms[room] -= 1
            if not self._open_rooms[room]:
                del self._open_rooms[room]

    def _heard(self, news: News) -> None:
        if news.answered_at is not None or news.cancelled:
            self._taken(news.id)
        delivery = self._waiting.get(news.id)
        if delivery is None or not delivery.hear(news):
            return
        del self._waiting[news.id]
        envelope, receipt = delivery.envelope, delivery.receipt
        place = envelope.instance_id, envelope.external_room_id
        partition = self._drafting.partition_of(*place)
        account = self._drafting.registry.present(envelope.instance_id)
        if delivery.was_here:  # its next owner counts it
            return
        partition.handed -= 1
        if receipt is not None:
            partition.completion.dispositions[receipt.disposition] += 1
            if account is not None:
                account.counts.end(receipt, copied=False, member=False)
        elif account is not None and delivery.refused is not None:
            partition.accepted -= 1
            account.counts.accepted -= 1
            account.counts.refuse(delivery.refused)
