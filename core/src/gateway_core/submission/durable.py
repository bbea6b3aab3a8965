"""Accepts an envelope through an outbox, once the outbox has stored it.

This module waits for a slot in the outbox, and for the outbox.
"""

from __future__ import annotations

from functools import partial

import trio

from gateway_core.backlog.pager import Pager
from gateway_core.clock import SECOND
from gateway_core.contract.errors import GatewayClosed, OutboxError
from gateway_core.contract.fast_init import fast_init
from gateway_core.deliveries.delivery import Delivery
from gateway_core.outboxes.interface import Outbox
from gateway_core.outboxes.journal import report
from gateway_core.outboxes.records import Entry
from gateway_core.scheduling.classes import RANKS
from gateway_core.submission.draft import Draft, Drafting
from gateway_core.submission.slots import take_slot_nowait, wait_in_outbox
from gateway_core.submission.tickets import Ticket

_entry = fast_init(Entry)


class DurableWay:
    """Accepts envelopes into an outbox; those without a slot in memory stay only in the outbox."""

    def __init__(self, drafting: Drafting, outbox: Outbox, pager: Pager) -> None:
        self._drafting = drafting
        self._outbox = outbox
        self._pager = pager
        self._capacity = pager.capacity
        self._shed = drafting.config.shed
        self._appending: dict[str, trio.Event] = {}

    def handed_for(self, _instance_id: str) -> None:
        """Return None: this process accepts for every account."""

    async def accept(self, draft: Draft, *, wait: bool) -> Ticket:
        """Accept the draft, join the envelope that has its key, or raise the reason why not."""
        if not self._pager.accounts.is_read(draft.account.instance.id):
            await self._until_read(draft)
        return await self._accept(draft, wait=wait)

    async def _accept(self, draft: Draft, *, wait: bool) -> Ticket:
        drafting, asks = self._drafting, draft.scope is not None
        due = joined = None
        if asks or draft.changes:
            draft.waits_from(drafting.clock.now())
            due, joined = await self._found(draft)
        if joined is None:
            if self._pager.accounts.owns(draft.account):
                drafting.vote(draft)
            else:
                draft.voted = False
            if not self._capacity.take(draft.rank):
                due, joined = await self._wait_for_capacity(draft, wait=wait)
        if joined is None:
            self._take_slot(draft)
            if draft.called is not None:  # it has waited, so anything may have changed
                joined = await self._joined_after_all(draft)
        if joined is not None:
            return joined
        delivery, ttl = drafting.deliver(draft, drafting.clock.now(), due)
        asked = drafting.clock.now() if drafting.observer.listens else 0
        appending, instance_id = self._pager.accounts.moving.appending, draft.account.instance.id
        appending[instance_id] += 1
        try:
            entry = self._entry(draft, delivery, ttl)
            await self._outbox.append(entry, partial(self._stored, draft, delivery))
        except BaseException as error:
            self._take_back(draft, delivery, error)
            raise
        finally:
            appending[instance_id] -= 1
            if asks:
                self._appending.pop(delivery.id).set()
        index = draft.partition.index
        drafting.observer.accepted(delivery, draft.account, index, draft.begun, asked)
        return Ticket(delivery, waited=True)

    async def _until_read(self, draft: Draft) -> None:
        """Wait until what a previous run delayed or scheduled is known, and what is due is in."""
        drafting = self._drafting
        now = drafting.clock.now()
        draft.waits_from(now)
        with trio.move_on_after((drafting.deadline_of(draft, now) - now) / SECOND):
            await self._pager.accounts.until_read(draft.account.instance.id)
        drafting.check_open()

    # -- slots

    def _take_slot(self, draft: Draft) -> None:
        """Take a slot in memory, if there is one."""
        partition, envelope = draft.partition, draft.envelope
        instance_id, room = envelope.instance_id, envelope.external_room_id
        draft.level = partition.gauge.level
        full = take_slot_nowait(partition, instance_id, room, draft.rank, shed=self._shed)
        draft.slot = full is None
        if draft.slot:
            partition.measure()

    async def _wait_for_capacity(
        self, draft: Draft, *, wait: bool
    ) -> tuple[float | None, Ticket | None]:
        """Wait until the draft holds a slot in the outbox, or raise `Overloaded` if not `wait`.

        Returns what `_found` returns. A draft that joins another envelope gives back its slot.
        """
        if not self._pager.accounts.has(instance_id := draft.account.instance.id):
            raise OutboxError(f"account {instance_id} belongs to another process now")
        await wait_in_outbox(self._capacity, draft, self._drafting, wait=wait)
        try:
            due, joined = await self._found(draft)
        except BaseException:
            self._let_go(draft)
            raise
        if joined is not None:
            self._let_go(draft)
        return due, joined

    def _let_go(self, draft: Draft) -> None:
        """Give back the draft's slot in the outbox."""
        self._capacity.let_go(draft.rank, self._drafting.clock.now())

    async def _joined_after_all(self, draft: Draft) -> Ticket | None:
        """The ticket of an envelope that took the draft's key meanwhile; None: there is none.

        A draft that joins another envelope gives back its slots.
        """
        drafting = self._drafting
        try:
            while drafting.known(draft) is not None:
                if draft.slot:
                    drafting.free_slot(draft)
                    draft.slot = False
                joined = await self._joined(draft)
                if joined is not None:
                    self._let_go(draft)
                    return joined
                self._take_slot(draft)
            drafting.look_up_account(draft, slot=draft.slot)
        except BaseException:
            self._let_go(draft)
            raise
        return None

    # -- the draft's message and key

    async def _found(self, draft: Draft) -> tuple[float | None, Ticket | None]:
        """When the spilled message to change is due, and the ticket of the envelope to join."""
        due = joined = None
        if (target := draft.envelope.target) is not None:
            spilled = self._pager.spilled
            room = await spilled.room_of(draft.partition, target)
            if room is not None:
                self._drafting.place(draft, room)
            due = await spilled.recall(draft.partition, draft.envelope.target or target)
        if draft.scope is not None:
            joined = await self._joined(draft)
        return due, joined

    async def _joined(self, draft: Draft) -> Ticket | None:
        """The ticket of the envelope that has the draft's key already, once it is stored."""
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
        """The entry to store. Raises `GatewayClosed` if the gateway accepts nothing more.

        Raises `OutboxError` if the account has moved to another process meanwhile.
        """
        if draft.scope is not None:
            self._appending[delivery.id] = trio.Event()
        self._capacity.coming(delivery.id, draft.rank)
        trace = self._drafting.observer.submitted(
            delivery, draft.account, draft.partition.index, draft.begun
        )
        self._drafting.check_open()
        self._check_here(draft)
        if draft.comes_in is not None:  # the append takes its place before it waits
            draft.comes_in()
        turn = draft.turn
        accepted_at, deadline = delivery.accepted_at, delivery.accepted_at + ttl
        if turn is not None:
            accepted_at, deadline = turn.accepted_at, turn.deadline
            if delivery.delayed:
                left = delivery.deadline - self._drafting.clock.now()
                deadline = max(deadline, delivery.accepted_at + left / SECOND)
        return _entry(
            id=delivery.id,
            envelope=self._pager.accounts.as_stored(draft.envelope),
            plan=draft.plan,
            accepted_at=accepted_at,
            deadline=deadline,
            priority=None if draft.priority == draft.envelope.priority else draft.priority,
            fingerprint=draft.fingerprint,
            due=delivery.due,
            trace=trace,
            voted=draft.voted,
            member=None if turn is None else turn.member,
            files=draft.files if turn is None else turn.files,
            asked_room=draft.asked_room,
            sequence=delivery.given_sequence,
            request=None if draft.request is None else draft.request.number,
            after=0 if draft.request is None else draft.request.after,
        )

    def _check_here(self, draft: Draft) -> None:
        """Raises `OutboxError` if the account has moved to another process meanwhile.

        A former owner may own the account again. It receives the request again then, unless another
        process has stored its envelope, which must not be taken for one that only comes.
        """
        instance_id, requests = draft.account.instance.id, self._pager.requests
        self._pager.accounts.check_here(instance_id)
        if draft.request is not None and not requests.is_current(draft.request):
            raise OutboxError(f"account {instance_id} was another process's meanwhile")

    def _stored(self, draft: Draft, delivery: Delivery) -> None:
        """The outbox has stored the envelope: from here on it is accepted."""
        drafting, pager, partition = self._drafting, self._pager, draft.partition
        if drafting.closed:
            raise GatewayClosed
        account = draft.account
        if drafting.registry.serving.get(account.instance.id) is not account:
            # If the instance was taken out and in again meanwhile, it has a new account state.
            account = drafting.look_up_account(draft, slot=False)
        self._capacity.came(delivery.id, account.instance.id, RANKS[delivery.priority])
        if draft.changes:
            pager.place(delivery)
        ending = draft.ending
        if ending is None and (not draft.slot or pager.must_wait(delivery, account)):
            if draft.slot:
                drafting.free_slot(draft)
            if delivery.scope is not None:
                partition.keys_of(delivery.scope).forget(delivery.scope)  # the outbox has the key
            pager.leave(delivery)
        elif draft.slot:
            partition.enqueuer.accept(delivery, account, drafting.clock.now(), ending)
        elif ending is not None:
            partition.accepted += 1
            account.counts.accepted += 1
            partition.completion.complete_spilled(delivery, account, ending, account.hooks)

    def _take_back(self, draft: Draft, delivery: Delivery, error: BaseException) -> None:
        """Undo what was done for an envelope that was not accepted; nobody waits for it."""
        draft.partition.delay_ends(delivery)
        now, asked = self._drafting.clock.now(), draft.request is not None
        self._capacity.failed(delivery.id, now, elsewhere=asked)
        # After an `OutboxError` the outbox has not stored the envelope. If another process asked
        # for the envelope and the outbox stored it, that process has its answer: the next owner
        # goes on with the envelope, as this gateway is closing.
        if not isinstance(error, OutboxError) and not asked:
            report(self._outbox.withdraw, delivery.id)
        if delivery.scope is not None:
            draft.partition.keys_of(delivery.scope).forget(delivery.scope)
        if draft.slot:
            self._drafting.free_slot(draft)
        delivery.notify()
        self._drafting.observer.taken_back(delivery, error)
