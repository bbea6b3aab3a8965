"""Serves what bots do to messages and around them: reactions, pins, signs of typing."""

from __future__ import annotations

import re

import trio

from gateway_contrib.emulators.discord.refusals import coded
from gateway_contrib.emulators.discord.requests import Posted
from gateway_contrib.emulators.discord.world import NO_CONTENT, Answer, Bot, World, room_of
from gateway_contrib.emulators.screen import Sight

TYPING_SECONDS = 10.0
"""How long a bot is shown typing."""

_CUSTOM = re.compile(r"[A-Za-z0-9_]{2,32}:[0-9]{1,20}")


def typing(world: World, bot: Bot, posted: Posted) -> Answer:
    """Show that the bot is typing, for ten seconds or until its next message there."""
    room = room_of(world, posted)
    until = trio.current_time() + TYPING_SECONDS
    world.screen.show(("typing", bot.id, room), Sight(what="typing", room=room, until=until))
    return NO_CONTENT


def add_reaction(world: World, bot: Bot, posted: Posted) -> Answer:
    """React to a message; repeating a reaction changes nothing."""
    message = world.message(room_of(world, posted), posted.path["message"])
    reactions = world.reactions.setdefault((message.room, message.id), [])
    emoji = _emoji(posted)
    others = {given for _, given in reactions} - {emoji}
    if len(others) >= world.limits.reactions:
        raise coded(30010)
    if (bot.id, emoji) not in reactions:
        reactions.append((bot.id, emoji))
    return NO_CONTENT


def _emoji(posted: Posted) -> str:
    """The emoji: a character, or `name:id` of a server's own. A name alone is refused."""
    emoji = posted.path["emoji"]
    if emoji.isascii() and not _CUSTOM.fullmatch(emoji):
        raise coded(10014)
    return emoji


def remove_reaction(world: World, bot: Bot, posted: Posted) -> Answer:
    """Remove the bot's reaction."""
    message = world.message(room_of(world, posted), posted.path["message"])
    reactions = world.reactions.get((message.room, message.id), [])
    emoji = _emoji(posted)
    if (bot.id, emoji) in reactions:
        reactions.remove((bot.id, emoji))
    return NO_CONTENT


def pin(world: World, _: Bot, posted: Posted) -> Answer:
    """Pin a message."""
    message = world.message(room_of(world, posted), posted.path["message"])
    pins = world.pins.setdefault(message.room, [])
    if message.id not in pins:
        if len(pins) >= world.limits.pins:
            raise coded(30003)
        pins.append(message.id)
    return NO_CONTENT


def unpin(world: World, _: Bot, posted: Posted) -> Answer:
    """Unpin a message."""
    message = world.message(room_of(world, posted), posted.path["message"])
    if message.id in world.pins.get(message.room, []):
        world.pins[message.room].remove(message.id)
    return NO_CONTENT
