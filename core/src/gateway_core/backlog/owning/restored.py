"""Restores how an account's last owner left it: moved rooms, closures, spent limits. Sans-I/O."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress

import attrs

from gateway_core.accounts.instance_state import InstanceState
from gateway_core.clock import SECOND, Clock
from gateway_core.contract.envelopes import Priority
from gateway_core.contract.errors import HookContractError
from gateway_core.contract.hookspecs import Limit
from gateway_core.outboxes.records import PastAttempt, Recovery
from gateway_core.ratelimits.registry import BucketRegistry

RECKONED = 3_600.0
"""After a kill, attempts within this number of seconds before the opening are looked for. Longer
windows are restored only as far as an orderly shutdown wrote them."""
MOST_RECKONED = 10_000
"""The newest attempts, at most so many, are looked at: reading them takes a tenth of a second."""


@attrs.define(eq=False)
class RestoredState:
    """Gives an account the state in which it was left, before any of its envelopes is attempted."""

    _clock: Clock

    def unknown_since(self, recoveries: Iterable[Recovery]) -> float:
        """The POSIX time since which nobody recorded what some of these accounts spent."""
        wall = self._clock.wall()
        released = [each.spent[0] if each.spent is not None else 0.0 for each in recoveries]
        return max(wall - RECKONED, min(released, default=wall))

    def share(self, recovery: Recovery, registry: BucketRegistry, now: int) -> None:
        """Restore what was spent of the limits that instances share."""
        self._restore(recovery, registry, now)

    def apply(
        self,
        account: InstanceState,
        recovery: Recovery,
        attempts: Iterable[PastAttempt],
        now: int,
    ) -> None:
        """Restore one account's state.

        attempts  the account's attempts of recent runs
        """
        for room, moved_to in recovery.moves.items():
            account.move(room, moved_to)
        for operation, (until, wait) in recovery.closures.items():
            left = min(until - self._clock.wall(), wait)
            if left <= 0:
                continue
            reopens = now + round(left * SECOND)
            if operation:
                account.limits.close_operation(operation, reopens, now)
            else:
                account.limits.close(reopens, now)
        self._restore(recovery, account.limits.registry, now)
        released = recovery.spent[0] if recovery.spent is not None else 0.0
        self._reckon(account, (made for made in attempts if made.at > released), now)

    def _restore(self, recovery: Recovery, registry: BucketRegistry, now: int) -> None:
        if recovery.spent is not None:
            released, standings = recovery.spent
            registry.restore(standings, self._engine_time(released, now))

    def _reckon(self, account: InstanceState, attempts: Iterable[PastAttempt], now: int) -> None:
        """Count the tokens that the known attempts spent, as if each attempt ended at its time."""
        limits: dict[tuple[str, str | None, str, Priority], Sequence[Limit]] = {}
        for made in attempts:
            what = account.addresses.get(made.room, made.room), made.thread, made.operation
            asked = (*what, made.priority)
            if asked not in limits:
                limits[asked] = _limits_of(account, *asked)
            at = self._engine_time(made.at, now)
            account.limits.registry.recall(limits[asked], at, made.count, now)

    def _engine_time(self, wall: float, now: int) -> int:
        """The POSIX time as engine time; never in the future, whatever the clock says."""
        ago = min(max(0.0, self._clock.wall() - wall), 10 * RECKONED)
        return now - round(ago * SECOND)


def _limits_of(
    account: InstanceState, room: str, thread: str | None, operation: str, priority: Priority
) -> Sequence[Limit]:
    """The limits that an attempt drew on; a hook that fails now is reported at the next attempt."""
    if not account.hooks.traits.independent_threads:
        thread = None
    with suppress(HookContractError):
        return account.hooks.rate_limit(account.instance, room, thread, operation, priority)
    return ()
