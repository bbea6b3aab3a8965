"""Makes requests that send files, or that edit a message with files. Sans-I/O.

A file is sent by the id that Telegram gave it, by its URL, or as its bytes, in a form.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import attrs

from gateway_core.authors import Attempt, Upload
from gateway_plugin_telegram.errors.verdicts import TelegramApiError
from gateway_plugin_telegram.errors.wording import FIXED
from gateway_plugin_telegram.media.kinds import ABOVE, KINDS, VOICE
from gateway_plugin_telegram.media.planning import as_caption
from gateway_plugin_telegram.methods import ALBUM_EXTRA, FILE_EXTRA
from gateway_plugin_telegram.requests import (
    Request,
    destination,
    edit_request,
    fields_of,
    keyboard_edit,
    message,
    own_fields,
)


@attrs.define
class _Sources:
    """Where the files of one request come from.

    refused  ids of earlier uploads that Telegram no longer accepts
    """

    refused: Collection[str]
    uploads: dict[str, Upload] = attrs.field(factory=dict)
    reused: list[str] = attrs.field(factory=list)

    def named(self, upload: Upload) -> str | None:
        """The file's id or URL; None: its bytes are sent."""
        if upload.file.id is not None or upload.file.url is not None:
            return upload.file.id or upload.file.url
        if upload.known is None or upload.known in self.refused:
            return None
        self.reused.append(upload.known)
        return upload.known

    def attached(self, upload: Upload) -> str:
        """The file's name in an `InputMedia`: its id, its URL, or a field with its bytes."""
        named = self.named(upload)
        if named is not None:
            return named
        field = f"file{len(self.uploads)}"
        self.uploads[field] = upload
        return f"attach://{field}"

    def request(self, method: str, parameters: Mapping[str, Any]) -> Request:
        return Request(method, parameters, self.uploads, tuple(self.reused))


def upload_request(attempt: Attempt, refused: Collection[str]) -> Request:
    """A request for one file, by its kind's method, or for several, by sendMediaGroup.

    Raises `TelegramApiError` as `send_request` does.
    """
    sources = _Sources(refused)
    if len(attempt.files) > 1:
        media = _album(attempt, sources)
        fields = fields_of("sendMediaGroup", {**destination(attempt), "media": media})
        own = own_fields(attempt, ALBUM_EXTRA)
        return sources.request("sendMediaGroup", {**fields, **own})
    [upload], [shown] = attempt.files, attempt.payload["media"]
    kind = KINDS[shown["type"]]
    values = {**destination(attempt), **shown}
    named = sources.named(upload)
    if named is None:
        sources.uploads[kind.name] = upload
    else:
        values[kind.name] = named
    fields = fields_of(kind.method, values)
    return sources.request(kind.method, {**fields, **own_fields(attempt, FILE_EXTRA | kind.takes)})


def edit_files_request(attempt: Attempt, refused: Collection[str]) -> Request:
    """EditMessageCaption if the files stay, else editMessageMedia.

    Without a caption in the request, the message loses its caption. Raises `TelegramApiError` for
    what Telegram cannot change, and as `edit_request` does.
    """
    extra = keyboard_edit(attempt, FILE_EXTRA)
    several = len(attempt.files) > 1
    of_album = several or attempt.place is not None
    if of_album and ("reply_markup" in extra or attempt.part is None):
        raise _fixed("the buttons of an album")
    if attempt.part is None:
        return edit_request(attempt)
    if all(upload.held for upload in attempt.files):
        names = (attempt.message_id, *attempt.more)
        name = names[attempt.part.captioned if attempt.more else 0]
        attempt = attrs.evolve(attempt, message_id=name)
        return _caption_request(attempt, attempt.payload, extra)
    if several:
        raise _fixed("a message into an album, or an album into a larger one")
    if attempt.payload["media"][attempt.place or 0]["type"] == VOICE.name:
        raise _fixed("a file into a voice note")
    sources = _Sources(refused)
    [upload] = attempt.files
    item = _item(attempt, sources.attached(upload), attempt.place or 0)
    fields = fields_of("editMessageMedia", {**message(attempt, "edit"), "media": item})
    return sources.request("editMessageMedia", {**fields, **extra})


def text_as_caption_request(attempt: Attempt) -> Request:
    """EditMessageCaption with the part's text. Raises as `edit_request` does."""
    extra = keyboard_edit(attempt, FILE_EXTRA)
    return _caption_request(attempt, as_caption(attempt.payload), extra)


def _caption_request(
    attempt: Attempt, payload: Mapping[str, Any], extra: Mapping[str, Any]
) -> Request:
    fields = fields_of("editMessageCaption", {**payload, **message(attempt, "edit")})
    above = own_fields(attempt, frozenset({ABOVE}))
    return Request("editMessageCaption", {**fields, **above, **extra})


def _album(attempt: Attempt, sources: _Sources) -> list[dict[str, Any]]:
    """The `InputMedia` of each file, one of them with the caption."""
    named = map(sources.attached, attempt.files)
    return [_item(attempt, name, place) for place, name in enumerate(named)]


def _item(attempt: Attempt, name: str, place: int) -> dict[str, Any]:
    """The `InputMedia` of the part's file at this place, by its name."""
    above = own_fields(attempt, frozenset({ABOVE}))
    shown = attempt.payload["media"][place]
    item = {**shown, **_taken(above, shown), "media": name}
    if attempt.part is not None and place == attempt.part.captioned:
        captioned = {name: attempt.payload.get(name) for name in ("caption", "caption_entities")}
        item |= {name: value for name, value in captioned.items() if value is not None}
    return item


def _taken(fields: Mapping[str, Any], shown: Mapping[str, Any]) -> Mapping[str, Any]:
    takes = KINDS[shown["type"]].takes
    return {name: value for name, value in fields.items() if name in takes}


def _fixed(what: str) -> TelegramApiError:
    return TelegramApiError(status=400, description=f"{FIXED} {what}")


def file_in(message: Mapping[str, Any]) -> tuple[str, str] | None:
    """The kind and the id of the file in a `Message`; for a photo, the id of the largest size."""
    for kind in KINDS:
        found = message.get(kind)
        if isinstance(found, list) and found:
            found = found[-1]
        if isinstance(found, Mapping) and isinstance(found.get("file_id"), str):
            return kind, str(found["file_id"])
    return None
