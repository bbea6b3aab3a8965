"""Where one of Discord's own events came from, ready for the answer to it. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from gateway_core import Address


def address_of(event: Any) -> Address | None:
    """The address of a gateway event (`{"t": …, "d": {…}}`) or of its `d`, or of an interaction.

    A message in a thread says the thread's id as its channel, and so does the address: a thread
    is a channel of its own. The key is the event's own id, with the time of an edit, so that an
    answer to an event that was delivered twice is made once. None: it is not of a conversation.
    The objects of discord.py, which have the same names, serve as well.
    """
    inner = event.get("d", event) if isinstance(event, dict) else event
    room = _text(inner, "channel_id") or _text(_get(inner, "channel"), "id")
    if room is None:
        return None
    origin, message = _text(inner, "id"), _get(inner, "message")
    if _text(message, "id") or _get(inner, "token"):
        # An interaction: its id is no message's; a component's has its message inside.
        replied = _text(message, "id")
    else:
        replied = origin or _text(inner, "message_id")
    key = origin and f"{origin}{_edited(inner)}"
    return Address(external_room_id=room, reply_to=replied, key=key)


def _edited(event: Any) -> str:
    """The milliseconds of a message's last edit; an embed that unfolded is none."""
    at = _get(event, "edited_timestamp") or _get(event, "edited_at")
    if isinstance(at, str):
        try:
            at = datetime.fromisoformat(at)
        except ValueError:
            return ""
    return f"-{int(at.timestamp() * 1000)}" if isinstance(at, datetime) else ""


def _get(event: Any, name: str) -> Any:
    return event.get(name) if isinstance(event, dict) else getattr(event, name, None)


def _text(event: Any, name: str) -> str | None:
    """An id: a text in JSON, a number in the objects of libraries."""
    value = _get(event, name)
    if isinstance(value, str):
        return value or None
    number = isinstance(value, int) and not isinstance(value, bool)
    return str(int(value)) if number and not isinstance(event, dict) else None
