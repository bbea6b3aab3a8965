"""Takes turns: makes a member of a group an accepted envelope, through an outbox or in memory.

This module waits: for the outbox, and for the plan of a long text. If there is no slot for a
member, it has no turn yet.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Protocol, TypeAlias

import attrs
import trio

from gateway_core.accounts.instance_state import InstanceState
from gateway_core.backlog.pager import Pager
from gateway_core.contract.envelopes import Disposition, Envelope, Part, Priority, Send
from gateway_core.contract.errors import GatewayClosed, HookContractError, Invalid, Problem, Refused
from gateway_core.contract.verdicts import ErrorClass, Reason, Verdict
from gateway_core.deliveries.delivery import Delivery
from gateway_core.deliveries.ending import Ending, broken_by
from gateway_core.deliveries.turns import Turn
from gateway_core.engine.partition import Partition
from gateway_core.files.many import digests_of
from gateway_core.groups.memory import MemoryGroups
from gateway_core.outboxes.interface import Outbox
from gateway_core.outboxes.records import Group, Member
from gateway_core.scheduling.classes import RANKS
from gateway_core.submission.draft import Draft, Drafting
from gateway_core.submission.durable import DurableWay
from gateway_core.submission.in_memory import InMemoryWay
from gateway_core.submission.preview import is_long, planned, planned_apart

_Found: TypeAlias = tuple[tuple[Part, ...], Ending | None]
"""A plan, or how its member ends."""


class Taking(Protocol):
    """Lets members have their turns, and failed members another turn."""

    def owns(self, account: InstanceState) -> bool:
        """Whether members of the account have their turn here."""
        ...

    async def take(
        self, group: Group, number: int, member: Member, on_begin: Callable[[Delivery], None]
    ) -> Delivery | None:
        """The member's delivery; None: there is no slot for it now. Raises `OutboxError`."""
        ...

    async def retry(self, group: Group) -> int:
        """Mark its failures to be tried again; returns how many they are. Raises `OutboxError`."""
        ...

    async def reopen(self, group: Group, after: str, limit: int) -> tuple[str, list[Delivery]]:
        """Let some of these go on, after the id `after`; returns the last of their ids.

        An empty id: there were none.
        """
        ...


@attrs.define(eq=False)
class Drafts:
    """Makes drafts of members."""

    _drafting: Drafting

    async def plan_long(self, group: Group, member: Member) -> _Found | None:
        """The plan of a member's own long text, made beside the event loop; None: it has none."""
        if member.envelope is None or not is_long(member.envelope):
            return None
        envelope = envelope_of(group, member)
        place = self._place_of(envelope, group.priority or envelope.priority)
        if place is None:
            return None
        account, most = place[0], self._drafting.config.max_parts
        try:
            found = await planned_apart(account.hooks, account.instance, envelope, most)
        except HookContractError as error:
            return (), broken_by(error)
        return _or_ending(*found)

    def draft(
        self,
        group: Group,
        number: int,
        member: Member,
        on_begin: Callable[[Delivery], None],
        found: _Found | None = None,
    ) -> Draft | None:
        """The member's draft; None: there is no slot for it now, or its account is not there.

        found  what `plan_long` found
        """
        drafting, envelope = self._drafting, envelope_of(group, member)
        with suppress(Invalid):  # a change that policies moved elsewhere ends where it is
            envelope = drafting.at_its_message(envelope)
        priority = group.priority or envelope.priority
        place = self._place_of(envelope, priority)
        if place is None:
            return None
        account, partition = place
        plan, ending = group.plan, None
        if member.envelope is not None:
            plan, ending = found or self._planned(account, envelope)
        asked = envelope
        if member.asked_room is not None:
            asked = attrs.evolve(envelope, external_room_id=member.asked_room)
        begun = drafting.clock.now() if drafting.observer.listens else 0
        deadline = group.deadline if envelope.deadline is None else envelope.deadline
        return Draft(
            envelope, asked, partition, account, plan, None, "", begun,
            priority, RANKS[priority], envelope.target is not None,
            ending=ending,
            turn=Turn(
                group_id=group.id, number=number, accepted_at=group.accepted_at,
                deadline=deadline, on_begin=on_begin, files=digests_of(envelope),
                by_class=_is_by_class(group, member),
            ),
        )  # fmt: skip

    def _place_of(
        self, envelope: Envelope, priority: Priority
    ) -> tuple[InstanceState, Partition] | None:
        """The envelope's account and partition; None: there is no slot now, or no account."""
        instance_id, room = envelope.instance_id, envelope.external_room_id
        account = self._drafting.registry.serving.get(instance_id)
        if account is None:
            return None
        partition = self._drafting.partition_of(instance_id, room)
        full = partition.admission.full(instance_id, room, RANKS[priority])
        return None if full is not None and full.key[0] != "room" else (account, partition)

    def _planned(self, account: InstanceState, envelope: Envelope) -> _Found:
        """The plan, or an ending: settings may have changed since the group was accepted."""
        most = self._drafting.config.max_parts
        try:
            found = planned(account.hooks, account.instance, envelope, most)
        except HookContractError as error:
            return (), broken_by(error)
        return _or_ending(*found)


