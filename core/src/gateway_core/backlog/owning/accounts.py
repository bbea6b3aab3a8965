"""Serves and owns one gateway's accounts, moves them away, and lets go of them when they are lost.

This module waits only until an account is owned, or until its envelopes are out of memory.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Collection, Container, Sequence

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
from gateway_core.outboxes.records import ALL, Recovery
from gateway_core.outboxes.spreading import Spreading
from gateway_core.telemetry import (
    ACCOUNT_LOST,
    ACCOUNT_OWNED,
    OUTBOX_UNSERVED,
    log_event,
)

SOON = 1.0
"""Seconds for which callers wait until an account that was taken in for them is owned."""
LOOK = 0.02


def _log_unserved(instance_id: str, stored: int) -> None:
    """Log that envelopes are stored for an instance that is not there; ignore groups alone."""
    if stored:
        log_event(OUTBOX_UNSERVED, instance=instance_id, stored=stored)


@attrs.define(eq=False)
class Accounts:
    """The accounts, and who owns each. An account's envelopes come and go with the account.

    cursors        how far each account's stored envelopes were loaded
    ownership      which accounts this process owns
    knows_delayed  set once it is known which rooms' envelopes previous runs delayed
    on_owned       called with each account that is owned from now on
    on_left        called with each account that another process gets or owns now
    on_gone        called with each account that is lost, or forgotten, if accounts are spread over
                   processes; with None if the outbox gives all requests anew
    on_unserved    called as the gateway opens, with each account that is not served but has stored
                   envelopes or groups, and with the number of these envelopes
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
    on_gone: Callable[[str | None], None] = attrs.field(
        default=lambda _instance_id: None, init=False
    )
    on_unserved: Callable[[str, int], None] = attrs.field(default=_log_unserved, init=False)
    spawn: Callable[[Callable[[], Awaitable[None]]], None] = attrs.field(
        default=lambda _task: None, init=False
    )
    _all_lost: bool = attrs.field(default=False, init=False)
    knows_delayed: trio.Event = attrs.field(factory=trio.Event, init=False)
    _has_let_go: trio.Event = attrs.field(factory=trio.Event, init=False)
    _has_taken: trio.Event = attrs.field(factory=trio.Event, init=False)

    def __attrs_post_init__(self) -> None:
        self.moving = Moving(self._registry.stopping, self._journal, self._clock, self.let_go)
        self.ownership.on_had = self._had
        self.ownership.on_stored = self._forget_ended

    def close(self) -> None:
        """Loading has stopped: wake everybody who waits for it."""
        self._has_let_go.set()
        self.knows_delayed.set()
        self._schedule.all_read(tuple(self._schedule.unread))

    @property
    def unserved(self) -> dict[str, int]:
        """How many envelopes are stored for each instance that is not there."""
        serving, counts = self._registry.serving, self._intake.spilled_of
        return {name: count for name, count in counts.items() if count and name not in serving}

    def serve(self, instance_id: str) -> None:
        """Let an added instance's stored envelopes go on, once its account is owned."""
        self.ownership.want(self._registry.account(instance_id))
        self.tell_served()
        self._wake()
        if self._intake.spilled_of[instance_id]:
            self.cursors.begin(instance_id)
            self.serve_on(instance_id)

    async def until_owned(self, instance_id: str) -> None:
        """Wait, at most for `SOON`, until an account that was taken in just now is owned.

        Envelopes that are stored before must be read again. If accounts are spread over processes,
        wait until the other processes know the account instead: a process that does not know it
        would refuse envelopes that are handed over.
        """
        with trio.move_on_after(SOON):
            while self._spread is None and instance_id in self.ownership.wanted:
                await self._has_taken.wait()
            while self._spread is not None and not self._spread.is_known(instance_id):  # noqa: ASYNC110 - the look of a thread tells nobody
                await trio.sleep(LOOK)

    def taken(self) -> None:
        """All available accounts are owned now: wake the callers that wait for one."""
        self._has_taken.set()
        self._has_taken = trio.Event()

    def serve_on(self, instance_id: str) -> None:
        """An account that was to be taken out stays: read again what came due meanwhile."""
        if self._intake.spilled_of[instance_id]:
            self._schedule.look_back(instance_id)
            self._wake()

    def offered(self) -> None:
        """Accounts may be available: try to own them."""
        self.ownership.offered()
        self._wake()

    def leaving(self, instance_id: str) -> None:
        """Move an account to another process: none of its envelopes begins here any more."""
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
        """Another process owns the account: nothing begins here until it is owned here again.

        `ALL`: the outbox is owned again, and gives all unanswered requests anew.
        """
        self.on_gone(None if instance_id == ALL else instance_id)
        self._schedule.all_read([instance_id])
        if self._spread is not None and instance_id in self.ownership.wanted:
            self.ownership.lose_again(instance_id)  # it is moving there, or was just being taken
            if (account := self.moving.overtaken(instance_id)) is not None:
                account.lose()
                log_event(ACCOUNT_LOST, instance=instance_id)
                self.ownership.let_go_of(account)
                self._wake()
            return
        account = self._registry.renew(instance_id)
        if account is not None:
            account.lose()
            log_event(ACCOUNT_LOST, instance=instance_id)
            self.cursors.of.pop(instance_id, None)
            self._capacity.let_through(instance_id)
            self.ownership.lose(account, self._registry.serving[instance_id])
            if self._spread is not None:
                self.on_left(instance_id)
            elif self._registry.serving.keys() <= self.ownership.wanted.keys():
                self._all_lost = True
            self._wake()

    async def let_go_of_lost(self) -> None:
        """Let go of lost accounts' envelopes in memory; without spreading, load them again."""
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

    @property
    def are_recounted(self) -> bool:
        """Whether all accounts were lost at once, and some are owned again: counts are stale."""
        return self._all_lost and not self._registry.serving.keys() <= self.ownership.wanted.keys()

    def recounted(self) -> None:
        """Note that what is stored was counted anew."""
        self._all_lost = False

    def _forget_ended(self, instance_ids: Collection[str]) -> None:
        """Forget what ended here of accounts before they were taken out of memory, and then lost.

        If such an ending was not written, its envelope is still stored, and is sent again.
        """
        for partition in self._partitions:
            partition.completion.forget_ended(instance_ids)

    def _had(self, instance_id: str, recovery: Recovery) -> None:
        self._gained(instance_id, recovery)
        self.on_owned(instance_id)

    def _gained(self, instance_id: str, recovery: Recovery) -> None:
        """Take in what is stored for an account, if accounts are spread: it was unknown before."""
        if recovery.stored is None:
            if self._intake.spilled_of[instance_id]:  # what was due was passed over until now
                self._schedule.look_back(instance_id)
            return
        stored = recovery.stored
        left = attrs.evolve(stored, last_id=recovery.last_id, sequence=recovery.sequence)
        count = self._intake.gained(instance_id, left)
        log_event(ACCOUNT_OWNED, instance=instance_id, stored=count)
        if count:
            self.cursors.begin(instance_id)
            self._schedule.look_back(instance_id)
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
        """Whether this process owns the account; true as well if it is not in memory."""
        return instance_id not in self.ownership.wanted

    def surely_has(self, instance_id: str) -> bool:
        """Like `has`, but false as well if another process may own the account by now."""
        return self.has(instance_id) and self._journal.covers(instance_id)

    def may_be_handed_on(self, account: InstanceState) -> bool:
        """Whether this process owns the account, and is not giving it up already."""
        instance_id = account.instance.id
        served = self._registry.serving.get(instance_id) is account
        return served and self.has(instance_id) and not self.moving.leaves(instance_id)

    def is_coming(self, instance_id: str) -> bool:
        """Whether the outbox gave the account to this process, which has not read its state yet."""
        return instance_id in self.ownership.half_had

    def check_here(self, instance_id: str) -> None:
        """Raises `OutboxError` if another process accepts for the account.

        Nothing is accepted either while what is stored is counted anew: it might be counted twice.
        """
        if self._spread is not None and not self.has(instance_id):
            raise OutboxError(f"account {instance_id} belongs to another process now")
        if self._all_lost and (self.ownership.taking or self.are_recounted):
            raise OutboxError("this process is taking over the outbox again")

    def as_stored(self, envelope: Envelope) -> Envelope:
        """The envelope as the outbox stores it: a stream is marked as written elsewhere.

        For the account's next owner it is written elsewhere, while this process still writes it.
        """
        if self._spread is None or not isinstance(envelope, Send) or envelope.grows is None:
            return envelope
        return attrs.evolve(envelope, grows=attrs.evolve(envelope.grows, elsewhere=True))

    def goes_on(self, instance_id: str) -> bool:
        """Whether the account is in memory, and this process goes on with what is stored for it."""
        return instance_id in self._registry.serving and self.has(instance_id)

    async def let_go(self, account: InstanceState) -> None:
        """Let go of the envelopes in memory of an account that is taken out: they stay stored."""
        self.cursors.of.pop(account.instance.id, None)
        self.ownership.let_go_of(account)
        self._wake()
        while self.ownership.lets_go_of(account) and not self._capacity.closed:
            await self._has_let_go.wait()
        if self.ownership.lets_go_of(account):  # the gateway is closing, and loads nothing more
            await self._loader.let_go(account)

    def leave_off(self, instance_id: str) -> None:
        """Note that an instance was taken out: its spilled envelopes stay stored."""
        if count := self._intake.spilled_of[instance_id]:
            log_event(OUTBOX_UNSERVED, instance=instance_id, stored=count)
        self.cursors.of.pop(instance_id, None)
        self.ownership.leave(instance_id)
        self.tell_served()

    def needs(self, instance_id: str) -> bool:
        """Whether an account has stored envelopes, is moving away, or may be about to be owned."""
        cursors = self.cursors.of.get(instance_id)
        return (
            bool(self._intake.spilled_of[instance_id] or self.moving.appending[instance_id])
            or self.moving.leaves(instance_id)
            or (cursors is not None and not cursors.idle)
            or self._may_come(instance_id)
            or any(one.instance.id == instance_id for one in self.ownership.lost)
        )

    def _may_come(self, instance_id: str) -> bool:
        """Whether the account is wanted, and no other process is known to own it.

        Until the account is owned, it is not known whether envelopes are stored or handed over.
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
        """Note that an account is about to be taken out of memory: nobody need own it for now."""
        if self._spread is not None and self.has(instance_id):
            self._spread.idles(instance_id)

    def forget(self, instance_id: str) -> None:
        """Forget an account that has no stored envelopes and was taken out of memory.

        If accounts are spread, it is given up, and its next owner receives what was asked.
        """
        if self._spread is not None:
            self.on_gone(instance_id)
        self.cursors.of.pop(instance_id, None)
        self.ownership.leave(instance_id)
        self._capacity.forget(instance_id)
        self._intake.forget(instance_id)
        self.moving.appending.pop(instance_id, None)

    def is_read(self, instance_id: str) -> bool:
        """Whether it is known what the account's former runs or owners delayed and scheduled.

        True as well while another process has the outbox: nothing is accepted here then.
        """
        known = self.knows_delayed.is_set() and instance_id not in self._schedule.unread
        return known or (self._all_lost and bool(self.ownership.taking))

    async def until_read(self, instance_id: str) -> None:
        """Wait until `is_read`: what is accepted for the account comes after what is due by now."""
        while not self.is_read(instance_id):
            await self.knows_delayed.wait()
            await self._schedule.until_read(instance_id)

    def tell_served(self) -> None:
        """Tell an outbox that spreads accounts which accounts are served now."""
        if self._spread is not None:
            self._spread.serves(tuple(self._registry.serving))
