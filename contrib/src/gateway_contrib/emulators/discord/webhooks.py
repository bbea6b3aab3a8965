"""Serves incoming webhooks, without a bot (discord.com/developers/docs/resources/webhook)."""

from __future__ import annotations

from gateway_contrib.emulators.discord.content import accepted
from gateway_contrib.emulators.discord.refusals import coded
from gateway_contrib.emulators.discord.requests import Posted
from gateway_contrib.emulators.discord.world import (
    GUILD,
    NO_CONTENT,
    Answer,
    Bot,
    Webhook,
    World,
    message_wire,
)
from gateway_contrib.emulators.rooms import Message

_UNSEEN = 50001
"""The code for a channel that the bot cannot see; a webhook works there all the same."""


def describe(world: World, _: Bot, posted: Posted) -> Answer:
    """The webhook itself."""
    webhook = _live(world, posted)
    return 200, {
        "id": webhook.id,
        "type": 1,
        "token": webhook.token,
        "name": webhook.name,
        "avatar": None,
        "channel_id": webhook.room,
        "guild_id": GUILD,
        "application_id": None,
    }


def execute(world: World, _: Bot, posted: Posted) -> Answer:
    """Make a message in the webhook's channel, or in its thread `thread_id`.

    The answer is empty unless the query says `wait`.
    """
    webhook = _live(world, posted)
    room = _room(world, webhook, posted)
    fields = accepted(world.limits, posted)
    author = Bot(webhook.id, str(posted.fields.get("username") or webhook.name))
    message = world.make(author, room, fields)
    message.fields["webhook_id"] = webhook.id
    world.place(message)
    if posted.query.get("wait") in ("true", "True", "1"):
        return 200, message_wire(world, message)
    return NO_CONTENT


def get(world: World, _: Bot, posted: Posted) -> Answer:
    """A message of the webhook."""
    return 200, message_wire(world, _message(world, posted))


def edit(world: World, _: Bot, posted: Posted) -> Answer:
    """Change a message of the webhook."""
    message = _message(world, posted)
    fields = accepted(world.limits, posted, before=message.fields)
    return 200, message_wire(world, world.change(message, fields))


def delete(world: World, _: Bot, posted: Posted) -> Answer:
    """Delete a message of the webhook."""
    world.remove(_message(world, posted))
    return NO_CONTENT


def _live(world: World, posted: Posted) -> Webhook:
    webhook = world.webhooks[posted.path["application"]]
    if webhook.removed:
        raise coded(10015)
    if webhook.token != posted.path["token"]:
        raise coded(50027)
    return webhook


def _room(world: World, webhook: Webhook, posted: Posted) -> str:
    room = posted.query.get("thread_id") or webhook.room
    if world.closed.get(room, _UNSEEN) != _UNSEEN:
        world.open_channel(room)
    return room


def _message(world: World, posted: Posted) -> Message:
    webhook = _live(world, posted)
    message = world.message(_room(world, webhook, posted), posted.path["message"])
    if message.fields.get("webhook_id") != webhook.id:
        raise coded(10008)
    return message
