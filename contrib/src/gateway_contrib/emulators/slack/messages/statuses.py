"""Shows a bot's status in a thread (docs.slack.dev, assistant.threads.setStatus)."""

from __future__ import annotations

from typing import Any

import trio

from gateway_contrib.emulators.rooms import Message
from gateway_contrib.emulators.screen import Sight
from gateway_contrib.emulators.slack.refusals import Refusal
from gateway_contrib.emulators.slack.world import (
    Arguments,
    Bot,
    Fields,
    World,
    is_ts,
    opened,
)

LASTS = 120.0
"""Seconds for which a status is shown unless a message of the bot comes."""

MOST_LOADING = 10
LONGEST_LOADING = 50


def set_status(world: World, bot: Bot, given: Arguments) -> Fields:
    """assistant.threads.setStatus: show a status for two minutes; an empty status removes it."""
    channel = opened(world.directory.by_id(given.get("channel_id")))
    thread, status = given.get("thread_ts"), given.get("status")
    if not is_ts(thread):
        raise Refusal("invalid_thread_ts")
    if not isinstance(status, str):
        raise Refusal("invalid_arguments", "missing required field: status")
    _check_loading(given.get("loading_messages"))
    key = ("status", bot.user_id, channel.id, thread)
    world.screen.hide(key)
    if status:
        until = trio.current_time() + LASTS
        sight = Sight(what="status", room=channel.id, text=status, thread=thread, until=until)
        world.screen.show(key, sight)
    return {}


def clear(world: World, bot: Bot, message: Message) -> None:
    """Hide the bot's status in the thread of its new message."""
    world.screen.hide(("status", bot.user_id, message.room, message.thread))


def _check_loading(messages: Any) -> None:
    if messages is None:
        return
    if not isinstance(messages, list) or not 1 <= len(messages) <= MOST_LOADING:
        words = f"must be 1 to {MOST_LOADING} items [json-pointer:/loading_messages]"
        raise Refusal("invalid_arguments", words)
    if any(not isinstance(m, str) or not 1 <= len(m) <= LONGEST_LOADING for m in messages):
        words = f"must be 1 to {LONGEST_LOADING} characters [json-pointer:/loading_messages]"
        raise Refusal("invalid_arguments", words)
