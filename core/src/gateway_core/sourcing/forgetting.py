"""Forgets accounts that were idle for long. This module waits: for its next look."""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Sequence

import attrs
import trio

from gateway_core.accounts.instance_state import InstanceState
from gateway_core.clock import SECOND
from gateway_core.engine.partition import Partition
from gateway_core.sourcing.sourcing import Sourcing
from gateway_core.telemetry import INSTANCE_FORGOTTEN, log_event

LOOKS = 4
"""How often accounts are checked within the time that an account may be idle."""
AT_ONCE = 100
"""How many accounts are checked before other tasks run again: it takes a millisecond or two."""


@attrs.define(eq=False)
class Forgetting:
    """Takes out of memory the idle accounts that the source gave and can give again.

    An account stays while one of its envelopes, groups or signs is unfinished, while it is
    suspended or its circuit is open, while a refusal closes something, and while refusals slow it
    down. An outbox stores how much of its limits is spent. Without an outbox, the account also
    stays until its limits are full again.

    fed   the ids of accounts whose groups are being fed
    left  called with each account that was forgotten
    """

    _sourcing: Sourcing
    _partitions: Sequence[Partition]
    _fed: Callable[[], Container[str]]
    _left: Callable[[str], None]

    async def run(self) -> None:
        """Look for idle accounts now and then, as long as the gateway is open."""
        idle = self._sourcing.settings.idle
        while idle < math.inf:
            await trio.sleep(idle / LOOKS)
            await self._look()

    async def _look(self) -> None:
        here = self._sourcing.here()
        for first in range(0, len(here), AT_ONCE):
            self._look_at(here[first : first + AT_ONCE])
            await trio.lowlevel.checkpoint()

    def _look_at(self, accounts: Sequence[InstanceState]) -> None:
        source, fed, now = self._sourcing, self._fed(), self._sourcing.clock.now()
        in_rooms = {
            room.account for part in self._partitions for room in part.scheduler.rooms.values()
        }
        patience, idle = round(source.settings.idle * SECOND), list[InstanceState]()
        for account in accounts:
            instance_id = account.instance.id
            if source.registry.serving.get(instance_id) is not account:
                continue  # it was removed, or another process took it over, a moment ago
            if instance_id in fed or account in in_rooms or self._is_busy(account, now):
                source.used_at[instance_id] = now
            elif now - source.used_at[instance_id] >= patience:
                idle.append(account)
        self._forget(idle)

    def _is_busy(self, account: InstanceState, now: int) -> bool:
        """Whether some of its state would be lost, or some of its work would not be done."""
        source, instance_id = self._sourcing, account.instance.id
        health, limits, backlog = account.health, account.limits, source.backlog
        return (
            source.is_needed(instance_id)
            or bool(account.signs or account.typing or limits.attempts.in_flight)
            or bool(health.trouble or health.held or health.needs_probe or health.probing)
            or not limits.is_quiet(now, kept=backlog is not None)
            or any(part.admission.depth_of(instance_id) for part in self._partitions)
            or (backlog is not None and backlog.needs(instance_id))
        )

    def _forget(self, accounts: Sequence[InstanceState]) -> None:
        """Forget the accounts: when needed, they are loaded again in the state that is stored."""
        source = self._sourcing
        if source.backlog is not None:
            for account in accounts:
                source.backlog.idles(account.instance.id)
        source.registry.forget(accounts)
        for account in accounts:
            instance_id = account.instance.id
            source.forget(instance_id)
            if source.backlog is not None:
                source.backlog.forget(instance_id)
            self._left(instance_id)
            log_event(INSTANCE_FORGOTTEN, instance=instance_id)
        if accounts and source.backlog is not None:
            source.backlog.tell_served()
