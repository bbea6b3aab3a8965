"""Finds where a Slack event came from: Events API, interactive payloads, slash commands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from gateway_core.authors import Address, Asked, Interaction, Secret
from gateway_plugin_slack.ids import is_conversation, is_ts

URL_LASTS = 1_800.0
"""Seconds for which a response_url takes up to five messages (docs.slack.dev, handling user
interaction)."""


def address_of(event: Any) -> Address | None:
    """Room, thread, reply and key of an event; None for an event that has no conversation.

    `event` may be slack_bolt's `event`, `body`, `command`, `shortcut` or request, or a request of
    slack_sdk's socket mode.

    The key identifies the message (and its edit), so that the two events of one mention, and
    Slack's repeated deliveries, lead to one answer. An event that is not a message has a key of its
    own. In a direct message nobody expects a thread, so a message there has no `reply_to`; neither
    has a deleted message.
    """
    if not isinstance(event, Mapping):
        # The requests of slack_bolt and of slack_sdk's socket mode.
        event = getattr(event, "body", getattr(event, "payload", None))
    if not isinstance(event, Mapping):
        return None
    body, inner = event, event.get("event")
    event = inner if isinstance(inner, Mapping) else event
    if event.get("type") == "app_home_opened":  # a tab; its channel is the app's direct messages
        return None
    message = _message(event)
    answers = _answers(event)
    room = _room(event, message) or answers.get("channel_id")
    if not isinstance(room, str) or not is_conversation(room):
        return None
    return attrs.evolve(
        _addressed(room, message, event),
        user_id=_id_of(event, "user") or _id_of(message, "user"),
        team_id=_id_of(body, "team") or _id_of(event, "team") or _id_of(message, "team"),
        interaction=_interaction(event, answers),
        pressed=_pressed(event),
    )


def _answers(event: Mapping[str, Any]) -> Mapping[str, Any]:
    """The object that has the response_url: the payload, or an entry of a form's `response_urls`.

    Source: docs.slack.dev, modals, `response_urls`.
    """
    urls = event.get("response_urls")
    found = urls[0] if isinstance(urls, list) and urls else event
    return found if isinstance(found, Mapping) else event


def _interaction(event: Mapping[str, Any], answers: Mapping[str, Any]) -> Interaction | None:
    url = answers.get("response_url")
    if not isinstance(url, str) or not url:
        return None
    asked: Asked = "command" if "command" in event else "press"
    asked = "form" if event.get("type") == "view_submission" else asked
    return Interaction(token=Secret(url), asked=asked, lasts=URL_LASTS)


def _pressed(event: Mapping[str, Any]) -> str | None:
    """The value of the button that was pressed; a button that opens a URL has none."""
    actions = event.get("actions")
    pressed = actions[0] if isinstance(actions, list) and actions else None
    if not isinstance(pressed, Mapping) or pressed.get("type") != "button":
        return None
    value = pressed.get("value")
    return value if isinstance(value, str) and value else None


def _id_of(event: Mapping[str, Any], who: str) -> str | None:
    """The user's or workspace's id: the field itself, the field with `_id`, or in an object."""
    found = event.get(who) or event.get(f"{who}_id")
    found = found.get("id") if isinstance(found, Mapping) else found
    return found if isinstance(found, str) and found else None


def _addressed(room: str, message: Mapping[str, Any], event: Mapping[str, Any]) -> Address:
    ts = message.get("ts", message.get("message_ts"))
    thread = message.get("thread_ts")
    direct = event.get("channel_type") == "im" or room.startswith("D")
    answerable = is_ts(ts) and not direct and "deleted_ts" not in event
    return Address(
        external_room_id=room,
        thread_id=thread if is_ts(thread) else None,
        reply_to=ts if answerable else None,
        message_id=ts if is_ts(ts) else None,
        direct=direct,
        key=_key(room, message, event),
    )


def _message(event: Mapping[str, Any]) -> Mapping[str, Any]:
    """The message that the event is or concerns; or the assistant's thread that it opened."""
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
    """A key by the trigger of a press or command, a message's ts and edit, or else the event."""
    trigger = event.get("trigger_id")
    if isinstance(trigger, str):
        return f"{room}:{trigger}"
    own, edited = message.get("ts"), message.get("edited")
    again = edited.get("ts") if isinstance(edited, Mapping) else None
    if own is None or "item" in event or "deleted_ts" in event:
        # Something that happened to a message is not a message: it has a time of its own.
        own, again = event.get("event_ts", event.get("ts")), None
    if not is_ts(own):
        return None
    return f"{room}:{own}:{again}" if is_ts(again) else f"{room}:{own}"
