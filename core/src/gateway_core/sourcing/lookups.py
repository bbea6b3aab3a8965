"""Runs one look-up at a time for each id, and lets its callers go on in the order of their calls.

This module waits: for look-ups.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from copy import copy
from functools import partial

import attrs
import trio

from gateway_core.contract.errors import GatewayClosed, GatewayError
from gateway_core.contract.instances import Instance


@attrs.define(eq=False)
class LookUp:
    """A look-up that is under way, or whose last callers are about to go on.

    anew    the source is asked even if the account is in memory
    answer  what the look-up returned
    error   why it failed; None: it did not fail, or it is under way
    over    set once all callers have gone on
    """

    anew: bool = False
    answer: Instance | None = None
    error: Exception | None = None
    over: trio.Event = attrs.field(factory=trio.Event)
    callers: trio.lowlevel.ParkingLot = attrs.field(factory=trio.lowlevel.ParkingLot)
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)


@attrs.define(eq=False)
class LookUps:
    """The look-ups of one gateway, by the ids of accounts.

    Callers go on one by one: each goes on when the one before has to wait again. So the envelopes
    of a room are accepted in the order of their calls, however many callers wait for the account.
    """

    _look_up: Callable[[str, bool], Awaitable[Instance | None]]
    _spawn: Callable[[Callable[[], Awaitable[None]]], None]
    _under_way: dict[str, LookUp] = attrs.field(factory=dict, init=False)
    _closed: bool = attrs.field(default=False, init=False)

    def __contains__(self, instance_id: object) -> bool:
        return instance_id in self._under_way

    async def wait(self, instance_id: str) -> None:
        """Wait for the look-up that is under way, or begin one. Raises what the look-up raised."""
        found = self._under_way.get(instance_id) or self._begin(instance_id, anew=False)
        await self._done(instance_id, found)

    async def anew(self, instance_id: str) -> Instance | None:
        """What a look-up returns that asks the source and begins after this call; raises likewise.

        All callers that wait for the end of an earlier look-up share the one that follows it.
        """
        found = self._under_way.get(instance_id)
        if found is not None:
            await found.over.wait()
            found = self._under_way.get(instance_id)
        while found is not None and not found.anew:
            await found.over.wait()
            found = self._under_way.get(instance_id)
        found = found or self._begin(instance_id, anew=True)
        await self._done(instance_id, found)
        return found.answer

    def _begin(self, instance_id: str, *, anew: bool) -> LookUp:
        if self._closed:
            raise GatewayClosed
        found = self._under_way[instance_id] = LookUp(anew=anew)
        self._spawn(partial(self._run, instance_id, found))
        return found

    async def _done(self, instance_id: str, found: LookUp) -> None:
        await found.callers.park()
        self._go_on(instance_id, found)
        if found.error is not None:
            raise again(found.error) from found.error.__cause__

    async def _run(self, instance_id: str, found: LookUp) -> None:
        found.error = GatewayClosed()  # if it is cancelled
        try:
            with found.scope:
                found.answer = await self._look_up(instance_id, found.anew)
                found.error = None
        except Exception as error:  # noqa: BLE001 - raised to each caller
            found.error = error
        finally:
            self._go_on(instance_id, found)

    def _go_on(self, instance_id: str, found: LookUp) -> None:
        """Let the next caller go on; after the last one, the next call begins another look-up."""
        if not found.callers.unpark():
            del self._under_way[instance_id]
            found.over.set()

    def close(self) -> None:
        """Raise `GatewayClosed` to every caller that waits."""
        self._closed = True
        for found in self._under_way.values():
            found.scope.cancel()


def again(error: Exception) -> Exception:
    """A copy of the error for one more caller: each caller raises its own."""
    return copy(error) if isinstance(error, GatewayError) else error
