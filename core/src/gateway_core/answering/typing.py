"""Shows that an answer is being written, for as long as a block runs. This module waits."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Protocol

import attrs
import trio

from gateway_core.accounts.instance_state import InstanceState
from gateway_core.answering.signs import FailedSign, Signs, is_final
from gateway_core.contract.addresses import Address
from gateway_core.contract.errors import HookContractError
from gateway_core.contract.hookspecs import Sign
from gateway_core.engine.partition import Partition

AGAIN = 1.0
"""Seconds after which a sign that was passed over is tried again."""
MOST_WAIT = 60.0
"""The most seconds between two signs that fail; each failure doubles the wait."""
LONGEST = 5.0
"""The most seconds that one sign may take; less, if a platform shows signs for a shorter time."""

Spawn = Callable[[Callable[[], Coroutine[Any, Any, None]]], None]


@attrs.define(eq=False)
class Shown:
    """The sign in one room or thread; blocks for the same place share it.

    blocks    how many blocks run
    visible   the sign is shown, as far as is known
    quiet     trio time before which the sign is not shown again
    ended     the last block has ended
    """

    account: InstanceState
    address: Address
    sign: Sign
    blocks: int = 0
    visible: bool = False
    quiet: float = 0.0
    failures: int = 0
    _sleeping: trio.CancelScope | None = None

    @property
    def ended(self) -> bool:
        """Whether no block needs the sign any more."""
        return not self.blocks

    def answered(self) -> None:
        """Note that a message took the sign away: it is not shown again before it is due."""
        self.visible = False
        self.quiet = trio.current_time() + (self.sign.every or 0.0)

    def end(self) -> None:
        """Note that a block ends."""
        self.blocks -= 1
        if self.ended and self._sleeping is not None:
            self._sleeping.cancel()

    async def rest(self) -> None:
        """Wait until the sign is due, as far as is known now, or no block needs it any more."""
        with trio.CancelScope() as self._sleeping:
            await trio.sleep_until(self.quiet)
        self._sleeping = None

    @property
    def is_due(self) -> bool:
        """Whether the sign is to be shown: no answer has put it off during the wait."""
        return not self.ended and trio.current_time() >= self.quiet


class Typed(Protocol):
    """A sign that is shown for a block."""

    def end(self) -> None: ...  # noqa: D102 - the block ends


class Typing(Protocol):
    """Shows signs of typing: here, or by another process."""

    def begin(self, account: InstanceState, address: Address, /) -> Typed | None: ...  # noqa: D102 - as `TypingSigns` says


class TypingSigns:
    """The typing signs of one gateway."""

    def __init__(
        self, signs: Signs, partition_of: Callable[[str, str], Partition], spawn: Spawn
    ) -> None:
        self._signs = signs
        self._partition_of = partition_of
        self._spawn = spawn

    def begin(self, account: InstanceState, address: Address) -> Shown | None:
        """Show a sign until `Shown.end`. None: the channel or the room has no typing signs."""
        place = (address.external_room_id, address.thread_id)
        shown = account.typing.get(place)
        if shown is None:
            try:
                sign = account.hooks.typing(account.instance, address)
            except HookContractError:  # logged and counted: it does no harm to a message
                return None
            if sign is None:
                return None
            shown = account.typing[place] = Shown(account, address, sign)
            self._spawn(lambda: self._show(shown))
        shown.blocks += 1
        found: Shown = shown
        return found

    async def _show(self, shown: Shown) -> None:
        """Make the sign again and again; clear it at the end, unless an answer took it away."""
        place = (shown.address.external_room_id, shown.address.thread_id)
        try:
            while not shown.ended:
                await shown.rest()
                if shown.is_due:
                    await self._once(shown)
                if shown.sign.every is None and shown.visible:
                    shown.quiet = float("inf")
        finally:
            if shown.account.typing.get(place) is shown:
                del shown.account.typing[place]
        if shown.visible and shown.sign.clear is not None:
            await self._clear(shown)

    async def _once(self, shown: Shown) -> None:
        if self._is_busy(shown):
            shown.quiet = trio.current_time() + AGAIN
            return
        every = shown.sign.every or LONGEST
        begun = trio.current_time()
        made = await self._signs.make(
            shown.account, shown.address, shown.sign, "typing", within=min(every, LONGEST)
        )
        if isinstance(made, FailedSign):
            shown.failures += 1
            asked = made.verdict.retry_after or 0.0
            wait = max(asked, min(every * 2**shown.failures, MOST_WAIT))
            shown.quiet = begun + (float("inf") if is_final(made.verdict) else wait)
        elif made == "made":
            shown.failures, shown.visible = 0, True
            shown.quiet = max(shown.quiet, begun + every)
        else:
            shown.quiet = begun + AGAIN

    def _is_busy(self, shown: Shown) -> bool:
        """Whether the sign must not be shown now.

        Either a limit has closed the room, or an attempt is under way there: the sign could still
        be shown after the attempt's message has arrived.
        """
        place = (shown.account.instance.id, shown.address.external_room_id)
        partition = self._partition_of(*place)
        room = partition.scheduler.rooms.get(place)
        if room is None:
            return False
        closed = room.gate is not None and room.gate.closed_until > partition.clock.now()
        return closed or any(lane.running for lane in room.lanes.values())

    async def _clear(self, shown: Shown) -> None:
        for _ in range(2):
            made = await self._signs.make(
                shown.account,
                shown.address,
                shown.sign,
                "typing",
                within=LONGEST,
                arguments=shown.sign.clear,
            )
            if made == "made":
                return
            await trio.sleep(AGAIN)
            place = (shown.address.external_room_id, shown.address.thread_id)
            if shown.account.typing.get(place) is not None:  # another block shows it again
                return
