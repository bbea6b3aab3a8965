"""Keeps the accounts of an `instance_source` in memory, as long as they are needed.

This module waits: for look-ups.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import attrs

from gateway_core.accounts.instance_state import InstanceState
from gateway_core.backlog.owning.accounts import Accounts
from gateway_core.clock import Clock
from gateway_core.config import SourceSettings
from gateway_core.contract.errors import UnknownInstance
from gateway_core.contract.instances import Instance
from gateway_core.contract.validators import name_fault
from gateway_core.engine.instances.instance_registry import InstanceRegistry
from gateway_core.sourcing.asking import Asking, InstanceSource
from gateway_core.sourcing.lookups import LookUps
from gateway_core.telemetry import INSTANCE_FOUND, INSTANCE_REPLACED, log_event


@attrs.define(eq=False)
class Sourcing:
    """The accounts that a source gives.

    on_found  called with the id of each account that came into memory
    users     by an account's id: how many need it right now
    used_at   by an account's id: when it was last needed, in engine nanoseconds
    asked_at  by an account's id: when the source was last asked for it, in engine nanoseconds
    """

    _source: InstanceSource
    settings: SourceSettings
    registry: InstanceRegistry
    backlog: Accounts | None
    clock: Clock
    _spawn: Callable[[Callable[[], Awaitable[None]]], None]
    on_found: Callable[[str], None] = attrs.field(init=False)
    users: Counter[str] = attrs.field(factory=Counter, init=False)
    used_at: dict[str, int] = attrs.field(factory=dict, init=False)
    asked_at: dict[str, int] = attrs.field(factory=dict, init=False)
    _asking: Asking = attrs.field(init=False)
    _lookups: LookUps = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._asking = Asking(self._source, self.settings, self.registry)
        self._lookups = LookUps(self._look_up, self._spawn)

    def close(self) -> None:
        """The gateway accepts nothing more: raise `GatewayClosed` to callers that wait."""
        self._lookups.close()

    # -- while an account is needed

    async def use(self, instance_id: Any) -> bool:
        """Have the account in memory until `leave`; returns whether this had to wait.

        Raises `UnknownInstance`, `InstanceSourceError` and `GatewayClosed`: after an error, do not
        call `leave`.
        """
        waits = instance_id not in self.registry.serving or instance_id in self._lookups
        if waits:
            await self.bring(instance_id)
        self.users[instance_id] += 1
        return waits

    def is_needed(self, instance_id: str) -> bool:
        """Whether somebody has the account in use, or waits for it."""
        return instance_id in self.users or instance_id in self._lookups

    def leave(self, instance_id: str) -> None:
        """One user needs the account no more."""
        self.users[instance_id] -= 1
        if not self.users[instance_id]:
            del self.users[instance_id]
        if instance_id in self.used_at:
            self.used_at[instance_id] = self.clock.now()

    async def bring(self, instance_id: Any) -> None:
        """Ask the source for an account that is not in memory. Raises as `use` does."""
        if not isinstance(instance_id, str) or name_fault(instance_id):
            self.registry.account(instance_id, looked_up=True)  # raises that there is none
        try:
            await self._lookups.wait(instance_id)
        except Exception:
            if instance_id not in self.registry.serving:  # else only asking anew failed
                raise

    async def ask_anew(self, instance_id: str) -> Instance | None:
        """The account as the source gives it now; it is in memory from then on.

        If its settings differ, it has the new ones from now on. If the source does not know it
        (None), it stays as it is. Raises as `use` does, except `UnknownInstance`.
        """
        try:
            return await self._lookups.anew(instance_id)
        except UnknownInstance:
            return None

    async def _look_up(self, instance_id: str, anew: bool) -> Instance | None:
        present = self.registry.serving.get(instance_id)
        if present is not None and not anew:
            return present.instance
        asked_at = self.clock.now()
        found = await self._asking.ask(instance_id)
        present = self.registry.serving.get(instance_id)
        if found is None:
            if present is None:
                self.registry.account(instance_id, looked_up=True)  # raises that there is none
            return None
        if present is None:
            self._add(found, asked_at)
            if self.backlog is not None:
                await self.backlog.until_owned(instance_id)
        elif present.sourced:
            self.asked_at[instance_id] = asked_at
            if found != present.instance:
                self.registry.replace(found, keep_held=True)
                log_event(INSTANCE_REPLACED, instance=instance_id, channel=found.channel)
        return found

    def _add(self, found: Instance, asked_at: int) -> None:
        self.registry.add(found, sourced=True)
        self.used_at[found.id], self.asked_at[found.id] = self.clock.now(), asked_at
        log_event(INSTANCE_FOUND, instance=found.id, channel=found.channel)
        if self.backlog is not None:
            self.backlog.serve(found.id)
            self.on_found(found.id)

    def here(self) -> list[InstanceState]:
        """The source's accounts that are in memory."""
        serving, kept = self.registry.serving, list[InstanceState]()
        for instance_id in tuple(self.used_at):
            account = serving.get(instance_id)
            if account is None or not account.sourced:  # it was removed, or configured since
                self.forget(instance_id)
            else:
                kept.append(account)
        return kept

    def forget(self, instance_id: str) -> None:
        """The account is not in memory any more, or the source's no more."""
        del self.used_at[instance_id]
        self.asked_at.pop(instance_id, None)
