"""What Telegram's answers mean: the error, the tables of its wording, and the verdict. Sans-I/O.

Telegram has no error codes beside the HTTP status; what went wrong is said in English that
drifts. So `parameters` count first, then the status, then phrases, looked for in the part of the
description that quotes nobody. Their source: core.telegram.org/bots/api and Client.cpp of
tdlib/telegram-bot-api.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Literal, TypeAlias

import attrs

from gateway_core.authors import Attempt, ErrorClass, Reason, Scope, Verdict
from gateway_plugin_telegram.limits import FREE

Transform: TypeAlias = Literal["stricter", "plain", "without_reply"]


class TelegramApiError(Exception):
    """Telegram answered, and not with a yes.

    status       `error_code` of the answer, else the HTTP status
    description  Telegram's own words, without the token
    retry_after  seconds to wait, where Telegram says so
    migrate_to   the new id of a room that became a supergroup
    """

    def __init__(
        self,
        *,
        status: int,
        description: str = "",
        retry_after: float | None = None,
        migrate_to: str | None = None,
    ) -> None:
        self.status = status
        self.description = description
        self.retry_after = retry_after
        self.migrate_to = migrate_to
        super().__init__(status, description, retry_after, migrate_to)

    def __str__(self) -> str:
        return f"{self.status} {self.description}".rstrip()


@attrs.frozen
class _Meaning:
    error_class: ErrorClass
    reason: Reason
    scope: Scope
    transform: Transform | None = None
    dispatched: Literal["no", "unknown"] = "no"


def _final(reason: Reason, scope: Scope = Scope.MESSAGE) -> _Meaning:
    return _Meaning(ErrorClass.NON_RETRYABLE, reason, scope)


def _changed(reason: Reason, transform: Transform) -> _Meaning:
    return _Meaning(ErrorClass.RETRYABLE, reason, Scope.MESSAGE, transform)


_UNCHANGED = _Meaning(ErrorClass.DONE, Reason.NOT_MODIFIED, Scope.MESSAGE)
_UNFORMATTED = _changed(Reason.BAD_FORMAT, "plain")
_TOO_LONG = _changed(Reason.TOO_LONG, "stricter")
_REPLY_GONE = _changed(Reason.REPLY_GONE, "without_reply")
_THREAD_GONE = _final(Reason.THREAD_GONE, Scope.THREAD)
_ROOM_GONE = _final(Reason.ROOM_GONE, Scope.ROOM)
_NO_RIGHTS = _final(Reason.FORBIDDEN, Scope.ROOM)
_MESSAGE_GONE = _final(Reason.MESSAGE_GONE)
_ALREADY_GONE = _Meaning(ErrorClass.DONE, Reason.MESSAGE_GONE, Scope.MESSAGE)
_UNAUTHORIZED = _Meaning(ErrorClass.FATAL, Reason.UNAUTHORIZED, Scope.INSTANCE)
_BUSY = _Meaning(ErrorClass.RETRYABLE, Reason.PLATFORM_ERROR, Scope.MESSAGE)
_ASTRAY = _Meaning(ErrorClass.RETRYABLE, Reason.PLATFORM_ERROR, Scope.INSTANCE)
_FAILED = attrs.evolve(_ASTRAY, dispatched="unknown")

PHRASES: tuple[tuple[str, _Meaning], ...] = (
    ("can't parse entities", _UNFORMATTED),
    ("entity url", _UNFORMATTED),
    ("message is not modified", _UNCHANGED),
    ("topic_not_modified", _UNCHANGED),
    ("message is too long", _TOO_LONG),
    ("text is too long", _TOO_LONG),
    ("message_too_long", _TOO_LONG),
    ("entities_too_long", _TOO_LONG),
    ("message to be replied not found", _REPLY_GONE),
    ("replied message not found", _REPLY_GONE),
    ("reply message not found", _REPLY_GONE),
    ("message thread not found", _THREAD_GONE),
    ("topic_closed", _THREAD_GONE),
    ("topic_deleted", _THREAD_GONE),
    ("chat not found", _ROOM_GONE),
    ("peer_id_invalid", _ROOM_GONE),
    ("blocked by the user", _ROOM_GONE),
    ("user is deactivated", _ROOM_GONE),
    ("bot was kicked", _ROOM_GONE),
    ("not a member", _ROOM_GONE),
    ("group chat was deleted", _ROOM_GONE),
    ("can't initiate conversation", _ROOM_GONE),
    ("can't send messages to bots", _ROOM_GONE),
    ("not enough rights", _NO_RIGHTS),
    ("have no rights", _NO_RIGHTS),
    ("chat_write_forbidden", _NO_RIGHTS),
    ("message to edit not found", _MESSAGE_GONE),
    ("message to delete not found", _MESSAGE_GONE),
    ("message to copy not found", _MESSAGE_GONE),
    ("message to forward not found", _MESSAGE_GONE),
    ("message to pin not found", _MESSAGE_GONE),
    ("message to reach not found", _MESSAGE_GONE),
    ("message to react not found", _MESSAGE_GONE),
    ("message to unpin not found", _MESSAGE_GONE),
    ("message can't be edited", _MESSAGE_GONE),
    ("message_id_invalid", _MESSAGE_GONE),
)
"""What the descriptions of 400, 401 and 403 say, in small letters; the first found counts."""

_STATUSES: Mapping[int, _Meaning] = {
    HTTPStatus.UNAUTHORIZED: _UNAUTHORIZED,
    HTTPStatus.FORBIDDEN: _final(Reason.FORBIDDEN),
    HTTPStatus.NOT_FOUND: _UNAUTHORIZED,
    HTTPStatus.CONFLICT: _BUSY,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: _final(Reason.TOO_LONG),
}
_WORDED = (HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
_TYPING = "call:sendchataction"
_DELETES = ("delete", "call:deleteMessage")
_QUOTE = re.compile("[\"\u201c]| '")


def verdict_of(attempt: Attempt, error: TelegramApiError) -> Verdict:
    """What the error means for the attempt."""
    if error.migrate_to is not None:
        return _moved(error)
    if error.retry_after is not None or error.status == HTTPStatus.TOO_MANY_REQUESTS:
        return _limited(attempt, error)
    meaning = _fitted(_meaning(error), attempt)
    return Verdict(
        error_class=meaning.error_class,
        reason=meaning.reason,
        scope=meaning.scope,
        dispatched=meaning.dispatched,
        transform=meaning.transform,
        raw=str(error),
    )


def _moved(error: TelegramApiError) -> Verdict:
    return Verdict(
        error_class=ErrorClass.RETRYABLE,
        reason=Reason.ROOM_MOVED,
        scope=Scope.ROOM,
        moved_to=error.migrate_to,
        raw=str(error),
    )


def _limited(attempt: Attempt, error: TelegramApiError) -> Verdict:
    name = attempt.operation.lower()
    if name == _TYPING:
        # A sign of typing that comes late is worth nothing, and messages would wait behind it.
        words = str(error)
        return Verdict(error_class=ErrorClass.NON_RETRYABLE, reason=Reason.RATE_LIMITED, raw=words)
    return Verdict(
        error_class=ErrorClass.RETRYABLE,
        reason=Reason.RATE_LIMITED,
        scope=_limited_scope(name),
        retry_after=error.retry_after,
        raw=str(error),
    )


def _limited_scope(name: str) -> Scope:
    """Telegram does not say which limit: the room's, until core sees several rooms limited."""
    if name == "probe":  # it has no room: the bot itself is asked to wait
        return Scope.INSTANCE
    # What draws on no limit of the room's says nothing of its messages.
    return Scope.MESSAGE if name.startswith(FREE) else Scope.ROOM


