"""Calls the gateway in processes that own the outbox, or have owned it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import trio
from sharing.laws import Entry

from gateway_core import Edit, GatewayError, KeyRef, Send

if TYPE_CHECKING:
    from sharing.member import Member
    from sharing.world import World

DAY = 86_400.0


class Callers:
    """The callers of all processes.

    left  messages that nobody has begun to hand in; busy: calls that have not ended
    """

    def __init__(self, world: World) -> None:
        self._setup = world.setup
        self._laws = world.laws
        self._random = world.setup.generator("load")
        self.left = world.setup.messages
        self.busy = 0

    async def call(self, member: Member, gateway: Any) -> None:
        """Run one caller, which sends messages, and changes messages that it has sent."""
        rng, setup, mine = self._random, self._setup, list[Entry]()
        while self.left:
            await trio.sleep(rng.choice(setup.pauses))
            await member.port()
            if not self.left:
                return
            self.left -= 1
            number = setup.messages - self.left
            if mine and rng.random() < setup.edits:
                entry, envelope = self._edit(number, rng.choice(mine))
            else:
                entry, envelope = self._send(number)
                if envelope.key is not None:
                    mine.append(entry)
            self._laws.entries[entry.word] = entry
            entry.process = member.name if setup.spread else ""
            await self._submit(member, gateway, entry, envelope)

    def _edit(self, number: int, target: Entry) -> tuple[Entry, Any]:
        place = target.instance, target.room
        word = f"edit{number}"
        entry = Entry(word, *place, trio.current_time(), edits=target.word)
        envelope = Edit(
            instance_id=place[0],
            external_room_id=place[1],
            target=KeyRef(instance_id=place[0], external_room_id=place[1], key=target.word),
            text=f"{word} of {target.word}",
            ttl=DAY,
        )
        return entry, envelope

    def _send(self, number: int) -> tuple[Entry, Any]:
        instance, room = self._random.choice(self._setup.rooms)
        entry = Entry(f"word{number}", instance, room, trio.current_time())
        keyed = self._setup.edits or self._random.random() < self._setup.keyed
        envelope = Send(
            instance_id=instance,
            external_room_id=room,
            text=f"{entry.word} is said",
            key=entry.word if keyed else None,
            ttl=DAY,
        )
        return entry, envelope

    async def _submit(self, member: Member, gateway: Any, entry: Entry, envelope: Any) -> None:
        self.busy += 1
        try:
            ticket = await gateway.submit(envelope)
        except GatewayError as error:
            entry.refused = not member.life.dead
            self._laws.note("refused", member.name, entry.word, type(error).__name__, error)
        else:
            member.check()
            entry.done, entry.id = trio.current_time(), ticket.id
            self._laws.note("accepted", member.name, entry.word, ticket.id)
        finally:
            self.busy -= 1
