"""What is wrong with the files of a message, and which part they go with. Sans-I/O."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import attrs

from gateway_core.authors import Edit, File, Part, Problem, Send
from gateway_plugin_slack.ids import is_conversation, is_person
from gateway_plugin_slack.settings import Settings

LONGEST_ALT = 1_000
"""Characters of a picture's description (docs.slack.dev, files.getUploadURLExternal)."""


def problems_of_files(settings: Settings, message: Send | Edit) -> Iterable[Problem]:
    """What is wrong with the files of a message, each with its place."""
    files = message.files or ()
    if not files:
        return
    if settings.webhook_url is not None or message.interaction is not None:
        yield Problem("files", "a webhook and a response_url take none")
    room = message.external_room_id
    if not is_conversation(room) and not is_person(room):
        yield Problem("external_room_id", "files are sent to a conversation's id, not to a name")
    if len(files) > settings.max_files:
        text = f"has {len(files)} files, at most {settings.max_files} go with a message"
        yield Problem("files", text)
    for place, file in enumerate(files):
        yield from _file_problems(f"files.{place}", file, settings, new=isinstance(message, Send))


def _file_problems(place: str, file: File, settings: Settings, *, new: bool) -> Iterable[Problem]:
    if file.url is not None:
        text = "Slack fetches pictures of blocks alone: put an image block into extra.blocks"
        yield Problem(place, text)
    if file.id is not None and new:
        yield Problem(f"{place}.id", "a file that Slack has is not sent again: hand over its bytes")
    if file.size > settings.max_file_size:
        most = settings.max_file_size
        text = f"has {file.size} bytes, at most {most} (the setting `max_file_size`)"
        yield Problem(place, text)
    if len(file.alt) > LONGEST_ALT:
        yield Problem(f"{place}.alt", f"has {len(file.alt)} characters, at most {LONGEST_ALT}")


def with_files(message: Send | Edit, parts: Sequence[Part]) -> Sequence[Part]:
    """All files go with the first part, where an edit finds them again, however long its text."""
    files = message.files
    if not files or not parts:
        return parts
    places = tuple(range(len(files)))
    return (attrs.evolve(parts[0], files=places), *parts[1:])
