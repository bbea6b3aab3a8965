"""What earlier lives learned of instances, until each of them is there to know it. Pure."""

from __future__ import annotations

from gateway_core.accounts.instance_state import InstanceState
from gateway_core.clock import SECOND, Clock
from gateway_core.outboxes.interface import Recovery


class RestoredState:
    """Rooms that moved, and what platforms closed, of the instances that are not there yet."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._moves: dict[str, list[tuple[str, str]]] = {}
        self._closures: dict[str, list[tuple[str, float, float]]] = {}

    def open(self, recovery: Recovery) -> None:
        """All that is kept of it."""
        for (instance_id, room), moved_to in recovery.moves.items():
            self._moves.setdefault(instance_id, []).append((room, moved_to))
        for (instance_id, operation), (until, wait) in recovery.closures.items():
            self._closures.setdefault(instance_id, []).append((operation, until, wait))

    def tell(self, account: InstanceState) -> None:
        """The instance is there: once it knows, it keeps that itself."""
        for room, moved_to in self._moves.pop(account.instance.id, ()):
            account.move(room, moved_to)
        closures = self._closures.pop(account.instance.id, ())
        now, wall = self._clock.now() if closures else 0, self._clock.wall()
        for operation, until, wait in closures:
            left = min(until - wall, wait)
            if left > 0:
                _close(account, operation, now + round(left * SECOND))


def _close(account: InstanceState, operation: str, until: int) -> None:
    """What a refusal closed: an operation, or (empty) the whole instance."""
    if operation:
        account.limits.close_operation(operation, until)
    else:
        account.limits.close(until)
