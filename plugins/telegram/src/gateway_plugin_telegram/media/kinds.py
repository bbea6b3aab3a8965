"""Decides by a file's media type what Telegram shows the file as. Sans-I/O.

Source: core.telegram.org/bots/api#sending-files and the page of each method. A file whose media
type is not listed here is sent as a document; any file can be a document.
"""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping

import attrs

from gateway_core.authors import File


@attrs.frozen(kw_only=True)
class Kind:
    """One kind of file.

    name      the name of the parameter, of the message's field, and of the `InputMedia`
    called    its name in the texts of problems
    method    the method that sends it
    types     media types that are sent as such
    album     kinds of the same word go into one album; empty: into none
    conceals  whether a spoiler can hide it
    takes     fields of its method, beyond those of a text's, that `extra` may set
    """

    name: str
    called: str
    method: str
    types: frozenset[str] = frozenset()
    album: str = ""
    conceals: bool = False
    takes: frozenset[str] = frozenset()


ABOVE = "show_caption_above_media"
_SIZED = frozenset({"duration", "height", "width"})

PHOTO = Kind(
    name="photo",
    called="a photo",
    method="sendPhoto",
    types=frozenset({"image/jpeg", "image/jpg", "image/png", "image/webp"}),
    album="seen",
    conceals=True,
    takes=frozenset({ABOVE}),
)
VOICE = Kind(
    name="voice",
    called="a voice note",
    method="sendVoice",
    types=frozenset({"audio/ogg", "audio/opus"}),
    takes=frozenset({"duration"}),
)
DOCUMENT = Kind(
    name="document",
    called="a document",
    method="sendDocument",
    album="document",
    takes=frozenset({"disable_content_type_detection"}),
)

KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        PHOTO,
        Kind(
            name="video",
            called="a video",
            method="sendVideo",
            types=frozenset({"video/mp4"}),
            album="seen",
            conceals=True,
            takes=_SIZED | {ABOVE, "cover", "start_timestamp", "supports_streaming"},
        ),
        Kind(
            name="animation",
            called="an animation",
            method="sendAnimation",
            types=frozenset({"image/gif"}),
            conceals=True,
            takes=_SIZED | {ABOVE},
        ),
        Kind(
            name="audio",
            called="an audio",
            method="sendAudio",
            types=frozenset(
                {"audio/m4a", "audio/mp3", "audio/mp4", "audio/mp4a-latm", "audio/mpeg"}
                | {"audio/x-m4a"}
            ),
            album="audio",
            takes=frozenset({"duration", "performer", "title"}),
        ),
        VOICE,
        DOCUMENT,
    )
}
_BY_TYPE = {media_type: kind for kind in KINDS.values() for media_type in kind.types}


def kind_of(file: File) -> Kind:
    """The kind that the file is sent as."""
    return DOCUMENT if file.as_document else _BY_TYPE.get(media_type_of(file), DOCUMENT)


def media_type_of(file: File) -> str:
    """The file's media type, if need be guessed from its name or URL; empty: unknown."""
    if file.media_type:
        return file.media_type.lower()
    return mimetypes.guess_type(file.name or _path_of(file.url or ""))[0] or ""


def _path_of(url: str) -> str:
    """The path after the host, without what follows a `?` or `#`; takes malformed URLs as well."""
    path = url.partition("://")[2].partition("/")[2]
    return path.partition("?")[0].partition("#")[0]
