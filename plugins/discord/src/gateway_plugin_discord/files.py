"""Checks the files of a message, and puts them into a request. Sans-I/O.

Source: discord.com/developers/docs/reference#uploading-files and #editing-message-attachments.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count
from typing import Any

import attrs

from gateway_core.authors import Attempt, Edit, File, Part, Problem, Send, Upload, too_much
from gateway_core.http import FormField, Multipart
from gateway_plugin_discord.settings import DiscordSettings

LONGEST_DESCRIPTION = 1024
"""Most characters of an attachment's description."""

SHOWN = "file shown, not only offered for download"
"""The degradation of a picture that is sent as a document."""

SPOILER = "SPOILER_"
"""The beginning of a file's name by which Discord shows the file only to readers who open it."""


def problems_of_files(settings: DiscordSettings, message: Send | Edit) -> Iterable[Problem]:
    """Every problem of the message's files, each with its place."""
    files = message.files or ()
    yield from too_much(
        files,
        platform="Discord",
        most=settings.max_files,
        most_bytes=settings.max_file_size,
        longest_alt=LONGEST_DESCRIPTION,
    )
    for place, file in enumerate(files):
        if file.url is not None:
            text = "Discord fetches no URL: give a path or bytes, or name the host in `fetch_from`"
            yield Problem(f"files.{place}", text)
        if file.id is not None and isinstance(message, Send):
            text = "an attachment's id is valid in its own message only: give the bytes"
            yield Problem(f"files.{place}.id", text)


def told(message: Send | Edit, parts: Sequence[Part]) -> Sequence[Part]:
    """The plan, with the files' degradation in the first part.

    Discord always shows pictures, videos and sounds, and does not only offer them for download.
    """
    if not any(file.as_document and file.kind != "other" for file in message.files or ()):
        return parts
    first, *others = parts
    return [attrs.evolve(first, degraded=(*first.degraded, SHOWN)), *others]


def content_of(attempt: Attempt, body: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """The content of the request: JSON, or a form of JSON and files.

    The attachments are listed in the order of the attempt's files: those that the message keeps by
    their ids, new ones by their numbers. Discord removes all others. If the message keeps its
    files, none is listed: their ids may be unknown or wrong.
    """
    if body is None or attempt.part is None or not (attempt.files or attempt.loses_files):
        return {"json": body or None}
    if attempt.keeps_files:
        return {"json": {name: value for name, value in body.items() if name != "attachments"}}
    new = [upload for upload in attempt.files if upload.file.id is None]
    numbers = count()
    listed = [_listed(upload, numbers) for upload in attempt.files]
    whole = {**body, "attachments": listed}
    if not new:
        return {"json": whole}
    form: list[Any] = [FormField("payload_json", json.dumps(whole), media_type="application/json")]
    form += [_field(number, upload) for number, upload in enumerate(new)]
    return {"body": Multipart(form)}


def _kept(upload: Upload) -> dict[str, Any]:
    """An attachment that stays, with its look, which may change.

    Of an attachment that the gateway did not upload, only what the caller gives is known.
    """
    file = upload.file
    look = {"description": file.alt or None, "is_spoiler": file.spoiler}
    told = {name: look[name] for name in look if look[name] or file.digest}
    return {"id": file.id, **told}


def _listed(upload: Upload, numbers: Iterator[int]) -> dict[str, Any]:
    """The file's entry in `attachments`; a new file takes the next number."""
    file = upload.file
    if file.id is not None:
        return _kept(upload)
    named: dict[str, Any] = {"id": next(numbers), "filename": _name(file)}
    return {**named, "description": file.alt} if file.alt else named


def _field(number: int, upload: Upload) -> FormField:
    file = upload.file
    kind = file.media_type or None
    return FormField(f"files[{number}]", upload, filename=_name(file), media_type=kind)


def _name(file: File) -> str:
    return f"{SPOILER}{file.name}" if file.spoiler else file.name


def ids_of(attempt: Attempt, message: Any) -> tuple[str, ...]:
    """The ids of the attempt's files, in their order; empty if the answer does not name all.

    The answer has new files in the order in which they were sent.
    """
    shown = message.get("attachments") if isinstance(message, dict) else None
    if not attempt.files or not isinstance(shown, list):
        return ()
    names = [each.get("id") for each in shown if isinstance(each, dict)]
    kept = {upload.file.id for upload in attempt.files if upload.file.id is not None}
    new = iter([name for name in names if isinstance(name, str) and name not in kept])
    found = [upload.file.id or next(new, "") for upload in attempt.files]
    return tuple(found) if all(found) else ()
