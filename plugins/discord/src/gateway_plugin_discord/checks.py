"""Checks an envelope before it is accepted, and reports its problems. Sans-I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gateway_core.authors import Call, Edit, Envelope, MessageRef, Problem, Send
from gateway_plugin_discord.beside.polls import poll_problems
from gateway_plugin_discord.by_token.webhook import problems_of_webhook
from gateway_plugin_discord.files import problems_of_files
from gateway_plugin_discord.ids import is_snowflake, person_of
from gateway_plugin_discord.methods import (
    BESIDE_V2,
    CHANNEL,
    COMPONENTS_V2,
    CREATE_FIELDS,
    EDIT_FIELDS,
    MESSAGE,
    NOT_IN_V2,
    SENDER_FIELDS,
    route_of_method,
)
from gateway_plugin_discord.settings import DiscordSettings

OWNED = frozenset({"content", "enforce_nonce", "message_reference", "nonce"})
"""Fields that the gateway fills in itself: `extra` must not have them."""

_WITHOUT_TEXT = frozenset({"components", "embeds", "poll", "shared_client_theme", "sticker_ids"})
"""Fields that make a message even without a text."""

MOST = {"embeds": 10, "sticker_ids": 3, "components": 40}
"""How many of each a message can have (discord.com/developers/docs/resources/message#create-message
and components/reference)."""


def problems_of(settings: DiscordSettings, envelope: Envelope) -> tuple[Problem, ...]:
    """Every problem of the envelope, each with its field."""
    webhook = settings.webhook_url is not None
    places = problems_of_webhook(envelope) if webhook else _id_problems(envelope)
    return (*places, *_content_problems(settings, envelope))


def _content_problems(settings: DiscordSettings, envelope: Envelope) -> Iterable[Problem]:
    if isinstance(envelope, Call):
        return _call_problems(envelope)
    if isinstance(envelope, Send):
        sender = frozenset() if settings.webhook_url is None else SENDER_FIELDS
        of_message = _message_problems(envelope, CREATE_FIELDS | sender)
        beside = (*poll_problems(envelope), *problems_of_files(settings, envelope))
        return (*of_message, *_mention_problems(envelope), *beside)
    if isinstance(envelope, Edit) and envelope.only_buttons:
        return ()
    if isinstance(envelope, Edit):
        of_message = _message_problems(envelope, EDIT_FIELDS)
        return (*of_message, *_mention_problems(envelope), *problems_of_files(settings, envelope))
    return ()


def _id_problems(envelope: Envelope) -> Iterable[Problem]:
    for place, value in _ids(envelope):
        is_room = place == "external_room_id" and (
            person_of(str(value)) is not None or _has_no_room(envelope)
        )
        if value is not None and not is_room and not is_snowflake(value):
            yield Problem(
                place, f"{value!r} is not a Discord id, which is a number in decimal digits"
            )


def _has_no_room(envelope: Envelope) -> bool:
    """Whether it is a call without a room whose route has no channel, such as GET /users/@me."""
    if not isinstance(envelope, Call) or envelope.external_room_id:
        return False
    route = route_of_method(envelope.method)
    return route is None or not route.of_channel


def _ids(envelope: Envelope) -> Iterable[tuple[str, str | None]]:
    yield "external_room_id", envelope.external_room_id
    if isinstance(envelope, Send | Call):
        yield "thread_id", envelope.thread_id
    if isinstance(envelope, Send):
        yield "reply_to", envelope.reply_to
    if isinstance(envelope.target, MessageRef):
        yield "target.thread_id", envelope.target.thread_id
        for index, part in enumerate(envelope.target.parts):
            yield f"target.parts[{index}].message_id", part.message_id


def _mention_problems(envelope: Send | Edit) -> Iterable[Problem]:
    if not isinstance(envelope.mentions, bool):
        for index, name in enumerate(envelope.mentions):
            if not is_snowflake(name.removeprefix("&")):
                words = f"{name!r} is neither a user's id nor `&` and a role's id"
                yield Problem(f"mentions.{index}", words)


def _message_problems(message: Send | Edit, fields: frozenset[str]) -> Iterable[Problem]:
    text, extra = message.text, message.extra or {}
    poll = message.poll if isinstance(message, Send) else None
    if not text.strip() and not (_has_content(extra) or message.files or poll):
        words = "is empty or only white space, and the message has nothing else to show"
        yield Problem("text", words)
    for name, most in MOST.items():
        value = extra.get(name)
        if value is not None and not isinstance(value, list | tuple):
            yield Problem(f"extra.{name}", f"must be a list, not {type(value).__name__}")
        elif len(value or ()) > most:
            yield Problem(f"extra.{name}", f"has {len(value or ())}, Discord takes {most}")
    for name in sorted(extra.keys() - (fields - OWNED)):
        why = (
            "is set by the gateway: leave it out"
            if name in OWNED
            else "is not a field of a message"
        )
        yield Problem(f"extra.{name}", why)
    flags = extra.get("flags", 0)
    if not isinstance(flags, int):
        yield Problem("extra.flags", "must be a whole number")
    elif flags & COMPONENTS_V2:
        yield from _beside_components(text, {**extra, **({"poll": poll} if poll else {})})
    elif text.strip() and _is_of_components(message.target):
        yield Problem("text", BESIDE_V2)


def _has_content(extra: Mapping[str, Any]) -> bool:
    """Whether `extra` shows something even without a text."""
    return any(extra.get(name) for name in _WITHOUT_TEXT)


def _is_of_components(target: object) -> bool:
    """Whether the message to edit is known to consist of components alone."""
    flags = (target.extra or {}).get("flags") if isinstance(target, MessageRef) else None
    return isinstance(flags, int) and bool(flags & COMPONENTS_V2)


def _beside_components(text: str, extra: Mapping[str, Any]) -> Iterable[Problem]:
    if text.strip():
        yield Problem("text", BESIDE_V2)
    for name in sorted(NOT_IN_V2 & extra.keys()):
        yield Problem(f"extra.{name}", BESIDE_V2)


def _call_problems(envelope: Call) -> Iterable[Problem]:
    route = route_of_method(envelope.method)
    if route is None:
        yield Problem("method", "must be a verb and a path: POST /channels/{channel}/typing")
        return
    if CHANNEL in envelope.arguments:
        yield Problem(f"arguments.{CHANNEL}", "is the envelope's room or thread: leave it out")
    known = {CHANNEL} if envelope.target is None else {CHANNEL, MESSAGE}
    for name in route.parameters:
        if name not in known and not _fits_a_path(envelope.arguments.get(name)):
            yield Problem(f"arguments.{name}", "is needed in the path, as a text or whole number")
    if envelope.target is not None and MESSAGE not in route.parameters:
        yield Problem(
            "target", f"the path of {envelope.method} has no {{{MESSAGE}}}: leave the target out"
        )


def _fits_a_path(value: object) -> bool:
    number = isinstance(value, int) and not isinstance(value, bool)
    return number or (isinstance(value, str) and value.strip(".") != "")
