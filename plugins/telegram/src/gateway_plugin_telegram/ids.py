"""Reads and makes ids of Telegram's rooms, topics and messages, so that none is mixed up. Sans-I/O.

A room is a chat's number or a public channel's @name; a topic is a number.

A group that becomes a supergroup gets a new id and numbers its messages from the start again; the
earlier messages stay behind in the old group, where nobody can reach them
(core.telegram.org/api/channel#migration). So the id of a message in a group of the old kind
contains the group's id, `-7:12`: after the group has moved, no other message with the same number
is edited or answered by mistake. In all other chats, a message's id is the plain number.
"""

from __future__ import annotations

import re

_SUPERGROUPS = -(10**12)
"""Ids at or below this number are supergroups and channels (core.telegram.org/api/bots/ids)."""

_ROOM = re.compile(r"-?[1-9][0-9]{0,18}|@[A-Za-z][A-Za-z0-9_]{3,31}")
_TOPIC = re.compile(r"[1-9][0-9]{0,18}")
_MESSAGE = re.compile(r"(?:-[1-9][0-9]{0,11}:)?[1-9][0-9]{0,18}")
_GROUP = re.compile(r"-[1-9][0-9]{0,12}")


def is_room(room: str) -> bool:
    """True for a chat's number, or a channel's @name."""
    return _ROOM.fullmatch(room) is not None


def is_private(room: str) -> bool:
    """True for the chat with one person: the chat's number is the person's number."""
    return _TOPIC.fullmatch(room) is not None


def is_topic(thread: str) -> bool:
    """True for a positive number."""
    return _TOPIC.fullmatch(thread) is not None


def message_id(room: str, number: int) -> str:
    """The id under which a message of `room` is stored."""
    old_kind = _GROUP.fullmatch(room) is not None and int(room) > _SUPERGROUPS
    return f"{room}:{number}" if old_kind else str(number)


def is_message_id(text: str) -> bool:
    """True for a number, with or without its group's id before it."""
    return _MESSAGE.fullmatch(text) is not None


def number_in(room: str, message_id: str) -> int | None:
    """The message's number in `room`; None if it is in the group that `room` was before."""
    group, _, number = message_id.rpartition(":")
    return int(number) if group in ("", room) else None
