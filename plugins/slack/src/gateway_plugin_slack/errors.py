"""Decides what Slack's errors mean: one table, by docs.slack.dev's words (each method's errors)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

import attrs

from gateway_core.authors import Attempt, ErrorClass, Reason, Scope, Verdict
from gateway_plugin_slack.files.images import is_unfetched, uploads_of
from gateway_plugin_slack.files.reuse import is_given, is_refused, is_unseen
from gateway_plugin_slack.files.uploads import ASKS, of_upload

URL = "response_url"
"""What stands in an error in place of a method, if a message was sent to a secret URL."""

LONG_WAIT = 600.0
"""Seconds to send nothing to a workspace that has reached its plan's message limit."""

_TOKEN = re.compile(r"xox[a-z]?[\w.-]*-[\w-]+|xapp-[\w-]+")


class SlackApiError(Exception):
    """Slack refused a request.

    method       the method of the Web API, or `URL`
    status       the HTTP status; most errors come with 200
    error        Slack's word for the error; empty if there was none
    detail       what else the answer says: arguments that are wrong, scopes that are needed
    retry_after  seconds to wait, if the `Retry-After` header is a sensible number
    stale        the refused token has been exchanged meanwhile
    foreign      what the answer means, if it is not Slack's
    """

    def __init__(
        self,
        method: str,
        *,
        status: int,
        error: str = "",
        detail: str = "",
        retry_after: float | None = None,
        stale: bool = False,
        foreign: Verdict | None = None,
    ) -> None:
        self.method = method
        self.status = status
        self.error = error = _TOKEN.sub("[token]", error)
        self.detail = detail = _TOKEN.sub("[token]", detail)
        self.retry_after = retry_after
        self.stale = stale
        self.foreign = foreign
        super().__init__(method, status, error, detail, retry_after)

    @property
    def raw(self) -> str:
        """Slack's own words, or the HTTP status; no token."""
        if self.foreign is not None:
            return _TOKEN.sub("[token]", self.foreign.raw)
        return f"{self.error or f'HTTP {self.status}'} {self.detail}".strip()

    def __str__(self) -> str:
        return f"{self.method}: {self.raw}"


class PersonOpened(Exception):
    """The room is a person, and `channel` is their direct messages; nothing was sent yet."""

    def __init__(self, channel: str) -> None:
        self.channel = channel
        super().__init__(channel)


def opened(error: PersonOpened) -> Verdict:
    """The room moves to the opened conversation, and the attempt is made again."""
    return Verdict(
        error_class=ErrorClass.RETRYABLE,
        reason=Reason.ROOM_MOVED,
        scope=Scope.ROOM,
        moved_to=error.channel,
        raw=f"direct messages are conversation {error.channel}",
    )


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
_UPLOADED_AGAIN = _retryable(Scope.MESSAGE, reason=Reason.BAD_REQUEST, retry_after=0.0)
_WITHOUT_REPLY = Verdict(
    error_class=ErrorClass.RETRYABLE, reason=Reason.REPLY_GONE, transform="without_reply"
)
_TO_ROOM = Verdict(
    error_class=ErrorClass.RETRYABLE, reason=Reason.UNAUTHORIZED, transform="to_room"
)
_AS_ASKED = Verdict(error_class=ErrorClass.DONE, reason=Reason.NOT_MODIFIED)
_OTHER = _refused(Reason.UNCLASSIFIED)

