"""Decides what Discord's refusals mean: error, table of codes, and verdict. Sans-I/O.

The codes are those of discord.com/developers/docs/topics/opcodes-and-status-codes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any

import attrs

from gateway_core.authors import Attempt, ErrorClass, GatewayError, Reason, Scope, Verdict
from gateway_core.http import Response, foreign_verdict, retry_after_seconds
from gateway_plugin_discord.learned.invalid_answers import InvalidAnswersError
from gateway_plugin_discord.learned.webhooks import BucketSpentError
from gateway_plugin_discord.limits import bucket_reports
from gateway_plugin_discord.methods import BESIDE_V2, REACTION, Route, route_of

FRONT_DOOR_WAIT = 600.0
"""Seconds for which Discord's front door blocks an IP address at least."""

LONG_BACKOFF = 60.0
"""Seconds to wait if Discord asks the gateway to wait without saying how long."""

BLOCKED_BY_FRONT_DOOR = 40333
REQUEST_TOO_LARGE = 40005
INVALID_FORM_BODY = 50035
UNKNOWN_MESSAGE = 10008
UNKNOWN_EMOJI = 10014
ALREADY_ANSWERED = 40060
UNKNOWN_INTERACTION = 10062
NOBODY = (10013, 50033)
"""No such user, or a user to whom no direct messages can be opened."""
MISSING_ACCESS = 50001
MISSING_PERMISSIONS = 50013
_OF_FILES = (20009, REQUEST_TOO_LARGE, MISSING_PERMISSIONS, 50045, 50046)
"""Explicit content, a request that is too large, a missing right, a file that is too large, and an
invalid file."""
NO_HISTORY = 160002
"""A reply needs the right to read earlier messages."""
MULTIPLE_CHOICES = 300
BAD_REQUEST = 400
UNAUTHORIZED = 401
FORBIDDEN = 403
NOT_FOUND = 404
METHOD_NOT_ALLOWED = 405
TOO_LARGE = 413
RATE_LIMITED = 429
SERVER_ERROR = 500


class PersonOpened(GatewayError):
    """The room is a person, and `channel` is their direct messages; nothing was sent yet."""

    def __init__(self, channel: str) -> None:
        self.channel = channel
        super().__init__(channel)

    def __str__(self) -> str:
        return f"direct messages are channel {self.channel}"


class NoTextError(GatewayError):
    """A text for a message that consists of components alone."""

    def __str__(self) -> str:
        return f"text: {BESIDE_V2}"


class DiscordApiError(GatewayError):
    """Discord answered with a refusal. Nothing in it is trusted to have its documented shape.

    `redact` removes secrets from its words: a proxy in between may quote the request.
    """

    def __init__(self, response: Response, *, redact: Callable[[str], str] = str) -> None:
        self._redact = redact
        self.status = response.status
        self.headers = response.headers
        self.body = _object(response)
        # More is read than is shown, since the beginning of a secret cannot be recognised.
        self.text = redact(response.body[:1200].decode(errors="replace"))[:200]
        self.foreign = None if self._is_discords else foreign_verdict(response, redact)
        super().__init__(self.status, self.code, self.message)

    @property
    def _is_discords(self) -> bool:
        """Whether Discord itself refused: with a code, or by a limit (see `at_front_door`)."""
        if self.status < MULTIPLE_CHOICES:  # Discord never refuses with a 2xx
            return False
        return self.status == RATE_LIMITED or "code" in (self.body or {})

    @property
    def code(self) -> int:
        """Discord's own code; 0: it gave none."""
        code = self.body.get("code") if self.body else None
        return code if isinstance(code, int) else 0

    @property
    def message(self) -> str:
        """Discord's own words, with the places of an invalid form's mistakes."""
        words = self.body.get("message") if self.body else None
        mistakes = "; ".join(f"{place}: {', '.join(said)}" for place, said in self.mistakes.items())
        said = words if isinstance(words, str) else self.text
        return self._redact(f"{said}{mistakes and f' ({mistakes})'}")

    @property
    def mistakes(self) -> Mapping[str, tuple[str, ...]]:
        """What is wrong with each top-level field of an invalid form: codes and sentences."""
        errors = self.body.get("errors") if self.body else None
        if not isinstance(errors, Mapping):
            return {}
        fields = islice(errors.items(), MOST_WORDS)
        return {place: tuple(_words(said)) for place, said in fields}

    @property
    def at_front_door(self) -> bool:
        """Whether it is a 429 of the proxies before Discord: without JSON, or without `Via`."""
        return self.status == RATE_LIMITED and (self.body is None or not self.headers.get("via"))

    @property
    def scope(self) -> str:
        """Whose limit was hit: `user`, `global` or `shared`; empty if the answer does not say."""
        return self.headers.get("x-ratelimit-scope", "").lower()

    @property
    def is_global(self) -> bool:
        """Whether the limit is that of the whole bot, by the body or by either header."""
        return (
            (self.body or {}).get("global") is True
            or self.scope == "global"
            or self.headers.get("x-ratelimit-global", "").lower() == "true"
        )

    @property
    def wait(self) -> float | None:
        """The longest wait, in seconds, that body or headers ask for; their rounding differs."""
        said = ((self.body or {}).get("retry_after"), self.headers.get("retry-after"))
        waits = [wait for wait in map(retry_after_seconds, said) if wait is not None]
        if not waits and self.status == RATE_LIMITED:
            return retry_after_seconds(self.headers.get("x-ratelimit-reset-after"))
        return max(waits, default=None)

    def __str__(self) -> str:
        return f"HTTP {self.status}, code {self.code}: {self.message}"


