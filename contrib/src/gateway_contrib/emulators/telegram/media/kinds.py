"""Defines the kinds of files that Telegram tells apart, and what each kind takes.

Source: core.telegram.org/bots/api#sending-files and the page of each method; the words and the
checks of a photo: tdlib's FileManager and the Bot API server's Client.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import attrs

from gateway_contrib.emulators.files.kinds import PICTURES
from gateway_contrib.emulators.files.store import File

MB = 1024 * 1024
LONGEST_SIDES = 10_000
"""Pixels of a photo's width and height together."""

MOST_RATIO = 20
URL_VOICE_BYTES = MB
"""A larger voice note that is named by its URL is sent as a document."""

_MP4 = frozenset({"video/mp4"})
_MP3 = frozenset({"audio/mpeg", "audio/mp4"})


@attrs.frozen(kw_only=True)
class Kind:
    """One kind of file.

    name        the name of the parameter and of the message's field
    word        the kind's name in refusals
    folder      the folder in the paths that getFile gives
    takes       media types of uploads that are sent as this kind; None: all types
    url_takes   media types that a file at an address must have
    url_bytes   most bytes that a file at an address may have
    numbers     the whole numbers by which the sender describes the file
    texts       the texts by which the sender describes the file
    album       kinds with the same value may share an album; empty: the kind is in no album
    """

    name: str
    word: str
    folder: str
    takes: Collection[str] | None
    url_takes: Collection[str]
    url_bytes: int = 20 * MB
    numbers: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    album: str = ""


PHOTO = Kind(
    name="photo",
    word="Photo",
    folder="photos",
    takes=PICTURES,
    url_takes=PICTURES,
    url_bytes=5 * MB,
    album="seen",
)
DOCUMENT = Kind(
    name="document",
    word="Document",
    folder="documents",
    takes=None,
    url_takes=frozenset({"application/pdf", "application/zip", "image/gif"}),
    album="document",
)
_SIZED = ("width", "height", "duration")
KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        PHOTO,
        Kind(
            name="video",
            word="Video",
            folder="videos",
            takes=_MP4,
            url_takes=_MP4,
            numbers=_SIZED,
            album="seen",
        ),
        Kind(
            name="animation",
            word="Animation",
            folder="animations",
            takes=_MP4 | {"image/gif"},
            url_takes=_MP4 | {"image/gif"},
            numbers=_SIZED,
        ),
        Kind(
            name="audio",
            word="Audio",
            folder="music",
            takes=_MP3,
            url_takes=_MP3,
            numbers=("duration",),
            texts=("performer", "title"),
            album="audio",
        ),
        Kind(
            name="voice",
            word="VoiceNote",
            folder="voice",
            takes=_MP3 | {"audio/ogg"},
            url_takes=frozenset({"audio/ogg"}),
            numbers=("duration",),
        ),
        DOCUMENT,
    )
}


@attrs.frozen
class Page:
    """The file at an address; a size of 0 means that the size is not known."""

    media_type: str
    size: int = 0


@attrs.frozen(kw_only=True)
class Media:
    """A file that Telegram has, as one bot knows it.

    id      the `file_id`, for this bot and this kind only
    unique  the `file_unique_id`, the same for every bot
    said    the sender's description of the file: sides, duration, performer, title
    """

    id: str
    unique: str
    bot: int
    kind: str
    file: File
    said: Mapping[str, Any] = attrs.field(factory=dict)

    def shown(self) -> dict[str, Any]:
        """The fields of a `Message` that show the file."""
        named = {"file_name": self.file.name, "mime_type": self.file.media_type}
        if self.kind == "photo":
            return {"photo": [self._described({})]}
        if self.kind == "voice":
            del named["file_name"]
        described = self._described({key: value for key, value in named.items() if value})
        if self.kind == "animation":
            return {"animation": described, "document": described}
        return {self.kind: described}

    def _described(self, named: Mapping[str, Any]) -> dict[str, Any]:
        sized = {"file_size": self.file.size} if self.file.size else {}
        return {"file_id": self.id, "file_unique_id": self.unique, **self.said, **named, **sized}