VERDICTS: Mapping[str, Verdict] = {
    "ratelimited": _RATE_LIMITED,
    "rate_limited": _RATE_LIMITED,
    "message_limit_exceeded": _PLAN_SPENT,
    "service_unavailable": _LATER,
    "team_added_to_org": _LATER,
    "org_login_required": _LATER,
    "migration_in_progress": _LATER,
    "external_channel_migrating": _retryable(Scope.ROOM),
    "request_timeout": _LATER,
    "internal_error": _HALF_DONE,
    "fatal_error": _HALF_DONE,
    "update_failed": _retryable(Scope.MESSAGE, dispatched="unknown"),
    "stopped_by_user": _refused(Reason.STOPPED),
    "message_not_in_streaming_state": _refused(Reason.STREAM_ENDED),
    "channel_type_not_supported": _refused(Reason.UNSUPPORTED),
    "streaming_state_conflict": _retryable(Scope.MESSAGE),
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
    "attachment_payload_limit_exceeded": _TOO_LONG,
    "message_not_found": _MESSAGE_GONE,
    "cant_update_message": _MESSAGE_FORBIDDEN,
    "edit_window_closed": _MESSAGE_FORBIDDEN,
    "cant_delete_message": _MESSAGE_FORBIDDEN,
    "thread_not_found": _refused(Reason.THREAD_GONE, Scope.THREAD),
    "restricted_action_thread_locked": _THREAD_FORBIDDEN,
    "restricted_action_non_threadable_channel": _THREAD_FORBIDDEN,
    # Slack still accepts replies in threads, and the messages that wait may be replies.
    "restricted_action_thread_only_channel": _MESSAGE_FORBIDDEN,
    "already_reacted": _AS_ASKED,
    "no_reaction": _AS_ASKED,
    "already_pinned": _AS_ASKED,
    "no_pin": _AS_ASKED,
    "not_pinned": _AS_ASKED,
    "channel_not_found": _ROOM_GONE,
    "is_archived": _ROOM_GONE,
    # Only secret URLs say these three (docs.slack.dev, incoming webhooks, handling errors).
    "channel_is_archived": _ROOM_GONE,
    "action_prohibited": _ROOM_FORBIDDEN,
    "posting_to_general_channel_denied": _ROOM_FORBIDDEN,
    "is_inactive": _ROOM_GONE,
    "team_not_found": _ROOM_GONE,
    "not_in_channel": _ROOM_FORBIDDEN,
    "messages_tab_disabled": _ROOM_FORBIDDEN,
    "ekm_access_denied": _ROOM_FORBIDDEN,
    "no_permission": _ROOM_FORBIDDEN,
    "invalid_auth": _UNAUTHORIZED,
    "invalid_token": _UNAUTHORIZED,
    "not_authed": _UNAUTHORIZED,
    "account_inactive": _UNAUTHORIZED,
    "token_revoked": _UNAUTHORIZED,
    "token_expired": _UNAUTHORIZED,
    "not_allowed_token_type": _FORBIDDEN,
    "app_access_restricted": _FORBIDDEN,
    "accesslimited": _FORBIDDEN,
    "access_denied": _FORBIDDEN,
    "enterprise_is_restricted": _FORBIDDEN,
    "is_bot": _FORBIDDEN,
    "two_factor_setup_required": _FORBIDDEN,
    "missing_scope": _fatal(Reason.FORBIDDEN, Scope.OPERATION),
    "unknown_method": _NO_METHOD,
    "method_deprecated": _NO_METHOD,
    "deprecated_endpoint": _NO_METHOD,
    **dict.fromkeys(
        (
            *("as_user_not_supported", "bad_timestamp", "block_mismatch", "blocked_file_type"),
            *("json_not_object", "max_file_sharing_exceeded"),
            *("metadata_must_be_sent_from_app", "metadata_too_large", "no_item_specified"),
            *("no_dual_broadcast_content_update", "not_enough_users", "not_reactable"),
            *("snippet_too_large", "time_in_past", "time_too_far"),
            *("unable_to_share_files", "user_disabled", "user_not_in_channel"),
            *("user_not_visible", "users_list_not_supplied"),
        ),
        _BAD_REQUEST,
    ),
    **dict.fromkeys(
        (
            *("cant_broadcast_message", "compliance_exports_prevent_deletion"),
            *("message_not_owned_by_app", "posting_to_channel_denied"),
            *("send_on_behalf_not_allowed", "thread_locked"),
        ),
        _MESSAGE_FORBIDDEN,
    ),
}
"""The meaning of each error. A new token helps only if the reason is `unauthorized`."""

PREFIXES: Mapping[str, Verdict] = {
    "restricted_action": _ROOM_FORBIDDEN,
    "slack_connect_": _MESSAGE_FORBIDDEN,
    **dict.fromkeys(
        ("cannot_", "duplicate_", "file_", "invalid_", "missing_", "too_many_", "unknown_"),
        _BAD_REQUEST,
    ),
}
"""Families of errors: `restricted_action_read_only_channel`, `invalid_arg_name`, …"""

_NO_THREAD = frozenset(
    {
        "cannot_reply_to_message",
        "restricted_action_non_threadable_channel",
        "restricted_action_thread_locked",
        "thread_not_found",
    }
)
"""Errors that refuse only the reply: without it, the message itself may be accepted."""

_NO_URL = frozenset(
    {"expired_url", "invalid_response_url", "invalid_token", "no_service", "used_url"}
)
"""Errors that say that a response_url is used up or invalid; the room may still take messages."""