def _object(response: Response) -> dict[str, Any] | None:
    try:
        body = response.json()
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


MOST_WORDS = 100
"""How many fields with mistakes are read at most, and how many codes and sentences of each: the
whole gateway waits meanwhile."""


def _words(said: Any) -> Iterator[str]:
    """The codes and sentences of a nested errors object, in their order."""
    above, left = [iter([said])], MOST_WORDS
    while above and left:
        for inner in above[-1]:
            if isinstance(inner, Mapping | list):
                above.append(iter(inner.values() if isinstance(inner, Mapping) else inner))
                break
            if isinstance(inner, str):
                yield inner
                left -= 1
                if not left:
                    return
        else:
            above.pop()


BESIDE_COMPONENTS = "MESSAGE_CANNOT_USE_LEGACY_FIELDS_WITH_COMPONENTS_V2"
"""Discord's word for a text of a message that consists of components alone."""
_TOO_LONG = re.compile(r"LENGTH|or fewer in length", re.IGNORECASE)
_RETRYABLE = ErrorClass.RETRYABLE
_REFUSED = ErrorClass.NON_RETRYABLE

_Row = Verdict
"""A row of the table: a verdict without the values that only the error itself has."""

LIMITED = _Row(error_class=_RETRYABLE, reason=Reason.RATE_LIMITED, scope=Scope.ROOM)
LIMITED_GLOBALLY = attrs.evolve(LIMITED, scope=Scope.INSTANCE)
FRONT_DOOR = attrs.evolve(LIMITED_GLOBALLY, retry_after=FRONT_DOOR_WAIT)
NOT_NOW = attrs.evolve(LIMITED, retry_after=LONG_BACKOFF)
TOO_MUCH_TYPING = _Row(error_class=_REFUSED, reason=Reason.RATE_LIMITED)
BUSY = attrs.evolve(NOT_NOW, reason=Reason.PLATFORM_ERROR)
NO_TEXT = _Row(error_class=_REFUSED, reason=Reason.UNSUPPORTED)
MALFORMED = _Row(error_class=_REFUSED, reason=Reason.BAD_REQUEST)
TOO_LONG = _Row(error_class=_REFUSED, reason=Reason.TOO_LONG)
STRICTER = _Row(error_class=_RETRYABLE, reason=Reason.TOO_LONG, transform="stricter")
WITHOUT_REPLY = _Row(error_class=_RETRYABLE, reason=Reason.REPLY_GONE, transform="without_reply")
NOT_ALLOWED = _Row(error_class=_REFUSED, reason=Reason.FORBIDDEN)
NO_MESSAGE = _Row(error_class=_REFUSED, reason=Reason.MESSAGE_GONE)
ALREADY_GONE = attrs.evolve(NO_MESSAGE, error_class=ErrorClass.DONE)
ALREADY_DONE = _Row(error_class=ErrorClass.DONE, reason=Reason.NOT_MODIFIED)
NO_ROOM = _Row(error_class=_REFUSED, reason=Reason.ROOM_GONE, scope=Scope.ROOM)
CLOSED_ROOM = attrs.evolve(NO_ROOM, reason=Reason.FORBIDDEN)
UNSEEN_ROOM = attrs.evolve(CLOSED_ROOM)
"""A room that the bot may not even see, so that any such refusal concerns the room."""
OPENED = _Row(error_class=_RETRYABLE, reason=Reason.ROOM_MOVED, scope=Scope.ROOM)
NO_TOKEN = _Row(error_class=_REFUSED, reason=Reason.UNAUTHORIZED)
TO_ROOM = _Row(error_class=_RETRYABLE, reason=Reason.UNAUTHORIZED, transform="to_room")
"""For an interaction's token that has expired, or whose deferred answer is gone."""
NO_ACCOUNT = _Row(error_class=ErrorClass.FATAL, reason=Reason.UNAUTHORIZED, scope=Scope.INSTANCE)
SERVER = _Row(
    error_class=_RETRYABLE,
    reason=Reason.PLATFORM_ERROR,
    scope=Scope.INSTANCE,
    dispatched="unknown",
)
OLD_VERSION = _Row(error_class=ErrorClass.FATAL, reason=Reason.UNSUPPORTED, scope=Scope.INSTANCE)
OTHER = _Row(error_class=_REFUSED, reason=Reason.UNCLASSIFIED)

