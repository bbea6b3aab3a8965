"""Makes the JSON and forms that Slack sends an app (docs.slack.dev, events and payloads)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway_contrib.emulators.rooms import Message
from gateway_contrib.emulators.slack.world import TEAM, Channel, Fields

APP_ID = "A0EMULATOR"
TOKEN = "emulated-verification-token"  # noqa: S105 - apps no longer look at it


def event(number: int, message: Fields, channel: Channel, now: int) -> dict[str, Any]:
    """An `event_callback` for a message."""
    kind = "im" if channel.private else "group" if channel.id.startswith("G") else "channel"
    inner = {
        **message,
        "channel": channel.id,
        "channel_type": kind,
        "event_ts": message["ts"],
        "client_msg_id": f"00000000-0000-4000-8000-{number:012d}",
    }
    return {
        "token": TOKEN,
        "team_id": TEAM,
        "api_app_id": APP_ID,
        "event": inner,
        "type": "event_callback",
        "event_id": f"Ev0EMU{number:06d}",
        "event_time": now,
        "authorizations": [{"team_id": TEAM, "user_id": "U0BOT0001", "is_bot": True}],
        "is_ext_shared_channel": False,
    }


def command(
    channel: Channel, user: str, name: str, text: str, url: str, trigger: str
) -> dict[str, str]:
    """The form of a slash command."""
    return {
        "token": TOKEN,
        "team_id": TEAM,
        "team_domain": "emulator",
        "channel_id": channel.id,
        "channel_name": "directmessage" if channel.private else channel.name,
        "user_id": user,
        "user_name": user.lower(),
        "command": name,
        "text": text,
        "api_app_id": APP_ID,
        "is_enterprise_install": "false",
        "response_url": url,
        "trigger_id": trigger,
    }


def action(action_id: str, block_id: str, value: str, ts: str) -> dict[str, Any]:
    """A button's press, as an item of `actions`."""
    return {
        "type": "button",
        "action_id": action_id,
        "block_id": block_id,
        "text": {"type": "plain_text", "text": value or action_id, "emoji": True},
        "value": value,
        "action_ts": ts,
    }


def pressed(
    channel: Channel,
    user: str,
    message: Message,
    shown: Fields,
    act: Mapping[str, Any],
    url: str,
    trigger: str,
) -> dict[str, Any]:
    """A `block_actions` payload. It has no content of an ephemeral message, as in Slack."""
    hidden = "shown_to" in message.fields
    container = {
        "type": "message",
        "message_ts": message.id,
        "channel_id": channel.id,
        "is_ephemeral": hidden,
    }
    if message.thread is not None:
        container["thread_ts"] = message.thread
    return {
        "type": "block_actions",
        **_sender(user, trigger),
        "container": container,
        "channel": {"id": channel.id, "name": channel.name},
        **({} if hidden else {"message": shown}),
        "state": {"values": {}},
        "response_url": url,
        "actions": [act],
    }


def submitted(
    view: Mapping[str, Any], values: Mapping[str, Any], user: str, trigger: str
) -> dict[str, Any]:
    """A `view_submission` payload."""
    sent = {"id": "V0VIEW", "team_id": TEAM, "app_id": APP_ID, **view, "state": {"values": values}}
    return {
        "type": "view_submission",
        **_sender(user, trigger),
        "view": sent,
        "response_urls": [],
    }


def _sender(user: str, trigger: str) -> dict[str, Any]:
    return {
        "user": {"id": user, "username": user.lower(), "name": user.lower(), "team_id": TEAM},
        "api_app_id": APP_ID,
        "token": TOKEN,
        "trigger_id": trigger,
        "team": {"id": TEAM, "domain": "emulator"},
        "enterprise": None,
        "is_enterprise_install": False,
    }
