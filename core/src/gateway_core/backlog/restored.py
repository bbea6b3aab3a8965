"""What was learned of instances that are not there: by previous runs, or until their removal.

Sans-I/O.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from contextlib import suppress

import attrs

from gateway_core.accounts.instance_state import InstanceState
from gateway_core.clock import SECOND, Clock
from gateway_core.contract.envelopes import Priority
from gateway_core.contract.errors import HookContractError
from gateway_core.contract.hookspecs import Limit
from gateway_core.outboxes.interface import ALL, PastAttempt, Recovery
from gateway_core.ratelimits.registry import BucketRegistry
from gateway_core.ratelimits.spent import Standing

RECKONED = 3_600.0
"""Seconds before the opening in which attempts are looked for, after a kill: longer windows are
restored as far as an orderly end wrote them."""
MOST_RECKONED = 10_000
"""Attempts that are looked at, the newest: reading them takes a tenth of a second."""
MOST_GONE = 1_000
"""Instances that were taken out, of which it is kept what is known: the last ones."""


@attrs.define(eq=False)
class RestoredState:
    """Rooms that moved, closures and what was spent, of the instances that are not there yet."""

    _clock: Clock
    _moves: dict[str, list[tuple[str, str]]] = attrs.field(factory=dict, init=False)
    _closures: dict[str, list[tuple[str, float, float]]] = attrs.field(factory=dict, init=False)
    _spent: dict[str, tuple[float, Sequence[Standing]]] = attrs.field(factory=dict, init=False)
    _attempts: dict[str, list[PastAttempt]] = attrs.field(factory=dict, init=False)
    _gone: OrderedDict[str, None] = attrs.field(factory=OrderedDict, init=False)

    def open(self, recovery: Recovery) -> None:
        """Take in all that the outbox stored of it."""
        for (instance_id, room), moved_to in recovery.moves.items():
            self._moves.setdefault(instance_id, []).append((room, moved_to))
        for (instance_id, operation), (until, wait) in recovery.closures.items():
            self._closures.setdefault(instance_id, []).append((operation, until, wait))
        self._spent = dict(recovery.spent)

    def unknown_since(self, instances: Iterable[str]) -> float:
        """POSIX time since which nobody wrote what some of these spent."""
        wall = self._clock.wall()
        released = [self._spent.get(name, (0.0, ()))[0] for name in instances]
        return max(wall - RECKONED, min(released, default=wall))

    def reckon(self, attempts: Sequence[PastAttempt]) -> None:
        """Take in the attempts since then."""
        for attempt in attempts:
            if attempt.at > self._spent.get(attempt.instance_id, (0.0, ()))[0]:
                self._attempts.setdefault(attempt.instance_id, []).append(attempt)

    def apply_all(self, registry: BucketRegistry, now: int) -> None:
        """Hand over what is spent of the limits that instances share."""
        self._restore(ALL, registry, now)

    def apply(self, account: InstanceState, now: int) -> None:
        """Hand it over to an instance that is there now."""
        self._gone.pop(account.instance.id, None)
        for room, moved_to in self._moves.pop(account.instance.id, ()):
            account.move(room, moved_to)
        for operation, until, wait in self._closures.pop(account.instance.id, ()):
            left = min(until - self._clock.wall(), wait)
            if left <= 0:
                continue
            reopens = now + round(left * SECOND)
            if operation:
                account.limits.close_operation(operation, reopens, now)
            else:
                account.limits.close(reopens, now)
        self._restore(account.instance.id, account.limits.registry, now)
        self._recall(account, now)

    def keep(self, account: InstanceState, now: int) -> None:
        """An instance was taken out: another one of its name goes on with this."""
        name, wall = account.instance.id, self._clock.wall()
        self._moves[name] = list(account.addresses.items())
        waits = [(what, (until - now) / SECOND) for what, until in account.limits.closures(now)]
        self._closures[name] = [(what, wall + wait, wait) for what, wait in waits]
        self._spent[name] = (wall, account.limits.registry.standings(now))
        self._gone[name] = None
        if len(self._gone) > MOST_GONE:
            oldest, _ = self._gone.popitem(last=False)
            for known in (self._moves, self._closures, self._spent):
                known.pop(oldest, None)

    def _restore(self, name: str, registry: BucketRegistry, now: int) -> None:
        released, standings = self._spent.pop(name, (0.0, ()))
        registry.restore(standings, self._engine_time(released, now))

    def _recall(self, account: InstanceState, now: int) -> None:
        """Reckon what was spent from the attempts that are known: as if each ended at its time."""
        limits: dict[tuple[str, str | None, str, Priority], Sequence[Limit]] = {}
        for made in self._attempts.pop(account.instance.id, ()):
            what = account.addresses.get(made.room, made.room), made.thread, made.operation
            asked = (*what, made.priority)
            if asked not in limits:
                limits[asked] = _limits_of(account, *asked)
            at = self._engine_time(made.at, now)
            account.limits.registry.recall(limits[asked], at, made.count, now)

    def _engine_time(self, wall: float, now: int) -> int:
        """That POSIX time in engine nanoseconds; never in the future, whatever the clock says."""
        ago = min(max(0.0, self._clock.wall() - wall), 10 * RECKONED)
        return now - round(ago * SECOND)


def _limits_of(
    account: InstanceState, room: str, thread: str | None, operation: str, priority: Priority
) -> Sequence[Limit]:
    """The limits that it drew on; a hook that fails now is reported with the next attempt."""
    if not account.hooks.traits.independent_threads:
        thread = None
    with suppress(HookContractError):
        return account.hooks.rate_limit(account.instance, room, thread, operation, priority)
    return ()