ROWS: Mapping[int, Verdict] = {
    code: row
    for row, codes in (
        (FRONT_DOOR, (BLOCKED_BY_FRONT_DOOR,)),
        (NOT_NOW, (20016, 20022, 20028, 20029, 30046, 40003, 40062)),
        (BUSY, (40004, 40006, 110001, 130000)),
        (MALFORMED, (50006, INVALID_FORM_BODY, 50046, 50109)),
        (NOT_ALLOWED, (50005, 50021, NO_HISTORY, 200000, 200001, 240000)),
        (TOO_LONG, (REQUEST_TOO_LARGE,)),
        (NO_MESSAGE, (UNKNOWN_MESSAGE,)),
        (NO_ROOM, (10003, 10004)),
        (UNSEEN_ROOM, (MISSING_ACCESS,)),
        (CLOSED_ROOM, (40007, 40058, 50007, 50008, 50009, 50013, 50024, 50083, 50095)),
        (CLOSED_ROOM, (50278, 160005)),
        (NO_TOKEN, (10015, 50027)),
        (NO_ACCOUNT, (40001, 40002, 50014)),
        (OLD_VERSION, (50041,)),
    )
    for code in codes
}
"""The row of each code, whatever was attempted."""

BY_STATUS: Mapping[int, Verdict] = {
    BAD_REQUEST: MALFORMED,
    FORBIDDEN: NOT_ALLOWED,
    NOT_FOUND: MALFORMED,
    METHOD_NOT_ALLOWED: MALFORMED,
    TOO_LARGE: TOO_LONG,
}
"""The row of any other code, by the HTTP status; it concerns only this message."""


def verdict_of(  # noqa: PLR0911 - a decision table, one return a row
    attempt: Attempt, error: Exception
) -> Verdict | None:
    """What `error` means for `attempt`; None: it is not an error of this channel."""
    if isinstance(error, InvalidAnswersError):
        return attrs.evolve(LIMITED_GLOBALLY, retry_after=error.retry_after, raw=str(error))
    if isinstance(error, BucketSpentError):
        wait, raw = error.retry_after, str(error)
        return attrs.evolve(LIMITED, scope=Scope.MESSAGE, retry_after=wait, raw=raw)
    if isinstance(error, PersonOpened):
        return attrs.evolve(OPENED, moved_to=error.channel, raw=str(error))
    if isinstance(error, NoTextError):
        return attrs.evolve(NO_TEXT, raw=str(error))
    if not isinstance(error, DiscordApiError):
        return None
    if error.foreign is not None:
        return attrs.evolve(error.foreign, files_refused=_is_too_large_a_file(attempt, error))
    row = _row(attempt, error)
    verdict = attrs.evolve(
        row,
        scope=_scope(row, attempt),
        retry_after=_wait(row, error),
        buckets=bucket_reports(attempt, error.headers),
        raw=str(error),
        files_refused=row.error_class is _REFUSED and _refuses_files(attempt, error),
    )
    return _of_bucket(verdict) if row is LIMITED and error.scope == "user" else verdict


def of_webhook(verdict: Verdict) -> Verdict:
    """The verdict for an account that is a webhook: a refused token is the account's own."""
    if verdict.reason is not Reason.UNAUTHORIZED:
        return verdict
    return attrs.evolve(NO_ACCOUNT, raw=verdict.raw)


def _of_bucket(verdict: Verdict) -> Verdict:
    """The verdict for scope `user`: only the bucket that the answer names waits, not the room."""
    spent = tuple(
        attrs.evolve(
            report,
            remaining=0,
            reset_after=max(report.reset_after or 0.0, verdict.retry_after or 0.0),
        )
        for report in verdict.buckets
    )
    return attrs.evolve(verdict, scope=Scope.MESSAGE, buckets=spent) if spent else verdict


def _row(attempt: Attempt, error: DiscordApiError) -> Verdict:
    if error.at_front_door:
        return FRONT_DOOR
    row = ROWS.get(error.code, _by_status(error.status))
    if error.code in NOBODY and attempt.method is None:  # when direct messages were opened
        row = NO_ROOM
    if attempt.interaction is not None and _is_gone(row, error):
        return TO_ROOM
    route = route_of(attempt.operation)
    if error.status == RATE_LIMITED:
        return _limited(row, route, error)
    if error.status == UNAUTHORIZED and row is not NO_TOKEN:
        # Interactions and webhooks have tokens of their own: that token is refused, not the bot's.
        return NO_TOKEN if route is not None and route.of_webhook else NO_ACCOUNT
    return _as_attempted(row, attempt, error)


