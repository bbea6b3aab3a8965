"""Pictures that several messages show: which are uploaded to be shown again, and how. Sans-I/O.

Source: docs.slack.dev, slack file object: an image block shows a PNG, JPEG or GIF that Slack has,
by its id, if the app has access to it; one that is shared nowhere is an "invalid slack file". Other
kinds of files have no such block.

A message that is deleted takes its files along, unless others show them. Nobody can ask Slack which
do, so a file's id in a ref says what it is: as Slack names it, the file of its message alone; with
`kept:` before it, one that was uploaded with its message and that others may show; with `shown:`,
one that is shown by a block, as a caller's own `File(id=…)` is. The first message of a picture has
its own, so that a picture which is sent once goes with its message; the second leaves one that
later messages show.
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
"""Operations that make a message."""
KEPT_FOR = 3_600.0
"""Seconds after a picture was left for others, or a second one was refused, in which none is."""
MOST = 1_000
"""Contents of messages that a session remembers."""

Content: TypeAlias = tuple[tuple[str, str], ...]


def slack_id(name: str | None) -> str:
    """The file's id as Slack knows it, of one in a ref."""
    return (name or "").removeprefix(KEPT).removeprefix(SHOWN)


def belongs_to_message(upload: Upload) -> bool:
    """Whether no other message can show the file of a message."""
    return not (upload.file.id or "").startswith((KEPT, SHOWN))


def may_be_shown(uploads: Sequence[Upload]) -> bool:
    """Whether blocks can show all of these."""
    return all(one.file.media_type in KINDS and not one.file.as_document for one in uploads)


def is_given(attempt: Attempt, upload: Upload) -> bool:
    """Whether a new message's caller names a picture that Slack has, by its id."""
    return attempt.operation in _NEW and upload.file.id is not None


def is_named(attempt: Attempt) -> bool:
    """Whether a new message shows pictures that Slack has, and uploads nothing."""
    files = [upload for upload in attempt.files if upload.file.url is None]
    has = [upload.known or upload.file.id for upload in files]
    return attempt.operation in _NEW and bool(files) and all(has)


def picture_blocks(attempt: Attempt) -> list[dict[str, Any]]:
    """A block for each picture of an earlier message that the attempt's shows, or shall show."""
    shown = []
    for upload in attempt.files:
        name = shown_as(attempt, upload)
        if name is not None:
            alt = upload.file.alt or upload.file.name or "picture"
            named = {"slack_file": {"id": slack_id(name)}, "alt_text": alt}
            shown.append({"type": "image", **named})
    return shown


def shown_as(attempt: Attempt, upload: Upload) -> str | None:
    """The id of a picture that Slack has, which a block shows; None: it is none."""
    name = upload.file.id
    if is_given(attempt, upload):
        return name
    if is_named(attempt):
        return upload.known
    return name if name is not None and name.startswith(SHOWN) else None


def is_refused(attempt: Attempt, error: str) -> bool:
    """Whether Slack does not show a picture of an earlier message, be it gone or out of sight.

    Its words for that are `invalid_blocks`, which a text may be refused with as well: that is seen
    once the bytes are uploaded.
    """
    return is_named(attempt) and error.startswith(("invalid_blocks", "file_"))


def is_unseen(attempt: Attempt, error: str, detail: str) -> bool:
    """Whether an edit is refused since Slack does not show its message's picture anew."""
    refused = error.startswith("invalid_blocks") and "slack" in detail
    return attempt.operation == "edit" and refused and bool(picture_blocks(attempt))


@attrs.define(eq=False)
class _Use:
    """Of one content: from when on a picture is left for others, and what Slack refused of it."""

    since: float
    refused: str = ""
    refused_at: float = -math.inf


@attrs.define(eq=False)
class Contents:
    """What one session has uploaded, and what became of it."""

    _uses: OrderedDict[Content, _Use] = attrs.field(factory=OrderedDict, init=False)

    def keeps(self, uploads: Sequence[Upload], now: float) -> bool:
        """Whether pictures that are there now stay for others to show. Of the first they do not."""
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
        """Slack does not show them: others are left once, and if they are refused too, none is."""
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
