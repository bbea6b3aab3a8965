"""A draft: an envelope that was checked and planned, but is not accepted yet. Never waits."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from gateway_core.accounts.instance_state import InstanceState
from gateway_core.clock import SECOND, Clock
from gateway_core.config import GatewayConfig
from gateway_core.contract.envelopes import CHANGES, Envelope, Part, Priority
from gateway_core.contract.errors import (
    GatewayClosed,
    IdempotencyConflict,
    InstanceSuspended,
    Invalid,
)
from gateway_core.contract.hookspecs import Vote
from gateway_core.contract.ids import Ids
from gateway_core.deliveries.delivery import Delivery
from gateway_core.deliveries.idempotency import Known, Scope, fingerprint, scope_of
from gateway_core.engine.instance_registry import InstanceRegistry
from gateway_core.engine.partition import Partition
from gateway_core.monitoring.observer import Observer
from gateway_core.submission.checks import problems_of
from gateway_core.submission.preview import planned
from gateway_core.submission.tickets import Ticket


@attrs.define(eq=False)
class Draft:
    """An envelope on its way to acceptance.

    begun        when `submit` was called, in engine nanoseconds
    scope        where its idempotency key is unique; None: it has none
    fingerprint  of its content, where it has a key
    slot         on its way into an outbox: it has a slot in memory as well
    """

    envelope: Envelope
    partition: Partition
    account: InstanceState
    plan: tuple[Part, ...]
    scope: Scope | None
    fingerprint: str
    begun: int
    slot: bool = False


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

    def check_open(self) -> None:
        """Raises `GatewayClosed` if the gateway accepts nothing more."""
        if self.closed:
            raise GatewayClosed

    def draft(self, envelope: Envelope) -> Draft:
        """Check and plan the envelope. Raises why it cannot be accepted at all."""
        self.check_open()
        problems = problems_of(envelope)
        if problems:
            raise Invalid(problems)
        account = self.registry.serving.get(envelope.instance_id)
        if account is None:
            account = self.registry.account(envelope.instance_id)  # raises the reason
        if account.unfit:
            raise InstanceSuspended(instance_id=account.instance.id, why=account.unfit)
        plan, problems = planned(account.hooks, account.instance, envelope, self.config.max_parts)
        if problems:
            raise Invalid(problems)
        suspended = account.health.suspended
        if suspended is not None and self.config.when_suspended == "refuse":
            raise InstanceSuspended(instance_id=account.instance.id, why=str(suspended))
        partition = self.partition_of(envelope.instance_id, envelope.external_room_id)
        scope = None if envelope.key is None else scope_of(envelope)
        digest = "" if scope is None else fingerprint(envelope)
        begun = self.clock.now() if self.observer.listens else 0
        return Draft(envelope, partition, account, plan, scope, digest, begun)

    def look_up_account(self, draft: Draft, *, slot: bool) -> InstanceState:
        """Its account, looked up again: the instance may have been taken out during a wait.

        slot  it has one, which is given back before this raises `UnknownInstance`
        """
        instance_id = draft.envelope.instance_id
        account = self.registry.serving.get(instance_id)
        if account is None:
            if slot:
                draft.partition.free_slot(draft.envelope)
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
        if isinstance(envelope, CHANGES):
            of_message = partition.targets.due(envelope.target, now) or message_due
            if of_message is not None:
                due = max(of_message, due or 0.0)
        ttl = self._ttl(envelope, envelope.priority, due, wall)
        delivery = Delivery(
            self._ids.next(wall),
            envelope,
            draft.plan,
            accepted_at=wall,
            deadline=now + round(ttl * SECOND),
            due=due,
            scope=draft.scope,
            since=now,
            observed=self.observer.listens,
        )
        if draft.scope is not None:
            partition.keys.begin(draft.scope, delivery, draft.fingerprint, now)
        return delivery, ttl

    def _ttl(
        self, envelope: Envelope, priority: Priority, due: float | None, accepted_at: float
    ) -> float:
        """Its own time to live, else that of its class, which counts from when it is due."""
        if envelope.ttl is not None:
            return envelope.ttl
        of_class: float = getattr(self.config.ttl, priority)
        return of_class if due is None else of_class + max(0.0, due - accepted_at)

    def vote(self, draft: Draft, delivery: Delivery) -> Vote | None:
        """The policies' answer: another class, `shed`, or None."""
        hooks = draft.account.hooks
        if "admit" not in hooks.served:
            return None
        return hooks.admit(delivery.envelope, draft.partition.pressure())

    def give_class(self, delivery: Delivery, vote: Priority) -> float:
        """Give it the class that a policy wants; its time to live in that, in seconds."""
        ttl = self._ttl(delivery.envelope, vote, delivery.due, delivery.accepted_at)
        delivery.give_class(vote, self.clock.now() + round(ttl * SECOND))
        return ttl

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
