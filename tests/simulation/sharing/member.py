"""Simulates one process that takes part: its clocks, its network, and what stops it."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from random import Random
from typing import TYPE_CHECKING, Any
from uuid import UUID

import trio
from simulated.lives import Killed, Life

if TYPE_CHECKING:
    from sharing.links import Connection
    from sharing.outbox import SharedOutbox
    from sharing.world import World

MEMBER: ContextVar[Member] = ContextVar("MEMBER")
"""The process of a task; set in the first task of a process, and so in all that it starts."""


class Member:
    """One process.

    rate, offset   of its clock that runs while the machine is suspended
    ahead          seconds by which its wall clock is ahead
    stopped_until  the time before which it does nothing
    cut_until      the time before which it does not reach the server; away_until: the platforms
    weight         its share of the accounts, if they are spread
    gave           the epoch of each account as it last gave it up, and when that was
    begun          when it last began to try each message, by its word
    dies_in        it is killed at so many ports from now
    stops_writing  seconds for which it stops between its next look and the write of a request
    stops_renewing  seconds for which it stops between its next renewal and the answer
    """

    def __init__(self, world: World, name: str, life: Life, rng: Random) -> None:
        self.world = world
        self.name = name
        self.life = life
        self.rng = rng
        setup = world.setup
        self.rate = rng.choice(setup.rates)
        self.offset = rng.choice([0.0, 1000.0, 1e6])
        self.ahead = rng.choice(setup.ahead)
        self.stopped_until = self.cut_until = self.away_until = 0.0
        self.stops_writing: float | None = None
        self.stops_renewing: float | None = None
        self.dies_in: int | None = None
        self.ends_gently = trio.Event()
        self.outbox: SharedOutbox | None = None
        self.connections: dict[Connection, None] = {}
        self._waiting: dict[trio.Event, None] = {}
        self.weight = rng.choice(setup.weights) if setup.spread else 1.0
        self.gave: dict[str, tuple[int, float]] = {}
        self.begun: dict[str, float] = {}
        life.died = self._died

    def _died(self) -> None:
        """End its connections, so that nobody waits for them any more."""
        for connection in list(self.connections):
            connection.left()
        for event in list(self._waiting):
            event.set()

    # -- what the process may do now

    async def port(self) -> None:
        """Called first wherever the process meets the world, and after each wait there."""
        self.check()
        if self.dies_in is not None:
            self.dies_in -= 1
            if self.dies_in <= 0:
                self.life.fall()
                self.check()
        while trio.current_time() < self.stopped_until:
            await self.until(trio.sleep_until, self.stopped_until)
            self.check()

    def check(self) -> None:
        """Raise `Killed` in a process that has ended."""
        if self.life.dead:
            raise Killed

    async def until(self, wait: Callable[..., Any], *given: Any) -> None:
        """Perform the wait, at most until the process ends."""
        fell = self.life.fell
        with trio.CancelScope(shield=True):
            async with trio.open_nursery() as nursery:

                async def ends() -> None:
                    await fell.wait()
                    if self.life.dead:
                        nursery.cancel_scope.cancel()

                nursery.start_soon(ends)
                await wait(*given)
                nursery.cancel_scope.cancel()

    async def wait(self, event: trio.Event) -> None:
        """Wait for the event, at most until the process ends."""
        self._waiting[event] = None
        try:
            with trio.CancelScope(shield=True):
                await event.wait()
        finally:
            self._waiting.pop(event, None)

    # -- what happens to it

    def stop(self, seconds: float) -> None:
        """Stop the process as by SIGSTOP, and let it go on after that time as by SIGCONT."""
        self.stopped_until = trio.current_time() + seconds

    def asks(self, sql: str) -> None:
        """The process has asked the server; after a renewal, it may stop before the answer."""
        if self.stops_renewing is not None and sql.startswith("UPDATE members"):
            self.stop(self.stops_renewing)
            self.stops_renewing = None

    def boottime(self) -> float:
        """Its clock that runs while the machine is suspended."""
        return self.offset + self.rate * trio.current_time()

    def uuid(self) -> UUID:
        """A UUID that no other process has."""
        return UUID(int=self.rng.getrandbits(128), version=4)

    def wall(self) -> float:
        """The POSIX time of its system."""
        self.check()
        return 1_700_000_000.0 + self.ahead + trio.current_time()

    @property
    def id(self) -> UUID | None:
        """The member as which the process takes part now."""
        return None if self.outbox is None else self.outbox._membership.member
