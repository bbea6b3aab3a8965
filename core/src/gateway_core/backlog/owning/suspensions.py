"""Suspends accounts for operators: stored with the account, or asked of the process that owns it.

This module waits: for the outbox.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import attrs
import trio

from gateway_core.accounts.instance_state import InstanceState
from gateway_core.clock import Clock
from gateway_core.contract.errors import OutboxError
from gateway_core.contract.validators import UNSENDABLE, is_sendable
from gateway_core.engine.instances.instance_registry import InstanceRegistry
from gateway_core.outboxes.handover import suspension_question
from gateway_core.outboxes.records import Suspension
from gateway_core.outboxes.troubles import Troubles

AGAIN = 1.0
"""Seconds until the outbox is told again at which it failed."""

Store = Callable[[str, Suspension | None], Awaitable[None]]
Tell = Callable[[str, str], Awaitable[None]]
_STORED = object()


@attrs.define(eq=False)
class Suspensions:
    """What operators want of each account: suspended, or not.

    store     the outbox's `store_suspension`; None: a suspension ends with the process
    tell      asks the process that owns an account; None: this process has all of them
    is_here   whether this process has an account
    _pending  what is to be stored or told, by account: the newest alone
    _newest   what was stored by this process of each account: newer than what was read of one
              that is just being had
    _idle     set once that is done; None: there is nothing
    """

    _registry: InstanceRegistry
    _clock: Clock
    _spawn: Callable[[Callable[[], Any]], None]
    store: Store | None = None
    tell: Tell | None = None
    is_here: Callable[[str], bool] = lambda _instance_id: True
    _pending: dict[str, Suspension | None] = attrs.field(factory=dict, init=False)
    _newest: WeakKeyDictionary[InstanceState, Suspension | None] = attrs.field(
        factory=WeakKeyDictionary, init=False
    )
    _turn: trio.Lock = attrs.field(factory=trio.Lock, init=False)
    _idle: trio.Event | None = attrs.field(default=None, init=False)
    _closed: bool = attrs.field(default=False, init=False)
    _troubles: Troubles = attrs.field(factory=Troubles, init=False)

    # -- what this process is asked

    def suspend(self, instance_id: str, why: str, by: str) -> None:
        """Suspend it, here at once. Raises `UnknownInstance`, `TypeError` and `ValueError`.

        by  who asks for it
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
        """Resume it, here at once. Raises `UnknownInstance`."""
        self._registry.account(instance_id)
        if self.is_here(instance_id):
            self._registry.resume(instance_id)
        self._wish(instance_id, None)

    def lifted(self, instance_id: str) -> None:
        """It goes on here with other settings."""
        if self.is_here(instance_id):
            self._wish(instance_id, None)

    # -- what other processes ask, and left

    async def carry_out(self, instance_id: str, suspension: Suspension | None) -> None:
        """Store it, and then do it. Raises `UnknownInstance` and `OutboxError`."""
        self._registry.account(instance_id)
        if not self.is_here(instance_id):
            raise OutboxError(f"account {instance_id} belongs to another process now")
        self._pending.pop(instance_id, None)
        await self._stored(instance_id, suspension)
        if instance_id not in self._pending:  # else that is newer, and done already
            self._do(instance_id, suspension)

    def restore(self, account: InstanceState, suspension: Suspension | None) -> None:
        """The account is had, as its last owner left it; this process may have more to say."""
        if self.store is not None:
            wanted = self._newest.get(account, suspension)
            wanted = self._pending.get(account.instance.id, wanted)
            self._registry.restore(account, None if wanted is None else wanted.why)

    def _do(self, instance_id: str, suspension: Suspension | None) -> None:
        if suspension is None:
            self._registry.resume(instance_id)
        else:
            self._registry.suspend(instance_id, suspension.why)

    # -- storing and telling

    @property
    def idle(self) -> bool:
        """Whether all is stored and told."""
        return self._idle is None

    async def drained(self) -> None:
        """Wait until that is so."""
        if self._idle is not None:
            await self._idle.wait()

    def close(self) -> None:
        """Nothing more is stored or told."""
        self._closed = True

    def _wish(self, instance_id: str, suspension: Suspension | None) -> None:
        if self._closed or (self.store is None and self.tell is None):
            return
        self._pending.pop(instance_id, None)
        self._pending[instance_id] = suspension
        if self._idle is None:
            self._idle = trio.Event()
            self._spawn(partial(self._carry, self._idle))

    async def _carry(self, idle: trio.Event) -> None:
        """Store and tell what is pending, one account after the other."""
        try:
            while self._pending:
                instance_id, suspension = next(iter(self._pending.items()))
                try:
                    await self._store_or_tell(instance_id, suspension)
                except OutboxError as error:
                    self._troubles.failed(error)
                    if instance_id in self._pending:  # others have their turn first
                        self._pending[instance_id] = self._pending.pop(instance_id)
                    await trio.sleep(AGAIN)
                else:
                    self._troubles.over()
                    if self._pending.get(instance_id, _STORED) is suspension:
                        del self._pending[instance_id]
        finally:
            self._idle = None
            idle.set()

    async def _store_or_tell(self, instance_id: str, suspension: Suspension | None) -> None:
        if self.is_here(instance_id):
            await self._stored(instance_id, suspension)
        elif self.tell is not None:
            await self.tell(instance_id, suspension_question(instance_id, suspension))

    async def _stored(self, instance_id: str, suspension: Suspension | None) -> None:
        """In their order, whoever asks."""
        if self.store is None:
            return
        async with self._turn:
            account = self._registry.serving.get(instance_id)
            await self.store(instance_id, suspension)
            if account is not None:
                self._newest[account] = suspension
