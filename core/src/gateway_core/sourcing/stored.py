"""Loads the accounts for which an outbox has envelopes. This module waits: for look-ups.

Few accounts are asked for at a time, so that look-ups for new envelopes have their turn. If the
source fails for an account, it is asked again, with a growing backoff. If the source does not know
an account, the account's envelopes wait, as those of an account that is not configured.

An account that is owned from now on, and has been in memory for some time, is asked for as well:
its last owner may have been told of new settings.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Awaitable, Callable

import attrs
import trio

from gateway_core.backoff import Backoff
from gateway_core.clock import SECOND
from gateway_core.contract.errors import GatewayClosed, InstanceSourceError, UnknownInstance
from gateway_core.sourcing.sourcing import Sourcing
from gateway_core.telemetry import INSTANCE_SOURCE_FAILED, OUTBOX_UNSERVED, is_told, log_event

AGAIN = Backoff(base=1.0, cap=60.0)
"""Seconds until the source is asked again for the accounts for which it failed."""
FRESH = 5.0
"""Seconds after a look-up in which an account that is owned then is not asked for again."""
MOST_CAUSES = 16
"""How many causes of failures are counted at a time."""


@attrs.define(eq=False)
class Stored:
    """The accounts of one gateway for which its outbox has envelopes.

    _waiting  ids of accounts to ask for, and how many envelopes are stored for each
    _later    the same, for accounts for which the source failed
    _wanted   the ids of both, and of the accounts that are being asked for
    _again    ids that were wanted once more meanwhile: the account may have come and gone
    _anew     ids of accounts in memory whose settings may be old
    on_unknown  called with each id that the source does not know
    """

    _sourcing: Sourcing
    _spawn: Callable[[Callable[[], Awaitable[None]]], None]
    _waiting: deque[tuple[str, int]] = attrs.field(factory=deque, init=False)
    _later: list[tuple[str, int]] = attrs.field(factory=list, init=False)
    _wanted: set[str] = attrs.field(factory=set, init=False)
    _again: set[str] = attrs.field(factory=set, init=False)
    _anew: set[str] = attrs.field(factory=set, init=False)
    on_unknown: Callable[[str], None] = attrs.field(default=lambda _id: None, init=False)
    _causes: Counter[str] = attrs.field(factory=Counter, init=False)
    _rounds: int = attrs.field(default=0, init=False)
    _begun: bool = attrs.field(default=False, init=False)
    _workers: int = attrs.field(default=0, init=False)

    def want(self, instance_id: str, stored: int) -> None:
        """Ask for an account with stored envelopes that is not in memory; repeats do no harm."""
        if instance_id in self._wanted:
            self._again.add(instance_id)
            return
        self._wanted.add(instance_id)
        self._waiting.append((instance_id, stored))
        self._work()

    def owned(self, instance_id: str) -> None:
        """Ask anew for an account that this process owns from now on, unless it was just asked for.

        Until the source answers, the settings in memory are used.
        """
        asked_at, now = self._sourcing.asked_at.get(instance_id), self._sourcing.clock.now()
        if asked_at is not None and now - asked_at > FRESH * SECOND:
            self._anew.add(instance_id)
            self.want(instance_id, 0)

    def begin(self) -> None:
        """The gateway is open: ask for the accounts that are wanted by now, and for later ones."""
        self._begun = True
        self._work()

    def close(self) -> None:
        """The gateway accepts nothing more: ask for no further accounts."""
        self._begun = False
        self._waiting.clear()
        self._again.clear()
        self._anew.clear()

    def _work(self) -> None:
        most = max(1, self._sourcing.settings.at_once // 2)
        while self._begun and self._workers < min(most, len(self._waiting)):
            self._workers += 1
            self._spawn(self._ask_all)

    async def _ask_all(self) -> None:
        try:
            while self._waiting:
                instance_id, stored = self._waiting.popleft()
                if await self._ask(instance_id, stored):
                    self._decided(instance_id)
                await trio.lowlevel.checkpoint()
        finally:
            self._workers -= 1

    def _decided(self, instance_id: str) -> None:
        self._wanted.discard(instance_id)
        if instance_id in self._again:
            self._again.discard(instance_id)
            if not self._is_here(instance_id):
                self.want(instance_id, 0)

    async def _ask(self, instance_id: str, stored: int) -> bool:
        """Load the account; false: the source failed, and is asked again later."""
        if self._is_here(instance_id):
            return True
        try:
            if instance_id in self._anew:
                self._anew.discard(instance_id)
                await self._sourcing.ask_anew(instance_id)
            else:
                await self._sourcing.bring(instance_id)
        except GatewayClosed:
            return True
        except UnknownInstance:
            self.on_unknown(instance_id)
            if stored:
                log_event(OUTBOX_UNSERVED, instance=instance_id, stored=stored)
        except InstanceSourceError as error:
            self._failed(error)
            if instance_id in self._sourcing.registry.serving:
                self._anew.add(instance_id)
            self._later.append((instance_id, stored))
            if len(self._later) == 1:
                self._rounds += 1
                self._spawn(self._ask_later)
            return False
        self._rounds = 0
        return True

    def _is_here(self, instance_id: str) -> bool:
        """Whether the account is in memory, with settings that are no other process's old ones."""
        return instance_id in self._sourcing.registry.serving and instance_id not in self._anew

    def _failed(self, error: InstanceSourceError) -> None:
        """Log the first failure of one cause, the 10th, the 100th and so on."""
        if error.why not in self._causes and len(self._causes) >= MOST_CAUSES:
            self._causes.clear()
        self._causes[error.why] += 1
        times = self._causes[error.why]
        if is_told(times):
            log_event(
                INSTANCE_SOURCE_FAILED, instance=error.instance_id, error=error.why, times=times
            )

    async def _ask_later(self) -> None:
        await trio.sleep(AGAIN.ceiling(self._rounds))
        self._waiting.extend(self._later)
        self._later.clear()
        self._work()
