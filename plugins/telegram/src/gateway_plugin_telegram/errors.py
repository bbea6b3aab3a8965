"""What Telegram's answers mean: the error, the tables of its wording, and the verdict. Sans-I/O.

Telegram has no error codes beside the HTTP status; what went wrong is said in English that
drifts. So `parameters` count first, then the status, then phrases, looked for in the part of the
description that quotes nobody. Their sources: core.telegram.org/bots/api and method pages such as
core.telegram.org/method/messages.sendMessage, Client.cpp of tdlib/telegram-bot-api, and errors.rs
of teloxide.
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
    retry_after  seconds to wait, where Telegram limits
    down_for     seconds after which a server that is down wants to be asked again
    migrate_to   the new id of a room that became a supergroup
    foreign      what the answer means where it is not Telegram's
    """

    def __init__(
        self,
        *,
        status: int,
        description: str = "",
        retry_after: float | None = None,
        down_for: float | None = None,
        migrate_to: str | None = None,
        foreign: Verdict | None = None,
    ) -> None:
        self.status = status
        self.description = description
        self.retry_after = retry_after
        self.down_for = down_for
        self.migrate_to = migrate_to
        self.foreign = foreign
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
_SHUT_OUT = _final(Reason.FORBIDDEN, Scope.ROOM)
_NO_RIGHTS = _final(Reason.FORBIDDEN, Scope.ROOM)
"""As `_SHUT_OUT`, but perhaps of one kind of message or action: of calls and deletions it says no
more than that."""
_MESSAGE_GONE = _final(Reason.MESSAGE_GONE)
_LEFT_BEHIND = _final(Reason.MESSAGE_GONE)
"""As `_MESSAGE_GONE`, but it stands where a move left it: no deletion may call it deleted."""
_ALREADY_GONE = _Meaning(ErrorClass.DONE, Reason.MESSAGE_GONE, Scope.MESSAGE)
_DELETED_AT_ONCE = attrs.evolve(_MESSAGE_GONE, dispatched="unknown")
_UNAUTHORIZED = _Meaning(ErrorClass.FATAL, Reason.UNAUTHORIZED, Scope.INSTANCE)
_FROZEN = attrs.evolve(_UNAUTHORIZED, reason=Reason.FORBIDDEN)
_BUSY = _Meaning(ErrorClass.RETRYABLE, Reason.PLATFORM_ERROR, Scope.MESSAGE)
_ASTRAY = _Meaning(ErrorClass.RETRYABLE, Reason.PLATFORM_ERROR, Scope.INSTANCE)
_FAILED = attrs.evolve(_ASTRAY, dispatched="unknown")

STAYED = "stayed in the group that became"
"""What the adapter says itself of a message that a move left in the old group."""

PHRASES: Mapping[str, _Meaning] = {
    phrase: meaning
    for meaning, phrases in (
        (_UNAUTHORIZED, ("logged out", "access_token_", "api_id_invalid")),
        (_FROZEN, ("frozen_",)),
        (_BUSY, ("msg_wait_failed",)),
        (
            _UNFORMATTED,
            (
                "can't parse entities",
                "can't parse message text",
                "can't parse messageentity",
                "entity url",
                "wrong message entity",
                "entity_bounds_invalid",
                "entity_mention_user_invalid",
                "entity_texturl_invalid",
            ),
        ),
        (
            _UNCHANGED,
            ("message is not modified", "message_not_modified", "topic_not_modified"),
        ),
        (
            _TOO_LONG,
            (
                "message is too long",
                "text is too long",
                "message_too_long",
                "entities_too_long",
                "entities too long",
            ),
        ),
        (
            _REPLY_GONE,
            (
                "message to be replied not found",
                "message to reply not found",
                "replied message not found",
                "reply message not found",
                "reply_message_id_invalid",
                "reply_to_invalid",
                "reply_to_user_invalid",
                "quote_text_invalid",
            ),
        ),
        (
            _THREAD_GONE,
            ("message thread not found", "topic_closed", "topic_deleted", "topic_id_invalid"),
        ),
        (
            _ROOM_GONE,
            (
                "chat not found",
                "peer_id_invalid",
                "peer_id_not_supported",
                "chat_id_invalid",
                "channel_invalid",
                "chat_invalid",
                "user is deactivated",
                "input_user_deactivated",
                "group is deactivated",
                "group chat was deactivated",
                "group chat was deleted",
            ),
        ),
        (
            _SHUT_OUT,
            (
                "blocked by the user",
                "user_is_blocked",
                "you_blocked_user",
                "bot was kicked",
                "not a member",
                "can't initiate conversation",
                "can't send messages to bots",
                "can't send messages to the bot",
                "channel_private",
                "channel_banned",
            ),
        ),
        (
            _NO_RIGHTS,
            (
                "not enough rights",
                "have no rights",
                "have no write access",
                "need administrator rights",
                "chat_admin_required",
                "chat_write_forbidden",
                "chat_forbidden",
                "chat_restricted",
                "chat_guest_send_forbidden",
                "chat_send_plain_forbidden",
                "user_banned_in_channel",
                "user_is_bot",
                "user_privacy_restricted",
                "user_restricted",
                "privacy_premium_required",
                "allow_payment_required",
                "business_peer_usage_missing",
            ),
        ),
        (_LEFT_BEHIND, (STAYED,)),
        (
            _MESSAGE_GONE,
            (
                "message to edit not found",
                "message to delete not found",
                "message to copy not found",
                "message to forward not found",
                "message to pin not found",
                "message to reach not found",
                "message to react not found",
                "message to unpin not found",
                "message can't be edited",
                "message_id_invalid",
            ),
        ),
    )
    for phrase in phrases
}
"""What descriptions say, in small letters, from a word's beginning on; the first found counts."""

