"""Places, stores, finds and changes messages as Telegram does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import trio

from gateway_contrib.emulators.rooms import Message
from gateway_contrib.emulators.telegram import drafts
from gateway_contrib.emulators.telegram.content import Formatted
from gateway_contrib.emulators.telegram.messages import buttons
from gateway_contrib.emulators.telegram.refusals import bad_request
from gateway_contrib.emulators.telegram.requests import Parameters
from gateway_contrib.emulators.telegram.world import Bot, Chat, Content, World

_NOT_MODIFIED = (
    "message is not modified: specified new message content and reply markup are exactly the same"
    " as a current content and reply markup of the message"
)


@attrs.frozen
class Place:
    """Where a new message goes: its chat, its topic, and the message that it answers."""

    chat: Chat
    thread: str | None
    reply: str | None


def placed(world: World, parameters: Parameters) -> Place:
    """The place that a request names. Raises `Refusal` if there is no such place."""
    chat = world.chat(parameters)
    thread = parameters.integer("message_thread_id")
    if thread:
        chat.check_topic(str(thread))
    reply = _reply(world, chat, parameters)
    return Place(chat, str(thread) if thread else None, reply)


def store(
    world: World, place: Place, text: Formatted, content: Content, parameters: Parameters
) -> Message:
    """Store a message, and hide the drafts and actions of its bot in that thread."""
    chat = place.chat
    message = Message(
        id=chat.next_id(),
        room=chat.room,
        text=text.text,
        thread=place.thread,
        reply_to=place.reply,
        fields=dict(parameters.values),
        stored_at=trio.current_time(),
        files=(content.media.file,) if content.media else (),
        buttons=buttons.shown(content.keyboard),
    )
    chat.contents[message.id] = content
    world.rooms.add(message)
    world.counters["stored"] += 1
    drafts.hide(world, Bot(content.author), chat.room, message.thread)
    return message


def own(world: World, bot: Bot, parameters: Parameters) -> tuple[Chat, Message]:
    """The message that the bot may change. Raises `Refusal`."""
    chat = world.chat(parameters)
    message = world.message(chat, parameters, "edit")
    if chat.contents[message.id].author != bot.id:
        raise bad_request("message can't be edited")
    return chat, message


def edited(world: World, chat: Chat, message: Message, text: str, content: Content) -> Any:
    """Give a message other content. Raises `Refusal` if nothing changes."""
    before = chat.contents[message.id]
    same = attrs.evolve(before, previews=content.previews)
    if text == message.text and content == same:
        raise bad_request(_NOT_MODIFIED)
    world.admit_edit(Bot(content.author), chat)
    message.revise(text)
    message.edited_at = trio.current_time()
    message.files = (content.media.file,) if content.media else ()
    message.buttons = buttons.shown(content.keyboard)
    chat.contents[message.id] = content
    world.counters["edited"] += 1
    return world.shown(chat, message)


def keyboard(parameters: Parameters) -> Mapping[str, Any] | None:
    """The `reply_markup`; None: there is none. Raises `Refusal` for invalid buttons."""
    posted: Mapping[str, Any] | None = parameters.structure(
        "reply_markup", dict, "reply keyboard markup JSON object"
    )
    buttons.check(posted)
    return posted


def _reply(world: World, chat: Chat, parameters: Parameters) -> str | None:
    """The message that is answered; reply_to_message_id is the older way to name it."""
    asked = parameters.structure("reply_parameters", dict, "reply parameters JSON object")
    if asked is None:
        asked = {"message_id": parameters.integer("reply_to_message_id")}
        asked["allow_sending_without_reply"] = parameters.flag("allow_sending_without_reply")
    number = asked.get("message_id")
    if not number:
        return None
    message = world.rooms.get(chat.room, str(number))
    if message is not None and not message.deleted:
        return message.id
    if asked.get("allow_sending_without_reply"):
        return None
    raise bad_request("message to be replied not found")
