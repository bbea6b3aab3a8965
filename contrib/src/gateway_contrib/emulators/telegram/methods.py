"""Serves the emulator's methods, each as core.telegram.org/bots/api describes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import attrs

from gateway_contrib.emulators.telegram import drafts, reactions
from gateway_contrib.emulators.telegram.content import Formatted
from gateway_contrib.emulators.telegram.formatting import formatted
from gateway_contrib.emulators.telegram.media import editing, sending
from gateway_contrib.emulators.telegram.media.kinds import KINDS, Kind
from gateway_contrib.emulators.telegram.messages import kinds
from gateway_contrib.emulators.telegram.messages.stored import (
    edited,
    keyboard,
    own,
    placed,
    store,
)
from gateway_contrib.emulators.telegram.refusals import bad_request
from gateway_contrib.emulators.telegram.requests import Parameters
from gateway_contrib.emulators.telegram.world import Bot, Content, World

_GIFTS = (
    "unlimited_gifts",
    "limited_gifts",
    "unique_gifts",
    "premium_subscription",
    "gifts_from_channels",
)

Answering: TypeAlias = Callable[[World, Bot, Parameters], Any]


def get_me(_world: World, bot: Bot, _parameters: Parameters) -> Any:
    """The bot itself."""
    return bot.described()


def delete_webhook(_world: World, _bot: Bot, _parameters: Parameters) -> Any:
    """Accept the request, which clients make before they poll; there is no webhook."""
    return True


def send_message(world: World, bot: Bot, parameters: Parameters) -> Any:
    """Store a message and show it."""
    text = formatted(parameters)
    place = placed(world, parameters)
    content = _text(bot, text, parameters)
    world.admit(bot, place.chat)
    return world.shown(place.chat, store(world, place, text, content, parameters))


def edit_message_text(world: World, bot: Bot, parameters: Parameters) -> Any:
    """Give a message of the bot another text, and the keyboard posted with the text, or none."""
    text = formatted(parameters)
    chat, message = own(world, bot, parameters)
    before = chat.contents[message.id]
    if before.media is not None or before.other is not None:
        raise bad_request("there is no text in the message to edit")
    content = _text(bot, text, parameters)
    return edited(world, chat, message, text.text, content)


def edit_message_reply_markup(world: World, bot: Bot, parameters: Parameters) -> Any:
    """Give a message of the bot another keyboard, or none."""
    chat, message = own(world, bot, parameters)
    content = attrs.evolve(chat.contents[message.id], keyboard=keyboard(parameters))
    return edited(world, chat, message, message.text, content)


def delete_message(world: World, bot: Bot, parameters: Parameters) -> Any:
    """Delete a message of the bot."""
    chat = world.chat(parameters)
    message = world.message(chat, parameters, "delete")
    if chat.contents[message.id].author != bot.id:
        raise bad_request("message can't be deleted")
    world.admit(bot, None)
    message.deleted = True
    world.counters["deleted"] += 1
    return True


def delete_messages(world: World, bot: Bot, parameters: Parameters) -> Any:
    """Delete several messages; those that do not exist are passed over."""
    chat = world.chat(parameters)
    numbers = parameters.structure("message_ids", list, "message identifiers JSON array")
    world.admit(bot, None)
    for number in numbers or ():
        message = world.rooms.get(chat.room, str(number))
        if message is not None and not message.deleted:
            message.deleted = True
            world.counters["deleted"] += 1
    return True


def answer_callback_query(_world: World, _bot: Bot, parameters: Parameters) -> Any:
    """Accept the answer; every query that has an id counts as open."""
    if not parameters.text("callback_query_id"):
        raise bad_request("query is too old and response timeout expired or query ID is invalid")
    return True


def get_chat(world: World, _bot: Bot, parameters: Parameters) -> Any:
    """The chat, with the fields that every `ChatFullInfo` has; the chat accepts no gifts."""
    shown = world.chat(parameters).described()
    gifts = dict.fromkeys(_GIFTS, False)
    return {**shown, "accent_color_id": 0, "max_reaction_count": 11, "accepted_gift_types": gifts}


def create_forum_topic(world: World, _bot: Bot, parameters: Parameters) -> Any:
    """Open a topic; its id is that of the message that announces it."""
    chat = world.chat(parameters)
    name = parameters.text("name")
    if not name:
        raise bad_request("topic name is empty")
    topic = chat.next_id()
    chat.topics[topic] = name
    return {"message_thread_id": int(topic), "name": name, "icon_color": 7322096}


def close_forum_topic(world: World, _bot: Bot, parameters: Parameters) -> Any:
    """Close a topic: nothing more may be sent to it."""
    chat = world.chat(parameters)
    topic = str(parameters.integer("message_thread_id"))
    chat.check_topic(topic)
    chat.closed.add(topic)
    return True


def delete_forum_topic(world: World, _bot: Bot, parameters: Parameters) -> Any:
    """Delete a topic."""
    chat = world.chat(parameters)
    topic = str(parameters.integer("message_thread_id"))
    if chat.topics.pop(topic, None) is None:
        raise bad_request("message thread not found")
    return True


def _text(bot: Bot, text: Formatted, parameters: Parameters) -> Content:
    previews = parameters.structure(
        "link_preview_options", dict, "link preview options JSON object"
    )
    return Content(bot.id, text.entities, keyboard(parameters), previews)


def _sending(kind: Kind) -> Answering:
    return lambda world, bot, parameters: sending.send(world, bot, parameters, kind)


def _making(kind: kinds.Kind) -> Answering:
    return lambda world, bot, parameters: kinds.send(world, bot, parameters, kind)


@attrs.frozen
class Method:
    """A method: what answers it, and whether it makes or changes a message."""

    answer: Answering
    changes: bool = False


METHODS: Mapping[str, Method] = {
    "getme": Method(get_me),
    "deletewebhook": Method(delete_webhook),
    "sendmessage": Method(send_message, changes=True),
    **{f"send{kind.name}": Method(_sending(kind), changes=True) for kind in KINDS.values()},
    **{name: Method(_making(kind), changes=True) for name, kind in kinds.KINDS.items()},
    "stoppoll": Method(kinds.stop_poll, changes=True),
    "sendmediagroup": Method(sending.send_media_group, changes=True),
    "editmessagecaption": Method(editing.edit_message_caption, changes=True),
    "editmessagemedia": Method(editing.edit_message_media, changes=True),
    "getfile": Method(editing.get_file),
    "editmessagetext": Method(edit_message_text, changes=True),
    "editmessagereplymarkup": Method(edit_message_reply_markup, changes=True),
    "deletemessage": Method(delete_message, changes=True),
    "deletemessages": Method(delete_messages, changes=True),
    "setmessagereaction": Method(reactions.set_message_reaction),
    "pinchatmessage": Method(reactions.pin_chat_message),
    "unpinchatmessage": Method(reactions.unpin_chat_message),
    "unpinallchatmessages": Method(reactions.unpin_all_chat_messages),
    "sendchataction": Method(drafts.send_chat_action),
    "sendmessagedraft": Method(drafts.send_message_draft, changes=True),
    "answercallbackquery": Method(answer_callback_query),
    "getchat": Method(get_chat),
    "createforumtopic": Method(create_forum_topic),
    "closeforumtopic": Method(close_forum_topic),
    "deleteforumtopic": Method(delete_forum_topic),
}
"""The methods by name in lower case, since the server ignores the case."""
