"""What is wrong with the files of a message. Sans-I/O."""

from __future__ import annotations

from collections.abc import Iterable

from gateway_core.authors import Edit, Problem, Send, too_much
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
    yield from too_much(
        files,
        most=settings.max_files,
        most_bytes=settings.max_file_size,
        longest_alt=LONGEST_ALT,
    )
    for place, file in enumerate(files):
        if file.url is not None:
            text = "Slack fetches pictures of blocks alone: put an image block into extra.blocks"
            yield Problem(f"files.{place}", text)
        if file.id is not None and isinstance(message, Send):
            text = "a file that Slack has is not sent again: hand over its bytes"
            yield Problem(f"files.{place}.id", text)
