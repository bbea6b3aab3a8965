"""Makes the requests that share files, and finds the message that shows them. Sans-I/O.

Sources: docs.slack.dev, files.getUploadURLExternal, files.completeUploadExternal, files.info, and
"uploading files". Slack posts the message some time after its successful answer; only then can the
message's `ts` be found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from gateway_core.authors import (
    Attempt,
    ErrorClass,
    File,
    GatewayError,
    Reason,
    Scope,
    Upload,
    Verdict,
)

SHARED_WITHIN = 60.0
"""Seconds for which the adapter looks for the message of a completed upload."""
LOOKS = (0.5, 1.0, 2.0, 4.0)
"""Seconds before each look; the last wait is repeated."""


ASKS, SHARES = "files.getUploadURLExternal", "files.completeUploadExternal"
"""The methods that are called before and after the bytes are sent."""

_WORDS = frozenset(
    {
        *("blocked_file_type", "max_file_sharing_exceeded", "missing_scope"),
        *("storage_limit_reached", "unable_to_share_files"),
    }
)
"""Errors that refuse only the files, as those beginning with `file_` do: a text may be accepted."""


def of_upload(verdict: Verdict, method: str, error: str) -> Verdict:
    """The verdict on a request that is part of sending files.

    Before the files are shared, Slack has seen neither the room nor the text, and nothing can be in
    the room.
    """
    if method == ASKS and verdict.scope is Scope.ROOM:
        verdict = attrs.evolve(verdict, scope=Scope.MESSAGE)
    if method == ASKS and verdict.dispatched == "unknown":
        verdict = attrs.evolve(verdict, dispatched="no", reason=Reason.PLATFORM_ERROR)
    told = method == ASKS or (method == SHARES and (error in _WORDS or error.startswith("file_")))
    final = verdict.error_class in (ErrorClass.NON_RETRYABLE, ErrorClass.FATAL)
    return attrs.evolve(verdict, files_refused=verdict.files_refused or (told and final))


@attrs.define
class NotSharedError(GatewayError):
    """Slack accepted an upload, but its message did not appear. It still may, so the files stay."""

    ids: tuple[str, ...]

    def __str__(self) -> str:
        named = ", ".join(self.ids)
        return (
            f"Slack took the files {named}, but showed no message with them for {SHARED_WITHIN:g} s"
        )


class NotByUrlError(GatewayError):
    """An answer by a response_url has files, which can be sent only to the room itself."""

    def __str__(self) -> str:
        return "a response_url takes no files: the answer goes to the room"


class FilesStayError(GatewayError):
    """An edit would change a message's files, which the adapter cannot do."""

    def __str__(self) -> str:
        return "a Slack message keeps the files that it was sent with: delete it, and send another"


class TextUnknownError(GatewayError):
    """An edit changes only the buttons of a message, but the message's ref has no text."""

    def __str__(self) -> str:
        return (
            "chat.update takes buttons only together with the text, and the gateway does not know"
            " this message's text: give it again"
        )


def verdict_of_files(error: Exception) -> Verdict | None:
    """What one of this module's errors means; None: it is another error."""
    if isinstance(error, NotSharedError):
        return Verdict(
            error_class=ErrorClass.NON_RETRYABLE,
            reason=Reason.OUTCOME_UNKNOWN,
            dispatched="unknown",
            raw=str(error),
            files_refused=True,
        )
    if isinstance(error, NotByUrlError):
        return Verdict(
            error_class=ErrorClass.RETRYABLE,
            reason=Reason.UNSUPPORTED,
            transform="to_room",
            raw=str(error),
        )
    if isinstance(error, FilesStayError | TextUnknownError):
        return Verdict(
            error_class=ErrorClass.NON_RETRYABLE, reason=Reason.UNSUPPORTED, raw=str(error)
        )
    return None


def upload_form(file: File) -> dict[str, str]:
    """The fields of the request for the URL to which the bytes are sent."""
    form = {"filename": file.name, "length": str(file.size)}
    return {**form, "alt_txt": file.alt} if file.alt else form


def sharing(
    attempt: Attempt, uploads: Sequence[Upload], ids: Sequence[str], content: Mapping[str, Any]
) -> dict[str, Any]:
    """The fields of the request that shares uploaded files in the room, with the text.

    A text with blocks is sent as blocks, and another text as a comment: Slack ignores blocks if
    there is a comment.
    """
    named = zip(ids, uploads, strict=True)
    files = [{"id": name, "title": upload.file.name} for name, upload in named]
    fields: dict[str, Any] = {"files": files, "channel_id": attempt.room}
    if content.get("blocks"):
        fields["blocks"] = content["blocks"]
    elif str(content.get("text") or "").strip():
        fields["initial_comment"] = content["text"]
    return fields


def shared_as(info: Mapping[str, Any] | None, room: str) -> str | None:
    """The `ts` of the message that shows the file in the room; None: there is none yet."""
    file = (info or {}).get("file")
    shares = file.get("shares") if isinstance(file, Mapping) else None
    for where in shares.values() if isinstance(shares, Mapping) else ():
        messages = where.get(room) if isinstance(where, Mapping) else None
        if isinstance(messages, list) and messages and isinstance(messages[0], Mapping):
            ts = messages[0].get("ts")
            if isinstance(ts, str):
                return ts
    return None
