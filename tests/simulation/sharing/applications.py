"""Hands messages over to the owner: in an application's transactions, or from a producer."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any, TypeVar

import trio
from sharing.laws import Entry
from sharing.links import SimulatedLink
from sharing.member import MEMBER, Member
from sharing.plans import GRID
from sharing.rows import Handing
from sharing.server import Transaction
from sharing.statements import WRITE
from sharing.stepping import stepped
from simulated.lives import Life

from gateway_contrib.durable.committer import Trouble
from gateway_contrib.durable.rows import encode
from gateway_contrib.postgres.connections.connecting import LATE
from gateway_contrib.postgres.connections.failing import Place
from gateway_contrib.postgres.producing.calls import Handing as Handed
from gateway_contrib.postgres.producing.handing import HandingOver
from gateway_contrib.postgres.sealing.handing import HandingKeys
from gateway_core import OutboxError, Send
from gateway_core.outboxes import to_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from sharing.world import World

T = TypeVar("T")

DAY = 86_400.0
URL = "postgresql://host/base"


class Producing(HandingOver):
    """The product's handover from a process that delivers nothing, on a simulated connection."""

    def __init__(self, member: Member, link: SimulatedLink) -> None:
        place = Place(URL, "gateway")
        super().__init__(link, place, member.uuid(), HandingKeys((), place), Trouble())
        self._of = link
        self.member = member

    async def call(self, do: Callable[[Any], T]) -> T:
        """Do blocking work, without the thread that the product uses."""
        async with self._limiter:
            with trio.CancelScope(shield=True):
                return await stepped(lambda: self._of.call(do))

    async def watch(self) -> None:
        """Break the connection if it does not answer in time."""
        while True:
            await trio.sleep(LATE)
            self._of.sever_if_late()


class Applications:
    """All that hand over. `busy`: how many handovers are under way."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._setup = world.setup
        self._laws = world.laws
        self.busy = 0
        self.members: list[Member] = []

    def _pause(self, rng: Random) -> float:
        return GRID * rng.randrange(0, round(self._setup.lasts / 8 / GRID))

    def _send(self, rng: Random, word: str) -> tuple[Entry, Send]:
        instance, room = rng.choice(self._setup.rooms)
        entry = Entry(word, instance, room, trio.current_time(), handed=True)
        text = f"{word} is handed"
        send = Send(instance_id=instance, external_room_id=room, text=text, ttl=DAY)
        return entry, send

    # -- in a transaction of its own

    async def run(self, number: int) -> None:
        """Run one application; some of its transactions stay open, or are given up."""
        rng = self._setup.generator(f"application {number}")
        for count in range(self._setup.handings):
            await trio.sleep(self._pause(rng))
            self.busy += 1
            await self._hand_over(rng, f"word{1000 * (number + 1) + count}")
            self.busy -= 1

    async def _hand_over(self, rng: Random, word: str) -> None:
        server, laws = self._world.server, self._laws
        while trio.current_time() < (end := server.down_until):  # noqa: ASYNC110 - it may move
            await trio.sleep_until(end)
        session = server.connect(1e9)
        entry, send = self._send(rng, word)
        await server.perform(session, "BEGIN", None)
        transaction: Transaction | None = session.transaction
        assert transaction is not None
        row = Handing(
            number=server.next_handed(),
            id=f"{rng.getrandbits(64):016x}",
            instance=entry.instance,
            room=entry.room,
            envelope=encode(to_json(send)),
            transaction=server.number(transaction),
            handed_at=trio.current_time(),
        )
        await server.perform(session, WRITE, lambda rows: rows.handed.update({row.number: row}))
        await trio.sleep(rng.choice([0.0, 0.0, 0.25, 1.0, 5.0, 20.0]))
        if session.dead:
            return
        if rng.random() < 0.1:
            await server.perform(session, "ROLLBACK", None)
        else:
            laws.entries[word] = entry
            await server.perform(session, "COMMIT", None)
            entry.done = trio.current_time()
            laws.note("handed", word, row.number)
        session.end()

    # -- from a process that delivers nothing

    async def produce(self, number: int) -> None:
        """Run one producer; its network is cut now and then, and it repeats unanswered requests."""
        rng = self._setup.generator(f"producer {number}")
        member = Member(self._world, f"producer{number}", Life(0), rng)
        MEMBER.set(member)
        self.members.append(member)
        handing = Producing(member, SimulatedLink({}, limit=self._setup.settings.lease))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(handing.run)
            nursery.start_soon(handing.watch)
            async with trio.open_nursery() as calls:
                for count in range(self._setup.handings):
                    await trio.sleep(self._pause(rng))
                    if self._world.on and rng.random() < 0.2:
                        member.cut_until = trio.current_time() + rng.choice([0.5, 3.0, 12.0])
                    word = f"word{1000 * (number + 50) + count}"
                    self.busy += 1
                    calls.start_soon(self._produce, rng, handing, word)
            handing.close()
            nursery.cancel_scope.cancel()

    async def _produce(self, rng: Random, handing: Producing, word: str) -> None:
        entry, send = self._send(rng, word)
        self._laws.entries[word] = entry
        token, text = handing.member.uuid(), encode(to_json(send))
        row = Handed(token=token, instance=entry.instance, room=entry.room, text=text)
        try:
            entry.id = await handing.hand_over(row)
        except OutboxError as error:
            entry.refused = True
            self._laws.note("refused", word, error)
        else:
            entry.done = trio.current_time()
            self._laws.note("produced", word, entry.id)
        finally:
            self.busy -= 1
