"""What arrived: the rooms of an emulated platform and their messages, in memory."""

from __future__ import annotations

from typing import Any

import attrs
import trio

from gateway_contrib.emulators.buttons import Rows
from gateway_contrib.emulators.files.store import File


@attrs.define(kw_only=True)
class Message:
    """One message as the platform stores it.

    fields           the request that made it, as posted
    stored_at        and `edited_at`: the emulator's clock (`trio.current_time()`), in seconds
    revisions        the texts that it had before, oldest first
    revised_at       when each of them went
    user             the person who wrote it; None: a bot did
    files            what stands beside the text, as it is now
    buttons          under it, as they are now, by rows
    streaming_until  when its stream ends by itself or has ended; None: it is none
    """

    id: str
    room: str
    text: str
    thread: str | None = None
    reply_to: str | None = None
    fields: dict[str, Any] = attrs.field(factory=dict)
    stored_at: float = 0.0
    edited_at: float | None = None
    deleted: bool = False
    revisions: list[str] = attrs.field(factory=list)
    revised_at: list[float] = attrs.field(factory=list)
    user: str | None = None
    streaming_until: float | None = None
    files: tuple[File, ...] = ()
    buttons: Rows = ()

    def revise(self, text: str) -> None:
        """Show another text from now on."""
        self.revisions.append(self.text)
        self.revised_at.append(trio.current_time())
        self.text = text

    @property
    def states(self) -> list[tuple[float, str]]:
        """Every text that it had, with the time from which on it was seen, oldest first."""
        times = [self.stored_at, *self.revised_at]
        return list(zip(times, [*self.revisions, self.text], strict=True))

    @property
    def streaming(self) -> bool:
        """True while a stream of the platform's own is open on it."""
        return self.streaming_until is not None and trio.current_time() < self.streaming_until


class Rooms:
    """Every message of an emulator, by room, in the order of storing."""

    def __init__(self) -> None:
        self._rooms: dict[str, dict[str, Message]] = {}

    def add(self, message: Message) -> None:
        """Store a message; its id must be new in its room."""
        room = self._rooms.setdefault(message.room, {})
        if message.id in room:
            raise ValueError(f"room {message.room!r} has a message {message.id!r} already")
        room[message.id] = message

    def get(self, room: str, id: str) -> Message | None:  # noqa: A002 - the platforms' own word
        """The message, deleted or not; None if there never was one."""
        return self._rooms.get(room, {}).get(id)

    def conversation(self, room: str) -> list[Message]:
        """What a reader of the room sees: not deleted, in the order of storing."""
        return [message for message in self.all(room) if not message.deleted]

    def all(self, room: str) -> list[Message]:
        """Every message of the room, deleted ones too, in the order of storing."""
        return list(self._rooms.get(room, {}).values())

    def names(self) -> list[str]:
        """The rooms that have had a message, in the order of their first one."""
        return list(self._rooms)
