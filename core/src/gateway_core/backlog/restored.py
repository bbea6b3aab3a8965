"""What previous process runs learned of instances, until each of them is there. Sans-I/O."""

from __future__ import annotations

import attrs

from gateway_core.accounts.instance_state import InstanceState
from gateway_core.clock import SECOND, Clock
from gateway_core.outboxes.interface import Recovery


@attrs.define(eq=False)
class RestoredState:
    """Rooms that moved, and closures by platforms, of the instances that are not there yet."""

    _clock: Clock
    _moves: dict[str, list[tuple[str, str]]] = attrs.field(factory=dict, init=False)
    _closures: dict[str, list[tuple[str, float, float]]] = attrs.field(factory=dict, init=False)

    def open(self, recovery: Recovery) -> None:
        """Take in all that the outbox stored of it."""
        for (instance_id, room), moved_to in recovery.moves.items():
            self._moves.setdefault(instance_id, []).append((room, moved_to))
        for (instance_id, operation), (until, wait) in recovery.closures.items():
            self._closures.setdefault(instance_id, []).append((operation, until, wait))

    def apply(self, account: InstanceState) -> None:
        """Hand it over to an instance that is there now."""
        for room, moved_to in self._moves.pop(account.instance.id, ()):
            account.move(room, moved_to)
        for operation, until, wait in self._closures.pop(account.instance.id, ()):
            left = min(until - self._clock.wall(), wait)
            if left <= 0:
                continue
            now = self._clock.now()
            reopens = now + round(left * SECOND)
            if operation:
                account.limits.close_operation(operation, reopens, now)
            else:
                account.limits.close(reopens, now)
