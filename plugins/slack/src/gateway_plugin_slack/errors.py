"""What Slack's errors mean: one table, by the words of docs.slack.dev (each method's errors)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

import attrs

from gateway_core.authors import Attempt, ErrorClass, Reason, Scope, Verdict

LONG_WAIT = 600.0
"""Seconds to leave a workspace alone whose plan's message limit is reached."""

_TOKEN = re.compile(r"xox[a-z]?[\w.-]*-[\w-]+|xapp-[\w-]+")


class SlackApiError(Exception):
    """Slack said no.

    method       of the Web API
    status       of HTTP; most errors come with 200
    error        Slack's word for it, empty where there was none
    detail       what else the answer tells: arguments named, scopes needed
    retry_after  seconds, where the `Retry-After` header is a sensible number
    again        it is a limit that was met in the same room a short time ago
    stale        the refused token has been exchanged meanwhile
    """

    def __init__(
        self,
        method: str,
        *,
        status: int,
        error: str = "",
        detail: str = "",
        retry_after: float | None = None,
        again: bool = False,
        stale: bool = False,
    ) -> None:
        self.method = method
        self.status = status
        self.error = error = _TOKEN.sub("[token]", error)
        self.detail = detail = _TOKEN.sub("[token]", detail)
        self.retry_after = retry_after
        self.again = again
        self.stale = stale
        super().__init__(method, status, error, detail, retry_after)

    @property
    def raw(self) -> str:
        """Slack's own words, or the HTTP status; no token."""
        return f"{self.error or f'HTTP {self.status}'} {self.detail}".strip()

    def __str__(self) -> str:
        return f"{self.method}: {self.raw}"


def _retryable(scope: Scope, **fields: Any) -> Verdict:
    fields = {"reason": Reason.PLATFORM_ERROR, **fields}
    return Verdict(error_class=ErrorClass.RETRYABLE, scope=scope, **fields)


def _refused(reason: Reason, scope: Scope = Scope.MESSAGE) -> Verdict:
    return Verdict(error_class=ErrorClass.NON_RETRYABLE, reason=reason, scope=scope)


def _fatal(reason: Reason, scope: Scope = Scope.INSTANCE) -> Verdict:
    return Verdict(error_class=ErrorClass.FATAL, reason=reason, scope=scope)


_RATE_LIMITED = _retryable(Scope.ROOM, reason=Reason.RATE_LIMITED)
_PLAN_SPENT = _retryable(Scope.INSTANCE, reason=Reason.RATE_LIMITED, retry_after=LONG_WAIT)
_LATER = _retryable(Scope.INSTANCE)
_HALF_DONE = _retryable(Scope.INSTANCE, dispatched="unknown")
_TOO_LONG = _refused(Reason.TOO_LONG)
_BAD_FORMAT = _refused(Reason.BAD_FORMAT)
_BAD_REQUEST = _refused(Reason.BAD_REQUEST)
_MESSAGE_GONE = _refused(Reason.MESSAGE_GONE)
_MESSAGE_FORBIDDEN = _refused(Reason.FORBIDDEN)
_ROOM_GONE = _refused(Reason.ROOM_GONE, Scope.ROOM)
_ROOM_FORBIDDEN = _refused(Reason.FORBIDDEN, Scope.ROOM)
_UNAUTHORIZED = _fatal(Reason.UNAUTHORIZED)
_FORBIDDEN = _fatal(Reason.FORBIDDEN)
_NO_METHOD = _fatal(Reason.UNSUPPORTED, Scope.OPERATION)
_THREAD_FORBIDDEN = _refused(Reason.FORBIDDEN, Scope.THREAD)
_TOO_LATE = _refused(Reason.RATE_LIMITED)
_EXCHANGED = _retryable(Scope.MESSAGE, reason=Reason.UNAUTHORIZED, retry_after=0.0)
_ASTRAY = _LATER
"""Of a redirect: something else than Slack answered (a proxy, a captive portal)."""
_AS_ASKED = Verdict(error_class=ErrorClass.DONE, reason=Reason.NOT_MODIFIED)
_OTHER = _refused(Reason.UNCLASSIFIED)

