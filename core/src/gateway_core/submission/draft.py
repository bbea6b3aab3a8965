"""A draft: an envelope that was checked and planned, but is not accepted yet.

This module waits for the plan of a long text, and for nothing else.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
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

    envelope     as policies made it; `asked`: as its caller handed it in
    begun        when `submit` was called, in engine nanoseconds; 0: nobody observes
    scope        where its idempotency key is unique; None: it has none
    fingerprint  of its content, where it has a key
    priority     its class, as policies left it; `rank` is that of the class
    changes      it concerns a message, which it may change
    ending       how it ends at once: policies voted to shed it; None: it goes on
    voted        they were asked; False: its account is another process's, whose policies vote
    delay        POSIX time until which policies delay it; None: they do not
    level        the pressure that it is accepted under, itself not counted; None: the present one
    slot         on its way into an outbox: it has a slot in memory as well
    growth       of a stream: its text, which grows
    called       when it began to wait, for a slot or the outbox; None: it has waited for nothing
    turn         whose turn in a group it takes; None: it stands alone
    files        digests of the stored bytes that it needs
    request      of another process, which gave it its id; None: this process accepts it by itself
    taken        another process or an application handed it over, with an id or without
    awaited      its caller waits for the end
    delivered    it has become a delivery of its own, and has joined no other
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
    taken: bool = False
    awaited: bool = False
    delivered: bool = False

    @property
    def asked_room(self) -> str | None:
        """The room that its caller named, where it goes to another; None: it goes there."""
        room = self.asked.external_room_id
        return None if room == self.envelope.external_room_id else room

    def waits_from(self, now: int) -> int:
        """It waits, from now on unless it did before; since when."""
        if self.called is None:
            self.called = now
        return self.called

    def reclass(self, priority: Priority) -> None:
        """A policy gives it another class."""
        self.priority, self.rank = priority, RANKS[priority]


Found: TypeAlias = tuple[tuple[Part, ...], list[Problem]]
"""A plan, and what is wrong with it."""


@attrs.define(eq=False)
class Drafting:
    """What both ways of acceptance share: the checks, the delivery, the policies' vote.

    source  brings in accounts as they are needed; None: all that there are are in memory
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
        """Have an account in memory during the block; whether it was waited for.

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
        """Have an account in memory, if a source has it: it stays for as long as it may idle."""
        async with self.needing(instance_id):
            pass

    def next_id(self) -> str:
        """A new id, which sorts after all of before."""
        return self._ids.next(self.clock.wall())

    def check_open(self) -> None:
        """Raises `GatewayClosed` if the gateway accepts nothing more."""
        if self.closed:
            raise GatewayClosed

    def rewrite(self, envelope: Envelope) -> tuple[Envelope, Envelope, InstanceState]:
        """The envelope as its caller handed it in, what policies made of it, and its account.

        Raises why it cannot be accepted at all.
        """
        self.check_open()
        asked = checked(envelope)
        account = self.account_for(asked.instance_id)
        return asked, accepted_as(account.hooks, account.instance, asked), account

    def refusal_of(self, asked: Envelope) -> Sequence[Problem]:
        """What the channel has against what policies make of an envelope; raises as `rewrite`."""
        asked, envelope, account = self.rewrite(asked)
        return account.hooks.validate(account.instance, envelope)

    async def draft_long(
        self, asked: Envelope, envelope: Envelope, account: InstanceState, *, awaited: bool
    ) -> Draft:
        """The same of a long text, which is planned beside the event loop."""
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
        """Plan what `rewrite` gave. Raises why it cannot be accepted at all.

        awaited  its caller waits for the end, which does not come if the account never works
        found    its plan and what is wrong with it, if that is known
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
        """The envelope; a change by key in the room to which policies moved its message.

        Raises `Invalid` where they moved the change itself to another one.
        """
        if not isinstance(envelope.target, KeyRef):
            return envelope
        scope = scope_of_key(envelope.target)
        known = self.partition_of(scope[0], scope[1]).keys.named(scope, self.clock.now())
        room = None if known is None else known.room
        return envelope if room is None else _at(envelope, envelope.target, room)

    def place(self, draft: Draft, room: str) -> None:
        """It is a change by key of a message that is in this room. Raises `Invalid`."""
        envelope, target = draft.envelope, draft.envelope.target
        if target is None or room == envelope.external_room_id:
            return
        draft.envelope = _at(envelope, target, room)
        draft.partition = self.partition_of(envelope.instance_id, room)

    def grow(self, draft: Draft, growth: Growth) -> None:
        """It is a stream's, and policies are asked about each state of it."""
        draft.growth = growth
        text = getattr(draft.envelope, "text", "")
        self._ask_policies(growth, draft.asked, draft.account, text)

    def grow_on(self, delivery: Delivery, growth: Growth) -> None:
        """The same of one that a previous process run accepted, and that goes on."""
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
        """The account, if its settings can be used. Raises why not."""
        account = self.registry.serving.get(instance_id)
        if account is None:
            account = self.registry.account(instance_id)  # raises the reason
        if account.unfit:
            raise InstanceSuspended(instance_id=account.instance.id, why=account.unfit)
        return account

    def check_suspension(self, account: InstanceState, *, awaited: bool = False) -> None:
        """Raises `InstanceSuspended` if nothing is accepted for the account; as `draft`."""
        suspended = account.health.suspended
        if suspended is not None and (
            self.config.when_suspended == "refuse" or (awaited and self.is_hopeless(account))
        ):
            raise InstanceSuspended(instance_id=account.instance.id, why=str(suspended))

    def is_hopeless(self, account: InstanceState) -> bool:
        """Whether nobody should wait for the account's envelopes: it has never worked."""
        return self.config.when_suspended == "wait" and account.is_hopeless

    def vote(self, draft: Draft) -> None:
        """Let the policies vote, before it waits for anything: shed it, delay it, or reclass it."""
        hooks = draft.account.hooks
        if "admit" not in hooks.served:
            return
        vote, until = hooks.admit(draft.envelope, draft.partition.pressure())
        if vote == "shed":
            draft.ending = SHED
        elif vote is not None:
            draft.reclass(vote)
        wall, due = self.clock.wall(), draft.envelope.not_before
        if due is None or due <= wall:  # else it is asked about again when it is due
            draft.delay = delayed_until(until, wall, wall)

    def free_slot(self, draft: Draft) -> None:
        """Give back its slot in memory."""
        draft.partition.free_slot(draft.envelope, draft.rank)

    def look_up_account(self, draft: Draft, *, slot: bool) -> InstanceState:
        """Its account, looked up again: the instance may have been taken out during a wait.

        slot  it has one, which is given back before this raises `UnknownInstance`
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
        """Its delivery, which has the key from now on, and its time to live in seconds.

        message_due  when the message that it changes is due, if that one is spilled
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
        # It may have become due during its wait for a slot.
        ttl = self._left(draft, envelope.not_before if due is None else due, now, wall)
        growth = draft.growth
        if growth is not None and (growth.is_open or not growth.elsewhere):
            ttl += LONGEST_OPEN  # it counts from the end of the stream
        given, sequence = self._ids.next(wall), None
        if draft.request is not None:  # its id says nothing of its order
            given, sequence = draft.request.envelope_id, position_of(given)
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
            partition.delay(delivery, delay, by_class=by_class)
        if draft.growth is not None:
            draft.growth.woken_by(lambda: partition.scheduler.grew(delivery, self.clock.now()))
        if draft.scope is not None:
            keys = partition.keys_of(draft.scope, envelope.external_room_id)
            keys.begin(draft.scope, delivery, draft.fingerprint, now)
        return delivery, ttl

    def _delay_of(self, draft: Draft, due: float | None, wall: float) -> float | None:
        """POSIX time until which it is delayed, or others of its room are; None: neither."""
        envelope, until = draft.envelope, draft.delay
        if in_order(envelope) and due is None:
            place = envelope.instance_id, envelope.external_room_id
            until = max(until or 0.0, draft.partition.delays.until(place, wall))
        until = max(until or 0.0, due or 0.0) if until else 0.0
        return until if until > wall else None

    def deadline_of(self, draft: Draft, now: int) -> int:
        """Its deadline in engine nanoseconds, before it is accepted."""
        due = draft.envelope.not_before
        return now + round(self._left(draft, due, now, self.clock.wall()) * SECOND)

    def _left(self, draft: Draft, due: float | None, now: int, wall: float) -> float:
        """Seconds until its deadline, or its time to live, which counts from the call.

        That of its class counts from when it is due, if that is later.
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
        """What its key stands for in memory already."""
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
    """The change in the room of its message. Raises `Invalid` if a policy moved it to another."""
    if change.external_room_id == room:
        return change
    if change.external_room_id != target.external_room_id:
        raise Invalid([moved_away(change.external_room_id, room)])
    return attrs.evolve(change, external_room_id=room)
