"""Makes, stores, finds, changes and shows messages as Slack does."""

from __future__ import annotations

from typing import Any

import trio

from gateway_contrib.emulators.rooms import Message
from gateway_contrib.emulators.slack.content import shown_text
from gateway_contrib.emulators.slack.messages import buttons, statuses
from gateway_contrib.emulators.slack.refusals import Refusal
from gateway_contrib.emulators.slack.world import (
    TEAM,
    Arguments,
    Bot,
    Channel,
    Fields,
    World,
    found,
    is_ts,
)

STAYING = ("user", "bot_id", "thread_ts", "shown_to", "files", "upload")
"""The fields of a message that an edit never changes."""

STAYING_UNNAMED = ("blocks", "attachments")
"""The fields that an edit leaves unless it names them; an empty list removes a field."""


def made(
    world: World, bot: Bot, channel: Channel, fields: Fields, moment: float | None = None
) -> Message:
    """A message with checked fields, in no room yet. Raises Refusal if its thread is refused.

    moment  when it was made, on trio's clock; None: now
    """
    return Message(
        thread=thread_of(world, channel, fields.get("thread_ts")),
        id=world.ts(moment),
        room=channel.id,
        text=shown_text(fields),
        fields={**fields, "user": bot.user_id, "bot_id": bot.bot_id},
        stored_at=trio.current_time() if moment is None else moment,
        files=world.files.seen(fields),
        buttons=buttons.shown(fields.get("blocks")),
    )


def store(
    world: World, bot: Bot, channel: Channel, fields: Fields, moment: float | None = None
) -> Message:
    """Make a message that everybody in the conversation sees, and hide the bot's status there."""
    message = made(world, bot, channel, fields, moment)
    world.rooms.add(message)
    world.counters["stored"] += 1
    statuses.clear(world, bot, message)
    return message


def thread_of(world: World, channel: Channel, ts: Any) -> str | None:
    """The thread of the message `ts`, which need not exist, as in Slack. Raises Refusal."""
    if ts in (None, ""):
        return None
    if not is_ts(ts):
        raise Refusal("invalid_thread_ts")
    parent = world.rooms.get(channel.id, ts)
    if parent is not None and parent.deleted:
        raise Refusal("thread_not_found")
    if ts in channel.locked:
        raise Refusal("restricted_action_thread_locked")
    return str(ts)


def own(world: World, bot: Bot, channel: Channel, given: Arguments, refusal: str) -> Message:
    """The message of `ts`, if the bot wrote it. Raises Refusal."""
    message = found(world, channel, given.get("ts"))
    if message.fields["user"] != bot.user_id:
        raise Refusal(refusal)
    return message


def revise(world: World, message: Message, fields: Fields) -> None:
    """Give a message new fields; thread, author, and unnamed blocks and attachments stay."""
    staying = {name: message.fields[name] for name in STAYING if name in message.fields}
    unnamed = {n: message.fields[n] for n in STAYING_UNNAMED if n in message.fields}
    message.fields = {**unnamed, **fields, **staying}
    message.revise(shown_text(message.fields))
    message.files = world.files.seen(message.fields)
    message.buttons = buttons.shown(message.fields.get("blocks"))
    message.edited_at = trio.current_time()


def shown(world: World, message: Message) -> Fields:
    """The message as answers and events contain it."""
    fields = message.fields
    body = {
        "type": "message",
        "user": fields["user"],
        "team": TEAM,
        "ts": message.id,
        "text": fields["text"],
    }
    for name in ("bot_id", "thread_ts", "blocks", "attachments", "metadata"):
        if fields.get(name):
            body[name] = fields[name]
    files = [world.files.get(number) for number in fields.get("files") or ()]
    if files:
        body["files"] = [file.wire() for file in files if file is not None]
        body["upload"] = True
    if message.edited_at is not None:
        body["edited"] = {"user": fields["user"], "ts": message.id}
    return body
