"""Turns an attempt into the fields of a Web API request. Sans-I/O."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from gateway_core.authors import Attempt, Secret
from gateway_core.text import cut
from gateway_plugin_slack.files.reuse import picture_blocks
from gateway_plugin_slack.ids import is_message_id, locate
from gateway_plugin_slack.methods import INSTEAD_OF_ROOM, MESSAGE_CALLS, NOT_PLAIN, ROOM_CALLS
from gateway_plugin_slack.rendering.buttons import buttons_of, others_of
from gateway_plugin_slack.rendering.plain import escape
from gateway_plugin_slack.settings import Settings

SECTION = 3_000
"""Most characters of a block of text (docs.slack.dev, reference/block-kit, section block)."""
_MESSAGES = ("message_ts", "thread_ts", "timestamp", "ts")


def content_of(attempt: Attempt, known: frozenset[str], extras: frozenset[str]) -> dict[str, Any]:
    """The part's fields that the method knows, and the fields of `extra`, which override them.

    Blocks that show the part's text stay, before the blocks of `extra`. If the other blocks are
    only buttons or pictures, a text without blocks becomes blocks: else Slack would not show it.
    A part whose reply was refused is in no thread.
    """
    pictures = picture_blocks(attempt)
    known = known - {"thread_ts"} if attempt.without_reply else known
    content = {name: value for name, value in attempt.payload.items() if name in known}
    shown = fields_left(attempt)
    asked = (attempt.extra or {}) if shown is None else shown
    extra = {name: value for name, value in asked.items() if name in extras}
    alone = (pictures or extra.get("blocks")) and not others_of(extra.get("blocks"))
    if alone and not content.get("blocks"):
        content["blocks"] = _sections(attempt.payload)
    if pictures:
        content["blocks"] = [*(content.get("blocks") or ()), *pictures]
        if not str(content.get("text") or "").strip():
            content["text"] = ", ".join(escape(picture["alt_text"]) for picture in pictures)
    if content.get("blocks") and extra.get("blocks"):
        extra["blocks"] = [*content["blocks"], *extra["blocks"]]
    return {**content, **extra}


def fields_left(attempt: Attempt) -> dict[str, Any] | None:
    """The fields of `extra` with which a part in plain text is sent; None: all that it has."""
    extra = attempt.extra or {}
    if attempt.mode != "plain" or not NOT_PLAIN.intersection(extra):
        return None
    left = {name: value for name, value in extra.items() if name not in NOT_PLAIN}
    own = buttons_of(extra.get("blocks"))
    return {**left, "blocks": own} if own else left


def _sections(payload: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The text as blocks of text, in Slack's own markup."""
    text, kind = str(payload.get("text") or ""), "mrkdwn" if payload.get("mrkdwn") else "plain_text"
    pieces = [text[slice(*span)] for span in cut(text, limit=SECTION, measure=len)]
    return [{"type": "section", "text": {"type": kind, "text": piece}} for piece in pieces]


def target_of(attempt: Attempt) -> dict[str, Any]:
    """The fields that name the message to edit or delete, in its conversation."""
    channel, ts = locate(attempt.room, attempt.message_id or "")
    return {"channel": channel, "ts": ts}


def call_form(attempt: Attempt) -> dict[str, str]:
    """A call's arguments, with its room and thread if the method is known to take them.

    Texts are sent unchanged, and other values as JSON; None values are left out. An argument may
    name a message by the id in a receipt; if that id contains a conversation, the conversation
    takes the room's place.
    """
    channel, named = _messages(attempt)
    room = channel or None  # a call may have none
    known = {"channel": room, "channel_id": room, "thread_ts": attempt.thread}
    filled = {name: known[name] for name in _wanted(attempt)}
    arguments = {**filled, **attempt.arguments, **named}
    given = {name: value for name, value in arguments.items() if value is not None}
    return {
        name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for name, value in given.items()
    }


def is_of_room(attempt: Attempt) -> bool:
    """Whether a call is given the attempt's own room."""
    channel, _ = _messages(attempt)
    fields = [name for name in _wanted(attempt) if name != "thread_ts"]
    return channel == attempt.room and any(name not in attempt.arguments for name in fields)


def _wanted(attempt: Attempt) -> tuple[str, ...]:
    """The fields of room and thread that the gateway fills in for a call."""
    method = attempt.method or ""
    if any(attempt.arguments.get(name) for name in INSTEAD_OF_ROOM.get(method, ())):
        return ()
    return ROOM_CALLS.get(method, ())


def _messages(attempt: Attempt) -> tuple[str, dict[str, str]]:
    """The conversation of the messages that a call names, and each message's plain `ts`."""
    channel, found = attempt.room, {}
    named = dict(attempt.arguments)
    if attempt.message_id is not None:
        named[MESSAGE_CALLS.get(attempt.method or "", "ts")] = attempt.message_id
    for name in _MESSAGES:
        value = named.get(name)
        if isinstance(value, str) and is_message_id(value):
            channel, found[name] = locate(channel, value)
    return channel, found


def exchange_form(settings: Settings) -> dict[str, str | Secret] | None:
    """The fields of oauth.v2.access for a new token; None: the settings do not have them."""
    refresh, client, secret = settings.tokens.refresh, settings.client_id, settings.client_secret
    if refresh is None or client is None or secret is None:
        return None
    return {
        "grant_type": "refresh_token",
        "client_id": client,
        "client_secret": secret,
        "refresh_token": refresh,
    }
