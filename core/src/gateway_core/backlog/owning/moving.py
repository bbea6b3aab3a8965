"""Moves accounts from this process to another, if accounts are spread over processes.

From then on, none of the account's envelopes begins here. Attempts under way end, as long as an
attempt may take. Stored envelopes that were not sent go on in the other process. This module waits
for attempts and appends under way.
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

    let_go     lets go of an account's envelopes in memory
    given_up   called with each account that was given up
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
        """Whether the account is already leaving."""
        return instance_id in self._leaving

    def begins(self, account: InstanceState) -> None:
        """Note that the account is leaving from now on."""
        self._leaving[account.instance.id] = account

    def overtaken(self, instance_id: str) -> InstanceState | None:
        """Do not give up an account that another process owns already; returns its former state.

        None: the account is not leaving.
        """
        return self._leaving.pop(instance_id, None)

    async def move(self, account: InstanceState) -> None:
        """Let the account's attempts under way end, and give it up, unless it is overtaken.

        None of its envelopes begins here any more when this is called.
        """
        instance_id = account.instance.id
        try:
            await self._stopping.at_rest(account)
            while self.appending[instance_id] and self._is_leaving(account):  # noqa: ASYNC110 - appends pay for no event
                await trio.sleep(LOOK)
            if self._is_leaving(account):
                await self.let_go(account)
            if self._is_leaving(account):  # otherwise this process may own it again by now
                standings = account.limits.registry.standings(self._clock.now())
                self._journal.release(instance_id, standings)
                self.given_up(instance_id)
                log_event(ACCOUNT_MOVED, instance=instance_id)
        finally:
            if self._is_leaving(account):
                del self._leaving[instance_id]

    def _is_leaving(self, account: InstanceState) -> bool:
        return self._leaving.get(account.instance.id) is account
