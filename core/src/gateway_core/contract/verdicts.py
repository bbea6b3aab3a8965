"""Defines what an error means: `Verdict` and the words that it is made of.

What follows from a verdict is decided in `deliveries.retries`, and done by `engine.consequences`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal, get_args

import attrs
from attrs.validators import optional

from gateway_core.contract.validators import instance, is_number, must_be, one_of, printable

Dispatched = Literal["no", "unknown"]
"""Whether the platform may have received the request: certainly not, or nobody knows."""
Transform = Literal["stricter", "plain", "without_reply", "to_room"]
"""What to change before the next attempt at the part; `to_room`: send it to the room, since the
interaction's token has become invalid."""

RAW_LIMIT = 500
"""Most characters of the platform's own words that a verdict holds."""


class ErrorClass(StrEnum):
    """What happens next: try again, end the envelope, suspend the instance, or carry on."""

    RETRYABLE = "retryable"
    NON_RETRYABLE = "non_retryable"
    FATAL = "fatal"
    DONE = "done"


class Scope(StrEnum):
    """How far a verdict reaches."""

    MESSAGE = "message"
    THREAD = "thread"
    ROOM = "room"
    OPERATION = "operation"
    INSTANCE = "instance"


class Reason(StrEnum):
    """The normalised reason: the same word for the same cause on every channel."""

    RATE_LIMITED = "rate_limited"
    UNREACHABLE = "unreachable"
    OUTCOME_UNKNOWN = "outcome_unknown"
    PLATFORM_ERROR = "platform_error"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    ROOM_GONE = "room_gone"
    ROOM_MOVED = "room_moved"
    THREAD_GONE = "thread_gone"
    MESSAGE_GONE = "message_gone"
    STOPPED = "stopped"
    STREAM_ENDED = "stream_ended"
    REPLY_GONE = "reply_gone"
    TOO_LONG = "too_long"
    BAD_FORMAT = "bad_format"
    BAD_REQUEST = "bad_request"
    NOT_MODIFIED = "not_modified"
    UNSUPPORTED = "unsupported"
    HOOK_ERROR = "hook_error"
    HOOK_CONTRACT = "hook_contract"
    CRASHED = "crashed"
    EXPIRED = "expired"
    SUSPENDED = "suspended"
    UNCLASSIFIED = "unclassified"


@attrs.frozen(kw_only=True)
class BucketReport:
    """What the platform said about one of its buckets.

    bucket       the name by which core knows it (unique within the instance)
    limit        tokens per window, if reported
    remaining    tokens left, if reported
    reset_after  seconds until the window is fresh, counted from the answer
    provisional  the name that `rate_limit` used before the platform named the bucket; from then on
                 that name means this bucket
    """

    bucket: str
    limit: int | None = None
    remaining: int | None = None
    reset_after: float | None = None
    provisional: str | None = None


# Each converter is typed with its field's own type, so that a type checker refuses other words.


def _error_class(value: ErrorClass) -> ErrorClass:
    return ErrorClass(value)


def _reason(value: Reason) -> Reason:
    return Reason(value)


def _scope(value: Scope) -> Scope:
    return Scope(value)


def _cut(raw: object) -> object:
    """Cut the platform's words, which the platform may have cut already, within a character."""
    if not isinstance(raw, str):
        return raw
    cut = raw[:RAW_LIMIT]
    return cut if cut.isascii() else cut.encode(errors="backslashreplace").decode()[:RAW_LIMIT]


_A_NUMBER = must_be("a number", is_number)
"""Any number that a platform sends, `nan` included."""
_REPORTS = must_be(
    "a tuple of BucketReport",
    lambda value: isinstance(value, tuple) and all(isinstance(x, BucketReport) for x in value),
)


@attrs.frozen(kw_only=True)
class Verdict:
    """What an error means for the attempt that raised it.

    error_class  retryable, non_retryable, fatal, or done ("not modified" is success)
    reason       the normalised reason
    scope        what it applies to: this message, its thread, its room, this operation on the
                 instance, or the whole instance
    dispatched   `no`: the platform certainly did not act, for example because a front end's answer
                 proves this; `unknown`: it may have acted
    retry_after  seconds to wait, counted from the answer; None, a negative number or nan: the
                 core's backoff
    buckets      what the error says about the platform's buckets
    transform    what to change before the next attempt; None: nothing
    moved_to     the room's new id, with reason `room_moved`, which ends the envelope without it
    raw          the platform's own words, redacted and cut to 500 characters; empty: the words of
                 the error
    files_refused  with a final verdict: the platform refused the message's files, and may still
                   accept its text without them, as `on_file_error="send_text"` asks

    Raises `ValueError` for an unknown word; core counts this as an error of the hook.
    """

    error_class: ErrorClass = attrs.field(converter=_error_class)
    reason: Reason = attrs.field(converter=_reason)
    scope: Scope = attrs.field(default=Scope.MESSAGE, converter=_scope)
    dispatched: Dispatched = attrs.field(default="no", validator=one_of(*get_args(Dispatched)))
    retry_after: float | None = attrs.field(default=None, validator=optional(_A_NUMBER))
    buckets: tuple[BucketReport, ...] = attrs.field(default=(), validator=_REPORTS)
    transform: Transform | None = attrs.field(
        default=None, validator=optional(one_of(*get_args(Transform)))
    )
    moved_to: str | None = attrs.field(default=None, validator=optional(instance(str)))
    raw: str = attrs.field(default="", converter=_cut, validator=instance(str))
    files_refused: bool = attrs.field(default=False, validator=instance(bool))

    def __str__(self) -> str:
        words = f"{self.error_class} ({self.reason}, {self.scope})"
        return f"{words}: {printable(self.raw)}" if self.raw else words
