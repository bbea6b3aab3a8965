"""Acknowledges interactions within the seconds that a platform grants. This module waits."""

from __future__ import annotations

from collections import OrderedDict
from functools import partial

import attrs
import trio

from gateway_core.accounts.instance_state import InstanceState
from gateway_core.answering.signs import FailedSign, Signs, is_final
from gateway_core.answering.typing import Spawn
from gateway_core.contract.addresses import Address, Interaction
from gateway_core.contract.errors import HookContractError, Invalid, Problem
from gateway_core.contract.hookspecs import Sign

WITHIN = 2.0
"""Seconds within which an interaction is acknowledged; Discord and Slack allow three."""
TRIES = 3
PAUSE = 0.1
MOST = 4_096
"""The most interactions that are remembered, the newest ones."""


@attrs.define(eq=False)
class _Noticed:
    """An interaction that is acknowledged, or is being acknowledged.

    refused  the platform took no acknowledgement: it has one, or the interaction has ended
    answers  how many answers the interaction got
    """

    ephemeral: bool
    done: trio.Event = attrs.field(factory=trio.Event)
    refused: bool = False
    answers: int = 0


class Acknowledgements:
    """Acknowledges each interaction once, at the first request."""

    def __init__(self, signs: Signs, spawn: Spawn) -> None:
        self._signs = signs
        self._spawn = spawn
        self._noticed: OrderedDict[tuple[str, str], _Noticed] = OrderedDict()

    def begin(self, account: InstanceState, address: Address, *, ephemeral: bool) -> _Noticed:
        """Begin to acknowledge an interaction, unless that was begun before; returns at once."""
        assert address.interaction is not None  # noqa: S101 - the caller looked
        place = (account.instance.id, address.interaction.token.reveal())
        noticed = self._noticed.get(place)
        if noticed is not None:
            return noticed
        noticed = self._noticed[place] = _Noticed(ephemeral)
        if len(self._noticed) > MOST:
            self._noticed.popitem(last=False)
        sign = None
        if "acknowledge" in account.hooks.served:
            try:
                sign = account.hooks.acknowledge(account.instance, address, ephemeral=ephemeral)
            except HookContractError:  # logged and counted; the answer is tried all the same
                noticed.refused = True
        if sign is None:
            noticed.done.set()
        else:
            self._spawn(partial(self._acknowledge, account, address, sign, noticed))
        return noticed

    async def _acknowledge(
        self, account: InstanceState, address: Address, sign: Sign, noticed: _Noticed
    ) -> None:
        """Try until time is up: the platform may take an answer without an acknowledgement."""
        try:
            with trio.move_on_after(WITHIN):
                for number in range(1, TRIES + 1):
                    made = await self._signs.make(
                        account, address, sign, "acknowledge", within=WITHIN, number=number
                    )
                    if made == "made":
                        return
                    if isinstance(made, FailedSign) and is_final(made.verdict):
                        noticed.refused = True
                        return
                    await trio.sleep(PAUSE)
        finally:
            noticed.done.set()

    async def before_answer(
        self, account: InstanceState, address: Address, *, ephemeral: bool
    ) -> Interaction:
        """Acknowledge an interaction and wait for that; returns it as the answer needs it.

        Raises `Invalid` if the first answer is to be shown to one person alone but the interaction
        was acknowledged for all to see, or the other way round.
        """
        assert address.interaction is not None  # noqa: S101 - the caller looked
        noticed = self.begin(account, address, ephemeral=ephemeral)
        first = not noticed.answers and address.interaction.asked != "press"
        if first and noticed.ephemeral is not ephemeral and not noticed.refused:
            told = "for its user alone" if noticed.ephemeral else "for all to see"
            text = f"the interaction was acknowledged {told}: answer it with the same `ephemeral`"
            raise Invalid([Problem("ephemeral", text)])
        answer = noticed.answers
        noticed.answers += 1
        await noticed.done.wait()
        # If the platform took no acknowledgement, the first answer has nothing to edit.
        number = max(answer, 1) if noticed.refused else answer
        return attrs.evolve(address.interaction, answer=number)
