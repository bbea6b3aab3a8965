"""Answers to interactions: the first one, and what follows it."""

from __future__ import annotations

import attrs

from gateway_contrib.emulators.discord.content import check_content, check_full, trimmed
from gateway_contrib.emulators.discord.refusals import coded
from gateway_contrib.emulators.discord.requests import Posted
from gateway_contrib.emulators.discord.world import (
    NO_CONTENT,
    Answer,
    Bot,
    Interaction,
    World,
    message_wire,
)

_MESSAGE_CALLBACKS = (4, 7)


def _application(entry: Interaction) -> Bot:
    return Bot(entry.application, "application")


def _live(world: World, posted: Posted) -> Interaction:
    entry = world.live_interaction(posted.path["token"])
    if entry is None:
        raise coded(50027)
    return entry


def answer_interaction(world: World, _: Bot, posted: Posted) -> Answer:
    """The first answer to an interaction; one of type 4 makes a message."""
    entry = world.live_interaction(posted.path["token"])
    if entry is None or entry.id != posted.path["interaction"]:
        raise coded(10062)
    if entry.acknowledged:
        raise coded(40060)
    if posted.fields.get("type") in _MESSAGE_CALLBACKS:
        inner = attrs.evolve(posted, fields=posted.fields.get("data") or {})
        check_content(world.limits, inner, prefix="data.")
        check_full(inner.fields, posted.files)
        made = world.store(_application(entry), entry.room, trimmed(inner.fields))
        entry.original = made.id
    entry.acknowledged = True
    return NO_CONTENT


def follow_up(world: World, _: Bot, posted: Posted) -> Answer:
    """A further message to an interaction's room."""
    entry = _live(world, posted)
    check_content(world.limits, posted)
    check_full(posted.fields, posted.files)
    made = world.store(_application(entry), entry.room, trimmed(posted.fields))
    entry.original = entry.original or made.id
    return 200, message_wire(world, made)


def edit_follow_up(world: World, bot: Bot, posted: Posted) -> Answer:
    """Change an interaction's message; `@original` is its first, made now if it was deferred."""
    entry = _live(world, posted)
    name = posted.path["message"]
    if name == "@original" and entry.original is None:
        return follow_up(world, bot, posted)
    message_id = entry.original if name == "@original" else name
    message = world.message(entry.room, message_id or "")
    check_content(world.limits, posted)
    return 200, message_wire(world, world.change(message, trimmed(posted.fields)))
