"""Accepts an envelope where there is an outbox: once the outbox has stored it.

This module waits: for a slot in the outbox, and for the outbox.
"""

from __future__ import annotations

from functools import partial

import trio

from gateway_core.backlog.pager import Pager
from gateway_core.contract.envelopes import CHANGES
from gateway_core.contract.errors import GatewayClosed, Overloaded
from gateway_core.contract.fast_init import fast_init
from gateway_core.deliveries.delivery import Delivery
from gateway_core.deliveries.ending import SHED
from gateway_core.outboxes.interface import Entry, Outbox
from gateway_core.submission.draft import Draft, Drafting
from gateway_core.submission.slots import take_slot_nowait
from gateway_core.submission.tickets import Ticket

_entry = fast_init(Entry)


class DurableWay:
    """Accepts envelopes into an outbox; those that find no slot in memory stay there alone."""

    def __init__(self, drafting: Drafting, outbox: Outbox, pager: Pager) -> None:
        self._drafting = drafting
        self._outbox = outbox
        self._pager = pager
        self._capacity = pager.capacity
        self._shed = drafting.config.shed
        self._appending: dict[str, trio.Event] = {}

    async def accept(self, draft: Draft, *, wait: bool) -> Ticket:
        """Accept it, join the one that has its key, or raise why not."""
        drafting, partition, asks = self._drafting, draft.partition, draft.scope is not None
        due = None
        if asks or isinstance(draft.envelope, CHANGES) or not self._capacity.take():
            due, joined = await self._enter(draft, wait=wait)
            if joined is not None:
                return joined
        else:  # nothing is waited for, so nothing can change meanwhile
            self._take_slot(draft)
        delivery, ttl = drafting.deliver(draft, drafting.clock.now(), due)
        asked = drafting.clock.now() if drafting.observer.listens else 0
        try:
            entry = self._entry(draft, delivery, ttl)
            await self._outbox.append(entry, partial(self._stored, draft, delivery))
        except BaseException as error:
            self._take_back(draft, delivery, error)
            raise
        finally:
            if asks:
                self._appending.pop(delivery.id).set()
        drafting.observer.accepted(delivery, draft.account, partition.index, draft.begun, asked)
        return Ticket(delivery, waited=True)

    # -- to a slot

    async def _enter(self, draft: Draft, *, wait: bool) -> tuple[float | None, Ticket | None]:
        """Get slots for an envelope that has to wait, or to ask what the outbox knows of it.

        When the spilled message that it changes is due, and the ticket that it joins, which needs
        no slot.
        """
        held = self._capacity.take()
        try:
            due, joined = await self._found(draft)
            if joined is None and not held:
                await self._wait_for_capacity(draft, wait=wait)
                held = True
                self._drafting.check_open()
                due, joined = await self._found(draft)
            while joined is None:
                self._take_slot(draft)
                if self._drafting.known(draft) is None:
                    self._drafting.look_up_account(draft, slot=draft.slot)
                    return due, None
                if draft.slot:  # somebody used the key meanwhile
                    draft.partition.free_slot(draft.envelope)
                joined = await self._joined(draft)
        except BaseException:
            if held:
                self._capacity.let_go()
            raise
        if held:
            self._capacity.let_go()
        return due, joined

    def _take_slot(self, draft: Draft) -> None:
        """Take a slot in memory, if there is one."""
        draft.slot = take_slot_nowait(draft.partition, draft.envelope, shed=self._shed) is None
        if draft.slot:
            draft.partition.measure()

    async def _wait_for_capacity(self, draft: Draft, *, wait: bool) -> None:
        """Wait until a slot in the outbox is held. Raises `Overloaded` instead, if not `wait`."""
        if not wait:
            raise Overloaded(
                bound_of="the outbox",
                pressure="saturated",
                depth=self._capacity.unfinished,
                bound=self._drafting.config.outbox_capacity,
                retry_in=draft.partition.estimate(),
            )
        await self._capacity.slot()

    # -- its message, and its key

    async def _found(self, draft: Draft) -> tuple[float | None, Ticket | None]:
        """When the spilled message that it changes is due, and the ticket that it joins."""
        due = joined = None
        if isinstance(draft.envelope, CHANGES):
            due = await self._pager.spilled.recall(draft.partition, draft.envelope)
        if draft.scope is not None:
            joined = await self._joined(draft)
        return due, joined

    async def _joined(self, draft: Draft) -> Ticket | None:
        """The ticket of the envelope that has this key already, once the outbox has that one."""
        while draft.scope is not None:
            known = self._drafting.known(draft)
            if known is None:
                known = await self._pager.spilled.known(draft.partition, draft.scope)
            if known is None:
                break
            appended = self._appending.get(known.envelope_id)
            if appended is None:
                return self._drafting.joined(draft, known)
            await appended.wait()
        return None

    # -- into the outbox

    def _entry(self, draft: Draft, delivery: Delivery, ttl: float) -> Entry:
        """What the outbox is to store. Raises `GatewayClosed` if it stores nothing more."""
        if draft.scope is not None:
            self._appending[delivery.id] = trio.Event()
        self._capacity.coming(delivery.id)
        trace = self._drafting.observer.submitted(
            delivery, draft.account, draft.partition.index, draft.begun
        )
        self._drafting.check_open()
        return _entry(
            id=delivery.id,
            envelope=draft.envelope,
            plan=tuple(delivery.plan),
            accepted_at=delivery.accepted_at,
            deadline=delivery.accepted_at + ttl,
            fingerprint=draft.fingerprint,
            due=delivery.due,
            trace=trace,
        )

    def _stored(self, draft: Draft, delivery: Delivery) -> None:
        """The outbox has stored it: policies vote, and from here on it is accepted."""
        drafting, pager, partition = self._drafting, self._pager, draft.partition
        if drafting.closed:
            raise GatewayClosed
        # Another one now, if the instance was taken out and in again meanwhile.
        account = drafting.look_up_account(draft, slot=False)
        vote = drafting.vote(draft, delivery)
        self._capacity.came(delivery.id, accepted=True)
        if vote is not None and vote != "shed":
            ttl = drafting.give_class(delivery, vote)
            self._outbox.classed(delivery.id, vote, drafting.clock.wall() + ttl)
        shed = vote == "shed"
        if not shed and (not draft.slot or pager.must_wait(delivery, account)):
            if draft.slot:
                partition.free_slot(delivery.envelope)
            if delivery.scope is not None:
                partition.keys.forget(delivery.scope)  # the outbox knows it
            pager.leave(delivery)
        elif draft.slot:
            partition.enqueuer.accept(delivery, account, drafting.clock.now(), shed=shed)
        else:
            partition.accepted += 1
            account.counts.accepted += 1
            partition.completion.complete_spilled(delivery, account, SHED, account.hooks)

    def _take_back(self, draft: Draft, delivery: Delivery, error: BaseException) -> None:
        """It was not accepted after all and leaves no trace; nobody waits for it."""
        self._capacity.came(delivery.id, accepted=False)
        self._outbox.withdraw(delivery.id)
        if delivery.scope is not None:
            draft.partition.keys.forget(delivery.scope)
        if draft.slot:
            draft.partition.free_slot(draft.envelope)
        delivery.notify()
        self._drafting.observer.taken_back(delivery, error)
