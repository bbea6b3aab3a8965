"""Serves sendPhoto and similar methods, and sendMediaGroup.

Source: core.telegram.org/bots/api, the page of each method; an album's rules and words: tdlib's
check_message_group_message_contents and the Bot API server's Client.
"""

from __future__ import annotations

from typing import Any

import attrs

from gateway_contrib.emulators.telegram.content import Formatted
from gateway_contrib.emulators.telegram.formatting import captioned
from gateway_contrib.emulators.telegram.media.kinds import KINDS, Kind, Media
from gateway_contrib.emulators.telegram.media.sources import Unusable, found, uploaded_as
from gateway_contrib.emulators.telegram.messages.stored import keyboard, placed, store
from gateway_contrib.emulators.telegram.refusals import bad_request
from gateway_contrib.emulators.telegram.requests import Parameters
from gateway_contrib.emulators.telegram.world import Bot, Content, World

MOST_IN_ALBUM = 10
_APART = ("document", "audio")
"""Kinds whose albums must not have files of other kinds."""

_NO_ALBUM = {"animation": "can't be used in sendMediaGroup", "voice_note": "is not allowed"}


@attrs.frozen
class Item:
    """One file with its caption, in an album or as the new file of a message."""

    media: Media
    caption: Formatted
    content: Content


def send(world: World, bot: Bot, parameters: Parameters, kind: Kind) -> Any:
    """Store a message with one file."""
    caption = captioned(parameters)
    try:
        media = uploaded_as(world, bot, kind, kind.name, parameters)
    except Unusable as unusable:
        raise unusable.refusal from None
    if media is None:
        raise bad_request(f"there is no {kind.name} in the request")
    place = placed(world, parameters)
    content = _content(bot, media, caption, parameters)
    world.admit(bot, place.chat)
    message = store(world, place, caption, world.known(content), parameters)
    return world.shown(place.chat, message)


def send_media_group(world: World, bot: Bot, parameters: Parameters) -> Any:
    """Store an album: one message for each of its files, or none at all."""
    posted = parameters.structure("media", list, "media JSON object")
    if not posted:
        raise bad_request("there are no messages to send")
    items = _items(world, bot, posted, parameters)
    _check_album(items)
    place = placed(world, parameters)
    world.admit(bot, place.chat, len(items) if world.limits.album_each else 1)
    album = world.next_album() if len(items) > 1 else None
    shown = []
    for item in items:
        content = world.known(attrs.evolve(item.content, album=album))
        message = store(world, place, item.caption, content, parameters)
        shown.append(world.shown(place.chat, message))
    return shown


def input_media(world: World, bot: Bot, posted: Any, parameters: Parameters) -> Item:
    """The file of an `InputMedia`. Raises `Refusal`, and Unusable."""
    if not isinstance(posted, dict):
        raise bad_request("can't parse InputMedia: expected an Object")
    kind = KINDS.get(str(posted.get("type")))
    if kind is None or kind.name == "voice":
        words = f'type "{posted.get("type")}" is unsupported'
        raise bad_request(f"can't parse InputMedia: {words}")
    said = Parameters(posted)
    caption = captioned(said)
    media = found(world, bot, kind, posted.get("media"), parameters, said)
    if media is None:
        raise bad_request("can't parse InputMedia: media not found")
    return Item(media, caption, _content(bot, media, caption, said))


def _items(world: World, bot: Bot, posted: list[Any], parameters: Parameters) -> list[Item]:
    items = []
    for number, one in enumerate(posted, start=1):
        kind = str(one.get("type")) if isinstance(one, dict) else ""
        if kind in _NO_ALBUM:
            raise bad_request(f'can\'t parse InputMedia: type "{kind}" {_NO_ALBUM[kind]}')
        try:
            items.append(input_media(world, bot, one, parameters))
        except Unusable as unusable:
            words = f'failed to send message #{number} with the error message "{unusable.code}"'
            raise bad_request(words) from None
    return items


def _check_album(items: list[Item]) -> None:
    if len(items) > MOST_IN_ALBUM:
        raise bad_request("too many messages to send as an album")
    albums = [KINDS[item.media.kind].album for item in items]
    if len(set(albums)) > 1:
        apart = next((one for one in albums if one in _APART), "")
        raise bad_request(f"{apart} can't be mixed with other media types")
    if len({item.content.above for item in items}) > 1:
        words = "parameter show_caption_above_media must be the same for all messages"
        raise bad_request(words)


def _content(bot: Bot, media: Media, caption: Formatted, said: Parameters) -> Content:
    spoiler = said.flag("has_spoiler")
    return Content(
        bot.id,
        caption.entities,
        keyboard(said),
        media=attrs.evolve(media, file=attrs.evolve(media.file, spoiler=spoiler)),
        above=said.flag("show_caption_above_media"),
    )
