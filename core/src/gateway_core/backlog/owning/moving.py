"""Moves accounts from this process to another, where they are spread over processes.

Nothing of an account begins from then on; what is under way ends, as long as an attempt may take;
what is stored and not sent goes on there. This module waits: for attempts and appends under way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable

import attrs
import trio

from gateway_core.accounts.instance_state import InstanceState
from gateway_core.clock import Clock
from gateway_core.engine.instances.stopping import Stopping
from gateway_core.outboxes.journal import Journal
from gateway_core.telemetry import ACCOUNT_MOVED, log_event

LOOK = 0.05
"""Seconds between two looks at whether appends are still under way."""


@attrs.define(eq=False)
class Moving:
    """The accounts that leave this process.

    let_go     lets go of what is in memory of an account
    given_up   called with each that was given up
    appending  how many appends of an account are under way
    """

    _stopping: Stopping
    _journal: Journal
    _clock: Clock
    let_go: Callable[[InstanceState], Awaitable[None]]
    given_up: Callable[[str], None] = attrs.field(default=lambda _instance_id: None, init=False)
    appending: Counter[str] = attrs.field(factory=Counter, init=False)
    _leaving: dict[str, InstanceState] = attrs.field(factory=dict, init=False)

    def leaves(self, instance_id: str) -> bool:
        """Whether it is on its way already."""
        return instance_id in self._leaving

    def begins(self, account: InstanceState) -> None:
        """It is on its way from now on."""
        self._leaving[account.instance.id] = account

    def overtaken(self, instance_id: str) -> InstanceState | None:
        """Another process owns it before it was given up: it is not given up any more.

        What there was of it; None: it is not on its way.
        """
        return self._leaving.pop(instance_id, None)

    async def move(self, account: InstanceState) -> None:
        """Let what is under way of an account end, and give it up, unless it is overtaken.

        Nothing of it begins by now.
        """
        instance_id = account.instance.id
        try:
            await self._stopping.at_rest(account)
            while self.appending[instance_id] and self._is_leaving(account):  # noqa: ASYNC110 - appends pay for no event
                await trio.sleep(LOOK)
            if self._is_leaving(account):
                await self.let_go(account)
            if self._is_leaving(account):  # else it may be had again by now
                standings = account.limits.registry.standings(self._clock.now())
                self._journal.release(instance_id, standings)
                self.given_up(instance_id)
                log_event(ACCOUNT_MOVED, instance=instance_id)
        finally:
            if self._is_leaving(account):
                del self._leaving[instance_id]

    def _is_leaving(self, account: InstanceState) -> bool:
        return self._leaving.get(account.instance.id) is account