VERDICTS: Mapping[str, Verdict] = {
    "ratelimited": _RATE_LIMITED,
    "rate_limited": _RATE_LIMITED,
    "message_limit_exceeded": _PLAN_SPENT,
    "service_unavailable": _LATER,
    "team_added_to_org": _LATER,
    "org_login_required": _LATER,
    "external_channel_migrating": _retryable(Scope.ROOM),
    "request_timeout": _LATER,
    "internal_error": _HALF_DONE,
    "fatal_error": _HALF_DONE,
    "msg_too_long": _TOO_LONG,
    "msg_blocks_too_long": _TOO_LONG,
    "invalid_blocks": _BAD_FORMAT,
    "invalid_blocks_format": _BAD_FORMAT,
    "markdown_text_conflict": _BAD_FORMAT,
    "no_text": _BAD_REQUEST,
    "invalid_charset": _BAD_REQUEST,
    "invalid_form_data": _BAD_REQUEST,
    "invalid_json": _BAD_REQUEST,
    "invalid_post_type": _BAD_REQUEST,
    "missing_post_type": _BAD_REQUEST,
    "cannot_reply_to_message": _BAD_REQUEST,
    "too_many_attachments": _BAD_REQUEST,
    "metadata_too_large": _BAD_REQUEST,
    "block_mismatch": _BAD_REQUEST,
    "message_not_found": _MESSAGE_GONE,
    "cant_update_message": _MESSAGE_FORBIDDEN,
    "edit_window_closed": _MESSAGE_FORBIDDEN,
    "cant_delete_message": _MESSAGE_FORBIDDEN,
    "thread_not_found": _refused(Reason.THREAD_GONE, Scope.THREAD),
    "restricted_action_thread_locked": _THREAD_FORBIDDEN,
    "restricted_action_non_threadable_channel": _THREAD_FORBIDDEN,
    # Replies in threads still pass, and the messages that wait may be some.
    "restricted_action_thread_only_channel": _MESSAGE_FORBIDDEN,
    "already_reacted": _AS_ASKED,
    "no_reaction": _AS_ASKED,
    "already_pinned": _AS_ASKED,
    "no_pin": _AS_ASKED,
    "not_pinned": _AS_ASKED,
    "channel_not_found": _ROOM_GONE,
    "is_archived": _ROOM_GONE,
    "is_inactive": _ROOM_GONE,
    "not_in_channel": _ROOM_FORBIDDEN,
    "messages_tab_disabled": _ROOM_FORBIDDEN,
    "ekm_access_denied": _ROOM_FORBIDDEN,
    "no_permission": _ROOM_FORBIDDEN,
    "invalid_auth": _UNAUTHORIZED,
    "not_authed": _UNAUTHORIZED,
    "account_inactive": _UNAUTHORIZED,
    "token_revoked": _UNAUTHORIZED,
    "token_expired": _UNAUTHORIZED,
    "not_allowed_token_type": _FORBIDDEN,
    "app_access_restricted": _FORBIDDEN,
    "accesslimited": _FORBIDDEN,
    "access_denied": _FORBIDDEN,
    "enterprise_is_restricted": _FORBIDDEN,
    "two_factor_setup_required": _FORBIDDEN,
    "missing_scope": _fatal(Reason.FORBIDDEN, Scope.OPERATION),
    "unknown_method": _NO_METHOD,
    "method_deprecated": _NO_METHOD,
    "deprecated_endpoint": _NO_METHOD,
}
"""The meaning of each error. A new token cures only what is `unauthorized`."""

PREFIXES: Mapping[str, Verdict] = {
    "invalid_arg": _BAD_REQUEST,
    "restricted_action": _ROOM_FORBIDDEN,
}
"""Families of errors: `invalid_arg_name`, `restricted_action_read_only_channel`, …"""

_REPLANNED = frozenset(
    {
        "msg_too_long",
        "msg_blocks_too_long",
        "invalid_blocks",
        "invalid_blocks_format",
        "markdown_text_conflict",
    }
)

_BY_METHOD = frozenset({"access_denied", "enterprise_is_restricted", "not_allowed_token_type"})
"""What says of a method called by the application that it is not for this token."""

