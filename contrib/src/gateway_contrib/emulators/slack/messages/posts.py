"""Serves chat.postMessage, chat.postEphemeral, chat.update and chat.delete.

Source: docs.slack.dev, the page of each method. A method that refuses raises Refusal.
"""

from __future__ import annotations

from gateway_contrib.emulators.slack.content import accepted
from gateway_contrib.emulators.slack.limits import SlackLimits
from gateway_contrib.emulators.slack.messages.ephemeral import show
from gateway_contrib.emulators.slack.messages.stored import made, own, revise, shown, store
from gateway_contrib.emulators.slack.refusals import Refusal
from gateway_contrib.emulators.slack.world import Arguments, Bot, Fields, World, opened


def post_message(world: World, bot: Bot, given: Arguments) -> Fields:
    """chat.postMessage: a new message in a channel or thread."""
    channel = opened(world.directory.channel(given.get("channel")))
    fields, warnings = _cut(accepted(given, world), world.limits)
    message = store(world, bot, channel, fields)
    return {"channel": channel.id, "ts": message.id, "message": shown(world, message), **warnings}


def post_ephemeral(world: World, bot: Bot, given: Arguments) -> Fields:
    """chat.postEphemeral: a message that only one user sees, so no room has it."""
    channel = opened(world.directory.channel(given.get("channel")))
    if not given.get("user"):
        raise Refusal("invalid_arguments", "missing required field: user")
    message = made(world, bot, channel, accepted(given, world))
    show(world, message, str(given["user"]))
    return {"message_ts": message.id}


def update(world: World, bot: Bot, given: Arguments) -> Fields:
    """chat.update: new content for a message of the bot that is not streaming."""
    channel = world.directory.by_id(given.get("channel"))
    if channel.closed is not None:
        raise Refusal("is_inactive" if channel.closed == "is_archived" else channel.closed)
    message = own(world, bot, channel, given, "cant_update_message")
    if message.streaming:
        raise Refusal("streaming_state_conflict")
    text = given.get("text") or ""
    if isinstance(text, str) and len(text.encode()) > world.limits.update_bytes:
        raise Refusal("msg_too_long")
    revise(world, message, accepted(given, world))
    world.counters["edited"] += 1
    body = shown(world, message)
    return {"channel": channel.id, "ts": message.id, "text": body["text"], "message": body}


def delete(world: World, bot: Bot, given: Arguments) -> Fields:
    """chat.delete: delete a message of the bot."""
    channel = world.directory.by_id(given.get("channel"))
    if channel.closed == "channel_not_found":
        raise Refusal(channel.closed)
    message = own(world, bot, channel, given, "cant_delete_message")
    message.deleted = True
    world.files.unshare(message.fields, channel.id, message.id)
    world.counters["deleted"] += 1
    return {"channel": channel.id, "ts": message.id}


def _cut(fields: Fields, limits: SlackLimits) -> tuple[Fields, Fields]:
    """The fields with their text cut to the limit, and a warning if the text was too long."""
    if len(fields["text"]) <= limits.text_cut:
        return fields, {}
    return {**fields, "text": fields["text"][: limits.text_cut]}, {"warning": "message_truncated"}
