"""Owns accounts, each in the state in which its last owner left it. Waits: for the outbox alone.

Nothing of an account is attempted before it is owned; that others are not owned is not their
trouble.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

import attrs

from gateway_core.accounts.instance_state import InstanceState
from gateway_core.backlog.owning.restored import MOST_RECKONED, RestoredState
from gateway_core.clock import SECOND, Clock
from gateway_core.contract.errors import OutboxError
from gateway_core.outboxes.interface import Outbox
from gateway_core.outboxes.journal import Journal
from gateway_core.outboxes.records import ALL, PastAttempt, Recovery, Suspension
from gateway_core.outboxes.spreading import Spreading
from gateway_core.ratelimits.registry import BucketRegistry
from gateway_core.telemetry import OUTBOX_FAILED, log_event

MANY = 500
"""Accounts that are had at once, where the outbox can: some tens of milliseconds."""
AGAIN = 1.0
"""Seconds until an account is asked for again that could not be had."""


@attrs.define(eq=False)
class Ownership:
    """Which accounts this process owns, as far as it asked for them.

    wanted    those that it does not own yet
    taking    those of them that the outbox is being asked for
    half_had  those of them that the outbox has, though the rest could not be read yet
    lost      those that another process owns now, of which something may still be in memory
    on_had    called with each that is owned from now on, and how its last owner left it
    restore   called with each before, and whether an operator has suspended it
    """

    _outbox: Outbox
    _journal: Journal
    _clock: Clock
    _spread: Spreading | None
    on_had: Callable[[str, Recovery], None] = attrs.field(init=False)
    restore: Callable[[InstanceState, Suspension | None], None] = attrs.field(
        default=lambda _account, _suspension: None, init=False
    )
    _restored: RestoredState = attrs.field(init=False)
    wanted: dict[str, InstanceState] = attrs.field(factory=dict, init=False)
    taking: frozenset[str] = attrs.field(default=frozenset(), init=False)
    lost: list[InstanceState] = attrs.field(factory=list, init=False)
    _lost_again: set[str] = attrs.field(factory=set, init=False)
    half_had: set[str] = attrs.field(factory=set, init=False)
    _refused: dict[str, str] = attrs.field(factory=dict, init=False)
    _not_before: int = attrs.field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        self._restored = RestoredState(self._clock)

    def want(self, account: InstanceState) -> None:
        """The account was added, or is another process's to have next."""
        self.wanted[account.instance.id] = account
        self._not_before = 0

    def lose(self, account: InstanceState, successor: InstanceState) -> None:
        """Another process owns it; it is asked for again, in the state that its successor gets."""
        self.lost.append(account)
        self.wanted[account.instance.id] = successor
        self._not_before = self._clock.now() + round(AGAIN * SECOND)

    def let_go_of(self, account: InstanceState) -> None:
        """What is in memory of it is to go."""
        if not self.lets_go_of(account):
            self.lost.append(account)

    def lets_go_of(self, account: InstanceState) -> bool:
        """Whether something of it may still be in memory, and is to go."""
        return any(one is account for one in self.lost)

    def lose_again(self, instance_id: str) -> None:
        """One that is not owned yet is another process's, even if it was just being had."""
        self._lost_again.add(instance_id)
        self.half_had.discard(instance_id)

    def leave(self, instance_id: str) -> None:
        """The account is not wanted any more."""
        self.wanted.pop(instance_id, None)
        self.half_had.discard(instance_id)
        self._refused.pop(instance_id, None)

    @property
    def wait(self) -> float:
        """Seconds after which to ask again, unless one is wanted before."""
        left = (self._not_before - self._clock.now()) / SECOND
        return max(0.0, left) + 1e-6 if self.wanted else math.inf

    async def open(self, accounts: Sequence[InstanceState], shared: BucketRegistry) -> None:
        """Own all of these, before anything is accepted. Raises `OutboxError`.

        Those that are spread over processes are owned one by one, as they are offered.

        shared  the limits that instances share
        """
        if self._spread is not None:
            for account in accounts:
                self.want(account)
            recovery = await self._outbox.recover(ALL)
            self._restored.share(recovery, shared, self._clock.now())
            return
        recoveries = await self._recoveries([account.instance.id for account in accounts])
        of_all = await self._outbox.recover(ALL)
        since = self._restored.unknown_since(recoveries)
        attempts: defaultdict[str, list[PastAttempt]] = defaultdict(list)
        for made in await self._outbox.attempts(since=since, limit=MOST_RECKONED):
            attempts[made.instance_id].append(made)
        now = self._clock.now()
        self._restored.share(of_all, shared, now)
        for account, recovery in zip(accounts, recoveries, strict=True):
            self._restored.apply(account, recovery, attempts[account.instance.id], now)
            self.restore(account, recovery.suspended)

    async def _recoveries(self, instance_ids: Sequence[str]) -> list[Recovery]:
        """Of all of these, in their order."""
        recover_many = getattr(self._outbox, "recover_many", None)
        if recover_many is None:
            return [await self._outbox.recover(each) for each in instance_ids]
        found: dict[str, Recovery] = {}
        for some in _batches(instance_ids):
            had = await recover_many(some, since=math.inf, limit=0)
            found |= {name: recovery for name, recovery, _ in had}
        return [found[name] for name in instance_ids]

    def offered(self) -> None:
        """There may be some to be had."""
        self._not_before = 0

    def _is_offered(self, instance_id: str) -> bool:
        """What the outbox has already is not offered again, though nothing else is known of it."""
        if self._spread is None or instance_id in self.half_had:
            return True
        return self._spread.offers(instance_id)

    async def take(self) -> None:
        """Own those that are wanted, as far as they can be had.

        One that cannot is asked for again in a moment.
        """
        if not self.wanted or self._clock.now() < self._not_before:
            return
        self._not_before = self._clock.now() + round(AGAIN * SECOND)
        offered = [name for name in self.wanted if self._is_offered(name)]
        for some in _batches(offered):
            self.taking = frozenset(some)
            try:
                await self._take_some(some)
            finally:
                self.taking = frozenset()

    async def _take_some(self, names: Sequence[str]) -> None:
        """In one go, if the outbox can; else one after the other, so that none stops others."""
        recover_many = getattr(self._outbox, "recover_many", None)
        if len(names) > 1 and recover_many is not None:
            with suppress(OutboxError):
                await self._take_many(names, recover_many)
                return
        for instance_id in names:
            account = self.wanted.get(instance_id)
            if account is None:
                continue
            try:
                await self._take(instance_id, account)
            except OutboxError as error:
                if self._refused.get(instance_id) != str(error):  # once, however often it is asked
                    log_event(OUTBOX_FAILED, error=str(error))
                self._refused[instance_id] = str(error)
            else:
                self._refused.pop(instance_id, None)

    async def _take_many(self, names: Sequence[str], recover_many: Any) -> None:
        accounts = {name: self.wanted[name] for name in names if name in self.wanted}
        self._lost_again -= accounts.keys()
        since = self._restored.unknown_since([Recovery()])
        found = await recover_many(tuple(accounts), since=since, limit=MOST_RECKONED)
        if self._spread is not None:
            self._journal.draw_ids_from(self._spread.id_slot)
        for name, recovery, attempts in found:
            self._journal.goes_on_after(recovery.last_id, recovery.sequence)
            self._refused.pop(name, None)
            self._had(name, accounts[name], recovery, attempts)

    def _had(
        self,
        instance_id: str,
        account: InstanceState,
        recovery: Recovery,
        attempts: Sequence[PastAttempt],
    ) -> None:
        """It is owned, unless another has its name meanwhile, or another process owns it again.

        What waits of it is known from the same moment on: nothing may pass that.
        """
        if self.wanted.get(instance_id) is not account or instance_id in self._lost_again:
            return
        self._restored.apply(account, recovery, attempts, self._clock.now())
        self.restore(account, recovery.suspended)
        self.half_had.discard(instance_id)
        del self.wanted[instance_id]
        self.on_had(instance_id, recovery)

    async def _take(self, instance_id: str, account: InstanceState) -> None:
        self._lost_again.discard(instance_id)
        recovery = await self._outbox.recover(instance_id)
        if instance_id not in self._lost_again:
            self.half_had.add(instance_id)
        if self._spread is not None:
            self._journal.draw_ids_from(self._spread.id_slot)
        self._journal.goes_on_after(recovery.last_id, recovery.sequence)
        since = self._restored.unknown_since([recovery])
        attempts = await self._outbox.attempts(
            since=since, instance_id=instance_id, limit=MOST_RECKONED
        )
        self._had(instance_id, account, recovery, attempts)


def _batches(names: Sequence[str]) -> Iterator[Sequence[str]]:
    for first in range(0, len(names), MANY):
        yield names[first : first + MANY]
