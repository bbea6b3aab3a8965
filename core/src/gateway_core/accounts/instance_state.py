"""The runtime side of one instance: its hooks, its sessions, its limits, its health, its counts."""

from __future__ import annotations

from collections.abc import Callable

from gateway_core.accounts.counts import Counts
from gateway_core.accounts.health import Health
from gateway_core.accounts.sessions import Sessions
from gateway_core.contract.envelopes import Priority
from gateway_core.contract.instances import Instance
from gateway_core.plugins.front import ChannelHooks
from gateway_core.ratelimits.bucket import Bucket
from gateway_core.ratelimits.circuit import CircuitSettings
from gateway_core.ratelimits.instance_limits import InstanceLimits


class InstanceState:
    """One instance at run time, shared by all partitions.

    limits  what its attempts draw on
    health  whether it works
    counts  what its envelopes and attempts came to
    """

    def __init__(
        self,
        instance: Instance,
        hooks: ChannelHooks,
        *,
        sessions: Sessions,
        attempts: int,
        circuit: CircuitSettings,
        start_probing: Callable[[InstanceState], None],
        serve_waiters: Callable[[list[Bucket], int], None],
    ) -> None:
        self.instance = instance
        self.hooks = hooks
        self.sessions = sessions
        self.limits = InstanceLimits(instance.id, attempts)
        self.health = Health(
            self.limits,
            circuit,
            can_refresh="credentials" in hooks.can,
            start_probing=lambda: start_probing(self),
            serve_waiters=serve_waiters,
        )
        self.counts = Counts()
        self._moves: dict[str, str] = {}
        self._arrived = 0

    def replace(self, instance: Instance, sessions: Sessions, now: int) -> None:
        """It has other settings: attempts use a new session, limits are asked for anew."""
        self.sessions.close()
        self.instance, self.sessions = instance, sessions
        self.limits.registry.renew()
        self.health.resume(now)

    def remove(self) -> None:
        """It was taken out."""
        self.health.removed = True

    def buckets(
        self, room: str, thread: str | None, operation: str, priority: Priority, now: int
    ) -> list[Bucket]:
        """The buckets of every limit that the channel names for such an attempt.

        Raises `HookContractError` where the hook fails.
        """
        limits = self.hooks.rate_limit(self.instance, room, thread, operation, priority)
        return self.limits.registry.buckets(limits, room, now)

    def arrival(self, now: int) -> int:
        """`now` as a lane's place in line: no two are the same, whatever their partition."""
        self._arrived = max(now, self._arrived + 1)
        return self._arrived

    def address(self, room: str) -> str:
        """The room's present address."""
        return self._moves.get(room, room)

    def move(self, room: str, moved_to: str) -> None:
        """A room has a new id; the old one is an alias from now on."""
        for old, new in self._moves.items():
            if new == room:
                self._moves[old] = moved_to
        self._moves[room] = moved_to
