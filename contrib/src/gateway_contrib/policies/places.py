"""Finds what in a call could name a room or a person besides the envelope's own room.

It is strict: what it does not know to be harmless counts as a name. It knows no values, for ids of
rooms and of other things look alike.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from gateway_core import Call
from gateway_core.authors import Problem

_NAMES = frozenset(
    {"channel", "channels", "chat", "chats", "conversation", "conversations", "room", "rooms"}
    | {"user", "users", "usergroup", "recipient", "recipients", "member", "members"}
    | {"email", "emails"}
)
_IDS = ("_id", "_ids")
_HARMLESS = frozenset(
    {"message_id", "message_ids", "message_thread_id", "ephemeral_message_id", "draft_id"}
    | {"file_id", "sticker_ids", "custom_emoji_id", "custom_emoji_ids", "icon_custom_emoji_id"}
    | {"message_effect_id", "poll_option_id", "correct_option_ids", "checklist_task_id"}
    | {"action_id", "block_id", "custom_id", "request_id", "foursquare_id", "google_place_id"}
)
"""Names of ids that say nothing about who receives a message: content, and messages of the room."""

_WORD = r"/[a-z@-]+"
_PATH = re.compile(
    rf"/channels/\{{channel(?:_id)?\}}(?:{_WORD}|/\{{(?:message|emoji)\}})*|(?:{_WORD})+"
)
"""The paths whose only room is the envelope's own."""

_ALLOW = "or allow the method in the `calls` of Redirection"
_IN_ARGUMENTS = (
    "may name a room or a person, and calls of this account are redirected: leave it out, since"
    f" the gateway fills in the room, {_ALLOW}"
)
_IN_PATH = (
    "may name a room or a person, and calls of this account are redirected: write {channel} for"
    f" the room, which the gateway fills in, {_ALLOW}"
)


def named_in(call: Call) -> Iterator[Problem]:
    """A problem for each place where the call could name a room or a person."""
    _, _, path = call.method.partition("/")
    if path and _PATH.fullmatch(f"/{path}") is None:
        yield Problem("method", _IN_PATH)
    for place in _places("arguments", call.arguments):
        yield Problem(place, _IN_ARGUMENTS)


def _places(place: str, value: Any) -> Iterator[str]:
    """The place of each such name in the value, at any depth."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            below = f"{place}.{name}"
            if _names(str(name).lower()):
                yield below
            else:
                yield from _places(below, inner)
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            yield from _places(f"{place}.{number}", inner)


def _names(name: str) -> bool:
    return name in _NAMES or (name.endswith(_IDS) and name not in _HARMLESS)