_PATTERNS = [(re.compile(rf"\b{re.escape(phrase)}"), found) for phrase, found in PHRASES.items()]

_STATUSES: Mapping[int, _Meaning] = {
    HTTPStatus.UNAUTHORIZED: _UNAUTHORIZED,
    HTTPStatus.FORBIDDEN: _final(Reason.FORBIDDEN),
    HTTPStatus.NOT_FOUND: _UNAUTHORIZED,
    HTTPStatus.CONFLICT: _BUSY,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: _final(Reason.TOO_LONG),
}
_WORDED = range(400, 500)
"""Statuses whose descriptions say what is wrong."""
_WAIT = re.compile(r"\b(?:flood|slowmode)_(?:[a-z]{1,20}_)?wait_([0-9]{1,9})\b")
"""Telegram's own words for a limit, which its Bot API turns into a 429."""
_TYPING = "call:sendchataction"
_DELETES = ("delete", "call:deleteMessage")
_QUOTE = re.compile("[\"\u201c]| '")


def verdict_of(attempt: Attempt, error: TelegramApiError) -> Verdict:
    """What the error means for the attempt."""
    if error.foreign is not None:
        return error.foreign
    if error.migrate_to is not None:
        return _moved(error)
    if _is_limit(error):
        return _limited(attempt, error)
    meaning = _fitted(_meaning(error), attempt)
    return Verdict(
        error_class=meaning.error_class,
        reason=meaning.reason,
        scope=meaning.scope,
        dispatched=meaning.dispatched,
        transform=meaning.transform,
        retry_after=error.down_for,
        raw=str(error),
    )


def _is_limit(error: TelegramApiError) -> bool:
    """Any refusal whose parameters or words name a wait, whatever its status."""
    limited = error.status == HTTPStatus.TOO_MANY_REQUESTS
    return limited or error.retry_after is not None or _named_wait(error) is not None


def _named_wait(error: TelegramApiError) -> float | None:
    found = _WAIT.search(error.description.lower())
    return None if found is None else float(found[1])


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
        retry_after=_named_wait(error) if error.retry_after is None else error.retry_after,
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
        for pattern, meaning in _PATTERNS:
            if pattern.search(words):
                return meaning
    elif "message was immediately deleted" in words:
        return _DELETED_AT_ONCE
    if error.status == HTTPStatus.NOT_FOUND and "method not found" in words:
        return _final(Reason.UNSUPPORTED)
    return _STATUSES.get(error.status) or _by_hundreds(error.status)


def _by_hundreds(status: int) -> _Meaning:
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return _FAILED
    if status >= HTTPStatus.BAD_REQUEST:
        return _final(Reason.BAD_REQUEST)
    # A 2xx that is no yes: the answer to a probe that names no bot.
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
