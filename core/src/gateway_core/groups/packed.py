"""Keeps members in little memory: many rooms in one text, ten bytes each, not a string each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import attrs

from gateway_core.contract.envelopes import Envelope, Send
from gateway_core.outboxes.records import Member

CHUNK = 500
"""Members that are handed on at once."""


@attrs.define(eq=False)
class PackedMembers:
    """Members in their order, written once. No room's id has a line break in it."""

    _texts: list[str] = attrs.field(factory=list, init=False)
    _last: list[str] = attrs.field(factory=list, init=False)
    _envelopes: list[Envelope] = attrs.field(factory=list, init=False)
    _asked: dict[int, str] = attrs.field(factory=dict, init=False)

    def __len__(self) -> int:
        return len(self._texts) * CHUNK + len(self._last)

    @property
    def own(self) -> bool:
        """Whether each member has an envelope of its own."""
        return bool(self._envelopes)

    def give_each(self, template: Send) -> None:
        """Give each member an envelope of its own: the template in the member's room."""
        rooms = (member.room for chunk in self.chunks() for member in chunk)
        self._envelopes += [attrs.evolve(template, external_room_id=room) for room in rooms]

    def add(
        self, room: str, envelope: Envelope | None = None, asked_room: str | None = None
    ) -> None:
        """Add a member. Either all members have an envelope of their own, or none has.

        asked_room  the room that the caller named, if a policy moved the message
        """
        if asked_room is not None:
            self._asked[len(self)] = asked_room
        self._last.append(room)
        if envelope is not None:
            self._envelopes.append(envelope)
        if len(self._last) == CHUNK:
            self._texts.append("\n".join(self._last))
            self._last.clear()

    def chunks(self) -> Iterator[Sequence[Member]]:
        """All members, `CHUNK` of them at a time."""
        for first in range(0, len(self), CHUNK):
            yield [member for _, member in self.read(first, CHUNK)]

    def read(self, first: int, limit: int) -> list[tuple[int, Member]]:
        """The members from that number on, within one chunk, with their numbers."""
        index, start = divmod(first, CHUNK)
        rooms = self._texts[index].split("\n") if index < len(self._texts) else self._last
        some = rooms[start : start + limit] if index <= len(self._texts) else []
        own: Sequence[Envelope | None] = self._envelopes[first : first + len(some)]
        own = own or [None] * len(some)
        return [
            (number, Member(room=room, envelope=envelope, asked_room=self._asked.get(number)))
            for number, (room, envelope) in enumerate(zip(some, own, strict=True), first)
        ]
