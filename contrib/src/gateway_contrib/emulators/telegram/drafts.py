"""Shows that an answer is on its way: drafts that grow, and signs of typing.

Source: core.telegram.org/bots/api, sendMessageDraft and sendChatAction. How long a client shows a
draft, and what the draft replaces: tdlib's updatePendingMessage. A draft has no message id and is
not stored; it is seen on the `Screen` only.
"""

from __future__ import annotations

from typing import Any

import trio

from gateway_contrib.emulators.screen import Sight
from gateway_contrib.emulators.telegram.formatting import formatted
from gateway_contrib.emulators.telegram.refusals import bad_request
from gateway_contrib.emulators.telegram.requests import Parameters
from gateway_contrib.emulators.telegram.world import Bot, Chat, World

DRAFT_SECONDS = 30.0
"""How long a draft is seen unless another draft replaces it."""

ACTION_SECONDS = 5.0
"""How long a chat action is seen."""

_ACTIONS = frozenset(
    {
        "typing",
        "choose_sticker",
        "find_location",
        "record_video",
        "record_video_note",
        "record_voice",
        "upload_document",
        "upload_photo",
        "upload_video",
        "upload_video_note",
        "upload_voice",
    }
)


def send_message_draft(world: World, bot: Bot, parameters: Parameters) -> Any:
    """Show a text that still grows, for 30 seconds; an empty text shows "Thinking…".

    The words that refuse a `draft_id` of 0 were not recorded from the real server.
    """
    chat = world.chat(parameters)
    if chat.kind != "private":
        raise bad_request("TEXTDRAFT_PEER_INVALID")
    if not parameters.integer("draft_id"):
        raise bad_request("draft_id must be non-zero")
    text = formatted(parameters).text if parameters.text("text") else ""
    thread = _thread(chat, parameters)
    world.admit_draft(bot, chat)
    _show(world, bot, chat, thread, Sight(what="draft", room=chat.room, text=text), DRAFT_SECONDS)
    world.counters["drafts"] += 1
    return True


def send_chat_action(world: World, bot: Bot, parameters: Parameters) -> Any:
    """Show typing and the like for five seconds, or until the bot's next message.

    Telegram's documentation says that channels are not supported; the words of that refusal were
    not recorded from the real server.
    """
    chat = world.chat(parameters)
    action = parameters.text("action")
    if action not in _ACTIONS:
        raise bad_request("wrong parameter action in request")
    if chat.kind == "channel":
        raise bad_request("chat actions can't be sent to channel chats")
    thread = _thread(chat, parameters)
    sight = Sight(what="typing", room=chat.room, text=action)
    _show(world, bot, chat, thread, sight, ACTION_SECONDS)
    return True


def hide(world: World, bot: Bot, room: str, thread: str | None) -> None:
    """Hide the bot's drafts and actions in a thread, because a message of the bot arrived there."""
    world.screen.hide(*((what, bot.id, room, thread) for what in ("draft", "typing")))


def _thread(chat: Chat, parameters: Parameters) -> str | None:
    thread = parameters.integer("message_thread_id")
    if not thread:
        return None
    chat.check_topic(str(thread))
    return str(thread)


def _show(
    world: World, bot: Bot, chat: Chat, thread: str | None, sight: Sight, seconds: float
) -> None:
    # Clients show one draft per thread: a draft with another draft_id replaces it, too.
    sight.thread, sight.until = thread, trio.current_time() + seconds
    world.screen.show((sight.what, bot.id, chat.room, thread), sight)
