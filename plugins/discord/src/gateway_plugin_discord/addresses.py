"""Where one of Discord's own events came from, ready for the answer to it. Sans-I/O."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from gateway_core.authors import Address

_OF_DELETION = frozenset({"channel_id", "guild_id", "id"})
"""All that MESSAGE_DELETE says in a server (discord.com/developers/docs/events/gateway-events)."""


def address_of(event: Any) -> Address | None:
    """The address of a gateway event (`{"t": …, "d": {…}}`) or of its `d`, or of an interaction.

    A message in a thread says the thread's id as its channel, and so does the address: a thread
    is a channel of its own. The key is the event's own id, with the time of an edit, so that an
    answer to an event that was delivered twice is made once. None: it is not of a conversation.
    The objects of discord.py, which have the same names, serve as well, and its commands' context.
    """
    inner = _inner(event)
    message = _get(inner, "message")
    room = _room(inner) or _room(message)
    if room is None:
        return None
    own = _text(inner, "id")
    if _is_deletion(inner):
        gone = own or _text(inner, "message_id")
        return Address(external_room_id=room, key=gone and f"{gone}-deleted")
    if _text(message, "id") or _get(inner, "token"):
        # An interaction: its id is no message's; a component's has its message inside.
        replied = _text(message, "id")
    else:
        replied = own or _text(inner, "message_id")
    return Address(external_room_id=room, reply_to=replied, key=own and f"{own}{_edited(inner)}")


def _inner(event: Any) -> Any:
    """What tells of the conversation: an event's data, a context's message, or the event itself."""
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


def _is_deletion(event: Any) -> bool:
    """Whether it tells of a message that is gone, by its id and nothing of what was in it."""
    if isinstance(event, dict):
        return event.keys() == _OF_DELETION
    return hasattr(event, "cached_message")


def _edited(event: Any) -> str:
    """The milliseconds of a message's last edit; an embed that unfolded is none."""
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
