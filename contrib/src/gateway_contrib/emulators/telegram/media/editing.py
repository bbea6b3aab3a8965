"""Serves editMessageCaption, editMessageMedia, and getFile.

Source: core.telegram.org/bots/api, the page of each method. A file cannot be taken off a message.
"""

from __future__ import annotations

from typing import Any

import attrs

from gateway_contrib.emulators.telegram.formatting import captioned
from gateway_contrib.emulators.telegram.media.kinds import KINDS, Media
from gateway_contrib.emulators.telegram.media.sending import input_media
from gateway_contrib.emulators.telegram.media.sources import Unusable
from gateway_contrib.emulators.telegram.messages.stored import edited, keyboard, own
from gateway_contrib.emulators.telegram.refusals import bad_request
from gateway_contrib.emulators.telegram.requests import Parameters
from gateway_contrib.emulators.telegram.world import Bot, Content, World


def edit_message_caption(world: World, bot: Bot, parameters: Parameters) -> Any:
    """Give a message with a file another caption, or none."""
    caption = captioned(parameters)
    chat, message = own(world, bot, parameters)
    before = chat.contents[message.id]
    if before.media is None:
        raise bad_request("there is no caption in the message to edit")
    content = attrs.evolve(
        before,
        entities=caption.entities,
        keyboard=keyboard(parameters),
        above=parameters.flag("show_caption_above_media"),
    )
    return edited(world, chat, message, caption.text, content)


def edit_message_media(world: World, bot: Bot, parameters: Parameters) -> Any:
    """Give a message another file and caption; a text message may get a file in this way."""
    posted = parameters.structure("media", dict, "input media JSON object")
    try:
        item = input_media(world, bot, posted or {}, parameters)
    except Unusable as unusable:
        raise unusable.refusal from None
    chat, message = own(world, bot, parameters)
    before = chat.contents[message.id]
    _check_change(before, item.media)
    content = attrs.evolve(
        item.content, keyboard=keyboard(parameters), album=before.album, previews=before.previews
    )
    return edited(world, chat, message, item.caption.text, world.known(content))


def get_file(world: World, bot: Bot, parameters: Parameters) -> Any:
    """The path at which the bot may download a file."""
    number = parameters.text("file_id")
    if not number:
        raise bad_request("file_id not specified")
    media = world.media.get(number)
    if media is None or media.bot != bot.id or media.file.digest is None:
        raise bad_request("wrong file_id or the file is temporarily unavailable")
    if media.file.size > world.limits.download_bytes:
        raise bad_request("file is too big")
    return {
        "file_id": media.id,
        "file_unique_id": media.unique,
        "file_size": media.file.size,
        "file_path": world.path_of(media),
    }


def _check_change(before: Content, after: Media) -> None:
    if before.other is not None:
        raise bad_request("message can't be edited")
    if before.media is None:
        return
    kind = before.media.kind
    if kind == "voice":
        raise bad_request("message media can't be edited")
    if before.album and KINDS[kind].album != KINDS[after.kind].album:
        raise bad_request("can't change media type in the album")
