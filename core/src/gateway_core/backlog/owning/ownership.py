"""Owns accounts, each in the state in which its last owner left it. Waits only for the outbox.

No envelope of an account is attempted before the account is owned. An account that cannot be owned
does not delay the other accounts.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
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
"""Accounts that are owned in one call, if the outbox can: it takes some tens of milliseconds."""
AGAIN = 1.0
"""Seconds until an account that could not be owned is asked for again."""


@attrs.define(eq=False)
class Ownership:
    """Which of the accounts that this process asked for it owns.

    wanted     accounts that this process does not own yet
    taking     wanted accounts that the outbox is being asked for now
    half_had   wanted accounts that the outbox gave to this process, but whose state is not read yet
    lost       accounts that this process gave up or lost, but that may still have envelopes in
               memory
    on_stored  called with accounts that are about to be owned and have stored envelopes
    on_had     called with each account that is owned from now on, and how its last owner left it
    restore    called before `on_had` with each account, and its suspension by an operator, if any
    """

    _outbox: Outbox
    _journal: Journal
    _clock: Clock
    _spread: Spreading | None
    on_stored: Callable[[Collection[str]], None] = attrs.field(
        default=lambda _instance_ids: None, init=False
    )
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
        """Ask for an account that was added, or that moves to another process now."""
        self.wanted[account.instance.id] = account
        self._not_before = 0

    def lose(self, account: InstanceState, successor: InstanceState) -> None:
        """Note that another process owns the account, and ask for it again in a moment.

        successor  the new state of the same account, for when it is owned again
        """
        self.lost.append(account)
        self.wanted[account.instance.id] = successor
        self._not_before = self._clock.now() + round(AGAIN * SECOND)

    def let_go_of(self, account: InstanceState) -> None:
        """Let the pager's task take the account's envelopes out of memory."""
        if not self.lets_go_of(account):
            self.lost.append(account)

    def lets_go_of(self, account: InstanceState) -> bool:
        """Whether the account may still have envelopes in memory that are to go."""
        return any(one is account for one in self.lost)

    def lose_again(self, instance_id: str) -> None:
        """Another process owns a wanted account, even if this one was just about to own it."""
        self._lost_again.add(instance_id)
        self.half_had.discard(instance_id)

    def leave(self, instance_id: str) -> None:
        """Stop asking for an account that is not wanted any more."""
        self.wanted.pop(instance_id, None)
        self.half_had.discard(instance_id)
        self._refused.pop(instance_id, None)

    @property
    def wait(self) -> float:
        """Seconds after which to ask again, unless another account is wanted before."""
        left = (self._not_before - self._clock.now()) / SECOND
        return max(0.0, left) + 1e-6 if self.wanted else math.inf

    async def open(self, accounts: Sequence[InstanceState], shared: BucketRegistry) -> None:
        """Own all these accounts before anything is accepted. Raises `OutboxError`.

        If accounts are spread over processes, they are owned later, as they are offered.

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
        """The recoveries of all these accounts, in the same order."""
        recover_many = getattr(self._outbox, "recover_many", None)
        if recover_many is None:
            return [await self._outbox.recover(each) for each in instance_ids]
        found: dict[str, Recovery] = {}
        for some in _batches(instance_ids):
            had = await recover_many(some, since=math.inf, limit=0)
            found |= {name: recovery for name, recovery, _ in had}
        return [found[name] for name in instance_ids]

    def offered(self) -> None:
        """Accounts may be available: ask at once."""
        self._not_before = 0

    def _is_offered(self, instance_id: str) -> bool:
        """Whether the outbox can be asked for the account now.

        It does not offer an account again that it gave to this process already.
        """
        if self._spread is None or instance_id in self.half_had:
            return True
        return self._spread.offers(instance_id)

    async def take(self) -> None:
        """Own the wanted accounts that are available; ask for the others again in a moment."""
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
        """Own accounts in one call, or, if the outbox cannot or fails, one by one."""
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
                if str(error) not in self._refused.values():  # not for each account or retry
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
        self._stored([(name, recovery) for name, recovery, _ in found])
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
        """Own an account, unless a new account has its name or another process owns it again.

        Its stored envelopes are known from the same moment on: no later envelope may pass them.
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
        self._stored([(instance_id, recovery)])
        self._had(instance_id, account, recovery, attempts)

    def _stored(self, found: Iterable[tuple[str, Recovery]]) -> None:
        stored = {name for name, it in found if it.stored is not None and it.stored.unfinished}
        if stored:
            self.on_stored(stored)


def _batches(names: Sequence[str]) -> Iterator[Sequence[str]]:
    for first in range(0, len(names), MANY):
        yield names[first : first + MANY]
