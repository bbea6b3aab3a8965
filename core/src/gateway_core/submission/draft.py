"""A draft: an envelope that was checked and planned, but is not accepted yet. Never waits."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from gateway_core.accounts.instance_state import InstanceState
from gateway_core.clock import SECOND, Clock
from gateway_core.config import GatewayConfig
from gateway_core.contract.envelopes import Envelope, Part, Priority
from gateway_core.contract.errors import (
    GatewayClosed,
    IdempotencyConflict,
    InstanceSuspended,
    Invalid,
)
from gateway_core.contract.hookspecs import Level
from gateway_core.contract.ids import Ids
from gateway_core.deliveries.delivery import Delivery
from gateway_core.deliveries.ending import SHED, Ending
from gateway_core.deliveries.growing.growth import Growth
from gateway_core.deliveries.idempotency import Known, fingerprint, scope_of
from gateway_core.deliveries.remembered import Scope
from gateway_core.deliveries.turns import Turn
from gateway_core.engine.instance_registry import InstanceRegistry
from gateway_core.engine.partition import Partition
from gateway_core.monitoring.observer import Observer
from gateway_core.scheduling.classes import RANKS
from gateway_core.submission.checks import checked
from gateway_core.submission.preview import planned
from gateway_core.submission.tickets import Ticket

LONGEST_OPEN = 3600.0
"""Seconds for which a stream may be open."""


@attrs.define(eq=False)
class Draft:
    """An envelope on its way to acceptance.

    begun        when `submit` was called, in engine nanoseconds; 0: nobody observes
    scope        where its idempotency key is unique; None: it has none
    fingerprint  of its content, where it has a key
    priority     its class, as policies left it; `rank` is that of the class
    changes      it concerns a message, which it may change
    ending       how it ends at once: policies voted to shed it; None: it goes on
    voted        they were asked; False: its account is another process's, whose policies vote
    level        the pressure that it is accepted under, itself not counted; None: the present one
    slot         on its way into an outbox: it has a slot in memory as well
    growth       of a stream: its text, which grows
    called       when it began to wait, for a slot or the outbox; None: it has waited for nothing
    turn         whose turn in a group it takes; None: it stands alone
    """

    envelope: Envelope
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
    level: Level | None = None
    slot: bool = False
    called: int | None = None
    growth: Growth | None = None
    turn: Turn | None = None

    def reclass(self, priority: Priority) -> None:
        """A policy gives it another class."""
        self.priority, self.rank = priority, RANKS[priority]


@attrs.define(eq=False)
class Drafting:
    """What both ways of acceptance share: the checks, the delivery, the policies' vote."""

    config: GatewayConfig
    clock: Clock
    observer: Observer
    partition_of: Callable[[str, str], Partition]
    registry: InstanceRegistry
    _ids: Ids
    closed: bool = attrs.field(default=False, init=False)

    def next_id(self) -> str:
        """A new id, which sorts after all of before."""
        return self._ids.next(self.clock.wall())

    def check_open(self) -> None:
        """Raises `GatewayClosed` if the gateway accepts nothing more."""
        if self.closed:
            raise GatewayClosed

    def draft(self, envelope: Envelope, *, awaited: bool = False) -> Draft:
        """Check and plan the envelope. Raises why it cannot be accepted at all.

        awaited  its caller waits for the end, which does not come if the account never works
        """
        self.check_open()
        envelope = checked(envelope)
        account = self.account_for(envelope.instance_id)
        plan, problems = planned(account.hooks, account.instance, envelope, self.config.max_parts)
        if problems:
            raise Invalid(problems)
        self.check_suspension(account, awaited=awaited)
        partition = self.partition_of(envelope.instance_id, envelope.external_room_id)
        scope = None if envelope.key is None else scope_of(envelope)
        digest = "" if scope is None else fingerprint(envelope)
        begun = self.clock.now() if self.observer.listens else 0
        priority = envelope.priority
        return Draft(
            envelope, partition, account, plan, scope, digest, begun,
            priority, RANKS[priority], envelope.target is not None,
        )  # fmt: skip

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
        """Let the policies vote, before it waits for anything: shed it, or change its class."""
        hooks = draft.account.hooks
        if "admit" not in hooks.served:
            return
        vote = hooks.admit(draft.envelope, draft.partition.pressure())
        if vote == "shed":
            draft.ending = SHED
        elif vote is not None:
            draft.reclass(vote)

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
        # It may have become due during its wait for a slot.
        ttl = self._left(draft, envelope.not_before if due is None else due, now, wall)
        if draft.growth is not None:
            ttl += LONGEST_OPEN  # it counts from the end of the stream
        delivery = (Delivery if draft.turn is None else draft.turn.delivery)(
            self._ids.next(wall),
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
        )
        if draft.growth is not None:
            draft.growth.woken_by(lambda: partition.scheduler.grew(delivery, self.clock.now()))
        if draft.scope is not None:
            partition.keys.begin(draft.scope, delivery, draft.fingerprint, now)
        return delivery, ttl

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
        return draft.partition.keys.find(draft.scope, self.clock.now())

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
