"""The files of a message: what is wrong with them, and how a request carries them. Sans-I/O.

Source: discord.com/developers/docs/reference#uploading-files and #editing-message-attachments.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs

from gateway_core.authors import Attempt, Edit, File, Part, Problem, Send, Upload, too_much
from gateway_core.http import FormField, Multipart
from gateway_plugin_discord.settings import DiscordSettings

LONGEST_DESCRIPTION = 1024
"""Characters of an attachment's description."""

SHOWN = "file shown, not only offered for download"
"""The degradation of a picture that is sent as a document."""

SPOILER = "SPOILER_"
"""What the name of a file begins with that is shown to those only who ask."""


def problems_of_files(settings: DiscordSettings, message: Send | Edit) -> Iterable[Problem]:
    """What is wrong with the files of a message, each with its place."""
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
    """The plan, whose first part says what of the look is lost that its files were asked for with.

    Discord shows pictures, videos and sounds, and not only to download.
    """
    if not any(file.as_document and file.kind != "other" for file in message.files or ()):
        return parts
    first, *others = parts
    return [attrs.evolve(first, degraded=(*first.degraded, SHOWN)), *others]


def content_of(attempt: Attempt, body: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """What the request is made of: JSON, or a form of JSON and files.

    What a message keeps of its attachments is listed by its id; whatever is not listed goes.
    """
    if body is None or attempt.part is None or not (attempt.files or attempt.loses_files):
        return {"json": body or None}
    new = [upload for upload in attempt.files if upload.file.id is None]
    kept = [{"id": upload.file.id} for upload in attempt.files if upload.file.id is not None]
    described = [_described(number, upload.file) for number, upload in enumerate(new)]
    whole = {**body, "attachments": [*kept, *described]}
    if not new:
        return {"json": whole}
    form: list[Any] = [FormField("payload_json", json.dumps(whole), media_type="application/json")]
    form += [_field(number, upload) for number, upload in enumerate(new)]
    return {"body": Multipart(form)}


def _described(number: int, file: File) -> dict[str, Any]:
    named: dict[str, Any] = {"id": number, "filename": _name(file)}
    return {**named, "description": file.alt} if file.alt else named


def _field(number: int, upload: Upload) -> FormField:
    file = upload.file
    kind = file.media_type or None
    return FormField(f"files[{number}]", upload, filename=_name(file), media_type=kind)


def _name(file: File) -> str:
    return f"{SPOILER}{file.name}" if file.spoiler else file.name


def ids_of(attempt: Attempt, message: Any) -> tuple[str, ...]:
    """The ids of the attempt's files, in their order; empty where the answer does not tell all.

    What is new comes in the order in which it was sent.
    """
    shown = message.get("attachments") if isinstance(message, dict) else None
    if not attempt.files or not isinstance(shown, list):
        return ()
    names = [each.get("id") for each in shown if isinstance(each, dict)]
    kept = {upload.file.id for upload in attempt.files if upload.file.id is not None}
    new = iter([name for name in names if isinstance(name, str) and name not in kept])
    found = [upload.file.id or next(new, "") for upload in attempt.files]
    return tuple(found) if all(found) else ()