def _is_gone(row: Verdict, error: DiscordApiError) -> bool:
    """Whether the interaction's token has expired, or its deferred answer is gone."""
    unknown = error.code == UNKNOWN_INTERACTION or error.status == UNAUTHORIZED
    return unknown or row in (NO_TOKEN, NO_MESSAGE)


def _limited(row: Verdict, route: Route | None, error: DiscordApiError) -> Verdict:
    if error.is_global:
        return LIMITED_GLOBALLY
    if route is not None and not route.draws:
        # A late sign of typing is useless, and messages would have to wait for it.
        return TOO_MUCH_TYPING
    return row if row in (FRONT_DOOR, NOT_NOW) else LIMITED


def _by_status(status: int) -> Verdict:
    return SERVER if status >= SERVER_ERROR else BY_STATUS.get(status, OTHER)


def _as_attempted(row: Verdict, attempt: Attempt, error: DiscordApiError) -> Verdict:
    """The row, or another one if the attempt gives the error another meaning."""
    if row is NO_MESSAGE and _takes_away(attempt):
        return ALREADY_GONE
    if error.code == NO_HISTORY and attempt.reply is not None:
        return WITHOUT_REPLY
    if _is_so_already(attempt, error):
        return ALREADY_DONE
    if row is CLOSED_ROOM and attempt.operation not in ("send", "edit"):
        # A missing right to pin, or to delete another's message, says nothing about sending.
        return NOT_ALLOWED
    if error.code == INVALID_FORM_BODY:
        return _form(attempt, error)
    can_change = row is TOO_LONG and attempt.part is not None and attempt.mode != "stricter"
    return STRICTER if can_change and not _is_too_large_a_file(attempt, error) else row


def _is_too_large_a_file(attempt: Attempt, error: DiscordApiError) -> bool:
    """Whether the files are too large: compared with a file, a text has few bytes."""
    return bool(attempt.files) and error.status == TOO_LARGE


def _refuses_files(attempt: Attempt, error: DiscordApiError) -> bool:
    """Whether a final refusal concerns, or may concern, only the files.

    Discord does not say which right is missing, and attaching files needs a right of its own.
    """
    if not attempt.files:
        return False
    if error.code == INVALID_FORM_BODY:
        return any(place.startswith(("attachments", "files")) for place in error.mistakes)
    return error.status == TOO_LARGE or error.code in _OF_FILES


def _is_so_already(attempt: Attempt, error: DiscordApiError) -> bool:
    """Whether an earlier attempt has answered an interaction, or a reaction is not there anyway."""
    if error.code == UNKNOWN_EMOJI:
        return attempt.method == f"DELETE {REACTION}"
    return error.code == ALREADY_ANSWERED and attempt.number > 1


def _takes_away(attempt: Attempt) -> bool:
    """Whether the attempt was to delete the message; for a call, only from the second attempt."""
    again = attempt.number > 1 and attempt.operation.startswith("call:DELETE ")
    return attempt.operation == "delete" or again


def _form(attempt: Attempt, error: DiscordApiError) -> Verdict:
    """The row of an invalid form: a reply to nothing or a long text can be changed and retried."""
    if "message_reference" in error.mistakes and attempt.reply is not None:
        return WITHOUT_REPLY
    if BESIDE_COMPONENTS in error.mistakes.get("content", ()):
        return NO_TEXT
    if not any(map(_TOO_LONG.search, error.mistakes.get("content", ()))):
        return MALFORMED
    return TOO_LONG if attempt.mode == "stricter" or attempt.part is None else STRICTER


def _scope(row: Verdict, attempt: Attempt) -> Scope:
    """How far the row reaches: in a thread, a row of the room concerns only the thread.

    A call outside rooms concerns only itself, and a limit of such calls concerns their operation. A
    limit of typing concerns no other message.
    """
    if row.scope is not Scope.ROOM:
        return row.scope
    route, limit = route_of(attempt.operation), row.reason is Reason.RATE_LIMITED
    if route is None or not route.of_channel:
        return Scope.OPERATION if row is NOT_NOW and route is not None else Scope.MESSAGE
    if limit and not route.draws:
        return Scope.MESSAGE
    return Scope.ROOM if attempt.thread in (None, attempt.room) else Scope.THREAD


def _wait(row: Verdict, error: DiscordApiError) -> float | None:
    if row.error_class is not _RETRYABLE or row.transform is not None:
        return None
    if row is FRONT_DOOR:
        return max(FRONT_DOOR_WAIT, error.wait or 0.0)
    return row.retry_after if error.wait is None else error.wait
