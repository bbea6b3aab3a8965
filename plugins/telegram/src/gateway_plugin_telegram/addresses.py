"""Where an incoming update came from: room, thread, reply and key. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway_core import Address

# The fields of core.telegram.org/bots/api#update that belong to a conversation of the bot. Those of
# a business account do not: an answer there needs the account's connection besides the room.
_CARRIERS = (
    "message",
    "edited_message",
    "channel_post",
    "edited_channel_post",
    "callback_query",
    "message_reaction",
    "message_reaction_count",
    "my_chat_member",
    "chat_member",
    "chat_join_request",
    "chat_boost",
    "removed_chat_boost",
)


def address_of(event: Any) -> Address | None:
    """The address of an Update, or of a bare Message; None where it names no chat."""
    if not isinstance(event, Mapping):
        return None
    message = _message(event)
    chat = message.get("chat")
    if not isinstance(chat, Mapping) or not isinstance(chat.get("id"), int):
        return None
    return Address(
        external_room_id=str(chat["id"]),
        thread_id=_thread(message),
        reply_to=_text(message.get("message_id")),
        key=_key(event),
    )


def _message(event: Mapping[str, Any]) -> Mapping[str, Any]:
    for name in _CARRIERS:
        carrier = event.get(name)
        if isinstance(carrier, Mapping):
            inner = carrier.get("message")
            return inner if isinstance(inner, Mapping) else carrier
    return event


def _thread(message: Mapping[str, Any]) -> str | None:
    # Outside of topics a thread's id marks a chain of replies; sending to it is refused.
    return _text(message.get("message_thread_id")) if message.get("is_topic_message") else None


def _key(event: Mapping[str, Any]) -> str | None:
    number = _text(event.get("update_id"))
    return f"update-{number}" if number else None


def _text(value: Any) -> str | None:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None
