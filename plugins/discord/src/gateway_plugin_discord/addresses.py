"""Finds where one of Discord's events came from, so that it can be answered. Sans-I/O."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import attrs

from gateway_core.authors import Address, Asked, Interaction, Secret
from gateway_plugin_discord.ids import is_snowflake

_OF_DELETION = frozenset({"channel_id", "guild_id", "id"})
"""The only fields of MESSAGE_DELETE in a server
(discord.com/developers/docs/events/gateway-events)."""

TOKEN_LASTS = 900.0
"""Seconds for which an interaction's token can be used to answer
(discord.com/developers/docs/interactions/receiving-and-responding#followup-messages)."""

BUTTON = 2
"""The type of a component that is a button."""

ASKED: Mapping[int, Asked] = {2: "command", 3: "press", 5: "form"}
"""Types of interactions that are answered by a message; 1 is a ping, 4 asks for completions
(discord.com/developers/docs/interactions/receiving-and-responding#interaction-object)."""


def address_of(event: Any) -> Address | None:
    """The address of a gateway event (`{"t": …, "d": {…}}`) or of its `d`, or of an interaction.

    A message in a thread names the thread as its channel, and so does the address: a thread is a
    channel of its own. The key is the event's own id, with the time of an edit, so that an event
    that was delivered twice is answered once. None: the event belongs to no conversation. The event
    may also be an object of discord.py, which has the same names, or the context of a command.
    """
    inner = _inner(event)
    message = _get(inner, "message")
    room = _room(inner) or _room(message)
    if room is None or not is_snowflake(room):
        return None
    own, server = _text(inner, "id"), _server(inner)
    place = Address(
        external_room_id=room, user_id=_user(inner), team_id=server, direct=server is None
    )
    if _is_deletion(inner):
        gone = own or _text(inner, "message_id")
        return attrs.evolve(place, message_id=gone, key=gone and f"{gone}-deleted")
    if _text(message, "id") or _get(inner, "token"):
        # An interaction's id is not a message's id; a component's interaction has the message.
        replied = _text(message, "id")
    else:
        replied = own or _text(inner, "message_id")
    return attrs.evolve(
        place,
        reply_to=replied,
        message_id=replied,
        key=own and f"{own}{_edited(inner)}",
        interaction=_interaction(inner, own),
        pressed=_pressed(inner),
    )


def _interaction(event: Any, own: str | None) -> Interaction | None:
    """The interaction to answer; None: the event is no interaction, or one without an answer."""
    kind, token = _get(event, "type"), _get(event, "token")
    number = getattr(kind, "value", kind)  # discord.py has an enumeration
    asked = ASKED.get(number) if isinstance(number, int) else None
    app_id = _text(event, "application_id")
    if asked is None or own is None or app_id is None or not isinstance(token, str) or not token:
        return None
    answers = Secret(token)
    return Interaction(
        token=answers, id=own, app_id=app_id, asked=asked, lasts=TOKEN_LASTS, edits=True
    )


def _pressed(event: Any) -> str | None:
    """The `custom_id` of the button that was pressed."""
    found = _get(event, "data")
    if not isinstance(found, dict) or found.get("component_type") != BUTTON:
        return None
    name = found.get("custom_id")
    return name if isinstance(name, str) and name else None


def _inner(event: Any) -> Any:
    """The object that names the conversation: the event's data, a context's message, the event."""
    if isinstance(event, dict):
        return event.get("d", event)
    raw = _get(event, "data")
    if isinstance(raw, dict) and "channel_id" in raw:  # RawMessageUpdateEvent has the JSON
        return raw
    if hasattr(event, "prefix") and not hasattr(event, "id"):  # a command's context
        return _get(event, "message")
    return event


def _room(event: Any) -> str | None:
    return _text(event, "channel_id") or _text(_get(event, "channel"), "id")


def _server(event: Any) -> str | None:
    return _text(event, "guild_id") or _text(_get(event, "guild"), "id")


def _user(event: Any) -> str | None:
    """Who wrote, pressed, called or reacted; the object of a server's member contains the user."""
    for place in (_get(event, "author"), _get(event, "user"), _get(_get(event, "member"), "user")):
        if (found := _text(place, "id")) is not None:
            return found
    return _text(event, "user_id")


def _is_deletion(event: Any) -> bool:
    """Whether the event reports a deleted message, with its id but without its content."""
    if isinstance(event, dict):
        return event.keys() == _OF_DELETION
    return hasattr(event, "cached_message")


def _edited(event: Any) -> str:
    """The time of a message's last edit, in milliseconds; an embed that unfolds is no edit."""
    at = _get(event, "edited_timestamp") or _get(event, "edited_at")
    if isinstance(at, str):
        try:
            at = datetime.fromisoformat(at)
        except ValueError:
            return ""
    if not isinstance(at, datetime):
        return ""
    aware = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    return f"-{int(aware.timestamp() * 1000)}"


def _get(event: Any, name: str) -> Any:
    return event.get(name) if isinstance(event, dict) else getattr(event, name, None)


def _text(event: Any, name: str) -> str | None:
    """An id: a text in JSON, a number in the objects of libraries."""
    value = _get(event, name)
    if isinstance(value, str):
        return value or None
    number = isinstance(value, int) and not isinstance(value, bool)
    return str(int(value)) if number and not isinstance(event, dict) else None
