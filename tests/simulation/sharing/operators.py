"""Makes operators, who move accounts to a process, suspend accounts, and drain processes."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import attrs
import psycopg
import trio
from sharing.links import SimulatedLink
from sharing.member import MEMBER, Member
from sharing.plans import GRID, Blow, version_of
from sharing.stepping import stepped
from simulated.lives import Killed, Life

from gateway_contrib.postgres.spreading import operating
from gateway_core import GatewayError, Instance

if TYPE_CHECKING:
    from collections.abc import Callable

    from sharing.world import World


SOON = 10.0
"""Seconds within which an owner uses new settings of which it or another process was told."""
NEVER = 120.0
"""Seconds after which a process that was asked for something has ended, or will not do it."""


class Operators:
    """All operators: each asks for something once, and takes it back after a while.

    busy  how many have not taken it back yet
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._random = world.setup.generator("operators")
        self._count = 0
        self._suspends: set[str] = set()
        self.busy = 0

    async def ask(self, blow: Blow, struck: Member) -> None:
        """Pin an account to the process, or drain the process, as long as the blow says."""
        names = [instance.id for instance in self._world.setup.config.instances]
        account = self._random.choice(names) if blow.kind == "move" else ""
        await self.ask_for(account, blow, struck)

    async def ask_for(self, account: str, blow: Blow, struck: Member) -> None:
        """Like `ask`, with this account if one is to be moved."""
        world, rng = self._world, self._random
        self._count += 1
        self.busy += 1
        operator = Member(world, f"operator{self._count}", Life(0), rng)
        MEMBER.set(operator)
        link = SimulatedLink({}, limit=world.setup.settings.lease)
        if blow.kind == "move":
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

    # -- suspended accounts

    async def suspend(self, blow: Blow) -> None:
        """Suspend an account from any process; what the blow says happens meanwhile."""
        world, rng = self._world, self._random
        names = [instance.id for instance in world.setup.config.instances]
        account = rng.choice(names)
        if account in self._suspends:
            return
        self._suspends.add(account)
        self.busy += 1
        await self._wanted(account, suspended=True)
        owner = self._owner(account)
        if owner is not None and blow.kind == "move":
            there = [member for member in world.members if member not in (None, owner)]
            if there:
                moved = attrs.evolve(blow, seconds=2 * blow.seconds)
                world.nursery.start_soon(self.ask_for, account, moved, rng.choice(there))
        elif owner is not None and blow.kind == "kill":
            owner.life.fall()
        elif owner is not None and blow.kind == "stop":
            owner.stop(blow.seconds)
        await trio.sleep(blow.seconds)
        await self._wanted(account, suspended=False)
        self.busy -= 1
        self._suspends.discard(account)

    def _owner(self, account: str) -> Member | None:
        row = self._world.server.rows.accounts.get(account)
        there = (member for member in self._world.members if member is not None)
        return next((it for it in there if row is not None and it.id == row.member), None)

    async def _wanted(self, account: str, *, suspended: bool) -> None:
        """Ask any process, and another process if the first one ends before it has done so."""
        rows, laws = self._world.server.rows, self._world.laws
        while (account in rows.suspended) != suspended:
            member = self._any_process()
            if member is None:
                await trio.sleep(GRID)
                continue
            gateway: Any = member.life.gateway
            if not await self._is_in_memory(account, member, gateway):
                continue
            laws.note("suspend" if suspended else "resume", account, member.name)
            told = MEMBER.set(member)
            if suspended:
                gateway.suspend(account, "by an operator")
            else:
                laws.resuming.add(account)
                gateway.resume(account)
            MEMBER.reset(told)
            with trio.move_on_after(NEVER):
                while (account in rows.suspended) != suspended:  # noqa: ASYNC110 - rows tell nobody
                    await trio.sleep(GRID)
                continue
            done = member not in self._world.members
            laws.expect(done, f"{member.name} was asked to change {account}, and has not done so")
        laws.happened["suspended" if suspended else "resumed"] += 1

    async def _is_in_memory(self, account: str, member: Member, gateway: Any) -> bool:
        """Bring an account of a source into the memory of a process; False: that failed."""
        if self._world.setup.source is None:
            return True
        told = MEMBER.set(member)
        try:
            found = await gateway.find_instance(account)
        except (GatewayError, Killed):
            await trio.sleep(GRID)
            found = None
        MEMBER.reset(told)
        return found is not None and not member.life.dead

    # -- new settings

    async def renew(self) -> None:
        """Change an account's settings, and tell any process; from then on owners use them."""
        world = self._world
        instance = self._random.choice(world.setup.config.instances)
        self.busy += 1
        world.versions[instance.id] += 1
        wanted = world.versions[instance.id]
        world.laws.note("renew", instance.id, wanted)
        while not await self._told_anew(instance.id):  # noqa: ASYNC110 - processes tell nobody
            await trio.sleep(GRID)
        world.laws.happened["renewed"] += 1
        self.busy -= 1
        await self._watched(instance, wanted)

    async def _watched(self, instance: Instance, version: int) -> None:
        """Check that no process owns the account for long and uses older settings than these."""
        patience = NEVER if self._world.setup.failing else SOON
        since, by = trio.current_time(), ""
        while version == self._world.versions[instance.id]:
            now, owner = trio.current_time(), self._uses_older(instance, version)
            if owner is None or owner.name != by or owner.stopped_until > now:
                since, by = now, "" if owner is None else owner.name
            if now - since > patience:
                text = f"{by}, which owns {instance.id}, still uses older settings"
                self._world.laws.expect(False, text)
                return
            await trio.sleep(GRID)

    async def _told_anew(self, account: str) -> bool:
        """Tell any process, which tells the owner; False: that failed, or the process fell."""
        member = self._any_process()
        if member is None:
            return False
        told, found = MEMBER.set(member), None
        with trio.move_on_after(NEVER):
            try:
                found = await member.life.gateway.find_instance(account, anew=True)
            except (GatewayError, Killed):
                found = None
        MEMBER.reset(told)
        self._world.laws.note("told anew", account, member.name, found is not None)
        return found is not None and not member.life.dead

    def _uses_older(self, instance: Instance, version: int) -> Member | None:
        """The account's owner, if it has the account in memory with older settings than these."""
        owner = self._owner(instance.id)
        gateway: Any = None if owner is None or owner.life.dead else owner.life.gateway
        if gateway is None or not gateway._pager.accounts.has(instance.id):
            return None
        account = gateway._registry.serving.get(instance.id)
        newest = version_of(instance, version)
        return owner if account is not None and account.instance != newest else None

    def _any_process(self) -> Member | None:
        """A process that is there and is not stopped."""
        now = trio.current_time()
        there = [
            member
            for member in self._world.members
            if member is not None
            and not member.life.dead
            and not member.ends_gently.is_set()
            and member.life.gateway is not None
            and member.stopped_until <= now
        ]
        return self._random.choice(there) if there else None

    async def _done(self, link: SimulatedLink, do: Callable[..., Any]) -> None:
        """Repeat the work until the server says that it is done."""
        while True:
            try:
                await stepped(partial(link.call, do))
            except psycopg.Error as error:
                self._world.laws.note("operator", error)
                await trio.sleep(GRID)
            else:
                return
