"""Acts as people in an emulated Telegram, and makes the updates that a bot receives.

Source: core.telegram.org/bots/api#update.
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import Any

import attrs
import trio

from gateway_contrib.emulators.rooms import Message
from gateway_contrib.emulators.telegram.content import utf16_units
from gateway_contrib.emulators.telegram.world import Chat, Content, World, person

SOMEBODY = 1_000_001
"""The user who acts in groups if none is named; in a private chat, the chat's own user acts."""


@attrs.define(eq=False)
class People:
    """Users of an emulated Telegram. Each method returns the `Update` as Telegram sends it.

    The update also waits for `getUpdates`, until a bot has confirmed it.
    """

    _world: World
    _updates: int = 0
    _waiting: deque[dict[str, Any]] = attrs.field(factory=deque)
    _happened: trio.Event = attrs.field(factory=trio.Event)

    def say(
        self,
        room: str,
        text: str,
        *,
        user: int | None = None,
        thread: str | None = None,
        reply_to: str | None = None,
    ) -> dict[str, Any]:
        """Let somebody write a message in a room; `rooms` has the message, too.

        If the text begins with a slash, its command is marked, as the server does.
        """
        chat = self._world.chats.find(room)
        who = self._who(chat, user)
        message = Message(
            id=chat.next_id(),
            room=chat.room,
            text=text,
            thread=thread,
            reply_to=reply_to,
            stored_at=trio.current_time(),
            user=str(who),
        )
        chat.contents[message.id] = Content(who, _command(text), person=True)
        self._world.rooms.add(message)
        self._world.counters["received"] += 1
        return self._update("message", self._world.shown(chat, message))

    def press(
        self, room: str, message_id: str, data: str, *, user: int | None = None
    ) -> dict[str, Any]:
        """Let somebody press a button. Raises LookupError if the message does not exist."""
        chat = self._world.chats.find(room)
        message = self._world.rooms.get(chat.room, message_id)
        if message is None or message.deleted:
            raise LookupError(f"room {room} has no message {message_id}")
        query = {
            "id": str(4_000_000_000 + self._updates),
            "from": person(self._who(chat, user)),
            "message": self._world.shown(chat, message),
            "chat_instance": str(chat.id),
            "data": data,
        }
        return self._update("callback_query", query)

    async def updates(self, offset: int, limit: int, seconds: float) -> list[dict[str, Any]]:
        """The updates from `offset` on, for getUpdates; the offset confirms all earlier updates.

        If there are no updates, wait for up to `seconds`.
        """
        while self._waiting and self._waiting[0]["update_id"] < offset:
            self._waiting.popleft()
        if not self._waiting:
            with trio.move_on_after(seconds):
                await self._happened.wait()
        return list(islice(self._waiting, limit))

    @staticmethod
    def _who(chat: Chat, user: int | None) -> int:
        return user or (chat.id if chat.kind == "private" else SOMEBODY)

    def _update(self, kind: str, content: Any) -> dict[str, Any]:
        self._updates += 1
        update = {"update_id": self._updates, kind: content}
        self._waiting.append(update)
        self._happened.set()
        self._happened = trio.Event()
        return update


def _command(text: str) -> tuple[dict[str, Any], ...]:
    word = text.split(maxsplit=1)[0] if text.startswith("/") else ""
    if len(word) < len("/a"):
        return ()
    return ({"type": "bot_command", "offset": 0, "length": utf16_units(word)},)
