"""Decides which uploaded pictures later messages show again, and how. Sans-I/O.

Source: docs.slack.dev, slack file object: an image block shows a PNG, JPEG or GIF that Slack has,
by its id, if the app has access to it; a file that is shared nowhere is an "invalid slack file".
Other kinds of files have no such block.

When the gateway deletes a message, it deletes the message's files as well, unless other messages
show them. Slack cannot be asked which messages do, so the form of a file's id in a ref says it:

- Slack's own id: only this message shows the file;
- `kept:` before the id: the file was uploaded with this message, and other messages may show it;
- `shown:` before the id: a block shows the file, as it does with a caller's own `File(id=…)`.

The first message with a picture has a file of its own, so that a picture which is sent once is
deleted with its message. The second message uploads a file that later messages show.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, TypeAlias

import attrs

from gateway_core.authors import Attempt, Upload

KINDS = frozenset({"image/gif", "image/jpeg", "image/png"})
KEPT, SHOWN = "kept:", "shown:"
_NEW = ("send", "upload")
"""Operations that make a new message."""
KEPT_FOR = 3_600.0
"""Seconds for which no further picture is left for later messages, after one was left, or after
Slack refused a second one."""
MOST = 1_000
"""How many messages' contents a session remembers."""

Content: TypeAlias = tuple[tuple[str, str], ...]


def slack_id(name: str | None) -> str:
    """Slack's own id for a file's id in a ref."""
    return (name or "").removeprefix(KEPT).removeprefix(SHOWN)


def belongs_to_message(upload: Upload) -> bool:
    """Whether only its own message can show the file."""
    return not (upload.file.id or "").startswith((KEPT, SHOWN))


def may_be_shown(uploads: Sequence[Upload]) -> bool:
    """Whether blocks can show all of these files."""
    return all(one.file.media_type in KINDS and not one.file.as_document for one in uploads)


def is_given(attempt: Attempt, upload: Upload) -> bool:
    """Whether the caller of a new message named the file by its id at Slack."""
    return attempt.operation in _NEW and upload.file.id is not None


def is_named(attempt: Attempt) -> bool:
    """Whether a new message shows pictures that Slack has, and uploads nothing."""
    files = [upload for upload in attempt.files if upload.file.url is None]
    has = [upload.known or upload.file.id for upload in files]
    return attempt.operation in _NEW and bool(files) and all(has)


def picture_blocks(attempt: Attempt) -> list[dict[str, Any]]:
    """A block for each picture at Slack that the attempt's message shows, or is to show."""
    shown = []
    for upload in attempt.files:
        name = shown_as(attempt, upload)
        if name is not None:
            alt = upload.file.alt or upload.file.name or "picture"
            named = {"slack_file": {"id": slack_id(name)}, "alt_text": alt}
            shown.append({"type": "image", **named})
    return shown


def shown_as(attempt: Attempt, upload: Upload) -> str | None:
    """The id of a picture at Slack, if a block shows the file by its id; else None."""
    name = upload.file.id
    if is_given(attempt, upload):
        return name
    if is_named(attempt):
        return upload.known
    return name if name is not None and name.startswith(SHOWN) else None


def is_refused(attempt: Attempt, error: str) -> bool:
    """Whether Slack refused a picture of an earlier message, because it is gone or not accessible.

    Slack's word for that is `invalid_blocks`, with which it may refuse a text as well. Which of the
    two it was shows when the bytes are uploaded.
    """
    return is_named(attempt) and error.startswith(("invalid_blocks", "file_"))


def is_unseen(attempt: Attempt, error: str, detail: str) -> bool:
    """Whether an edit was refused because Slack does not show the message's picture again."""
    refused = error.startswith("invalid_blocks") and "slack" in detail
    return attempt.operation == "edit" and refused and bool(picture_blocks(attempt))


@attrs.define(eq=False)
class _Use:
    """When to leave the next picture of a content for later messages, and which Slack refused."""

    since: float
    refused: str = ""
    refused_at: float = -math.inf


@attrs.define(eq=False)
class Contents:
    """The contents that one session has uploaded, and what happened to their pictures."""

    _uses: OrderedDict[Content, _Use] = attrs.field(factory=OrderedDict, init=False)

    def keeps(self, uploads: Sequence[Upload], now: float) -> bool:
        """Whether later messages may show the pictures just uploaded; not the first time."""
        content = _content(uploads)
        use = self._uses.get(content)
        if use is None:
            self._remember(content, _Use(now))
            return False
        kept = use.since <= now
        use.since = now + KEPT_FOR if kept else use.since
        self._remember(content, use)
        return kept

    def refused(self, uploads: Sequence[Upload], now: float) -> None:
        """Slack refused the pictures: leave others once; if Slack refuses those too, leave none."""
        content = _content(uploads)
        use, name = self._uses.get(content) or _Use(now), slack_id(uploads[0].known)
        if name != use.refused:  # several messages may have been under way with it
            again = now - use.refused_at < KEPT_FOR
            use.refused, use.refused_at = name, now
            use.since = now + KEPT_FOR if again else now
        self._remember(content, use)

    def _remember(self, content: Content, use: _Use) -> None:
        self._uses[content] = use
        self._uses.move_to_end(content)
        if len(self._uses) > MOST:
            self._uses.popitem(last=False)


def _content(uploads: Sequence[Upload]) -> Content:
    return tuple((upload.file.digest, upload.file.name) for upload in uploads)
