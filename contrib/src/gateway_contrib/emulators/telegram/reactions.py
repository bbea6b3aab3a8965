"""What bots do to messages and around them: reactions and pins."""

from __future__ import annotations

from typing import Any

from gateway_contrib.emulators.telegram.requests import Parameters
from gateway_contrib.emulators.telegram.world import Bot, World


def set_message_reaction(world: World, _bot: Bot, parameters: Parameters) -> Any:
    """Store the reactions beside the message; an empty array takes them away."""
    chat = world.chat(parameters)
    message = world.message(chat, parameters, "react")
    reactions = parameters.structure("reaction", list, "reaction types JSON array")
    chat.reactions[message.id] = list(reactions or ())
    return True


def pin_chat_message(world: World, _bot: Bot, parameters: Parameters) -> Any:
    """Pin a message."""
    chat = world.chat(parameters)
    message = world.message(chat, parameters, "pin")
    chat.pinned = [*(one for one in chat.pinned if one != message.id), message.id]
    return True


def unpin_chat_message(world: World, _bot: Bot, parameters: Parameters) -> Any:
    """Take a pin away: of the message that is named, else the newest."""
    chat = world.chat(parameters)
    named = parameters.integer("message_id")
    gone = [str(named)] if named else chat.pinned[-1:]
    chat.pinned = [one for one in chat.pinned if one not in gone]
    return True


def unpin_all_chat_messages(world: World, _bot: Bot, parameters: Parameters) -> Any:
    """Take every pin away."""
    world.chat(parameters).pinned.clear()
    return True