_NO_WEBHOOK = frozenset(
    {"invalid_token", "no_active_hooks", "no_service", "no_service_id", "no_team", "team_disabled"}
)
"""Errors that only incoming webhooks have (docs.slack.dev, incoming webhooks, handling errors)."""

_REPLANNED = frozenset(
    {
        "msg_too_long",
        "msg_blocks_too_long",
        "invalid_blocks",
        "invalid_blocks_format",
        "markdown_text_conflict",
    }
)

_BY_METHOD = frozenset(
    {"access_denied", "enterprise_is_restricted", "is_bot", "not_allowed_token_type"}
)
"""Errors that say, for a method that the application calls, that this token may not call it."""

_FLEETING = frozenset({"call:assistant.threads.setStatus"})
"""Signs of typing: a late sign is useless, and messages would have to wait for it."""

_STREAMS = frozenset({"start", "append", "stop"})
"""Operations that not every token and plan allows: a refusal says nothing about the account."""

_FOLLOWING: Mapping[str, Literal["stricter", "plain"]] = {
    "as_asked": "stricter",
    "stricter": "plain",
}


def verdict_of(attempt: Attempt, error: SlackApiError) -> Verdict:
    """What `error` means for the attempt that raised it."""
    verdict = _verdict_of(attempt, error)
    return of_upload(verdict, error.method, error.error) if uploads_of(attempt) else verdict


def _verdict_of(attempt: Attempt, error: SlackApiError) -> Verdict:
    if error.foreign is not None:
        return attrs.evolve(error.foreign, raw=error.raw)
    if error.method != URL:
        return _told(attempt, error)
    by_token = attempt.interaction is not None
    return _of_url(attempt, error) if by_token else _of_webhook(attempt, error)


def _told(attempt: Attempt, error: SlackApiError) -> Verdict:
    """What Slack's own refusal means for an attempt that used the token."""
    verdict = attrs.evolve(_EXCHANGED if error.stale else _row(error), raw=error.raw)
    if verdict.reason is Reason.RATE_LIMITED:
        return _paced(attempt, error, verdict)
    if _refuses_reply(attempt, error):
        return attrs.evolve(_WITHOUT_REPLY, raw=error.raw)
    if (of_pictures := _of_pictures(attempt, error)) is not None:
        return of_pictures
    if error.error in _REPLANNED:
        return _replanned(attempt, verdict)
    if error.error == "message_not_found" and attempt.operation == "delete" and attempt.number > 1:
        # An earlier attempt whose answer was lost has deleted it: a deletion may be repeated.
        return attrs.evolve(verdict, error_class=ErrorClass.DONE)
    if verdict.error_class is ErrorClass.RETRYABLE and verdict.retry_after is None:
        verdict = attrs.evolve(verdict, retry_after=error.retry_after)
    return attrs.evolve(verdict, scope=_scope(attempt, error, verdict))


def _refuses_reply(attempt: Attempt, error: SlackApiError) -> bool:
    """Whether only the reply is refused; a part that is not the first has its thread as content."""
    if error.error not in _NO_THREAD or attempt.thread is not None or attempt.without_reply:
        return False
    return attempt.reply is not None or "thread_ts" in attempt.payload


def _of_pictures(attempt: Attempt, error: SlackApiError) -> Verdict | None:
    """What a refusal of pictures means; None: something else was refused.

    The pictures are those that Slack fetches or has. Blocks without the pictures would be no better
    than the refused blocks.
    """
    if any(is_given(attempt, upload) for upload in attempt.files):
        if error.error.startswith(("invalid_blocks", "file_")) and "slack file" in error.detail:
            return attrs.evolve(_BAD_REQUEST, raw=error.raw, files_refused=True)
    elif is_refused(attempt, error.error):
        return attrs.evolve(_UPLOADED_AGAIN, raw=error.raw)
    if is_unfetched(attempt, error.error, error.detail):
        return attrs.evolve(_BAD_REQUEST, raw=error.raw, files_refused=True)
    if is_unseen(attempt, error.error, error.detail):
        return attrs.evolve(_BAD_REQUEST, raw=error.raw)
    return None


def _of_url(attempt: Attempt, error: SlackApiError) -> Verdict:
    """What a refusal by a response_url means: it concerns only that message, except an outage."""
    if error.error in _NO_URL:
        return attrs.evolve(_TO_ROOM, raw=error.raw)
    if _refuses_reply(attempt, error):
        return attrs.evolve(_WITHOUT_REPLY, raw=error.raw)
    row = attrs.evolve(_row(error), raw=error.raw)
    if error.error in _REPLANNED:
        return _replanned(attempt, row)
    if row.error_class is ErrorClass.FATAL:
        row = attrs.evolve(row, error_class=ErrorClass.NON_RETRYABLE)
    if row.error_class is not ErrorClass.RETRYABLE:
        return attrs.evolve(row, scope=Scope.MESSAGE)
    outage = row.reason is Reason.PLATFORM_ERROR
    scope = row.scope if outage else Scope.MESSAGE
    return attrs.evolve(row, scope=scope, retry_after=error.retry_after)


