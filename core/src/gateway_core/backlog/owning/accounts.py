"""The accounts of one gateway: served, owned, given to others, and let go of once those own them.

This module waits: until what is in memory of an account is let go of, and for nothing else.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Container, Sequence

import attrs
import trio

from gateway_core.accounts.instance_state import InstanceState
from gateway_core.backlog.capacity import Capacity
from gateway_core.backlog.cursors import Cursors
from gateway_core.backlog.intake import Intake
from gateway_core.backlog.loader import Loader
from gateway_core.backlog.owning.moving import Moving
from gateway_core.backlog.owning.ownership import Ownership
from gateway_core.backlog.schedule import Schedule
from gateway_core.clock import Clock
from gateway_core.contract.envelopes import Envelope, Send
from gateway_core.contract.errors import OutboxError
from gateway_core.engine.instances.instance_registry import InstanceRegistry
from gateway_core.engine.partition import Partition
from gateway_core.outboxes.journal import Journal
from gateway_core.outboxes.records import Recovery
from gateway_core.outboxes.spreading import Spreading
from gateway_core.telemetry import (
    ACCOUNT_LOST,
    ACCOUNT_OWNED,
    OUTBOX_UNSERVED,
    log_event,
)

SOON = 1.0
"""Seconds for which callers wait until an account is owned that was taken in for them."""
LOOK = 0.02


def _log_unserved(instance_id: str, stored: int) -> None:
    """Of an instance that is not there something is stored; groups alone are not told of."""
    if stored:
        log_event(OUTBOX_UNSERVED, instance=instance_id, stored=stored)


@attrs.define(eq=False)
class Accounts:
    """Which accounts there are, and whose: as each comes or goes, its envelopes do.

    cursors        how far the stored envelopes of each were loaded
    ownership      which of them are owned
    knows_delayed  set where it is known which rooms previous runs delayed
    on_owned       called with each that is owned from now on
    on_left        called with each that another process is to have, or has
    on_gone        called with each that is spread and was lost
    on_unserved    called with each of which something is stored as the gateway opens, and how much
    spawn          starts a task
    """

    _registry: InstanceRegistry
    _partitions: Sequence[Partition]
    _capacity: Capacity
    _intake: Intake
    _loader: Loader
    _schedule: Schedule
    _journal: Journal
    _clock: Clock
    _spread: Spreading | None
    _wake: Callable[[], None]
    ownership: Ownership
    cursors: Cursors
    moving: Moving = attrs.field(init=False)
    on_owned: Callable[[str], None] = attrs.field(default=lambda _instance_id: None, init=False)
    on_left: Callable[[str], None] = attrs.field(default=lambda _instance_id: None, init=False)
    on_gone: Callable[[str], None] = attrs.field(default=lambda _instance_id: None, init=False)
    on_unserved: Callable[[str, int], None] = attrs.field(default=_log_unserved, init=False)
    spawn: Callable[[Callable[[], Awaitable[None]]], None] = attrs.field(
        default=lambda _task: None, init=False
    )
    knows_delayed: trio.Event = attrs.field(factory=trio.Event, init=False)
    _has_let_go: trio.Event = attrs.field(factory=trio.Event, init=False)
    _has_taken: trio.Event = attrs.field(factory=trio.Event, init=False)

    def __attrs_post_init__(self) -> None:
        self.moving = Moving(self._registry.stopping, self._journal, self._clock, self._let_go_of)
        self.ownership.on_had = self._had

    def close(self) -> None:
        """Nobody waits any more for what is loaded no more."""
        self._has_let_go.set()
        self.knows_delayed.set()

    @property
    def unserved(self) -> dict[str, int]:
        """How many envelopes are stored of each instance that is not there."""
        serving, counts = self._registry.serving, self._intake.spilled_of
        return {name: count for name, count in counts.items() if count and name not in serving}

    def serve(self, instance_id: str) -> None:
        """An instance was taken in: its stored envelopes go on, once it is owned."""
        self.ownership.want(self._registry.account(instance_id))
        self.tell_served()
        self._wake()
        if self._intake.spilled_of[instance_id]:
            self.cursors.begin(instance_id)
            self.serve_on(instance_id)

    async def until_owned(self, instance_id: str) -> None:
        """Wait for an account that was taken in just now; what is stored before is read again.

        One that others may have is waited for until these know of it: what is handed over before
        would be refused by a process that does not. An outbox that fails is not waited for.
        """
        with trio.move_on_after(SOON):
            while self._spread is None and instance_id in self.ownership.wanted:
                await self._has_taken.wait()
            while self._spread is not None and not self._spread.is_known(instance_id):  # noqa: ASYNC110 - the look of a thread tells nobody
                await trio.sleep(LOOK)

    def taken(self) -> None:
        """Those that could be had are owned: whoever waits for one looks."""
        self._has_taken.set()
        self._has_taken = trio.Event()

    def serve_on(self, instance_id: str) -> None:
        """It was to be taken out, and stays: what came to be due meanwhile was passed over."""
        if self._intake.spilled_of[instance_id]:
            self._schedule.look_back()
            self._wake()

    def offered(self) -> None:
        """There may be accounts to be had."""
        self.ownership.offered()
        self._wake()

    def leaving(self, instance_id: str) -> None:
        """Another process is to have an account of this one: nothing of it begins here any more."""
        wanted = self.ownership.wanted
        if instance_id in wanted or self.moving.leaves(instance_id) or self._capacity.closed:
            return
        account = self._registry.renew(instance_id, "move")
        if account is not None:
            self.cursors.of.pop(instance_id, None)
            self.ownership.want(self._registry.serving[instance_id])
            self.on_left(instance_id)
            self.moving.begins(account)
            self.spawn(functools.partial(self.moving.move, account))

    def lost(self, instance_id: str) -> None:
        """Another process owns the account: nothing of it begins here until it is owned again."""
        if self._spread is not None:
            self.on_gone(instance_id)
        if self._spread is not None and instance_id in self.ownership.wanted:
            self.ownership.lose_again(instance_id)  # it is on its way there, or was just had
            if (account := self.moving.overtaken(instance_id)) is not None:
                log_event(ACCOUNT_LOST, instance=instance_id)
                self.ownership.let_go_of(account)
                self._wake()
            return
        account = self._registry.renew(instance_id)
        if account is not None:
            log_event(ACCOUNT_LOST, instance=instance_id)
            self.cursors.of.pop(instance_id, None)
            self.ownership.lose(account, self._registry.serving[instance_id])
            if self._spread is not None:
                self.on_left(instance_id)
            self._wake()

    async def let_go_of_lost(self) -> None:
        """Let go of what is in memory of lost accounts, and go on where they are had again."""
        while self.ownership.lost:
            account = self.ownership.lost[0]
            await self._loader.let_go(account)
            instance_id = account.instance.id
            if self._spread is not None:
                self.cursors.of.pop(instance_id, None)
                self._intake.lost(account, self._partitions)
            del self.ownership.lost[0]
            self._has_let_go.set()
            self._has_let_go = trio.Event()
            if self._spread is None and instance_id in self._registry.serving:
                self.cursors.begin(instance_id)
                self._schedule.look_back()

    def _had(self, instance_id: str, recovery: Recovery) -> None:
        self._gained(instance_id, recovery)
        self.on_owned(instance_id)

    def _gained(self, instance_id: str, recovery: Recovery) -> None:
        """An account is owned from now on; of one that is spread nothing was known before."""
        if recovery.stored is None:
            return
        stored = recovery.stored
        left = attrs.evolve(stored, last_id=recovery.last_id, sequence=recovery.sequence)
        count = self._intake.gained(instance_id, left)
        log_event(ACCOUNT_OWNED, instance=instance_id, stored=count)
        if count:
            self.cursors.begin(instance_id)
            self._schedule.look_back()
        if stored.scheduled and self._registry.delays:
            self.knows_delayed = trio.Event()

    def owns(self, account: InstanceState) -> bool:
        """Whether this process owns the account."""
        return account.instance.id not in self.ownership.wanted

    @property
    def others(self) -> Container[str]:
        """Accounts that this process does not own."""
        return self.ownership.wanted

    def has(self, instance_id: str) -> bool:
        """The same by its id."""
        return instance_id not in self.ownership.wanted

    def is_coming(self, instance_id: str) -> bool:
        """Whether the outbox has it for this process, which knows too little of it yet."""
        return instance_id in self.ownership.half_had

    def check_here(self, instance_id: str) -> None:
        """Raises `OutboxError` for an account that is another process's to accept for."""
        if self._spread is not None and not self.has(instance_id):
            raise OutboxError(f"account {instance_id} belongs to another process now")

    def as_stored(self, envelope: Envelope) -> Envelope:
        """An envelope as the outbox is to have it: a stream, as one that is written elsewhere.

        So is it for whoever owns the account next, while this process still writes it.
        """
        if self._spread is None or not isinstance(envelope, Send) or envelope.grows is None:
            return envelope
        return attrs.evolve(envelope, grows=attrs.evolve(envelope.grows, elsewhere=True))

    def goes_on(self, instance_id: str) -> bool:
        """Whether what is stored of it goes on here."""
        return instance_id in self._registry.serving and self.has(instance_id)

    async def let_go(self, account: InstanceState) -> None:
        """Let go of what is in memory of an account that is taken out: it stays stored."""
        await self._let_go_of(account)
        instance_id = account.instance.id
        if count := self._intake.spilled_of[instance_id]:
            log_event(OUTBOX_UNSERVED, instance=instance_id, stored=count)

    async def _let_go_of(self, account: InstanceState) -> None:
        self.cursors.of.pop(account.instance.id, None)
        self.ownership.let_go_of(account)
        self._wake()
        while self.ownership.lets_go_of(account) and not self._capacity.closed:
            await self._has_let_go.wait()
        if self.ownership.lets_go_of(account):  # it closes, and loads no more
            await self._loader.let_go(account)

    def leave_off(self, instance_id: str) -> None:
        """An instance was taken out: its spilled envelopes stay stored."""
        self.cursors.of.pop(instance_id, None)
        self.ownership.leave(instance_id)
        self.tell_served()

    def needs(self, instance_id: str) -> bool:
        """Whether something of an account is stored, moving, or just being had."""
        cursors = self.cursors.of.get(instance_id)
        return (
            bool(self._intake.spilled_of[instance_id] or self.moving.appending[instance_id])
            or self.moving.leaves(instance_id)
            or (cursors is not None and not cursors.idle)
            or self._may_come(instance_id)
            or any(one.instance.id == instance_id for one in self.ownership.lost)
        )

    def _may_come(self, instance_id: str) -> bool:
        """Whether it is wanted, and no other process is known to be its owner.

        Something may be stored of it, or have been handed over, which is not known before.
        """
        ownership, spread = self.ownership, self._spread
        return instance_id in ownership.wanted and (
            spread is None
            or instance_id in ownership.taking
            or instance_id in ownership.half_had
            or not spread.is_known(instance_id)
            or spread.offers(instance_id)
        )

    def idles(self, instance_id: str) -> None:
        """An account is about to be taken out of memory: nobody need own it for now."""
        if self._spread is not None and self.has(instance_id):
            self._spread.idles(instance_id)

    def forget(self, instance_id: str) -> None:
        """An account of which nothing is stored was taken out of memory."""
        self.cursors.of.pop(instance_id, None)
        self.ownership.leave(instance_id)
        self._capacity.forget(instance_id)
        self._intake.forget(instance_id)
        self.moving.appending.pop(instance_id, None)

    def tell_served(self) -> None:
        """Others were taken in, or out: the outbox is to know which there are, if it spreads."""
        if self._spread is not None:
            self._spread.serves(tuple(self._registry.serving))
