"""Runs one look-up at a time for each id, and lets its callers go on in the order of their calls.

This module waits: for look-ups.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from copy import copy
from functools import partial
from typing import Any

import attrs
import trio

from gateway_core.contract.errors import GatewayClosed, GatewayError


@attrs.define(eq=False)
class LookUp:
    """A look-up that is under way, or whose last callers are about to go on.

    error  why it failed; None: it did not fail, or it is under way
    """

    error: Exception | None = None
    callers: trio.lowlevel.ParkingLot = attrs.field(factory=trio.lowlevel.ParkingLot)
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)


@attrs.define(eq=False)
class LookUps:
    """The look-ups of one gateway, by the ids of accounts.

    Callers go on one by one: each goes on when the one before has to wait again. So the envelopes
    of a room are accepted in the order of their calls, however many callers wait for the account.
    """

    _look_up: Callable[[str], Awaitable[Any]]
    _spawn: Callable[[Callable[[], Awaitable[None]]], None]
    _under_way: dict[str, LookUp] = attrs.field(factory=dict, init=False)
    _closed: bool = attrs.field(default=False, init=False)

    def __contains__(self, instance_id: object) -> bool:
        return instance_id in self._under_way

    async def wait(self, instance_id: str) -> None:
        """Wait for the look-up that is under way, or begin one. Raises what the look-up raised."""
        found = self._under_way.get(instance_id)
        if found is None:
            if self._closed:
                raise GatewayClosed
            found = self._under_way[instance_id] = LookUp()
            self._spawn(partial(self._run, instance_id, found))
        await found.callers.park()
        self._go_on(instance_id, found)
        if found.error is not None:
            raise again(found.error) from found.error.__cause__

    async def _run(self, instance_id: str, found: LookUp) -> None:
        found.error = GatewayClosed()  # if it is cancelled
        try:
            with found.scope:
                await self._look_up(instance_id)
                found.error = None
        except Exception as error:  # noqa: BLE001 - raised to each caller
            found.error = error
        finally:
            self._go_on(instance_id, found)

    def _go_on(self, instance_id: str, found: LookUp) -> None:
        """Let the next caller go on; after the last one, the next call begins another look-up."""
        if not found.callers.unpark():
            del self._under_way[instance_id]

    def close(self) -> None:
        """Raise `GatewayClosed` to every caller that waits."""
        self._closed = True
        for found in self._under_way.values():
            found.scope.cancel()


def again(error: Exception) -> Exception:
    """A copy of the error for one more caller: each caller raises its own."""
    return copy(error) if isinstance(error, GatewayError) else error