def _of_webhook(attempt: Attempt, error: SlackApiError) -> Verdict:
    """What an incoming webhook's refusal means: the webhook is the account, with one room."""
    if error.error in _NO_WEBHOOK:
        return attrs.evolve(_UNAUTHORIZED, raw=error.raw)
    return _told(attempt, error)


def _scope(attempt: Attempt, error: SlackApiError, verdict: Verdict) -> Scope:
    """How far the refusal of this attempt reaches."""
    scope = verdict.scope
    called = attempt.operation.startswith("call:") or attempt.operation in _STREAMS
    if scope is Scope.THREAD and attempt.thread is None:
        # A reply begins a thread of its own: the messages that wait are not in that thread.
        return Scope.MESSAGE
    if scope is Scope.ROOM and not _concerns_room(attempt, verdict):
        return Scope.MESSAGE
    return Scope.OPERATION if called and error.error in _BY_METHOD else scope


_OF_ROOM = frozenset({"send", "upload", "edit"})


def _concerns_room(attempt: Attempt, verdict: Verdict) -> bool:
    """Whether the room refuses posts; not so if a call asked for another right or channel."""
    if verdict.error_class is ErrorClass.RETRYABLE or attempt.operation in _OF_ROOM:
        return True
    given = attempt.arguments
    return verdict.reason is Reason.ROOM_GONE and attempt.room == given.get(
        "channel", given.get("channel_id", attempt.room)
    )


def is_unauthorized(error: SlackApiError) -> bool:
    """Whether the token was refused, so that a fresh one may help."""
    return _row(error) is _UNAUTHORIZED


def is_passing(error: SlackApiError) -> bool:
    """Whether the same request may succeed later."""
    return _row(error).error_class is ErrorClass.RETRYABLE


def is_final(error: SlackApiError) -> bool:
    """Whether nothing was done, and the same request will not succeed; the account still works."""
    return not error.stale and _row(error).error_class is ErrorClass.NON_RETRYABLE


def is_undone(error: SlackApiError) -> bool:
    """Whether nothing was done, and the same request may succeed later, or with another token."""
    return not is_final(error) and (error.method == ASKS or _row(error).dispatched == "no")


def _row(error: SlackApiError) -> Verdict:
    if error.foreign is not None:
        return error.foreign
    if error.status >= 500:  # noqa: PLR2004 - HTTP's own number
        # A server that fails may have acted, whatever else it says.
        return _LATER if VERDICTS.get(error.error) is _LATER else _HALF_DONE
    if error.status == 429:  # noqa: PLR2004 - likewise
        return VERDICTS["ratelimited"]
    if error.status == 413:  # noqa: PLR2004 - likewise
        return _TOO_LONG
    if error.error in VERDICTS:
        return VERDICTS[error.error]
    family = (found for prefix, found in PREFIXES.items() if error.error.startswith(prefix))
    return next(family, _OTHER)


def _paced(attempt: Attempt, error: SlackApiError, verdict: Verdict) -> Verdict:
    """Slack counts posts by channel, and every other method by workspace (docs.slack.dev).

    An undocumented limit counts a workspace's posts as well. If several rooms are limited together,
    core finds out whether that limit is the cause.
    """
    if verdict.scope is Scope.INSTANCE:
        return attrs.evolve(verdict, retry_after=max(error.retry_after or 0.0, LONG_WAIT))
    if attempt.operation in _FLEETING:
        return attrs.evolve(_TOO_LATE, raw=error.raw)
    posts = attempt.operation in {"send", "call:chat.postMessage"}
    scope = Scope.ROOM if posts else Scope.OPERATION
    return attrs.evolve(verdict, scope=scope, retry_after=error.retry_after)


def _replanned(attempt: Attempt, verdict: Verdict) -> Verdict:
    """Plan a refused part stricter, then plain; after that, and for a call, the refusal stands."""
    following = _FOLLOWING.get(attempt.mode)
    if attempt.part is None or following is None:
        return verdict
    return attrs.evolve(verdict, error_class=ErrorClass.RETRYABLE, transform=following)