_FLEETING = frozenset({"call:assistant.threads.setStatus"})
"""Signs of typing: late they are worth nothing, and messages would wait behind them."""

_FOLLOWING: Mapping[str, Literal["stricter", "plain"]] = {
    "as_asked": "stricter",
    "stricter": "plain",
}


def verdict_of(attempt: Attempt, error: SlackApiError) -> Verdict:
    """What `error` means for the attempt that raised it."""
    verdict = attrs.evolve(_EXCHANGED if error.stale else _row(error), raw=error.raw)
    if verdict.reason is Reason.RATE_LIMITED:
        return _paced(attempt, error, verdict)
    if error.error in _REPLANNED:
        return _replanned(attempt, verdict)
    if error.error == "message_not_found" and attempt.operation == "delete" and attempt.number > 1:
        # An earlier try whose answer was lost has deleted it: deleting is safe to repeat.
        return attrs.evolve(verdict, error_class=ErrorClass.DONE)
    return attrs.evolve(verdict, scope=_scope(attempt, error, verdict))


def _scope(attempt: Attempt, error: SlackApiError, verdict: Verdict) -> Scope:
    """How far the refusal of such an attempt reaches."""
    scope, called = verdict.scope, attempt.operation.startswith("call:")
    if scope is Scope.THREAD and attempt.thread is None:
        # A reply begins a thread of its own: those that wait have not asked for it.
        return Scope.MESSAGE
    if scope is Scope.ROOM and not _concerns_room(attempt, verdict):
        return Scope.MESSAGE
    return Scope.OPERATION if called and error.error in _BY_METHOD else scope


def _concerns_room(attempt: Attempt, verdict: Verdict) -> bool:
    """Whether posting there is refused: not where another right or channel was asked for."""
    if verdict.error_class is ErrorClass.RETRYABLE or attempt.operation in {"send", "edit"}:
        return True
    given = attempt.arguments
    return verdict.reason is Reason.ROOM_GONE and attempt.room == given.get(
        "channel", given.get("channel_id", attempt.room)
    )


def is_limit(error: SlackApiError) -> bool:
    """Whether a limit refused the request."""
    return _row(error) is _RATE_LIMITED


def is_unauthorized(error: SlackApiError) -> bool:
    """Whether the token was refused, so that a fresh one may help."""
    return _row(error) is _UNAUTHORIZED


def is_passing(error: SlackApiError) -> bool:
    """Whether the same request may succeed later."""
    return _row(error).error_class is ErrorClass.RETRYABLE


def _row(error: SlackApiError) -> Verdict:
    if error.status >= 500:  # noqa: PLR2004 - HTTP's own number
        return _HALF_DONE
    if error.status == 429:  # noqa: PLR2004 - likewise
        return VERDICTS["ratelimited"]
    if 300 <= error.status < 400:  # noqa: PLR2004 - likewise
        return _ASTRAY
    if error.error in VERDICTS:
        return VERDICTS[error.error]
    family = (found for prefix, found in PREFIXES.items() if error.error.startswith(prefix))
    return next(family, _OTHER)


def _paced(attempt: Attempt, error: SlackApiError, verdict: Verdict) -> Verdict:
    """Posts are counted by channel, every other method by workspace (docs.slack.dev).

    A room that is limited again although its posts are paced is not what is limited: an
    undocumented limit counts the workspace's posts.
    """
    if verdict.scope is Scope.INSTANCE:
        return attrs.evolve(verdict, retry_after=max(error.retry_after or 0.0, LONG_WAIT))
    if attempt.operation in _FLEETING:
        return attrs.evolve(_TOO_LATE, raw=error.raw)
    posts = attempt.operation in {"send", "call:chat.postMessage"}
    scope = Scope.ROOM if posts and not error.again else Scope.OPERATION
    return attrs.evolve(verdict, scope=scope, retry_after=error.retry_after)


def _replanned(attempt: Attempt, verdict: Verdict) -> Verdict:
    """A refused part is planned stricter, then plain; after that, and in a call, it is refused."""
    following = _FOLLOWING.get(attempt.mode)
    if attempt.part is None or following is None:
        return verdict
    return attrs.evolve(verdict, error_class=ErrorClass.RETRYABLE, transform=following)
