"""Sets and removes what bots put on messages: reactions and pins."""

from __future__ import annotations

from typing import Any

from gateway_contrib.emulators.telegram.refusals import bad_request
from gateway_contrib.emulators.telegram.requests import Parameters
from gateway_contrib.emulators.telegram.world import Bot, World

_EMOJI = """
    ❤ 👍 👎 🔥 🥰 👏 😁 🤔 🤯 😱 🤬 😢 🎉 🤩 🤮 💩 🙏 👌 🕊 🤡 🥱 🥴 😍 🐳 ❤‍🔥
    🌚 🌭 💯 🤣 ⚡ 🍌 🏆 💔 🤨 😐 🍓 🍾 💋 🖕 😈 😴 😭 🤓 👻 👨‍💻 👀 🎃 🙈 😇 😨
    🤝 ✍ 🤗 🫡 🎅 🎄 ☃ 💅 🤪 🗿 🆒 💘 🙉 🦄 😘 💊 🙊 😎 👾 🤷‍♂ 🤷 🤷‍♀ 😡
"""
REACTIONS = frozenset(_EMOJI.split())
"""The emoji that bots may react with (core.telegram.org/bots/api#reactiontypeemoji)."""
MOST_REACTIONS = 1
"""How many reactions a bot may have on one message."""


def set_message_reaction(world: World, bot: Bot, parameters: Parameters) -> Any:
    """Replace the bot's reaction to a message; an empty array removes the reaction.

    The chat is taken to allow every custom emoji.
    """
    chat = world.chat(parameters)
    message = world.message(chat, parameters, "react")
    reactions = parameters.structure("reaction", list, "reaction types JSON array") or []
    if len(reactions) > MOST_REACTIONS:
        raise bad_request("REACTIONS_TOO_MANY")
    if not all(_is_allowed(reaction) for reaction in reactions):
        raise bad_request("REACTION_INVALID")
    world.admit(bot, None)
    chat.reactions[message.id] = list(reactions)
    return True


def _is_allowed(reaction: Any) -> bool:
    kind = reaction.get("type") if isinstance(reaction, dict) else None
    if kind == "custom_emoji":
        return str(reaction.get("custom_emoji_id")).isdecimal()
    return kind == "emoji" and str(reaction.get("emoji")) in REACTIONS


def pin_chat_message(world: World, bot: Bot, parameters: Parameters) -> Any:
    """Pin a message; all members are notified unless the pin is silent."""
    chat = world.chat(parameters)
    message = world.message(chat, parameters, "pin")
    world.admit(bot, None)
    if message.id not in chat.pinned and not parameters.flag("disable_notification"):
        chat.notified.append(message.id)
    chat.pinned = [*(one for one in chat.pinned if one != message.id), message.id]
    return True


def unpin_chat_message(world: World, bot: Bot, parameters: Parameters) -> Any:
    """Unpin the named message, or else the newest pinned message."""
    chat = world.chat(parameters)
    named = parameters.integer("message_id")
    gone = [world.message(chat, parameters, "unpin").id] if named else chat.pinned[-1:]
    world.admit(bot, None)
    chat.pinned = [one for one in chat.pinned if one not in gone]
    return True


def unpin_all_chat_messages(world: World, _bot: Bot, parameters: Parameters) -> Any:
    """Unpin every message."""
    world.chat(parameters).pinned.clear()
    return True
