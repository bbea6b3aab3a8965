"""Reads and makes ids of Slack's rooms, threads and messages, so that none is mixed up. Sans-I/O.

A room is a conversation's id (`C…`, `G…`, `D…`), a user's id (`U…`, `W…`: their direct messages,
which are opened once) or a channel's `#name`. chat.postMessage takes all of these, but chat.update
and chat.delete take only a conversation's id (docs.slack.dev, chat.update). So if a message was
sent to a name, or to a user whose conversation may not be opened, its id also contains the
conversation that Slack's answer named: `D024BE91L:1700000000.000100`. The message can then still be
edited. If a message was sent to a conversation's id, its id is the plain `ts`.
"""

from __future__ import annotations

import re
from typing import TypeGuard

_CONVERSATION = re.compile(r"[CGD][A-Z0-9]{2,30}")
_ROOM = re.compile(r"[CGDUW][A-Z0-9]{2,30}|#[^\s#@<>&,:]{1,80}")
_PERSON = re.compile(r"[UW][A-Z0-9]{2,30}")
_TS = re.compile(r"\d{10}\.\d{6}")


def is_room(room: str) -> bool:
    """True for an id of a conversation or user, or a `#name`."""
    return _ROOM.fullmatch(room) is not None


def is_person(room: str) -> bool:
    """True for a user's id."""
    return _PERSON.fullmatch(room) is not None


def is_conversation(room: str) -> bool:
    """True for a conversation's id, the only form that edits take."""
    return _CONVERSATION.fullmatch(room) is not None


def is_ts(value: object) -> TypeGuard[str]:
    """True for a message's `ts`: a text such as `1700000000.000100`; a float would lose digits."""
    return isinstance(value, str) and _TS.fullmatch(value) is not None


def message_id(*, room: str, channel: object, ts: object) -> str | None:
    """The id under which a message sent to `room` is stored; None if the answer has no `ts`."""
    if not is_ts(ts):
        return None
    known = isinstance(channel, str) and is_conversation(channel)
    return f"{channel}:{ts}" if known and not is_conversation(room) else ts


def locate(room: str, message: str) -> tuple[str, str]:
    """The conversation and the `ts` of a message that was sent to `room`."""
    channel, _, ts = message.rpartition(":")
    return channel or room, ts


def is_message_id(message: str) -> bool:
    """True for a `ts`, with or without its conversation's id before it."""
    channel, ts = locate("", message)
    return is_ts(ts) and (is_conversation(channel) if channel else ":" not in message)
