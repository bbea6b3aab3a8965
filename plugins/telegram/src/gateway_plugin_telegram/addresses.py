"""Finds where an incoming update came from: room, thread, reply and key. Sans-I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway_core.authors import Address, Interaction, Secret
from gateway_plugin_telegram.ids import message_id

# The fields of core.telegram.org/bots/api#update that belong to a conversation of the bot. Fields
# of a business account do not: to answer there, the account's connection is needed as well.
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
_REACTED = ("new_reaction", "reactions")
"""Fields that MessageReactionUpdated and MessageReactionCountUpdated have, but no message has."""


def address_of(event: Any) -> Address | None:
    """The address of an Update, a CallbackQuery or a bare Message; None if it names no chat.

    The event is the Bot API's JSON, or an object whose attributes have the same names, as in
    python-telegram-bot and aiogram.
    """
    message = _message(event)
    room = _text(_get(_get(message, "chat"), "id"))
    if room is None or _get(message, "business_connection_id") is not None:
        return None
    named = _named(message, room)
    return Address(
        external_room_id=room,
        thread_id=_thread(message),
        reply_to=named,
        message_id=named,
        key=_key(event, message, room),
        user_id=_user(event, message),
        direct=_get(_get(message, "chat"), "type") == "private",
        interaction=_press(event),
        pressed=_pressed(event),
    )


def _named(message: Any, room: str) -> str | None:
    """The message's id, as the ids of sent messages: no other one after the group has moved."""
    number = _get(message, "message_id")
    return message_id(room, number) if _text(number) is not None else None


def _pressed(event: Any) -> str | None:
    """The `callback_data` of the button that was pressed."""
    query = _get(event, "callback_query")
    query = event if query is None else query
    data = _get(query, "data")
    return data if isinstance(data, str) and data and _get(query, "chat_instance") else None


def _press(event: Any) -> Interaction | None:
    """The query of a pressed button, which shows a progress bar until it is answered; else None.

    Source: core.telegram.org/bots/api#callbackquery.
    """
    query = _get(event, "callback_query")
    query = event if query is None else query
    number = _get(query, "id")
    if not isinstance(number, str) or not number or not _get(query, "chat_instance"):
        return None
    return Interaction(token=Secret(number), id=number, asked="press", by_token=False)


def _user(event: Any, message: Any) -> str | None:
    """Who wrote, pressed or reacted; for a press not the message's author, which is the bot."""
    carriers = (_get(event, name) for name in _CARRIERS)
    for carrier in (event, *carriers, message):
        if not isinstance(carrier, str | int | None):
            for name in ("from", "from_user", "user"):
                if (found := _text(_get(_get(carrier, name), "id"))) is not None:
                    return found
    return None


def _get(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)


def _message(event: Any) -> Any:
    for name in _CARRIERS:
        carrier = _get(event, name)
        if carrier is not None and not isinstance(carrier, str | int):
            inner = _get(carrier, "message")
            return carrier if inner is None or isinstance(inner, str | int) else inner
    return event


def _thread(message: Any) -> str | None:
    # Outside of topics, the thread's id marks a chain of replies; Telegram refuses sends to it.
    return _text(_get(message, "message_thread_id")) if _get(message, "is_topic_message") else None


def _key(event: Any, message: Any, room: str) -> str | None:
    """The update's number; else the query's id, or the message's number and the time of its edit.

    A reaction without its update has no key: the message's number belongs to another event.
    """
    update = _text(_get(event, "update_id"))
    if update is not None:
        return f"update-{update}"
    if any(_get(event, name) is not None for name in _REACTED):
        return None
    query = _get(event, "id")
    if isinstance(query, str) and _get(event, "chat_instance"):
        return f"callback-{query}"
    number, edited = _text(_get(message, "message_id")), _get(message, "edit_date")
    if number is None:
        return None
    # The time is a number in JSON, and an object in the libraries.
    at = int(edited.timestamp()) if hasattr(edited, "timestamp") else edited
    return f"message-{room}-{number}" + (f"-{at}" if at else "")


def _text(value: Any) -> str | None:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None
