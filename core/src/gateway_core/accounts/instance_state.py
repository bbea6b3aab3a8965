"""The runtime side of one instance: its hooks, its sessions, its limits, its health, its counts."""

from __future__ import annotations

from collections.abc import Callable

from gateway_core.accounts.counts import Counts
from gateway_core.accounts.health import Health
from gateway_core.accounts.sessions import Sessions
from gateway_core.contract.instances import Instance
from gateway_core.plugins.front import ChannelHooks
from gateway_core.ratelimits.bucket import Bucket
from gateway_core.ratelimits.circuit import CircuitSettings
from gateway_core.ratelimits.instance_limits import InstanceLimits


class InstanceState:
    """One instance at run time, shared by all partitions.

    addresses  the addresses of rooms that moved, by every id that they had
    arrived    the newest place in line of its lanes: no two are the same
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
        self.addresses: dict[str, str] = {}
        self.arrived = 0

    def replace(self, instance: Instance, sessions: Sessions, now: int) -> None:
        """Use other settings: attempts get a new session, and limits are asked for anew."""
        self.sessions.close()
        self.instance, self.sessions = instance, sessions
        self.limits.registry.renew()
        self.health.resume(now)

    def remove(self) -> None:
        """The instance is removed."""
        self.health.removed = True

    def move(self, room: str, moved_to: str) -> None:
        """Give a room a new id; the old one is an alias from now on."""
        for old, new in self.addresses.items():
            if new == room:
                self.addresses[old] = moved_to
        self.addresses[room] = moved_to