def _meaning(error: TelegramApiError) -> _Meaning:
    words = _QUOTE.split(error.description.lower(), maxsplit=1)[0]
    if error.status in _WORDED:
        for phrase, meaning in PHRASES:
            if phrase in words:
                return meaning
    if error.status == HTTPStatus.NOT_FOUND and "method not found" in words:
        return _final(Reason.UNSUPPORTED)
    return _STATUSES.get(error.status) or _by_hundreds(error.status)


def _by_hundreds(status: int) -> _Meaning:
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return _FAILED
    if status >= HTTPStatus.BAD_REQUEST:
        return _final(Reason.BAD_REQUEST)
    # A 2xx that is no yes (a probe's), or a redirect: something else than Telegram answered.
    return _ASTRAY


def _fitted(meaning: _Meaning, attempt: Attempt) -> _Meaning:
    """The meaning, with what this attempt can still change and what it really concerns."""
    if meaning.transform is not None and not _can(meaning.transform, attempt):
        return _final(meaning.reason)
    if meaning is _UNCHANGED and attempt.operation == "send":
        # Nothing is there that could be as it was: no "not modified" makes a message.
        return _final(Reason.BAD_REQUEST)
    if meaning is _MESSAGE_GONE and attempt.operation in _DELETES and attempt.number > 1:
        return _ALREADY_GONE
    if meaning.scope is Scope.ROOM and not _concerns_room(meaning, attempt):
        return attrs.evolve(meaning, scope=Scope.MESSAGE)
    return meaning


def _can(transform: Transform, attempt: Attempt) -> bool:
    if transform == "without_reply":
        return attempt.reply is not None
    if attempt.part is None:
        return False
    return attempt.mode == "as_asked" if transform == "stricter" else attempt.mode != "plain"


def _concerns_room(meaning: _Meaning, attempt: Attempt) -> bool:
    """Whether a refusal concerns the room as such: not where another right or chat was asked."""
    if attempt.operation in {"send", "edit"}:
        return True
    if meaning is _NO_RIGHTS:
        return False
    return str(attempt.arguments.get("chat_id", attempt.room)) == attempt.room
