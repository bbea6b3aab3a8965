"""Reports, before acceptance, what Telegram would refuse of an envelope's files. Sans-I/O.

Source: core.telegram.org/bots/api#sending-files, #sendphoto and #sendmediagroup.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

from gateway_core.authors import Edit, File, MessageRef, PartRef, Problem, Send
from gateway_plugin_telegram.media.kinds import DOCUMENT, PHOTO, VOICE, Kind, kind_of, media_type_of
from gateway_plugin_telegram.media.planning import albums, not_for_albums
from gateway_plugin_telegram.requests import stands_on_message
from gateway_plugin_telegram.settings import MB, TelegramSettings

FETCHED_DOCUMENTS = ("application/pdf", "application/zip", "image/gif")
"""Media types of documents that Telegram fetches."""
_FILE_ID = re.compile(r"[A-Za-z0-9_-]{1,512}")
_NO_FILE_ID = "is not a file_id, which has only letters, digits, - and _"
"""Instead of a file_id, the field may have an address or a path, which a server of your own would
read."""
FETCHED_VOICE_BYTES = MB
"""Most bytes of a voice note that Telegram fetches; Telegram sends a larger one as a file."""


def file_problems(settings: TelegramSettings, envelope: Send | Edit) -> Iterator[Problem]:
    """Every problem of the envelope's files, each with its place."""
    files = envelope.files or ()
    for place, file in enumerate(files):
        kind = kind_of(file)
        if file.id is not None:
            if _FILE_ID.fullmatch(file.id) is None:
                yield Problem(f"files.{place}.id", _NO_FILE_ID)
            continue
        check = _uploaded if file.url is None else _fetched
        for words in check(settings, file, kind):
            yield Problem(f"files.{place}", words)
    if files and len(albums(files)[-1]) > 1 and not envelope.text.strip():
        yield from _not_on_albums(envelope)
    if isinstance(envelope, Edit):
        yield from _album_problems(envelope)


def _not_on_albums(envelope: Send | Edit) -> Iterator[Problem]:
    for name in not_for_albums(envelope):
        place, what = f"extra.{name}", "this"
        if stands_on_message((envelope.extra or {}).get(name)):
            place, what = "buttons", f"buttons (`{place}`)"
        yield Problem(place, f"an album cannot have {what} without a text: add one")


def _uploaded(settings: TelegramSettings, file: File, kind: Kind) -> Iterator[str]:
    if file.size > settings.upload_bytes:
        yield _too_large(file, "a file", settings.upload_bytes, "upload_bytes")
    elif kind is PHOTO and file.size > settings.photo_bytes:
        most = settings.photo_bytes
        yield _too_large(file, "a photo", most, "photo_bytes") + _AS_DOCUMENT
    if kind is not PHOTO:
        return
    short, long = sorted((file.width, file.height))
    if not short:
        yield f"cannot be read as a picture of type {media_type_of(file)}{_AS_DOCUMENT}"
    elif short + long > settings.photo_sides:
        both, most = short + long, settings.photo_sides
        yield f"width and height are {both} together, Telegram takes {most}{_AS_DOCUMENT}"
    elif long > settings.photo_ratio * short:
        most = settings.photo_ratio
        yield f"a photo's longer side must be at most {most} times the shorter one{_AS_DOCUMENT}"


_AS_DOCUMENT = "; set as_document to send it as a file"


def _fetched(settings: TelegramSettings, file: File, kind: Kind) -> Iterator[str]:
    media_type = media_type_of(file)
    if "." not in _host_of(file.url or ""):
        yield "Telegram fetches only from hosts with a dot in their name"
    elif not media_type:
        yield "its address does not say what type it is: set media_type"
    elif kind is DOCUMENT and media_type not in FETCHED_DOCUMENTS:
        yield f"Telegram fetches only PDF, ZIP and GIF documents, not {media_type}: give the bytes"
    name = "url_photo_bytes" if kind is PHOTO else "url_bytes"
    most: int = getattr(settings, name)
    if kind is VOICE and most > FETCHED_VOICE_BYTES:
        name, most = "", FETCHED_VOICE_BYTES
    if file.size > most:
        yield _too_large(file, f"{kind.called} that it fetches", most, name)


def _host_of(url: str) -> str:
    """The name of the URL's host; empty if no name can be read."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _too_large(file: File, what: str, most: int, setting: str) -> str:
    named = f"{file.name!r} " if file.name else ""
    of_setting = f" (the setting `{setting}`)" if setting else ""
    return f"{named}has {file.size} bytes, Telegram takes {what} of at most {most}{of_setting}"


def _album_problems(edit: Edit) -> Iterator[Problem]:
    """An edit can replace files of an album by others of its kind, and can remove some."""
    if edit.files is None or not isinstance(edit.target, MessageRef):
        return
    parts, first = edit.target.parts, 0
    if not edit.files and parts and parts[0].more:
        yield Problem("files", "an edit cannot remove all files of an album; delete it instead")
    for part, places in zip(parts, albums(edit.files), strict=False):
        group = [edit.files[place] for place in places]
        yield from _of_message(first, group, part)
        first += len(group)


def _of_message(first: int, group: Sequence[File], part: PartRef) -> Iterator[Problem]:
    """Whether files, the first at position `first`, can take the place of those of a message."""
    wanted, most = kind_of(group[0]), 1 + len(part.more)
    there = kind_of(part.files[0]) if part.files else None
    if part.more and there is not None and wanted.album != there.album:
        words = f"{wanted.called} cannot be in an album with {there.called}"
        yield Problem(f"files.{first}", words)
    elif len(group) > most:
        words = "make a message an album" if most == 1 else f"add a file to an album of {most}"
        yield Problem(f"files.{first + most}", f"an edit cannot {words}")
    elif wanted is VOICE and group[0].id not in {file.id for file in part.files}:
        yield Problem(f"files.{first}", "an edit cannot make a message a voice note")
