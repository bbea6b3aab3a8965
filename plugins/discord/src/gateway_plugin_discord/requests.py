"""Turns an attempt into a request to Discord's API: a path and a JSON body. Sans-I/O."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from gateway_core.authors import Attempt
from gateway_plugin_discord.errors import NoTextError
from gateway_plugin_discord.ids import channel_of
from gateway_plugin_discord.methods import (
    CHANNEL,
    COMPONENTS_V2,
    EDIT_FIELDS,
    EDIT_FLAGS,
    MESSAGE,
    NOT_IN_V2,
    SUPPRESS_EMBEDS,
    Route,
)

CARRIED = ("components", "embeds")
"""A message's own fields that an edit removes by naming them empty."""

NONCE_BYTES = 12  # 24 characters; Discord takes up to 25.


def nonce_of(key: str) -> str:
    """The nonce of a step: the same over retries and restarts.

    With `enforce_nonce`, Discord answers a second request to create a message with the message that
    already exists (discord.com/developers/docs/resources/message#create-message).
    """
    return hashlib.blake2b(key.encode(), digest_size=NONCE_BYTES).hexdigest()


def edit_body(attempt: Attempt) -> dict[str, Any]:
    """The content of `attempt.part` with its `extra`, as far as edits take these fields.

    Fields that a PATCH does not name stay on the message, so fields that the message is to lose are
    named empty. If only the message's buttons change, nothing else is named. Raises as `_fitting`
    does.
    """
    if attempt.part is None:
        return {"components": (attempt.extra or {}).get("components", [])}
    named = {name: value for name, value in _content(attempt).items() if name in EDIT_FIELDS}
    lost = CARRIED if attempt.extra is not None else ()
    flags = named["flags"] & EDIT_FLAGS
    return _fitting({"content": "", **{name: [] for name in lost}, **named, "flags": flags})


def _content(attempt: Attempt) -> dict[str, Any]:
    """The content of `attempt.part` with its `extra`; the flags of both are combined.

    The flag that suppresses embeds would hide the envelope's own embeds as well as link previews,
    so it is left out if the envelope has embeds.
    """
    payload: Mapping[str, Any] = attempt.payload
    extra = attempt.extra or {}
    flags = payload.get("flags", 0) | extra.get("flags", 0)
    if extra.get("embeds"):
        flags &= ~SUPPRESS_EMBEDS
    return _fitting({**payload, **extra, "flags": flags})


def _fitting(body: dict[str, Any]) -> dict[str, Any]:
    """The body without the fields that its flags exclude.

    Raises `NoTextError` for a text that would be lost.
    """
    without = NOT_IN_V2 if body["flags"] & COMPONENTS_V2 else ()
    if without and body.get("content"):
        raise NoTextError
    return {name: value for name, value in body.items() if name not in without}


def message_body(attempt: Attempt) -> dict[str, Any]:
    """Content and `extra` of a new message by a webhook's or an interaction's token."""
    return _content(attempt)


def create_body(attempt: Attempt) -> dict[str, Any]:
    """Content and `extra`, with the nonce and the message to reply to.

    Discord refuses a reply to an unknown message instead of silently ignoring the reply, so that
    the receipt can say that the reply was dropped.
    """
    body = _content(attempt)
    if attempt.key:
        body |= {"nonce": nonce_of(attempt.key), "enforce_nonce": True}
    if attempt.reply is not None:
        body["message_reference"] = {"message_id": attempt.reply, "fail_if_not_exists": True}
    return body


def call_body(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The body of a call; a message that it makes notifies nobody unless the call says so."""
    body = dict(arguments)
    if isinstance(body.get("data"), Mapping):
        body["data"] = call_body(body["data"])
    return {"allowed_mentions": {"parse": []}, **body} if "content" in body else body


def path_of(route: Route, attempt: Attempt) -> str:
    """The path of an attempt; if the route has no body, a call's arguments are the query."""
    if not attempt.arguments and attempt.message_id is None:
        return route.fill({CHANNEL: channel_of(attempt)})
    values = {name: str(value) for name, value in attempt.arguments.items()}
    if attempt.message_id is not None:
        values[MESSAGE] = attempt.message_id
    path = route.fill({**values, CHANNEL: channel_of(attempt)})
    rest = arguments_left(route, attempt.arguments)
    return f"{path}?{urlencode(rest)}" if rest and not has_body(route) else path


def has_body(route: Route) -> bool:
    """Whether arguments are sent as a JSON body; else they are the query."""
    return route.verb in ("POST", "PUT", "PATCH")


def arguments_left(route: Route, arguments: Mapping[str, object]) -> dict[str, object]:
    """The arguments that are not parameters of the path."""
    return {name: value for name, value in arguments.items() if name not in route.parameters}
