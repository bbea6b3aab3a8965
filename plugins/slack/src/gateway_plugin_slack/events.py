"""Where an incoming event of Slack came from: Events API, interactive payloads, slash commands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway_core import Address
from gateway_plugin_slack.rooms import is_conversation, is_ts


def address(event: Any) -> Address | None:
    """Room, thread, reply and key of an event; None for what belongs to no conversation.

    slack_bolt's `event`, `body`, `command`, `action` payloads and its request serve alike.

    The key is the message's own identity (and its edit's), so that the two events of one mention,
    and Slack's repeated deliveries, lead to one answer. In a direct message nobody expects a
    thread, so a message there is not replied to.
    """
    if not isinstance(event, Mapping):
        event = getattr(event, "body", None)  # slack_bolt's request
    if not isinstance(event, Mapping):
        return None
    inner = event.get("event")
    event = inner if isinstance(inner, Mapping) else event
    message = _message(event)
    room = _room(event, message)
    if not isinstance(room, str) or not is_conversation(room):
        return None
    return _addressed(room, message, event)


def _addressed(room: str, message: Mapping[str, Any], event: Mapping[str, Any]) -> Address:
    ts = message.get("ts")
    thread = message.get("thread_ts")
    direct = event.get("channel_type") == "im" or room.startswith("D")
    return Address(
        external_room_id=room,
        thread_id=thread if is_ts(thread) else None,
        reply_to=ts if is_ts(ts) and not direct else None,
        key=_key(room, ts, event, message.get("edited")),
    )


def _message(event: Mapping[str, Any]) -> Mapping[str, Any]:
    """The message that the event is, tells of, or happened to."""
    for field in ("message", "item"):
        found = event.get(field)
        if isinstance(found, Mapping) and is_ts(found.get("ts")):
            return found
    return event


def _room(event: Mapping[str, Any], message: Mapping[str, Any]) -> Any:
    found = event.get("channel") or event.get("channel_id") or message.get("channel")
    return found.get("id") if isinstance(found, Mapping) else found


def _key(room: str, ts: Any, event: Mapping[str, Any], edited: Any) -> str | None:
    """A press or a command by its trigger, anything else by its message and the edit of it."""
    trigger = event.get("trigger_id")
    if isinstance(trigger, str):
        return f"{room}:{trigger}"
    own = event.get("event_ts", ts) if "item" in event else ts
    again = edited.get("ts") if isinstance(edited, Mapping) else None
    if not is_ts(own):
        return None
    return f"{room}:{own}:{again}" if is_ts(again) and "item" not in event else f"{room}:{own}"
