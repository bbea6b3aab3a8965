"""Decides which files of a message a request adds, keeps and removes.

Source: discord.com/developers/docs/reference#uploading-files and #editing-message-attachments.
An edit can change the description and the spoiler of a file that stays (discord-api-docs, 8429).
Without `attachments`, an edit keeps the message's files and adds those that it brings. With
`attachments`, the list has all files of the message from then on.
"""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs

from gateway_contrib.emulators.discord.limits import DiscordLimits
from gateway_contrib.emulators.discord.refusals import coded, form
from gateway_contrib.emulators.discord.requests import Posted
from gateway_contrib.emulators.files.forms import Upload
from gateway_contrib.emulators.files.kinds import UNKNOWN, recognised
from gateway_contrib.emulators.files.store import File

SPOILER = "SPOILER_"
"""The beginning of a file's name if the file is shown only to readers who ask for it."""

IS_SPOILER = 1 << 3
MOST_DESCRIPTION = 1024
MOST_NAME = 1024

_FIELD = re.compile(r"files\[([0-9]{1,4})\]")
_NOT_IN_NAMES = re.compile(r"[^\w.-]+", re.ASCII)

Wire = Mapping[str, Any]


@attrs.frozen
class New:
    """A file that a request brings, and its entry in `attachments`."""

    upload: Upload
    said: Wire

    def wire(self, number: str, base: str) -> dict[str, Any]:
        """The attachment as Discord shows it; its address begins with `base`."""
        given = str(self.said.get("filename") or self.upload.name or "unknown")
        name = self._name(given)
        kind = recognised(self.upload.data)
        guessed = mimetypes.guess_type(name)[0] or self.upload.media_type or UNKNOWN.media_type
        url = f"{base}/{number}/{name}"
        shown = {
            "id": number,
            "filename": name,
            "title": given.rpartition(".")[0] or given if name != given else None,
            "description": self.said.get("description"),
            "content_type": kind.media_type if kind.width else guessed,
            "size": self.upload.size,
            "url": url,
            "proxy_url": url,
            "width": kind.width or None,
            "height": kind.height or None,
            "flags": IS_SPOILER if name.startswith(SPOILER) else None,
        }
        return {key: value for key, value in shown.items() if value is not None}

    def _name(self, given: str) -> str:
        """The file's name, in which all but letters, digits, `.`, `_` and `-` is replaced."""
        name = _NOT_IN_NAMES.sub("_", given)
        hidden = self.said.get("is_spoiler") and not name.startswith(SPOILER)
        return SPOILER + name if hidden else name


Planned = Wire | New


def planned(
    limits: DiscordLimits, posted: Posted, before: Sequence[Wire] | None, prefix: str = ""
) -> list[Planned] | None:
    """The attachments after the request; None: those from before. Raises Refusal.

    before  the message's attachments; None: it is a new message, with every file of the request
    """
    if any(upload.size > limits.file_bytes for upload in posted.files):
        raise coded(40005)
    uploads = dict(_numbered(posted.files))
    if "attachments" in posted.fields:
        place = f"{prefix}attachments"
        listed = _listed(limits, place, posted.fields["attachments"])
        after = [
            _found(f"{place}.{n}", said, uploads, before or ()) for n, said in enumerate(listed)
        ]
        rest = _unlisted(uploads, listed) if before is None else []
    elif uploads:
        after, rest = list(before or ()), _unlisted(uploads, ())
    else:
        return None
    after += rest
    if len(after) > limits.max_files:
        raise coded(30015)
    return after


def file_of(wire: Wire, digest: str | None) -> File:
    """The attachment as a reader sees it."""
    return File(
        name=wire["filename"],
        media_type=wire["content_type"],
        size=wire["size"],
        digest=digest,
        alt=wire.get("description") or "",
        spoiler=bool(wire.get("flags", 0) & IS_SPOILER),
    )


def _numbered(uploads: Sequence[Upload]) -> Iterator[tuple[str, Upload]]:
    """Each file, with the number by which `attachments` names it."""
    for place, upload in enumerate(uploads):
        named = _FIELD.fullmatch(upload.field)
        yield str(int(named[1])) if named else str(place), upload


def _listed(limits: DiscordLimits, place: str, listed: Any) -> list[Wire]:
    if not isinstance(listed or [], list):
        raise form(place, "LIST_TYPE_CONVERT", "Only iterables may be used in a ListType")
    if len(listed or ()) > limits.max_files:
        raise form(place, "BASE_TYPE_MAX_LENGTH", f"Must be {limits.max_files} or fewer in length.")
    return list(listed or ())


def _unlisted(uploads: Mapping[str, Upload], listed: Sequence[Wire]) -> list[New]:
    named = {str(said.get("id")) for said in listed}
    return [New(upload, {}) for number, upload in uploads.items() if number not in named]


def _found(place: str, said: Any, uploads: Mapping[str, Upload], before: Sequence[Wire]) -> Planned:
    """What an entry of `attachments` means: a file of the request, or one that the message has."""
    if not isinstance(said, Mapping):
        raise form(place, "DICT_TYPE_CONVERT", "Only dictionaries may be used in a DictType")
    if said.get("id") is None:
        raise form(f"{place}.id", "BASE_TYPE_REQUIRED", "This field is required")
    for name, most in (("description", MOST_DESCRIPTION), ("filename", MOST_NAME)):
        if len(str(said.get(name) or "")) > most:
            words = f"Must be {most} or fewer in length."
            raise form(f"{place}.{name}", "BASE_TYPE_MAX_LENGTH", words)
    number = str(said["id"])
    if number in uploads:
        return New(uploads[number], said)
    for wire in before:
        if wire["id"] == number:
            return _changed(wire, said)
    raise form(place, "ATTACHMENT_NOT_FOUND", "Attachment data not found")


def _changed(wire: Wire, said: Wire) -> Wire:
    """An attachment that stays: its description and whether it is a spoiler can be changed."""
    changed = {key: said[key] for key in ("description",) if key in said}
    if said.get("is_spoiler") is not None:
        changed["flags"] = IS_SPOILER if said["is_spoiler"] else None
    return {key: value for key, value in {**wire, **changed}.items() if value is not None}
