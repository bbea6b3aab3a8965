"""The files of a message: what is wrong with them, and how a request carries them. Sans-I/O.

Source: discord.com/developers/docs/reference#uploading-files and #editing-message-attachments.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs

from gateway_core.authors import Attempt, Edit, File, Part, Problem, Send, Upload
from gateway_core.http import FormField, Multipart
from gateway_plugin_discord.settings import DiscordSettings

LONGEST_DESCRIPTION = 1024
"""Characters of an attachment's description."""

SPOILER = "SPOILER_"
"""What the name of a file begins with that is shown to those only who ask."""


def problems_of_files(settings: DiscordSettings, message: Send | Edit) -> Iterable[Problem]:
    """What is wrong with the files of a message, each with its place."""
    files = message.files or ()
    if len(files) > settings.max_files:
        text = f"has {len(files)} files, at most {settings.max_files} go with a Discord message"
        yield Problem("files", text)
    for place, file in enumerate(files):
        yield from _file_problems(f"files.{place}", file, settings, new=isinstance(message, Send))


def _file_problems(
    place: str, file: File, settings: DiscordSettings, *, new: bool
) -> Iterable[Problem]:
    if file.url is not None:
        yield Problem(place, "Discord fetches no URL: hand over a path or the bytes")
    if file.id is not None and new:
        text = "an attachment's id holds for the message that has it: hand over the bytes"
        yield Problem(f"{place}.id", text)
    if file.size > settings.max_file_size:
        most = settings.max_file_size
        text = f"has {file.size} bytes, at most {most} (the setting `max_file_size`)"
        yield Problem(place, text)
    if len(file.alt) > LONGEST_DESCRIPTION:
        text = f"has {len(file.alt)} characters, at most {LONGEST_DESCRIPTION}"
        yield Problem(f"{place}.alt", text)


def with_files(message: Send | Edit, parts: Sequence[Part]) -> Sequence[Part]:
    """All files go with the first part, where an edit finds them again, however long its text."""
    files = message.files
    if not files or not parts:
        return parts
    places = tuple(range(len(files)))
    return (attrs.evolve(parts[0], files=places), *parts[1:])


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
