"""Checks the files of a message before it is accepted. Sans-I/O."""

from __future__ import annotations

import re
from collections.abc import Iterable

from gateway_core.authors import Edit, Problem, Send, too_much
from gateway_plugin_slack.files.images import is_picture
from gateway_plugin_slack.files.reuse import KEPT, SHOWN
from gateway_plugin_slack.ids import is_conversation, is_person
from gateway_plugin_slack.settings import Settings

_ID = re.compile(f"({KEPT}|{SHOWN})?F[A-Z0-9]{{1,30}}")
"""A file's id, in Slack's form or in a ref's form."""
LONGEST_ALT = 1_000
"""Most characters of a picture's description (docs.slack.dev, files.getUploadURLExternal)."""


def _may_go_to_the_room(message: Send | Edit) -> bool:
    """Whether the message goes to the room, or may do so because a response_url takes no files."""
    if message.interaction is None:
        return True
    return isinstance(message, Send) and not message.ephemeral


def problems_of_files(settings: Settings, message: Send | Edit) -> Iterable[Problem]:
    """Every problem of the message's files, each with its place."""
    files = message.files or ()
    if not files:
        return
    at_slack = [file for file in files if file.url is None]
    uploaded = [file for file in at_slack if file.id is None or isinstance(message, Edit)]
    if at_slack and (settings.webhook_url is not None or not _may_go_to_the_room(message)):
        yield Problem("files", "Slack takes no files by a webhook or a response_url")
    room = message.external_room_id
    if uploaded and not is_conversation(room) and not is_person(room):
        yield Problem(
            "external_room_id", "to send files, Slack needs the conversation's id, not its name"
        )
    yield from too_much(
        files,
        platform="Slack",
        most=settings.max_files,
        most_bytes=settings.max_file_size,
        longest_alt=LONGEST_ALT,
    )
    for place, file in enumerate(files):
        if file.url is not None and not is_picture(file):
            text = (
                "Slack fetches only pictures by URL: set media_type='image/…', give the bytes,"
                " or name the host in `fetch_from`"
            )
            yield Problem(f"files.{place}", text)
        elif file.url is not None and not (file.alt or file.name):
            yield Problem(f"files.{place}.alt", "a picture by URL needs a description or a name")
        if file.id is not None and isinstance(message, Send) and not _ID.fullmatch(file.id):
            yield Problem(
                f"files.{place}.id", "is not the id of a file at Slack, such as F0123ABCD"
            )
