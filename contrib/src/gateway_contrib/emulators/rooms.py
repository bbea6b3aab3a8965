"""Holds in memory what arrived: the rooms of an emulated platform, and their messages."""

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
    stored_at        like `edited_at`: seconds on the emulator's clock (`trio.current_time()`)
    revisions        the texts that it had before, oldest first
    revised_at       when each of these texts was replaced
    user             the person who wrote it; None: a bot wrote it
    files            the files beside the text, as they are now
    buttons          the buttons under the text, as they are now, by rows
    streaming_until  when its stream ends by itself, or has ended; None: it has no stream
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
    _clock: trio.abc.Clock | None = attrs.field(default=None, eq=False, repr=False)

    def revise(self, text: str) -> None:
        """Show another text from now on."""
        self.revisions.append(self.text)
        self.revised_at.append(trio.current_time())
        self.text = text

    @property
    def states(self) -> list[tuple[float, str]]:
        """Every text that the message had, with the time at which it appeared, oldest first."""
        times = [self.stored_at, *self.revised_at]
        return list(zip(times, [*self.revisions, self.text], strict=True))

    def stream_for(self, seconds: float) -> None:
        """Open one of the platform's own streams, which ends by itself after so many seconds."""
        self._clock = trio.lowlevel.current_clock()
        self.streaming_until = trio.current_time() + seconds

    @property
    def streaming(self) -> bool:
        """True while one of the platform's own streams is open on the message.

        A test may ask in any thread, so this asks the clock itself for the time.
        """
        if self._clock is None or self.streaming_until is None:
            return False
        return self._clock.current_time() < self.streaming_until


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
        """The messages that a reader sees: those that are not deleted, in the order of storing."""
        return [message for message in self.all(room) if not message.deleted]

    def all(self, room: str) -> list[Message]:
        """Every message of the room, deleted ones too, in the order of storing."""
        return list(self._rooms.get(room, {}).values())

    def names(self) -> list[str]:
        """The rooms that have had a message, in the order of their first messages."""
        return list(self._rooms)
