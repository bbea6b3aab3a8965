"""Makes drafts: envelopes that were checked and planned, but are not accepted yet.

This module waits only for the plan of a long text, and for an account that a source gives.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import attrs

from gateway_core.accounts.instance_state import InstanceState
from gateway_core.clock import SECOND, Clock
from gateway_core.config import GatewayConfig
from gateway_core.contract.envelopes import (
    Envelope,
    Json,
    KeyRef,
    Part,
    Priority,
    Send,
    Target,
)
from gateway_core.contract.errors import (
    GatewayClosed,
    IdempotencyConflict,
    InstanceSuspended,
    Invalid,
    Problem,
)
from gateway_core.contract.hookspecs import Level
from gateway_core.contract.ids import Ids, position_of
from gateway_core.deliveries.delays import delayed_until, in_order
from gateway_core.deliveries.delivery import Delivery
from gateway_core.deliveries.ending import SHED, Ending
from gateway_core.deliveries.growing.growth import Growth
from gateway_core.deliveries.growing.rewritten import State
from gateway_core.deliveries.idempotency import Known, fingerprint, scope_of, scope_of_key
from gateway_core.deliveries.remembered import Scope
from gateway_core.deliveries.turns import Turn
from gateway_core.engine.instances.instance_registry import InstanceRegistry
from gateway_core.engine.partition import Partition
from gateway_core.monitoring.observer import Observer
from gateway_core.outboxes.records import Request
from gateway_core.scheduling.classes import RANKS
from gateway_core.sourcing.sourcing import Sourcing
from gateway_core.submission.checks import checked
from gateway_core.submission.preview import accepted_as, moved_away, planned, planned_apart
from gateway_core.submission.tickets import Ticket

LONGEST_OPEN = 3600.0
"""Seconds for which a stream may be open."""


@attrs.define(eq=False)
class Draft:
    """An envelope on its way to acceptance.

    envelope     the envelope as policies made it; `asked`: as its caller handed it in
    begun        when `submit` was called, in engine nanoseconds; 0: nobody observes
    scope        where its idempotency key is unique; None: it has no key
    fingerprint  the fingerprint of its content; empty: it has no key
    priority     its class after the policies' vote; `rank` is the rank of that class
    changes      it has a target: a message that it may change
    ending       its ending at once, if policies voted to shed it; None: it goes on
    voted        policies were asked; False: another process owns its account, and asks its policies
    delay        POSIX time until which policies delay it; None: they do not
    level        the pressure at which it is accepted, without itself; None: the present pressure
    slot         on its way into an outbox, it holds a slot in memory as well
    growth       a stream's growing text
    called       when it began to wait, for a slot or the outbox; None: it has not waited
    turn         the turn in a group that it takes; None: it is not in a group
    files        digests of the stored bytes that it needs
    request      another process's request, which may have given it its id, and is answered by its
                 entry; None: there is no such request
    comes_in     called once no envelope that comes later can overtake it on its way into the outbox
    taken        another process or an application handed it over, with or without an id
    awaited      its caller waits for the end
    delivered    it has become a delivery of its own, and has not joined another one
    """

    envelope: Envelope
    asked: Envelope
    partition: Partition
    account: InstanceState
    plan: tuple[Part, ...]
    scope: Scope | None
    fingerprint: str
    begun: int
    priority: Priority
    rank: int
    changes: bool
    ending: Ending | None = None
    voted: bool = True
    delay: float | None = None
    level: Level | None = None
    slot: bool = False
    called: int | None = None
    growth: Growth | None = None
    turn: Turn | None = None
    files: tuple[str, ...] = ()
    request: Request | None = None
    comes_in: Callable[[], None] | None = None
    taken: bool = False
    awaited: bool = False
    delivered: bool = False

    @property
    def asked_room(self) -> str | None:
        """The room that its caller named, if it goes to another room; None: it does not."""
        room = self.asked.external_room_id
        return None if room == self.envelope.external_room_id else room

    def waits_from(self, now: int) -> int:
        """Note that it waits from now on, unless it waited before; returns since when it waits."""
        if self.called is None:
            self.called = now
        return self.called

    def reclass(self, priority: Priority) -> None:
        """Change its class to the one that a policy chose."""
        self.priority, self.rank = priority, RANKS[priority]


Found: TypeAlias = tuple[tuple[Part, ...], list[Problem]]
"""A plan, and its problems."""


@attrs.define(eq=False)
class Drafting:
    """What all ways of acceptance share: the checks, the policies' vote, making the delivery.

    source  brings in accounts when they are needed; None: all accounts are in memory
    """

    config: GatewayConfig
    clock: Clock
    observer: Observer
    partition_of: Callable[[str, str], Partition]
    registry: InstanceRegistry
    _ids: Ids
    closed: bool = attrs.field(default=False, init=False)
    source: Sourcing | None = attrs.field(default=None, init=False)

    @asynccontextmanager
    async def needing(self, instance_id: Any) -> AsyncIterator[bool]:
        """Keep an account in memory during the block; gives whether it was waited for.

        Raises `InstanceSourceError`, `GatewayClosed`, and `UnknownInstance` if there is a source.
        """
        source = self.source
        if source is None:
            yield False
            return
        waited = await source.use(instance_id)
        try:
            yield waited
        finally:
            source.leave(instance_id)

    async def bring(self, instance_id: Any) -> None:
        """Bring an account into memory, if a source has it; it stays as long as it may idle."""
        async with self.needing(instance_id):
            pass

    def next_id(self) -> str:
        """A new id, which sorts after all earlier ids."""
        return self._ids.next(self.clock.wall())

    def check_open(self) -> None:
        """Raises `GatewayClosed` if the gateway accepts nothing more."""
        if self.closed:
            raise GatewayClosed

    def rewrite(self, envelope: Envelope) -> tuple[Envelope, Envelope, InstanceState]:
        """The envelope as its caller handed it in, the envelope as policies made it, its account.

        Raises the reason if the envelope cannot be accepted at all.
        """
        self.check_open()
        asked = checked(envelope)
        account = self.account_for(asked.instance_id)
        return asked, accepted_as(account.hooks, account.instance, asked), account

    async def draft_long(
        self, asked: Envelope, envelope: Envelope, account: InstanceState, *, awaited: bool
    ) -> Draft:
        """Do what `draft` does for a long text, which is planned in a worker thread."""
        called, most = self.clock.now(), self.config.max_parts
        while True:
            instance = account.instance
            here = self.at_its_message(envelope)
            found = await planned_apart(account.hooks, instance, here, most)
            self.check_open()  # anything may have changed meanwhile
            account = self.account_for(asked.instance_id)
            if account.instance is instance:
                break
        draft = self.draft(asked, envelope, account, awaited=awaited, found=found)
        draft.called = called
        return draft

    def draft(
        self,
        asked: Envelope,
        envelope: Envelope,
        account: InstanceState,
        *,
        awaited: bool = False,
        found: Found | None = None,
    ) -> Draft:
        """Plan the envelope from `rewrite`. Raises the reason if it cannot be accepted at all.

        awaited  its caller waits for the end, which does not come if the account never works
        found    its plan and its problems, if they are known already
        """
        scope = None if asked.key is None else scope_of(asked)
        digest = "" if scope is None else fingerprint(asked)
        envelope = self.at_its_message(envelope)
        if found is None:
            found = planned(account.hooks, account.instance, envelope, self.config.max_parts)
        plan, problems = found
        if problems:
            raise Invalid(problems)
        self.check_suspension(account, awaited=awaited)
        partition = self.partition_of(envelope.instance_id, envelope.external_room_id)
        begun = self.clock.now() if self.observer.listens else 0
        priority = envelope.priority
        return Draft(
            envelope, asked, partition, account, plan, scope, digest, begun,
            priority, RANKS[priority], envelope.target is not None, awaited=awaited,
        )  # fmt: skip

    def at_its_message(self, envelope: Envelope) -> Envelope:
        """The envelope; a change by key gets the room to which policies moved its message.

        Raises `Invalid` if policies moved the change itself to another room.
        """
        if not isinstance(envelope.target, KeyRef):
            return envelope
        scope = scope_of_key(envelope.target)
        known = self.partition_of(scope[0], scope[1]).keys.named(scope, self.clock.now())
        room = None if known is None else known.room
        return envelope if room is None else _at(envelope, envelope.target, room)

    def place(self, draft: Draft, room: str) -> None:
        """Move a change by key to the room that its message is in. Raises `Invalid`."""
        envelope, target = draft.envelope, draft.envelope.target
        if target is None or room == envelope.external_room_id:
            return
        draft.envelope = _at(envelope, target, room)
        draft.partition = self.partition_of(envelope.instance_id, room)

    def grow(self, draft: Draft, growth: Growth) -> None:
        """Give the draft a stream's text, and let policies rewrite each state of the text."""
        draft.growth = growth
        text = getattr(draft.envelope, "text", "")
        self._ask_policies(growth, draft.asked, draft.account, text)

    def grow_on(self, delivery: Delivery, growth: Growth) -> None:
        """Let policies rewrite each state of a stream that a previous process run accepted."""
        account = self.registry.serving.get(delivery.envelope.instance_id)
        if account is not None and not growth.is_rewritten:
            self._ask_policies(growth, delivery.envelope, account, growth.written)

    def _ask_policies(
        self, growth: Growth, asked: Envelope, account: InstanceState, first: str
    ) -> None:
        hooks, instance = account.hooks, account.instance
        if "rewrite" not in hooks.served or not isinstance(asked, Send):
            return

        def rewrite(text: str, extra: Mapping[str, Json] | None) -> State:
            state = attrs.evolve(asked, text=text, extra=extra or {}, buttons=())
            made: Any = accepted_as(hooks, instance, state)
            return made.text, made.extra if made.extra or extra else extra

        growth.rewritten_by(rewrite, first)

    def account_for(self, instance_id: str) -> InstanceState:
        """The account, if its settings can be used. Raises the reason if not."""
        account = self.registry.serving.get(instance_id)
        if account is None:
            account = self.registry.account(instance_id)  # raises the reason
        if account.unfit:
            raise InstanceSuspended(instance_id=account.instance.id, why=account.unfit)
        return account

    def check_suspension(self, account: InstanceState, *, awaited: bool = False) -> None:
        """Raises `InstanceSuspended` if nothing is accepted for the account.

        awaited  as in `draft`
        """
        suspended = account.health.suspended
        if suspended is not None and (
            self.config.when_suspended == "refuse" or (awaited and self.is_hopeless(account))
        ):
            raise InstanceSuspended(instance_id=account.instance.id, why=str(suspended))

    def is_hopeless(self, account: InstanceState) -> bool:
        """Whether nobody should wait for the account's envelopes: the account has never worked."""
        return self.config.when_suspended == "wait" and account.is_hopeless

    def vote(self, draft: Draft) -> None:
        """Let policies vote to shed, delay or reclass the draft, before it waits for a slot."""
        hooks = draft.account.hooks
        if "admit" not in hooks.served:
            return
        vote, until = hooks.admit(draft.envelope, draft.partition.pressure())
        if vote == "shed":
            draft.ending = SHED
        elif vote is not None:
            draft.reclass(vote)
        wall, due = self.clock.wall(), draft.envelope.not_before
        if due is None or due <= wall:  # otherwise policies are asked again when it is due
            draft.delay = delayed_until(until, wall, wall)

    def free_slot(self, draft: Draft) -> None:
        """Give back the draft's slot in memory."""
        draft.partition.free_slot(draft.envelope, draft.rank)

    def look_up_account(self, draft: Draft, *, slot: bool) -> InstanceState:
        """Look up the draft's account again: the instance may have been taken out during a wait.

        slot  the draft has a slot in memory, which is given back before this raises
              `UnknownInstance`
        """
        instance_id = draft.envelope.instance_id
        account = self.registry.serving.get(instance_id)
        if account is None:
            if slot:
                self.free_slot(draft)
            account = self.registry.account(instance_id)  # raises the reason
        draft.account = account
        return account

    def deliver(
        self, draft: Draft, now: int, message_due: float | None = None
    ) -> tuple[Delivery, float]:
        """Make the delivery, which has the key from now on; also its time to live in seconds.

        message_due  when the message that it changes is due, if that message is spilled
        """
        envelope, partition = draft.envelope, draft.partition
        wall = self.clock.wall()
        due = envelope.not_before
        if due is not None and due <= wall:
            due = None
        if envelope.target is not None:
            of_message = partition.targets.due(envelope.target, now) or message_due
            if of_message is not None:
                due = max(of_message, due or 0.0)
        delay = None
        if draft.delay is not None or partition.delays.held:
            delay = self._delay_of(draft, due, wall)
            due = delay or due
        # The envelope may have become due during its wait for a slot.
        ttl = self._left(draft, envelope.not_before if due is None else due, now, wall)
        growth = draft.growth
        if growth is not None and (growth.is_open or not growth.elsewhere):
            ttl += LONGEST_OPEN  # the time to live counts from the end of the stream
        given, sequence = self._ids.next(wall), None
        request = draft.request
        if request is not None and request.envelope_id:  # the id given does not say the order
            given, sequence = request.envelope_id, position_of(given)
        delivery = (Delivery if draft.turn is None else draft.turn.delivery)(
            given,
            envelope,
            draft.plan,
            accepted_at=wall,
            deadline=now + round(ttl * SECOND),
            due=due,
            scope=draft.scope,
            priority=draft.priority,
            since=now,
            observed=self.observer.listens,
            pressure=draft.level or partition.gauge.level,
            growth=draft.growth,
            sequence=sequence,
        )
        draft.delivered = True
        if delay is not None:
            by_class = draft.turn is not None and draft.turn.by_class
            partition.delay(delivery, delay, draft.delay or 0.0, by_class=by_class)
        if draft.growth is not None:
            draft.growth.woken_by(lambda: partition.scheduler.grew(delivery, self.clock.now()))
        if draft.scope is not None:
            keys = partition.keys_of(draft.scope, envelope.external_room_id)
            keys.begin(draft.scope, delivery, draft.fingerprint, now)
        return delivery, ttl

    def _delay_of(self, draft: Draft, due: float | None, wall: float) -> float | None:
        """POSIX time until which the draft or its room is delayed; None: neither is."""
        envelope, until = draft.envelope, draft.delay
        if in_order(envelope) and due is None:
            place = envelope.instance_id, envelope.external_room_id
            until = max(until or 0.0, draft.partition.delays.until(place, wall))
        until = max(until or 0.0, due or 0.0) if until else 0.0
        return until if until > wall else None

    def deadline_of(self, draft: Draft, now: int) -> int:
        """The draft's deadline in engine nanoseconds, before it is accepted."""
        due = draft.envelope.not_before
        return now + round(self._left(draft, due, now, self.clock.wall()) * SECOND)

    def _left(self, draft: Draft, due: float | None, now: int, wall: float) -> float:
        """Seconds until the draft's deadline. A time to live counts from the call.

        The time to live of its class counts from when the envelope is due, if that is later.
        """
        envelope = draft.envelope
        if envelope.deadline is not None:
            return envelope.deadline - wall
        waited = (now - draft.called) / SECOND if draft.called is not None else 0.0
        if envelope.ttl is not None:
            return envelope.ttl - waited
        of_class: float = getattr(self.config.ttl, draft.priority)
        return of_class - waited if due is None else of_class + max(-waited, due - wall)

    def known(self, draft: Draft) -> Known | None:
        """What the draft's key already stands for in memory; None: nothing."""
        if draft.scope is None:
            return None
        keys = draft.partition.keys_of(draft.scope, draft.envelope.external_room_id)
        return keys.find(draft.scope, self.clock.now())

    def joined(self, draft: Draft, known: Known) -> Ticket:
        """A ticket of the envelope that has the key. Raises `IdempotencyConflict`."""
        envelope = draft.envelope
        if known.fingerprint != draft.fingerprint and envelope.on_conflict == "raise":
            raise IdempotencyConflict(key=str(envelope.key), envelope_id=known.envelope_id)
        if known.delivery is not None:
            return Ticket(known.delivery)
        assert known.receipt is not None  # noqa: S101 - a key stands for one of the two
        delivery = Delivery(known.envelope_id, envelope, ())
        delivery.replay(attrs.evolve(known.receipt, replayed=True))
        return Ticket(delivery)


def _at(change: Envelope, target: Target, room: str) -> Envelope:
    """The change, in its message's room. Raises `Invalid` if a policy moved it to another room."""
    if change.external_room_id == room:
        return change
    if change.external_room_id != target.external_room_id:
        raise Invalid([moved_away(change.external_room_id, room)])
    return attrs.evolve(change, external_room_id=room)
