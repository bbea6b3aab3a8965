"""What Discord's refusals mean: a table from its codes and statuses to verdicts. Pure.

The codes are those of discord.com/developers/docs/topics/opcodes-and-status-codes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import attrs

from gateway_core import Attempt, ErrorClass, Reason, Scope, Verdict
from gateway_plugin_discord.learned.invalid_answers import InvalidAnswersError
from gateway_plugin_discord.learned.webhooks import BucketSpentError
from gateway_plugin_discord.limits import bucket_reports
from gateway_plugin_discord.methods import Route, route_of
from gateway_plugin_discord.refusal import RATE_LIMITED, DiscordApiError

FRONT_DOOR_WAIT = 600.0
"""Seconds that the front door keeps an address out at least."""

LONG_BACKOFF = 60.0
"""Seconds to wait where Discord asks for patience without saying how much."""

BLOCKED_BY_FRONT_DOOR = 40333
REQUEST_TOO_LARGE = 40005
INVALID_FORM_BODY = 50035
UNKNOWN_MESSAGE = 10008
ALREADY_ANSWERED = 40060
BAD_REQUEST = 400
UNAUTHORIZED = 401
SERVER_ERROR = 500

_TOO_LONG = re.compile(r"LENGTH|or fewer in length", re.IGNORECASE)
_RETRYABLE = ErrorClass.RETRYABLE
_REFUSED = ErrorClass.NON_RETRYABLE

_Row = Verdict
"""A row of the table is a verdict without what only the error itself tells."""

LIMITED = _Row(error_class=_RETRYABLE, reason=Reason.RATE_LIMITED, scope=Scope.ROOM)
LIMITED_GLOBALLY = attrs.evolve(LIMITED, scope=Scope.INSTANCE)
FRONT_DOOR = attrs.evolve(LIMITED_GLOBALLY, retry_after=FRONT_DOOR_WAIT)
NOT_NOW = attrs.evolve(LIMITED, retry_after=LONG_BACKOFF)
TOO_MUCH_TYPING = _Row(error_class=_REFUSED, reason=Reason.RATE_LIMITED)
BUSY = attrs.evolve(NOT_NOW, reason=Reason.PLATFORM_ERROR)
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
NO_TOKEN = _Row(error_class=_REFUSED, reason=Reason.UNAUTHORIZED)
NO_ACCOUNT = _Row(error_class=ErrorClass.FATAL, reason=Reason.UNAUTHORIZED, scope=Scope.INSTANCE)
SERVER = _Row(
    error_class=_RETRYABLE,
    reason=Reason.PLATFORM_ERROR,
    scope=Scope.INSTANCE,
    dispatched="unknown",
)
ASTRAY = attrs.evolve(SERVER, dispatched="no")
"""Of a redirect: something else than Discord answered (a proxy, a captive portal)."""
OTHER = _Row(error_class=_REFUSED, reason=Reason.UNCLASSIFIED)

ROWS: Mapping[int, Verdict] = {
    code: row
    for row, codes in (
        (FRONT_DOOR, (BLOCKED_BY_FRONT_DOOR,)),
        (NOT_NOW, (20016, 20022, 20028, 20029, 30046, 40003, 40062)),
        (BUSY, (110001, 130000)),
        (MALFORMED, (50006, INVALID_FORM_BODY, 50046, 50109)),
        (NOT_ALLOWED, (50005, 50021, 160002, 200000, 200001, 240000)),
        (TOO_LONG, (REQUEST_TOO_LARGE,)),
        (NO_MESSAGE, (UNKNOWN_MESSAGE,)),
        (NO_ROOM, (10003, 10004)),
        (CLOSED_ROOM, (50001, 50007, 50008, 50009, 50013, 50024, 50083, 50278, 160005)),
        (NO_TOKEN, (10015, 50027)),
        (NO_ACCOUNT, (40001, 40002, 50014)),
    )
    for code in codes
}
"""The row of each code, before it is known what was attempted."""


def verdict_of(attempt: Attempt, error: Exception) -> Verdict | None:
    """What `error` means for `attempt`; None: it is none of Discord's."""
    if isinstance(error, InvalidAnswersError):
        return attrs.evolve(LIMITED_GLOBALLY, retry_after=error.retry_after, raw=str(error))
    if isinstance(error, BucketSpentError):
        wait, raw = error.retry_after, str(error)
        return attrs.evolve(LIMITED, scope=Scope.MESSAGE, retry_after=wait, raw=raw)
    if not isinstance(error, DiscordApiError):
        return None
    row = _row(attempt, error)
    verdict = attrs.evolve(
        row,
        scope=_scope(row, attempt),
        retry_after=_wait(row, error),
        buckets=bucket_reports(attempt, error.headers),
        raw=str(error),
    )
    return _of_bucket(verdict) if row is LIMITED and error.scope == "user" else verdict


