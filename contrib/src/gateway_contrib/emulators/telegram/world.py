"""What the methods work on: chats and their messages, the clock, the bots' allowances."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

import attrs
import trio

from gateway_contrib.emulators.rooms import Message, Rooms
from gateway_contrib.emulators.telegram.chats import Chat, Chats, Content
from gateway_contrib.emulators.telegram.limits import FloodControl, TelegramLimits
from gateway_contrib.emulators.telegram.refusals import bad_request, flood
from gateway_contrib.emulators.telegram.requests import Parameters

EPOCH = 1_767_225_600
"""POSIX time at which the emulator's clock stands at 0: the beginning of 2026."""


@attrs.frozen
class Bot:
    """The account that makes a request."""

    id: int

    def described(self) -> dict[str, Any]:
        """The `User` object."""
        return {
            "id": self.id,
            "is_bot": True,
            "first_name": f"Bot {self.id}",
            "username": f"emulated_{self.id}_bot",
        }


@attrs.define(eq=False)
class World:
    """The state of one emulated Telegram."""

    limits: TelegramLimits
    rooms: Rooms = attrs.field(factory=Rooms)
    chats: Chats = attrs.field(factory=Chats)
    counters: Counter[str] = attrs.field(factory=Counter)
    _allowances: dict[int, FloodControl] = attrs.field(factory=dict)

    def chat(self, parameters: Parameters) -> Chat:
        """The chat that `chat_id` names. Raises `Refusal`."""
        address = parameters.text("chat_id")
        if not address:
            raise bad_request("chat_id is empty")
        return self.chats.reach(address)

    def message(self, chat: Chat, parameters: Parameters, verb: str) -> Message:
        """The message that `message_id` names. Raises `Refusal`, saying what it was looked for."""
        number = parameters.integer("message_id")
        if number <= 0:
            raise bad_request("message identifier is not specified")
        message = self.rooms.get(chat.room, str(number))
        if message is None or message.deleted:
            raise bad_request(f"message to {verb} not found")
        return message

    def admit(self, bot: Bot, chat: Chat | None) -> None:
        """Count a write against the allowances; None: against the bot's only. Raises `Refusal`."""
        allowance = self._allowances.setdefault(bot.id, FloodControl(self.limits))
        wait = allowance.take(None if chat is None else chat.room, trio.current_time())
        if wait > 0:
            self.counters["rate_limited"] += 1
            raise flood(math.ceil(wait))

    def shown(self, chat: Chat, message: Message) -> dict[str, Any]:
        """The `Message` object; the one that it answers is shown without its own."""
        replied = message.reply_to and self.rooms.get(chat.room, message.reply_to)
        shown = self._alone(chat, message)
        return {**shown, "reply_to_message": self._alone(chat, replied)} if replied else shown

    def _alone(self, chat: Chat, message: Message) -> dict[str, Any]:
        content = chat.contents[message.id]
        fields = {
            "message_id": int(message.id),
            "from": Bot(content.author).described(),
            "chat": chat.described(),
            "date": _posix(message.stored_at),
            "edit_date": None if message.edited_at is None else _posix(message.edited_at),
            "message_thread_id": int(message.thread) if message.thread else None,
            "is_topic_message": True if message.thread else None,
            "text": message.text,
            "entities": list(content.entities) or None,
            "reply_markup": _inline(content),
            "link_preview_options": content.previews,
        }
        return {name: value for name, value in fields.items() if value is not None}


def _posix(moment: float) -> int:
    return EPOCH + int(moment)


def _inline(content: Content) -> Mapping[str, Any] | None:
    """Only inline keyboards are shown with the message; others belong to the chat."""
    keyboard = content.keyboard
    return keyboard if keyboard is not None and "inline_keyboard" in keyboard else None
