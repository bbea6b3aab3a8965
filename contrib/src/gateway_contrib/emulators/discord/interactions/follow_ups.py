"""Serves what follows the first answer: further messages, and reads and changes of `@original`.

Source: discord.com/developers/docs/interactions/receiving-and-responding#followup-messages.
"""

from __future__ import annotations

from typing import Any

import trio

from gateway_contrib.emulators.discord.content import accepted
from gateway_contrib.emulators.discord.interactions.entries import EPHEMERAL, Interaction
from gateway_contrib.emulators.discord.markup import visible
from gateway_contrib.emulators.discord.refusals import coded
from gateway_contrib.emulators.discord.requests import Posted
from gateway_contrib.emulators.discord.world import (
    NO_CONTENT,
    Answer,
    Bot,
    World,
    message_wire,
)
from gateway_contrib.emulators.rooms import Message

ORIGINAL = "@original"


def create(world: World, _: Bot, posted: Posted) -> Answer:
    """Make a further message; directly after a deferral, it is the deferred message."""
    entry = _live(world, posted)
    fields = accepted(world.limits, posted)
    if entry.loading and entry.original is not None:
        return 200, message_wire(world, _finish(world, entry, entry.original, fields))
    made = world.make(world.application(entry.application), entry.room, fields)
    entry.adopt(made)
    hidden = (posted.fields.get("flags") or 0) & EPHEMERAL
    world.place(made, user=entry.user if hidden else None)
    return 200, message_wire(world, made)


def get(world: World, _: Bot, posted: Posted) -> Answer:
    """A message of the interaction; a deferred message exists and is empty."""
    return 200, message_wire(world, _message(_live(world, posted), posted))


def edit(world: World, _: Bot, posted: Posted) -> Answer:
    """Change a message of the interaction; a deferred message is shown by its first change."""
    entry = _live(world, posted)
    message = _message(entry, posted)
    fields = accepted(world.limits, posted, before=message.fields)
    if entry.loading and message is entry.original:
        return 200, message_wire(world, _finish(world, entry, message, fields))
    fields["flags"] = _flags(message, fields)
    return 200, message_wire(world, world.change(message, fields))


def delete(world: World, _: Bot, posted: Posted) -> Answer:
    """Delete a message of the interaction, even a deferred one."""
    entry = _live(world, posted)
    message = _message(entry, posted)
    if entry.loading and message is entry.original:
        entry.loading = False
        entry.hide()
    world.remove(message)
    return NO_CONTENT


def _live(world: World, posted: Posted) -> Interaction:
    entry = world.interactions.get(posted.path["token"])
    if entry is None or not entry.live:
        raise coded(50027)
    if not entry.acknowledged or entry.application != posted.path["application"]:
        raise coded(10015)
    return entry


def _message(entry: Interaction, posted: Posted) -> Message:
    name = posted.path.get("message", ORIGINAL)
    known = [entry.original, *entry.messages]
    for message in known:
        wanted = message is entry.original if name == ORIGINAL else message and message.id == name
        if message is not None and wanted and not message.deleted:
            return message
    raise coded(10008)


def _finish(world: World, entry: Interaction, message: Message, fields: dict[str, Any]) -> Message:
    """Show the deferred message; the deferral has decided whether it is ephemeral."""
    flags = (fields.get("flags") or 0) & ~EPHEMERAL
    message.fields |= {**fields, "flags": flags | (EPHEMERAL if entry.ephemeral else 0)}
    world.attach(message)
    message.text = visible(fields.get("content") or "")
    message.stored_at = trio.current_time()
    entry.loading = False
    entry.hide()
    entry.adopt(message)
    world.place(message, user=entry.user if entry.ephemeral else None)
    return message


def _flags(message: Message, fields: dict[str, object]) -> int:
    """The flags after an edit, which makes no message ephemeral or public."""
    kept = (message.fields.get("flags") or 0) & EPHEMERAL
    asked = fields.get("flags", message.fields.get("flags"))
    return (asked if isinstance(asked, int) else 0) & ~EPHEMERAL | kept
