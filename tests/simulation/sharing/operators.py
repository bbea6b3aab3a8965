"""An operator, who has accounts moved to one process, and processes hand over what they own."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import psycopg
import trio
from sharing.links import SimulatedLink
from sharing.member import MEMBER, Member
from sharing.plans import GRID, Blow
from sharing.stepping import stepped
from simulated.lives import Life

from gateway_contrib.postgres.spreading import operating

if TYPE_CHECKING:
    from collections.abc import Callable

    from sharing.world import World


class Operators:
    """All of them: each asks once, and takes it back after a while.

    busy  how many have not taken it back
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._random = world.setup.generator("operators")
        self._count = 0
        self.busy = 0

    async def ask(self, blow: Blow, struck: Member) -> None:
        """Pin an account to the process, or drain that, as long as the blow says."""
        world, rng = self._world, self._random
        self._count += 1
        self.busy += 1
        operator = Member(world, f"operator{self._count}", Life(0), rng)
        MEMBER.set(operator)
        link = SimulatedLink({}, limit=world.setup.settings.lease)
        if blow.kind == "move":
            account = rng.choice([instance.id for instance in world.setup.config.instances])
            do: Callable[..., Any] = partial(operating._pin, account=account, name=struck.name)
            undo: Callable[..., Any] = partial(operating._pin, account=account, name=None)
        else:
            do = partial(operating._drain, name=struck.name, draining=True)
            undo = partial(operating._drain, name=struck.name, draining=False)
        await self._done(link, do)
        await trio.sleep(blow.seconds)
        await self._done(link, undo)
        link.close()
        self.busy -= 1

    async def _done(self, link: SimulatedLink, do: Callable[..., Any]) -> None:
        """Again and again, until the server says that it is."""
        while True:
            try:
                await stepped(partial(link.call, do))
            except psycopg.Error as error:
                self._world.laws.note("operator", error)
                await trio.sleep(GRID)
            else:
                return
