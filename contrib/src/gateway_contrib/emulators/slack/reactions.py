"""Serves what bots put on messages: reactions and pins.

Source: docs.slack.dev, the page of each method. A method that refuses raises Refusal.
"""

from __future__ import annotations

from gateway_contrib.emulators.slack.refusals import Refusal
from gateway_contrib.emulators.slack.world import (
    Arguments,
    Bot,
    Fields,
    World,
    found,
)


def add_reaction(world: World, bot: Bot, given: Arguments) -> Fields:
    """reactions.add: add an emoji, given by name."""
    given_by, name = _reaction(world, bot, given)
    if (bot.user_id, name) in given_by:
        raise Refusal("already_reacted")
    given_by.append((bot.user_id, name))
    return {}


def remove_reaction(world: World, bot: Bot, given: Arguments) -> Fields:
    """reactions.remove: remove the bot's own reaction."""
    given_by, name = _reaction(world, bot, given)
    if (bot.user_id, name) not in given_by:
        raise Refusal("no_reaction")
    given_by.remove((bot.user_id, name))
    return {}


def _reaction(world: World, _: Bot, given: Arguments) -> tuple[list[tuple[str, str]], str]:
    channel = world.directory.by_id(given.get("channel"))
    name, ts = given.get("name"), given.get("timestamp")
    if not isinstance(name, str) or not name.strip(":"):
        raise Refusal("invalid_name")
    if not ts:
        raise Refusal("no_item_specified")
    message = found(world, channel, ts)
    return world.reactions.setdefault((channel.id, message.id), []), name.strip(":")


def pin(world: World, _: Bot, given: Arguments) -> Fields:
    """pins.add: pin a message that is not pinned yet."""
    pins, ts = _pinnable(world, given)
    if ts in pins:
        raise Refusal("already_pinned")
    pins.append(ts)
    return {}


def unpin(world: World, _: Bot, given: Arguments) -> Fields:
    """pins.remove: unpin a message, which stays."""
    pins, ts = _pinnable(world, given)
    if ts not in pins:
        raise Refusal("no_pin")
    pins.remove(ts)
    return {}


def _pinnable(world: World, given: Arguments) -> tuple[list[str], str]:
    channel = world.directory.by_id(given.get("channel"))
    if not given.get("timestamp"):
        raise Refusal("no_item_specified")
    message = found(world, channel, given["timestamp"])
    return world.pins.setdefault(channel.id, []), message.id
