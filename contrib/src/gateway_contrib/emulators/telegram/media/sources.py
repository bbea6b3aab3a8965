"""Finds the file of a request: an upload, an address, or a `file_id`.

Source: core.telegram.org/bots/api#sending-files. An address is never fetched: `serve_url` sets
what is there, or else the ending of its path decides. The type of an upload is found from its
bytes. If the kind does not take this type, the upload is sent as a document, as Telegram does; a
photo that is not a picture is refused.
"""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from gateway_contrib.emulators.files.forms import Upload
from gateway_contrib.emulators.files.kinds import UNKNOWN, recognised
from gateway_contrib.emulators.files.store import File
from gateway_contrib.emulators.telegram.media.kinds import (
    DOCUMENT,
    KINDS,
    LONGEST_SIDES,
    MOST_RATIO,
    PHOTO,
    URL_VOICE_BYTES,
    Kind,
    Media,
    Page,
)
from gateway_contrib.emulators.telegram.refusals import Refusal, bad_request
from gateway_contrib.emulators.telegram.requests import Parameters
from gateway_contrib.emulators.telegram.world import Bot, World

CURL_FAILED = "WEBPAGE_CURL_FAILED"
MEDIA_EMPTY = "WEBPAGE_MEDIA_EMPTY"
_WORDS: Mapping[str, str] = {
    CURL_FAILED: "failed to get HTTP URL content",
    MEDIA_EMPTY: "wrong type of the web page content",
}


class Unusable(Exception):
    """Telegram's servers behind the Bot API server refuse the file, with a code of their own."""

    def __init__(self, code: str) -> None:
        self.code = code
        super().__init__(code)

    @property
    def refusal(self) -> Refusal:
        """The refusal that answers a request with one file."""
        return bad_request(_WORDS.get(self.code, self.code))


def found(
    world: World, bot: Bot, kind: Kind, value: Any, parameters: Parameters, said: Parameters
) -> Media | None:
    """The file that a value names; None if it names none.

    parameters  the whole request, which has the uploads
    said        the parameters with sides, duration and the like

    Raises `Refusal`, and Unusable.
    """
    text = value if isinstance(value, str) else ""
    if text.startswith("attach://"):
        upload = parameters.uploads.get(text.removeprefix("attach://"))
        return None if upload is None else _uploaded(world, bot, kind, upload, said)
    if not text:
        return None
    if "." in text:
        return _linked(world, bot, kind, text, said)
    known = world.media.get(text)
    if known is None or known.bot != bot.id:
        raise bad_request("wrong file identifier/HTTP URL specified")
    if known.kind != kind.name:
        raise bad_request(f"can't use file of type {KINDS[known.kind].word} as {kind.word}")
    return known


def uploaded_as(
    world: World, bot: Bot, kind: Kind, name: str, parameters: Parameters
) -> Media | None:
    """The file of a parameter; it may be in the form's part that has the parameter's name."""
    upload = parameters.uploads.get(name)
    if upload is not None:
        return _uploaded(world, bot, kind, upload, parameters)
    return found(world, bot, kind, parameters.text(name), parameters, parameters)


def _uploaded(world: World, bot: Bot, kind: Kind, upload: Upload, said: Parameters) -> Media:
    limits = world.limits
    if upload.size > limits.upload_bytes:
        raise Refusal(413, "Request Entity Too Large")
    if not upload.size:
        raise bad_request("file must be non-empty")
    if kind is PHOTO and upload.size > limits.photo_bytes:
        raise bad_request(
            f"file of size {upload.size} bytes is too big for a photo;"
            f" the maximum size is {limits.photo_bytes} bytes"
        )
    content = recognised(upload.data)
    sides = {}
    if kind is PHOTO:
        _check_photo(content.media_type, content.width, content.height)
        sides = {"width": content.width, "height": content.height}
    sent_as = kind if kind.takes is None or content.media_type in kind.takes else DOCUMENT
    guessed = mimetypes.guess_type(upload.name)[0]
    known = content.media_type if content is not UNKNOWN else guessed
    file = File(
        name=upload.name,
        media_type=known or UNKNOWN.media_type,
        size=upload.size,
        digest=world.files.put(upload.data),
    )
    return world.media_of(bot, sent_as.name, file, {**_said(sent_as, said), **sides})


def _check_photo(media_type: str, width: int, height: int) -> None:
    if media_type not in (PHOTO.takes or ()) or not min(width, height):
        raise Unusable("IMAGE_PROCESS_FAILED")
    long, short = max(width, height), min(width, height)
    if width + height > LONGEST_SIDES or long > MOST_RATIO * short:
        raise Unusable("PHOTO_INVALID_DIMENSIONS")


def _linked(world: World, bot: Bot, kind: Kind, url: str, said: Parameters) -> Media:
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme not in ("http", "https"):
        raise bad_request("invalid file HTTP URL specified: Unsupported URL protocol")
    if "." not in (parts.hostname or ""):
        raise bad_request("invalid file HTTP URL specified: Wrong HTTP URL")
    name = parts.path.rpartition("/")[2]
    told = world.web.get(url, Page(mimetypes.guess_type(name)[0] or ""))
    if told is None or told.size > kind.url_bytes:
        raise Unusable(CURL_FAILED)
    if told.media_type not in kind.url_takes and (told.media_type or kind is DOCUMENT):
        raise Unusable(MEDIA_EMPTY)
    large = kind.name == "voice" and told.size > URL_VOICE_BYTES
    sent_as = DOCUMENT if large else kind
    file = File(name=name or url, media_type=told.media_type, size=told.size, url=url)
    sides = {"width": 1, "height": 1} if kind is PHOTO else {}
    return world.media_of(bot, sent_as.name, file, {**_said(sent_as, said), **sides})


def _said(kind: Kind, said: Parameters) -> dict[str, Any]:
    numbers = {name: max(0, said.integer(name)) for name in kind.numbers}
    texts = {name: said.text(name) for name in kind.texts if said.text(name)}
    return {**numbers, **texts}
