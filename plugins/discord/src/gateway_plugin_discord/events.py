"""Where one of Discord's own events came from, ready for the answer to it. Pure."""

from __future__ import annotations

from typing import Any

from gateway_core import Address


def address_of(event: Any) -> Address | None:
    """The address of a gateway event (`{"t": …, "d": {…}}`) or of its `d`, or of an interaction.

    A message in a thread says the thread's id as its channel, and so does the address: a thread
    is a channel of its own. The key is the event's own id, so that an answer to an event that was
    delivered twice is made once. None: it is not of a conversation.
    """
    inner = event.get("d", event) if isinstance(event, dict) else None
    if not isinstance(inner, dict):
        return None
    room = _text(inner, "channel_id")
    if room is None:
        return None
    origin, message = _text(inner, "id"), inner.get("message")
    if isinstance(message, dict) or "token" in inner:
        # An interaction: its id is no message's; a component's has its message inside.
        replied = _text(message, "id") if isinstance(message, dict) else None
    else:
        replied = origin or _text(inner, "message_id")
    return Address(external_room_id=room, reply_to=replied, key=origin)


def _text(event: dict[str, Any], name: str) -> str | None:
    value = event.get(name)
    return value if isinstance(value, str) and value else None
