"""Where an incoming event of Slack came from: Events API, interactive payloads, slash commands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from gateway_core.authors import Address
from gateway_plugin_slack.ids import is_conversation, is_ts


def address_of(event: Any) -> Address | None:
    """Room, thread, reply and key of an event; None for what belongs to no conversation.

    slack_bolt's `event`, `body`, `command` and `shortcut`, and its request, serve alike.

    The key is the message's own identity (and its edit's), so that the two events of one mention,
    and Slack's repeated deliveries, lead to one answer; what is no message has its event's. In a
    direct message nobody expects a thread, so a message there is not replied to, and neither is
    one that was deleted.
    """
    if not isinstance(event, Mapping):
        event = getattr(event, "body", None)  # slack_bolt's request
    if not isinstance(event, Mapping):
        return None
    inner, outer = event.get("event"), event
    event = inner if isinstance(inner, Mapping) else event
    if event.get("type") == "app_home_opened":  # a tab; its channel is the direct one beside it
        return None
    message = _message(event)
    room = _room(event, message)
    if not isinstance(room, str) or not is_conversation(room):
        return None
    team = _id(event, "team", "team_id") or _id(outer, "team", "team_id")
    return attrs.evolve(_addressed(room, message, event), team_id=team)


def _addressed(room: str, message: Mapping[str, Any], event: Mapping[str, Any]) -> Address:
    ts = message.get("ts", message.get("message_ts"))
    thread = message.get("thread_ts")
    direct = event.get("channel_type") == "im" or room.startswith("D")
    answerable = is_ts(ts) and not direct and "deleted_ts" not in event
    return Address(
        external_room_id=room,
        thread_id=thread if is_ts(thread) else None,
        reply_to=ts if answerable else None,
        key=_key(room, message, event),
        user_id=_id(event, "user", "user_id") or _id(message, "user"),
        direct=direct,
        message_id=ts if is_ts(ts) else None,
    )


def _id(event: Mapping[str, Any], *names: str) -> str | None:
    """A person or a workspace: its id, or an object that has it."""
    for name in names:
        value = event.get(name)
        value = value.get("id") if isinstance(value, Mapping) else value
        if isinstance(value, str) and value:
            return value
    return None


def _message(event: Mapping[str, Any]) -> Mapping[str, Any]:
    """The message that the event is, tells of, or happened to; or the thread that it opened."""
    for field in ("message", "item", "previous_message"):
        found = event.get(field)
        if isinstance(found, Mapping) and is_ts(found.get("ts")):
            return found
    opened = event.get("assistant_thread")
    return opened if isinstance(opened, Mapping) else event


def _room(event: Mapping[str, Any], message: Mapping[str, Any]) -> Any:
    of_event = event.get("channel") or event.get("channel_id")
    found = of_event or message.get("channel") or message.get("channel_id")
    return found.get("id") if isinstance(found, Mapping) else found


def _key(room: str, message: Mapping[str, Any], event: Mapping[str, Any]) -> str | None:
    """A press or a command by its trigger, a message by its ts and its edit's, else the event."""
    trigger = event.get("trigger_id")
    if isinstance(trigger, str):
        return f"{room}:{trigger}"
    own, edited = message.get("ts"), message.get("edited")
    again = edited.get("ts") if isinstance(edited, Mapping) else None
    if own is None or "item" in event or "deleted_ts" in event:
        # What happened to a message is none: it has a time of its own.
        own, again = event.get("event_ts", event.get("ts")), None
    if not is_ts(own):
        return None
    return f"{room}:{own}:{again}" if is_ts(again) else f"{room}:{own}"
