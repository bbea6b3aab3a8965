"""Makes the requests of an edit that changes an album's files. Sans-I/O.

Each file of an album is a message of its own, so each changed file is a request of its own. A file
can take the place of another that goes into the same album (core.telegram.org/bots/api,
#editmessagemedia); no message can be added. If there are fewer files than messages, the last
messages are deleted.
"""

from __future__ import annotations

from collections.abc import Collection

import attrs

from gateway_core.authors import Attempt
from gateway_plugin_telegram.media.requests import (
    caption_place,
    caption_request,
    fixed,
    media_request,
)
from gateway_plugin_telegram.requests import Request, delete_request


@attrs.frozen
class AlbumEdit:
    """The edit of an album.

    stays    the messages that stay, in the order of the attempt's files
    main     which of them has the caption
    changes  the requests that change a message, by its place among these
    removes  the requests that delete the other messages
    """

    stays: tuple[str, ...]
    main: int
    changes: dict[int, Request]
    removes: tuple[Request, ...]


def album_edit(attempt: Attempt, refused: Collection[str]) -> AlbumEdit:
    """The edit of the attempt's messages; a file that stays at its place costs no request.

    refused  ids of earlier uploads that Telegram no longer accepts

    Raises `TelegramApiError` for what Telegram cannot change, and as `edit_files_request` does.
    """
    names = _messages(attempt)
    stays, gone = names[: len(attempt.files)], names[len(attempt.files) :]
    if len(stays) < len(attempt.files):
        raise fixed("the number of files of an album, except by removing some")
    main = caption_place(attempt)
    changes: dict[int, Request] = {}
    for place, (name, upload) in enumerate(zip(stays, attempt.files, strict=True)):
        one = attrs.evolve(attempt, message_id=name)
        if not upload.held:
            changes[place] = media_request(one, refused, place)
        elif place == main:
            changes[place] = caption_request(one)
    removes = [delete_request(attrs.evolve(attempt, message_id=name)) for name in gone]
    return AlbumEdit(stays, main, changes, tuple(removes))


def _messages(attempt: Attempt) -> tuple[str, ...]:
    """The album's messages, in the order of their files."""
    names = list(attempt.more)
    names.insert(caption_place(attempt, of=len(names) + 1), attempt.message_id or "")
    return tuple(names)
