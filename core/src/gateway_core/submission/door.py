"""From an envelope to a ticket: checked, planned, deduplicated, given a place, kept, accepted.

This module waits: for a place where a bound is reached, and for the outbox. Never for an adapter.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

import attrs
import trio

from gateway_core.accounts.instance_state import InstanceState
from gateway_core.backlog.pager import Pager
from gateway_core.clock import Clock, nanoseconds
from gateway_core.config import GatewayConfig
from gateway_core.contract.envelopes import CHANGES, Disposition, Envelope, Part
from gateway_core.contract.errors import (
    GatewayClosed,
    IdempotencyConflict,
    InstanceSuspended,
    Invalid,
    Overloaded,
    Refused,
)
from gateway_core.contract.fast_init import fast_init
from gateway_core.contract.hookspecs import Vote
from gateway_core.contract.ids import Ids
from gateway_core.deliveries.delivery import Delivery
from gateway_core.deliveries.idempotency import Known, Scope, fingerprint, scope_of
from gateway_core.deliveries.tickets import Ticket
from gateway_core.engine.instance_registry import InstanceRegistry
from gateway_core.engine.partition import Partition
from gateway_core.monitoring.recorder import Recorder
from gateway_core.outboxes.interface import Entry, Outbox
from gateway_core.submission.checks import problems_of
from gateway_core.submission.preview import planned
from gateway_core.submission.slots import Slots

_entry = fast_init(Entry)


class Door:
    """The door of the gateway."""

    def __init__(
        self,
        config: GatewayConfig,
        *,
        clock: Clock,
        ids: Ids,
        outbox: Outbox,
        registry: InstanceRegistry,
        partitions: Sequence[Partition],
        partition_of: Callable[[str, str], Partition],
        pager: Pager | None = None,
        watch: Recorder | None = None,
    ) -> None:
        self._recorder = watch
        self._config = config
        self._clock = clock
        self._ids = ids
        self._outbox = outbox
        self._registry = registry
        self._partitions = partitions
        self.partition_of = partition_of
        self._pager = pager
        self._slots = Slots(shed=config.shed, durable=pager is not None)
        self._appending: dict[str, trio.Event] = {}
        self.closed = False
        self.refused: Counter[str] = Counter()
        self.refused_elsewhere: Counter[str] = Counter()

    def close(self) -> None:
        """Accept nothing more; wake those who wait for a place with `GatewayClosed`."""
        self.closed = True
        for partition in self._partitions:
            partition.admission.close()

    def _check_open(self) -> None:
        if self.closed:
            raise GatewayClosed

    async def submit(self, envelope: Envelope, *, wait: bool) -> Ticket:
        """Accept the envelope, or raise why not. Waits only for a place and for the outbox."""
        begun, pager = self._clock.now() if self._recorder is not None else 0, self._pager
        held, due, joined = pager is None or pager.capacity.take(), None, None
        try:
            account, plan = self._checked(envelope)
            partition = self.partition_of(envelope.instance_id, envelope.external_room_id)
            scope = scope_of(envelope)
            print_ = fingerprint(envelope) if scope is not None else ""
            if scope is not None or not held or isinstance(envelope, CHANGES):
                asked = partition, envelope, scope, print_
                held, due, joined = await self._looked_up(*asked, held=held, wait=wait)
            placed, take = True, self._slots.take
            while joined is None:
                full = self._slots.take_nowait(partition, envelope)
                placed = full is None or await take(partition, envelope, full, wait=wait)
                if scope is None or partition.keys.find(scope, self._clock.now()) is None:
                    account = self._still_there(partition, envelope, placed=placed)
                    break
                # Somebody used the key while this caller waited for the place that it has now.
                partition.give_place_back(envelope)
                joined = await self._joined(partition, envelope, scope, print_)
        except BaseException as error:
            self._let_go(held=held)
            self._refuse(envelope, error)
            raise
        if joined is not None:
            self._let_go(held=held)
            return joined
        delivery, ttl = self._delivery(partition, envelope, plan, due)
        if scope is not None:
            delivery.scope = scope
            partition.keys.begin(scope, delivery, print_, self._clock.now())
        if self._recorder is not None:
            self._recorder.submitted(delivery, account, partition.index, begun)
        if pager is None:
            self._accept(
                partition, delivery, account, self._voted_at_once(partition, delivery, account)
            )
        else:
            await self._append(pager, partition, delivery, ttl, print_, placed=placed)
        if self._recorder is not None:
            self._recorder.accepted(delivery, account, partition.index, begun)
        return Ticket(delivery, waited=pager is not None)

    def _let_go(self, *, held: bool) -> None:
        """A place in the outbox is not needed after all."""
        if held and self._pager is not None:
            self._pager.capacity.let_go()

    def _refuse(self, envelope: Envelope, error: BaseException) -> None:
        """Count a refusal; of an instance that is not there under none."""
        if not isinstance(error, Exception):
            return
        name = type(error).__name__
        self.refused[name] += 1
        try:
            account = self._registry.account(envelope.instance_id)
        except Refused:
            self.refused_elsewhere[name] += 1
        else:
            account.counts.refuse(error)
        if self._recorder is not None:
            self._recorder.refused(str(envelope.instance_id), name)

    async def _looked_up(
        self,
        partition: Partition,
        envelope: Envelope,
        scope: Scope | None,
        print_: str,
        *,
        held: bool,
        wait: bool,
    ) -> tuple[bool, float | None, Ticket | None]:
        """Look for what the envelope changes, and joins; then wait for a place in the outbox.

        Whether such a place is held, when the message outside is due that it changes, and whose
        ticket it joins, which needs no place.
        """
        due, joined = await self._found(partition, envelope, scope, print_)
        pager = self._pager
        if pager is None or held or joined is not None:
            return held, due, joined
        if not wait:
            raise Overloaded(
                bound_of="the outbox",
                pressure="saturated",
                depth=pager.capacity.unfinished,
                bound=self._config.outbox_capacity,
                retry_in=partition.estimate(),
            )
        await pager.capacity.place()
        try:
            self._check_open()
            due, joined = await self._found(partition, envelope, scope, print_)
        except BaseException:
            pager.capacity.let_go()
            raise
        return True, due, joined

    async def _found(
        self, partition: Partition, envelope: Envelope, scope: Scope | None, print_: str
    ) -> tuple[float | None, Ticket | None]:
        due = None
        if self._pager is not None and isinstance(envelope, CHANGES):
            due = await self._pager.spilled.recall(partition, envelope)
        return due, await self._joined(partition, envelope, scope, print_) if scope else None

    def _still_there(
        self, partition: Partition, envelope: Envelope, *, placed: bool
    ) -> InstanceState:
        """The account of an envelope that has its place, or the place given back and the refusal.

        The instance may have been removed while the place was waited for.
        """
        try:
            return self._registry.account(envelope.instance_id)
        except Refused:
            if placed:
                partition.give_place_back(envelope)
            raise

    def _checked(self, envelope: Envelope) -> tuple[InstanceState, tuple[Part, ...]]:
        """Everything that is wrong with the envelope in itself; else its account and plan."""
        self._check_open()
        problems = problems_of(envelope, max_text=self._config.max_text)
        if problems:
            raise Invalid(problems)
        account = self._registry.account(envelope.instance_id)
        instance = account.instance
        plan, problems = planned(account.hooks, instance, envelope, self._config.max_parts)
        if problems:
            raise Invalid(problems)
        if account.suspended is not None and self._config.when_suspended == "refuse":
            raise InstanceSuspended(instance_id=instance.id, why=str(account.suspended))
        return account, plan

    async def _joined(
        self, partition: Partition, envelope: Envelope, scope: Scope, print_: str
    ) -> Ticket | None:
        """The ticket of the envelope that has this key already, once the outbox has that one."""
        while (known := await self._known(partition, scope)) is not None:
            appended = self._appending.get(known.envelope_id)
            if appended is not None:
                await appended.wait()
                continue
            if known.fingerprint != print_ and envelope.on_conflict == "raise":
                raise IdempotencyConflict(key=scope[3], envelope_id=known.envelope_id)
            return _replay(known, envelope)
        return None

    async def _known(self, partition: Partition, scope: Scope) -> Known | None:
        """What the key stands for, of this life or of an earlier one."""
        known = partition.keys.find(scope, self._clock.now())
        if known is not None or self._pager is None:
            return known
        return await self._pager.spilled.known(partition, scope)

    def _delivery(
        self,
        partition: Partition,
        envelope: Envelope,
        plan: tuple[Part, ...],
        message_due: float | None,
    ) -> tuple[Delivery, float]:
        """And its time to live in seconds."""
        wall = self._clock.wall()
        delivery = Delivery(self._ids.next(wall), envelope, plan)
        delivery.accepted_wall = wall
        if envelope.not_before is not None and envelope.not_before > wall:
            delivery.due = envelope.not_before
        if isinstance(envelope, CHANGES):
            due = partition.targets.due(envelope.target, self._clock.now()) or message_due
            if due is not None:
                delivery.due = max(due, delivery.due or 0.0)
        ttl = self._ttl(delivery)
        delivery.deadline = self._clock.now() + nanoseconds(ttl)
        return delivery, ttl

    def _ttl(self, delivery: Delivery) -> float:
        """Its own; that of its class counts from when it is due."""
        ttl = delivery.envelope.ttl
        if ttl is not None:
            return ttl
        ahead = 0.0 if delivery.due is None else max(0.0, delivery.due - delivery.accepted_wall)
        of_class: float = getattr(self._config.ttl, delivery.priority)
        return of_class + ahead

    async def _append(
        self,
        pager: Pager,
        partition: Partition,
        delivery: Delivery,
        ttl: float,
        print_: str,
        *,
        placed: bool,
    ) -> None:
        """Let the outbox have it; whatever goes wrong leaves no trace."""
        kept = partial(self._kept, pager, partition, delivery, placed=placed)
        appended = None
        if delivery.scope is not None:
            appended = self._appending[delivery.id] = trio.Event()
        pager.capacity.coming(delivery.id)
        begun = self._clock.now() if self._recorder is not None else 0
        try:
            self._check_open()
            await self._outbox.append(_entry_of(delivery, ttl, print_), kept)
            if self._recorder is not None:
                self._recorder.appended(begun)
        except BaseException as error:
            pager.capacity.came(delivery.id, accepted=False)
            self._take_back(partition, delivery, placed=placed)
            if self._recorder is not None:
                self._recorder.taken_back(delivery, error)
            raise
        finally:
            if appended is not None:
                del self._appending[delivery.id]
                appended.set()

    def _kept(
        self, pager: Pager, partition: Partition, delivery: Delivery, *, placed: bool
    ) -> None:
        """The outbox has it."""
        if self.closed:
            raise GatewayClosed
        # Another one now, where it was taken out and in again meanwhile.
        account = self._registry.account(delivery.envelope.instance_id)
        vote = self._voted(partition, delivery, account)
        pager.capacity.came(delivery.id, accepted=True)
        self._accept(partition, delivery, account, vote, pager, placed=placed)

    def _take_back(self, partition: Partition, delivery: Delivery, *, placed: bool) -> None:
        """It was not accepted after all: its key and place are free, nobody waits for it."""
        envelope = delivery.envelope
        self._outbox.withdraw(delivery.id)
        if delivery.scope is not None:
            partition.keys.forget(delivery.scope)
        if placed:
            partition.give_place_back(envelope)
        callbacks, delivery.callbacks = delivery.callbacks, None
        for callback in callbacks or ():
            callback()

    def _voted(
        self, partition: Partition, delivery: Delivery, account: InstanceState
    ) -> Vote | None:
        """What policies want of it."""
        if not account.hooks.votes:
            return None
        return account.hooks.admit(delivery.envelope, partition.pressure())

    def _voted_at_once(
        self, partition: Partition, delivery: Delivery, account: InstanceState
    ) -> Vote | None:
        """The same where no outbox is asked; a vote that stops the program leaves no trace."""
        try:
            return self._voted(partition, delivery, account)
        except BaseException:
            self._take_back(partition, delivery, placed=True)
            raise

    def _accept(
        self,
        partition: Partition,
        delivery: Delivery,
        account: InstanceState,
        vote: Vote | None,
        pager: Pager | None = None,
        *,
        placed: bool = True,
    ) -> None:
        """From here on it is accepted, and policies have voted on what happens to it."""
        if vote is not None and vote != "shed":
            delivery.priority = vote
            ttl = self._ttl(delivery)
            delivery.deadline = self._clock.now() + nanoseconds(ttl)
            if self._pager is not None:
                self._outbox.classed(delivery.id, vote, self._clock.wall() + ttl)
        shed = vote == "shed"
        if pager is not None and not shed and (not placed or pager.must_wait(delivery, account)):
            if placed:
                partition.give_place_back(delivery.envelope)
            if delivery.scope is not None:
                partition.keys.forget(delivery.scope)  # the outbox knows it
            pager.leave(delivery)
            return
        if placed:
            partition.enqueuer.accept(delivery, account, shed=shed)
        else:
            partition.accepted += 1
            account.counts.accepted += 1
            partition.completion.finish_outside(delivery, account, Disposition.SHED, account.hooks)


def _replay(known: Known, envelope: Envelope) -> Ticket:
    if known.delivery is not None:
        return Ticket(known.delivery)
    assert known.receipt is not None  # noqa: S101 - one of the two
    delivery = Delivery(known.envelope_id, envelope, ())
    delivery.receipt = known.receipt
    return Ticket(delivery, replayed=attrs.evolve(known.receipt, replayed=True))


def _entry_of(delivery: Delivery, ttl: float, print_: str) -> Entry:
    accepted = delivery.accepted_wall
    return _entry(
        id=delivery.id,
        envelope=delivery.envelope,
        plan=tuple(delivery.plan),
        accepted_at=accepted,
        deadline=accepted + ttl,
        fingerprint=print_,
        due=delivery.due,
        trace=str(delivery.trace) if delivery.trace is not None else "",
    )