def _or_ending(plan: tuple[Part, ...], problems: Sequence[Problem]) -> _Found:
    """The plan; or, if there are problems, the ending `rejected`."""
    if not problems:
        return plan, None
    verdict = Verdict(
        error_class=ErrorClass.NON_RETRYABLE,
        reason=Reason.BAD_REQUEST,
        dispatched="no",
        raw="; ".join(map(str, problems)),
    )
    return (), Ending(Disposition.REJECTED, verdict)


def _is_by_class(group: Group, member: Member) -> bool:
    """Whether the member's deadline comes from its class, and not from its caller."""
    own, template = member.envelope, group.template
    return template.ttl is template.deadline is None and (own is None or own.deadline is None)


def envelope_of(group: Group, member: Member) -> Envelope:
    """The envelope that the member sends, without a key and a time: the group has these."""
    own = member.envelope
    if own is not None and own.deadline is not None:
        return own
    if isinstance(own, Send):  # the template as policies changed it for this room
        return _sent(own, own.external_room_id, group.deadline)
    return _sent(group.template, member.room, group.deadline)


def _sent(template: Send, room: str, deadline: float) -> Send:
    return attrs.evolve(
        template, external_room_id=room, key=None, ttl=None, not_before=None, deadline=deadline
    )


@attrs.define(eq=False)
class DurableTaking(Drafts):
    """Takes turns in the outbox, in the write that stores the envelope."""

    _way: DurableWay
    _outbox: Outbox
    _pager: Pager

    def owns(self, account: InstanceState) -> bool:
        """Whether this process owns the account; another owner feeds its groups itself."""
        return self._pager.accounts.owns(account)

    async def take(
        self, group: Group, number: int, member: Member, on_begin: Callable[[Delivery], None]
    ) -> Delivery | None:
        """Take the member's turn as `Taking` says.

        None as well while the account's backlog is loaded: the member would only join its end.
        """
        template = group.template
        if template.order != "none" and self._pager.is_loading(template.instance_id):
            return None
        long = await self.plan_long(group, member)
        draft = self.draft(group, number, member, on_begin, long)
        if draft is None:
            return None
        try:
            ticket = await self._way.accept(draft, wait=False)
        except GatewayClosed:
            raise
        except Refused:  # there is no slot, or its account was taken out meanwhile
            return None
        return ticket._delivery  # noqa: SLF001 - a ticket is this project's own

    async def retry(self, group: Group) -> int:
        """Mark the failures in the outbox."""
        return await self._outbox.retry(group.id)

    async def reopen(self, group: Group, after: str, limit: int) -> tuple[str, list[Delivery]]:
        """Make members unfinished again, each by itself; they go on with the first missing part."""
        last, stored = await self._outbox.reopen(group.id, after=after, limit=limit)
        found = [self._pager.reopened(each) for each in stored]
        return last, [delivery for delivery in found if delivery is not None]


@attrs.define(eq=False)
class MemoryTaking(Drafts):
    """Takes turns in memory."""

    _way: InMemoryWay
    _groups: MemoryGroups

    def owns(self, _account: InstanceState) -> bool:
        """Always: there is no other process."""
        return True

    async def take(
        self, group: Group, number: int, member: Member, on_begin: Callable[[Delivery], None]
    ) -> Delivery | None:
        """Take the turn as `Taking` says; a room's own bound keeps no other room waiting."""
        long = await self.plan_long(group, member)
        found = self._groups.get(group.id)
        draft = self.draft(found.group, number, member, on_begin, long)
        if draft is None or not found.take(number):
            return None
        delivery = self._way.accept_member(draft)
        if number in found.unsure:
            delivery.may_be_there()
        ended = partial(self._ended, group.id, number, delivery)
        if delivery.receipt is not None:
            ended()
        else:
            delivery.on_end(ended)
        return delivery

    def _ended(self, group_id: str, number: int, delivery: Delivery) -> None:
        if delivery.receipt is not None:
            self._groups.end(group_id, number, delivery.receipt)

    async def retry(self, group: Group) -> int:
        """Let the turns of all failures come again."""
        await trio.lowlevel.checkpoint()
        return self._groups.get(group.id).retry(self._drafting.clock.wall())

    async def reopen(self, group: Group, after: str, limit: int) -> tuple[str, list[Delivery]]:
        """Do nothing: `retry` has done all of it."""
        del group, after, limit
        await trio.lowlevel.checkpoint()
        return "", []
