"""Suspends and resumes accounts for operators, here or through the process that owns the account.

The outbox stores a suspension with its account. This module waits only for the outbox.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import attrs
import trio

from gateway_core.accounts.instance_state import InstanceState
from gateway_core.clock import SECOND, Clock
from gateway_core.contract.errors import OutboxError
from gateway_core.contract.validators import UNSENDABLE, is_sendable
from gateway_core.engine.instances.instance_registry import InstanceRegistry
from gateway_core.outboxes.handover import suspension_question
from gateway_core.outboxes.records import OutboxForbidden, Suspension
from gateway_core.outboxes.troubles import Troubles
from gateway_core.telemetry import SUSPENSION_REFUSED, log_event

AGAIN = 1.0
"""Seconds until the outbox is asked again after it failed."""

Store = Callable[[str, Suspension | None, float], Awaitable[None]]
Tell = Callable[[str, str], Awaitable[None]]


@attrs.frozen(eq=False)
class Wish:
    """What somebody wants for an account: this suspension, or None; and since when.

    at  engine nanoseconds
    """

    suspension: Suspension | None
    at: int


@attrs.define(eq=False)
class Suspensions:
    """Whether operators want each account suspended or not.

    store     the outbox's `store_suspension`; None: a suspension ends with the process
    tell      asks the process that owns an account; None: this process owns all accounts
    is_here   whether this process owns an account
    _pending  the newest wish for each account that is still to be stored or passed on
    _newest   the last wish that this process stored for each account; it is newer than the state
              that was read for an account that is just being owned, and than what another process
              asked before, which is repeated if its answer was not written
    _idle     set once no wish is pending; None: none is pending
    """

    _registry: InstanceRegistry
    _clock: Clock
    _spawn: Callable[[Callable[[], Any]], None]
    store: Store | None = None
    tell: Tell | None = None
    is_here: Callable[[str], bool] = lambda _instance_id: True
    _pending: dict[str, Wish] = attrs.field(factory=dict, init=False)
    _newest: WeakKeyDictionary[InstanceState, Wish] = attrs.field(
        factory=WeakKeyDictionary, init=False
    )
    _turn: trio.Lock = attrs.field(factory=trio.Lock, init=False)
    _idle: trio.Event | None = attrs.field(default=None, init=False)
    _closed: bool = attrs.field(default=False, init=False)
    _troubles: Troubles = attrs.field(factory=Troubles, init=False)

    # -- requests to this process

    def suspend(self, instance_id: str, why: str, by: str) -> None:
        """Suspend an account; at once if this process owns it.

        Raises `UnknownInstance`, `TypeError` and `ValueError`.

        by  who asks for the suspension
        """
        self._registry.account(instance_id)
        for name, text in (("why", why), ("by", by)):
            if not isinstance(text, str):
                raise TypeError(f"`{name}` must be a text, not {type(text).__name__}")
            if not is_sendable(text):
                raise ValueError(f"`{name}` {UNSENDABLE}")
        if self.is_here(instance_id):
            self._registry.suspend(instance_id, why)
        self._wish(instance_id, Suspension(why=why, by=by, since=self._clock.wall()))

    def resume(self, instance_id: str) -> None:
        """Resume an account; at once if this process owns it. Raises `UnknownInstance`."""
        self._registry.account(instance_id)
        if self.is_here(instance_id):
            self._registry.resume(instance_id)
        self._wish(instance_id, None)

    def lifted(self, instance_id: str) -> None:
        """Store that an account is not suspended any more: it goes on with new settings."""
        if self.is_here(instance_id):
            self._wish(instance_id, None)

    # -- requests of other processes, and suspensions that they stored

    async def carry_out(
        self,
        instance_id: str,
        suspension: Suspension | None,
        *,
        asked_at: int,
        is_current: Callable[[], bool] = lambda: True,
    ) -> None:
        """Store a suspension, then suspend the account; None: resume it.

        Does nothing if this process has a newer wish. Raises `UnknownInstance` and `OutboxError`.

        asked_at    engine nanoseconds at which it was asked
        is_current  whether this process is still to carry it out; if the account was another
                    process's meanwhile, that one may have done so, and what came after it too
        """
        account = self._registry.account(instance_id)
        if not self.is_here(instance_id) or not is_current():
            raise OutboxError(f"account {instance_id} belongs to another process now")
        wish = Wish(suspension, asked_at)
        known = self._pending.get(instance_id) or self._newest.get(account)
        if known is not None and known.at > wish.at:
            return
        self._pending.pop(instance_id, None)
        await self._stored(instance_id, account, wish)
        left = self._registry.serving.get(instance_id) is not account  # its next owner reads it
        if not left and instance_id not in self._pending:  # else a newer wish is in force already
            self._do(instance_id, suspension)

    def restore(self, account: InstanceState, suspension: Suspension | None) -> None:
        """Restore the suspension that the last owner left, unless this process has a newer wish."""
        if self.store is not None:
            known = self._pending.get(account.instance.id) or self._newest.get(account)
            wanted = suspension if known is None else known.suspension
            self._registry.restore(account, None if wanted is None else wanted.why)

    def _do(self, instance_id: str, suspension: Suspension | None) -> None:
        if suspension is None:
            self._registry.resume(instance_id)
        else:
            self._registry.suspend(instance_id, suspension.why)

    # -- storing and telling

    @property
    def idle(self) -> bool:
        """Whether no wish is still to be stored or passed on."""
        return self._idle is None

    async def drained(self) -> None:
        """Wait until all wishes are stored and passed on."""
        if self._idle is not None:
            await self._idle.wait()

    def close(self) -> None:
        """Take no more wishes to store or to pass on."""
        self._closed = True

    def _wish(self, instance_id: str, suspension: Suspension | None) -> None:
        if self._closed or (self.store is None and self.tell is None):
            return
        self._pending.pop(instance_id, None)
        self._pending[instance_id] = Wish(suspension, self._clock.now())
        if self._idle is None:
            self._idle = trio.Event()
            self._spawn(partial(self._carry, self._idle))

    async def _carry(self, idle: trio.Event) -> None:
        """Store or pass on the pending wishes, one account after the other."""
        try:
            while self._pending:
                instance_id, wish = next(iter(self._pending.items()))
                try:
                    await self._store_or_tell(instance_id, wish)
                except OutboxError as error:
                    self._troubles.failed(error)
                    if instance_id in self._pending:  # others have their turn first
                        self._pending[instance_id] = self._pending.pop(instance_id)
                    await trio.sleep(AGAIN)
                else:
                    self._troubles.over()
                    if self._pending.get(instance_id) is wish:
                        del self._pending[instance_id]
        finally:
            self._idle = None
            idle.set()

    async def _store_or_tell(self, instance_id: str, wish: Wish) -> None:
        if self.is_here(instance_id):
            await self._stored(instance_id, self._registry.serving.get(instance_id), wish)
        elif self.tell is not None:
            try:
                await self.tell(instance_id, suspension_question(instance_id, wish.suspension))
            except OutboxForbidden as error:  # nobody expects it to happen once that is granted
                asked = "resume" if wish.suspension is None else "suspend"
                log_event(SUSPENSION_REFUSED, instance=instance_id, asked=asked, error=str(error))

    async def _stored(self, instance_id: str, account: InstanceState | None, wish: Wish) -> None:
        """Store wishes in their order, whether this process or another one asks.

        account  the account's state as the wish came. If the account leaves meanwhile, its next
                 owner reads the wish, and so does this process if it owns the account again
        """
        if self.store is None:
            return
        async with self._turn:
            age = max(0, self._clock.now() - wish.at) / SECOND
            await self.store(instance_id, wish.suspension, age)
            if account is not None:
                self._newest[account] = wish
