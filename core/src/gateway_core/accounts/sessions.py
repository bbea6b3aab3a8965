"""Opens the session of an instance at first use, in a task of its own, and closes it.

This module waits: a session belongs to its instance, not to a partition. It outlives the attempts
that use it and the partition that asked for it first.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, nullcontext
from typing import Any

import attrs
import trio

from gateway_core.contract.errors import TransportError
from gateway_core.contract.hookspecs import Session
from gateway_core.contract.instances import Instance, hidden
from gateway_core.contract.validators import words_of
from gateway_core.plugins.boundary import place_in_plugin, stopped
from gateway_core.plugins.front import ChannelHooks
from gateway_core.telemetry import SESSION_FAILED, log_event

Spawn = Callable[[Callable[[], Coroutine[Any, Any, None]]], None]


@attrs.define(eq=False, repr=False)
class Sessions:
    """The session of one instance, which its attempts share while it is open.

    idle     seconds without use after which it is closed
    opening  seconds that it may take to open
    usable   the session while it is open, for callers that count as its `users` until `release`;
             None: `acquire` it
    """

    _hooks: ChannelHooks
    _instance: Instance
    _spawn: Spawn
    _idle: float
    _opening: float
    _open: OpenSession | None = None
    usable: OpenSession | None = None

    @asynccontextmanager
    async def use(self) -> AsyncIterator[Session]:
        """The session, for as long as the block lasts. Raises what opening it raised."""
        session = await self.acquire()
        try:
            yield session.value
        finally:
            session.release()

    async def acquire(self) -> OpenSession:
        """The open session, counted as in use until `release`."""
        current = self._open
        if current is None or current.closing:
            current = self._open = OpenSession(
                self, self._hooks, self._instance, self._idle, self._opening
            )
            self._spawn(current.run)
        current.users += 1
        if not current.ready.is_set():
            try:
                await current.ready.wait()
            except trio.Cancelled:
                current.release()
                raise
        if current.error is not None:
            current.release()
            raise current.error
        return current

    def close(self) -> None:
        """Close the session once nobody uses it; the next use opens a new one."""
        if self._open is not None:
            self._open.end()
            self._open = None


@attrs.define(eq=False, repr=False)
class OpenSession:
    """One entered session and the task that entered it."""

    _owner: Sessions
    _hooks: ChannelHooks
    _instance: Instance
    _idle: float
    _opening: float
    _now: Callable[[], float] = attrs.field(
        factory=lambda: trio.lowlevel.current_clock().current_time
    )
    _changed: trio.Event = attrs.field(factory=trio.Event)
    ready: trio.Event = attrs.field(factory=trio.Event)
    value: Session = None
    error: Exception | None = None
    users: int = 0
    closing: bool = False
    _last_use: float = 0.0

    def release(self) -> None:
        """Count one user less."""
        self.users -= 1
        if not self.users:
            self._last_use = self._now()
            if self.closing:
                self._changed.set()

    def end(self) -> None:
        """Take no new users; close when the last user is gone."""
        self._close()
        self._changed.set()

    def _close(self) -> None:
        self.closing = True
        if self._owner.usable is self:
            self._owner.usable = None

    async def run(self) -> None:
        """Enter the session, leave it when it is unused. No error of an adapter gets out."""
        try:
            opening = self._hooks.open_session(self._instance)
            with trio.move_on_after(self._opening) as scope:
                async with nullcontext() if opening is None else opening as self.value:
                    scope.deadline = math.inf
                    await self._until_unused()
            if not self.ready.is_set():
                text = f"the session did not open within {self._opening:g} s"
                self._failed(TransportError(text, dispatched="no"))
        except BaseException as raised:  # noqa: BLE001 - the boundary stands here
            self._failed(stopped(raised))
        finally:
            self._close()
            if not self.ready.is_set():
                self.error = self.error or TransportError("session closed", dispatched="no")
                self.ready.set()

    def _failed(self, error: Exception) -> None:
        log_event(
            SESSION_FAILED,
            instance=self._instance.id,
            channel=self._instance.channel,
            plugin=self._hooks.adapter,
            error=hidden(words_of(error), self._instance),
            where=place_in_plugin(error),
        )
        if not self.ready.is_set():
            self.error = error

    async def _until_unused(self) -> None:
        """Wait until it is unused, and has to close or has been unused for the idle time."""
        if not self.closing:
            self._owner.usable = self
        self._last_use = self._now()
        self.ready.set()
        while self.users or not self.closing:
            until = self._now() if self.users else self._last_use
            with trio.CancelScope(deadline=until + self._idle):
                await self._changed.wait()
                self._changed = trio.Event()
            # Compute the same sum as for the deadline: because of rounding, the difference of both
            # times may be a little less than the idle time.
            if not self.users and self._now() >= self._last_use + self._idle:
                self._close()
