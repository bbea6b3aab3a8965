"""Defines the error for Telegram's refusals, and decides an error's verdict. Sans-I/O.

Telegram has no error codes besides the HTTP status; it describes the error in English whose wording
changes over time. So `parameters` are read first, then a 429, then the phrases in the description,
up to its first quotation, and last the other statuses. If the description quotes what is wrong with
one message of an album, that quotation is read in its place.
"""

from __future__ import annotations

import re
from http import HTTPStatus

import attrs

from gateway_core.authors import Attempt, ErrorClass, Reason, Scope, Verdict
from gateway_plugin_telegram.errors.wording import (
    ALREADY_GONE,
    ASTRAY,
    DELETED_AT_ONCE,
    FAILED,
    FILE_STALE,
    FILE_UNKNOWN,
    LEFT_BEHIND,
    MESSAGE_GONE,
    NO_RIGHTS,
    NO_TEXT,
    PHRASES,
    STATUSES,
    UNCHANGED,
    UNSUPPORTED,
    Meaning,
    Transform,
    final,
)
from gateway_plugin_telegram.limits import FREE


class TelegramApiError(Exception):
    """Telegram answered, but did not confirm the request.

    status       `error_code` of the answer, else the HTTP status
    description  Telegram's own words, without the token
    retry_after  seconds to wait, if Telegram limits the request
    down_for     seconds after which to ask again, if the server is down
    migrate_to   the new id of a room that became a supergroup
    foreign      what the answer means, if it is not Telegram's
    reused       the request named files by the ids of earlier uploads, in place of their bytes
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
        reused: bool = False,
    ) -> None:
        self.status = status
        self.description = description
        self.retry_after = retry_after
        self.down_for = down_for
        self.migrate_to = migrate_to
        self.foreign = foreign
        self.reused = reused
        super().__init__(status, description, retry_after, migrate_to)

    def __str__(self) -> str:
        return f"{self.status} {self.description}".rstrip()


_PATTERNS = [(re.compile(rf"\b{re.escape(phrase)}"), found) for phrase, found in PHRASES.items()]

_WORDED = range(400, 500)
"""Statuses whose descriptions say what is wrong."""
_WAIT = re.compile(r"\b(?:flood|slowmode)_(?:[a-z]{1,20}_)?wait_([0-9]{1,9})\b")
"""Telegram's own words for a limit, which its Bot API turns into a 429."""
_MAKES = ("send", "upload")
_TYPING = "call:sendchataction"
_DELETES = ("delete", "call:deleteMessage")
_QUOTE = re.compile("[\"\u201c]| '")
_OF_ALBUM = re.compile(r'failed to send message #[0-9]{1,9} with the error message "')
"""What precedes the words about one file of an album."""


def verdict_of(attempt: Attempt, error: TelegramApiError) -> Verdict:
    """What the error means for the attempt."""
    if error.foreign is not None:
        return _of_files(error.foreign, attempt, error)
    if error.migrate_to is not None:
        return _moved(error)
    if _is_limit(error):
        return _limited(attempt, error)
    meaning = FILE_STALE if is_stale(error) else _fitted(_meaning(error), attempt)
    return Verdict(
        error_class=meaning.error_class,
        reason=meaning.reason,
        scope=meaning.scope,
        dispatched=meaning.dispatched,
        transform=meaning.transform,
        retry_after=error.down_for,
        raw=str(error),
        files_refused=meaning.of_files and bool(attempt.files),
    )


def _of_files(verdict: Verdict, attempt: Attempt, error: TelegramApiError) -> Verdict:
    """If a server in between refuses so many bytes, it refuses the files: they are most of them."""
    refused = error.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE and bool(attempt.files)
    return attrs.evolve(verdict, files_refused=refused)


def is_stale(error: TelegramApiError) -> bool:
    """Whether Telegram refused the id of an earlier upload, whose bytes can be sent instead."""
    return error.reused and _meaning(error) is FILE_UNKNOWN


def has_no_text(error: TelegramApiError) -> bool:
    """Whether the message to edit has no text; it may have a caption."""
    return _meaning(error) is NO_TEXT


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
        # A late sign of typing is useless, and messages would have to wait for it.
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
    """Telegram does not say whose limit it is: the room's, until core sees more rooms limited."""
    if name == "probe":  # it has no room: the bot itself is asked to wait
        return Scope.INSTANCE
    # An operation that no limit of the room counts says nothing about the room's messages.
    return Scope.MESSAGE if name.startswith(FREE) else Scope.ROOM


def _meaning(error: TelegramApiError) -> Meaning:
    said = error.description.lower()
    if of_one := _OF_ALBUM.search(said):
        said = said[of_one.end() :]
    words = _QUOTE.split(said, maxsplit=1)[0]
    if error.status in _WORDED:
        for pattern, meaning in _PATTERNS:
            if pattern.search(words):
                return meaning
    elif "message was immediately deleted" in words:
        return DELETED_AT_ONCE
    if error.status == HTTPStatus.NOT_FOUND and "method not found" in words:
        return final(Reason.UNSUPPORTED)
    return STATUSES.get(error.status) or _by_hundreds(error.status)


def _by_hundreds(status: int) -> Meaning:
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return FAILED
    if status >= HTTPStatus.BAD_REQUEST:
        return final(Reason.BAD_REQUEST)
    # A 2xx that is not a success: the answer to a probe names no bot.
    return ASTRAY


def _fitted(meaning: Meaning, attempt: Attempt) -> Meaning:
    """The meaning, adapted to what this attempt can still change, and to what it concerns."""
    if meaning.transform is not None and not _can(meaning.transform, attempt):
        return final(meaning.reason)
    if meaning is UNCHANGED and attempt.operation in _MAKES:
        # There was no message that could be "not modified": nothing was sent.
        return final(Reason.BAD_REQUEST)
    if meaning is MESSAGE_GONE and attempt.operation in _DELETES and attempt.number > 1:
        return ALREADY_GONE
    if meaning is LEFT_BEHIND and attempt.operation == "delete":
        return UNSUPPORTED  # of several messages, one that is gone would count as deleted
    if meaning.scope is Scope.ROOM and not _concerns_room(meaning, attempt):
        return attrs.evolve(meaning, scope=Scope.MESSAGE)
    return meaning


def _can(transform: Transform, attempt: Attempt) -> bool:
    if transform == "without_reply":
        return attempt.reply is not None
    if attempt.part is None:
        return False
    return attempt.mode == "as_asked" if transform == "stricter" else attempt.mode != "plain"


def _concerns_room(meaning: Meaning, attempt: Attempt) -> bool:
    """Whether a refusal concerns the room itself, not another right or chat that was asked for."""
    if attempt.operation in {"send", "edit"}:
        return True
    if meaning is NO_RIGHTS:
        return False
    return str(attempt.arguments.get("chat_id", attempt.room)) == attempt.room