def _of_bucket(verdict: Verdict) -> Verdict:
    """A limit of scope `user`: only the bucket that it names waits, not all of the room."""
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
    route = route_of(attempt.operation)
    if error.status == RATE_LIMITED:
        return _limited(row, route, error)
    if error.status == UNAUTHORIZED and row is not NO_TOKEN:
        # Interactions and webhooks bring a token of their own: theirs is refused, not the bot's.
        return NO_TOKEN if route is not None and route.of_webhook else NO_ACCOUNT
    return _as_attempted(row, attempt, error)


def _limited(row: Verdict, route: Route | None, error: DiscordApiError) -> Verdict:
    if error.is_global:
        return LIMITED_GLOBALLY
    if route is not None and not route.draws:
        # A sign of typing that comes late is worth nothing, and messages would wait behind it.
        return TOO_MUCH_TYPING
    return row if row in (FRONT_DOOR, NOT_NOW) else LIMITED


def _by_status(status: int) -> Verdict:
    if status >= SERVER_ERROR:
        return SERVER
    return ASTRAY if status < BAD_REQUEST else OTHER


def _as_attempted(row: Verdict, attempt: Attempt, error: DiscordApiError) -> Verdict:
    """The row, where what was attempted changes its meaning."""
    if row is NO_MESSAGE and _takes_away(attempt):
        return ALREADY_GONE
    if error.code == ALREADY_ANSWERED and attempt.number > 1:
        # An earlier try, whose answer was lost, has answered the interaction.
        return ALREADY_DONE
    if row is CLOSED_ROOM and attempt.operation not in ("send", "edit"):
        # Not being allowed to pin, or to delete another's message, says nothing of sending.
        return NOT_ALLOWED
    if error.code == INVALID_FORM_BODY:
        return _form(attempt, error)
    can_change = row is TOO_LONG and attempt.part is not None and attempt.mode != "stricter"
    return STRICTER if can_change else row


def _takes_away(attempt: Attempt) -> bool:
    """Whether a message that is gone is what was asked for; of a call, from its second try on."""
    again = attempt.number > 1 and attempt.operation.startswith("call:DELETE ")
    return attempt.operation == "delete" or again


def _form(attempt: Attempt, error: DiscordApiError) -> Verdict:
    """Invalid form bodies: a reply to nothing and a long text can be mended."""
    if "message_reference" in error.mistakes and attempt.reply is not None:
        return WITHOUT_REPLY
    if not any(map(_TOO_LONG.search, error.mistakes.get("content", ()))):
        return MALFORMED
    return TOO_LONG if attempt.mode == "stricter" or attempt.part is None else STRICTER


def _scope(row: Verdict, attempt: Attempt) -> Scope:
    """A room's row names the thread in a thread; a call outside rooms, or typing, only itself."""
    if row.scope is not Scope.ROOM:
        return row.scope
    route = route_of(attempt.operation)
    if route is None or not route.of_channel or not route.draws:
        return Scope.MESSAGE
    return Scope.ROOM if attempt.thread in (None, attempt.room) else Scope.THREAD


def _wait(row: Verdict, error: DiscordApiError) -> float | None:
    if row.error_class is not _RETRYABLE or row.transform is not None:
        return None
    if row is FRONT_DOOR:
        return max(FRONT_DOOR_WAIT, error.wait or 0.0)
    return row.retry_after if error.wait is None else error.wait
