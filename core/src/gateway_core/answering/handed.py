"""Shows typing signs for processes that only hand over: the owner makes them, as limits allow.

Typing signs are short-lived: a report that failed is not repeated, and a late one is not shown.

This module waits only for the owner.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any
from uuid import uuid4

import attrs
import trio

from gateway_core.accounts.instance_state import InstanceState
from gateway_core.answering.typing import Spawn, Typing
from gateway_core.contract.addresses import Address
from gateway_core.contract.errors import GatewayError, HookContractError
from gateway_core.outboxes.handover import Handover
from gateway_core.submission.handed.asking import Asking

AGAIN = 4.0
"""Seconds after which the owner is told that somebody still writes."""
LASTS = 12.0
"""Seconds without a report after which the owner ends the sign."""
MOST = 1_000
"""The most ended blocks that are remembered, the newest ones."""
_TOLD = ("external_room_id", "thread_id", "reply_to", "message_id", "user_id", "team_id", "direct")
"""The fields of an address that the owner is told: an interaction's token stays here."""


@attrs.define(eq=False)
class HandedTyping:
    """The typing signs of a process that only hands over."""

    _handover: Handover
    _asking: Asking
    _spawn: Spawn

    def begin(self, account: InstanceState, address: Address) -> HandedSign | None:
        """Begin a sign, as `TypingSigns.begin` does."""
        try:
            sign = account.hooks.typing(account.instance, address)
        except HookContractError:  # logged and counted: it does no harm to a message
            return None
        if sign is None:
            return None
        shown = HandedSign(self._handover, self._asking, account.instance.id, address)
        self._spawn(shown.show)
        return shown


@attrs.define(eq=False)
class HandedSign:
    """One block's typing sign."""

    _handover: Handover
    _asking: Asking
    _instance_id: str
    _address: Address
    _block: trio.CancelScope = attrs.field(factory=trio.CancelScope, init=False)

    def end(self) -> None:
        """End the sign, as its block ends."""
        self._block.cancel()

    async def show(self) -> None:
        """Let the owner show the sign until the block ends."""
        if self._block.cancel_called:
            return
        name, instance_id = uuid4().hex, self._instance_id
        place = {field: getattr(self._address, field) for field in _TOLD}
        try:
            with self._block:
                while True:
                    await self._asking.ask(instance_id, "typing", block=name, place=place)
                    await trio.sleep(AGAIN)
            told = json.dumps({"do": "typing", "block": name, "place": None})
            await self._handover.tell(instance_id, told)
        except GatewayError:
            return  # the sign ends by itself


class ShownForOthers:
    """The typing signs that an owner shows for other processes, by their blocks."""

    def __init__(self, typing: Typing, spawn: Spawn) -> None:
        self._typing, self._spawn = typing, spawn
        self._blocks: dict[str, trio.CancelScope] = {}
        self._over: OrderedDict[str, None] = OrderedDict()

    def hear(self, account: InstanceState, told: Mapping[str, Any], ago: float) -> None:
        """Note that a block runs or has ended, as another process told `ago` seconds ago."""
        name, place = told["block"], told["place"]
        block = self._blocks.get(name)
        if place is None:
            self._ends(name, block)
        elif block is not None:
            block.deadline = trio.current_time() + LASTS
        elif ago < LASTS and name not in self._over:
            shown = self._typing.begin(account, Address(**place))
            if shown is not None:
                self._blocks[name] = trio.CancelScope(deadline=trio.current_time() + LASTS)
                self._spawn(partial(self._show, name, self._blocks[name], shown.end))

    def _ends(self, name: str, block: trio.CancelScope | None) -> None:
        if block is not None:
            block.cancel()
        self._over[name] = None
        if len(self._over) > MOST:
            self._over.popitem(last=False)

    async def _show(self, name: str, block: trio.CancelScope, end: Callable[[], None]) -> None:
        try:
            with block:
                await trio.sleep_forever()
        finally:
            del self._blocks[name]
            end()
