"""Each row of Slack's error table, from the answer on the wire to the verdict."""

import json

import attrs
import pytest

from gateway_core import ErrorClass, Part, Reason, Scope, Verdict
from gateway_core.authors import Attempt, TransportError
from gateway_core.http import Response
from gateway_plugin_slack import hooks
from gateway_plugin_slack.answers.web_api import read
from gateway_plugin_slack.errors import LONG_WAIT, PREFIXES, VERDICTS, SlackApiError

R, N, F = ErrorClass.RETRYABLE, ErrorClass.NON_RETRYABLE, ErrorClass.FATAL
DONE = ErrorClass.DONE
MESSAGE, THREAD, ROOM, OPERATION, INSTANCE = Scope

SEND = Attempt(
    operation="send",
    envelope_id="e1",
    instance_id="support",
    room="C024BE91L",
    part=Part(payload={"text": "hello"}),
)
EDIT = attrs.evolve(SEND, operation="edit", message_id="1700000000.000100")
DELETE = attrs.evolve(EDIT, operation="delete", part=None)
CALL = attrs.evolve(SEND, operation="call:reactions.add", part=None, method="reactions.add")


def verdict(instance, *, status=200, body=b"", headers=None, attempt=SEND):
    """What the gateway makes of an answer that Slack gave to the attempt."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    with pytest.raises(SlackApiError) as caught:
        read("chat.postMessage", Response(status, headers or {}, raw))
    found = hooks.classify_error(attempt=attempt, error=caught.value)
    assert isinstance(found, Verdict)
    return found


def said(error, **more):
    return {"ok": False, "error": error, **more}


# source -> error -> class, reason, scope, dispatched
SOURCED = {
    "docs.slack.dev/reference/methods: chat.startStream, chat.appendStream": {
        "channel_type_not_supported": (N, Reason.UNSUPPORTED, MESSAGE, "no"),
        "message_not_in_streaming_state": (N, Reason.STREAM_ENDED, MESSAGE, "no"),
        "stopped_by_user": (N, Reason.STOPPED, MESSAGE, "no"),
    },
    "docs.slack.dev/apis/web-api/rate-limits, and chat.postMessage#errors": {
        "ratelimited": (R, Reason.RATE_LIMITED, ROOM, "no"),
        "rate_limited": (R, Reason.RATE_LIMITED, ROOM, "no"),
        "message_limit_exceeded": (R, Reason.RATE_LIMITED, INSTANCE, "no"),
    },
    "docs.slack.dev/reference/methods/chat.postMessage#errors": {
        "service_unavailable": (R, Reason.PLATFORM_ERROR, INSTANCE, "no"),
        "migration_in_progress": (R, Reason.PLATFORM_ERROR, INSTANCE, "no"),
        "team_added_to_org": (R, Reason.PLATFORM_ERROR, INSTANCE, "no"),
        "org_login_required": (R, Reason.PLATFORM_ERROR, INSTANCE, "no"),
        "external_channel_migrating": (R, Reason.PLATFORM_ERROR, ROOM, "no"),
        "request_timeout": (R, Reason.PLATFORM_ERROR, INSTANCE, "no"),
        "internal_error": (R, Reason.PLATFORM_ERROR, INSTANCE, "unknown"),
        "fatal_error": (R, Reason.PLATFORM_ERROR, INSTANCE, "unknown"),
        "msg_too_long": (R, Reason.TOO_LONG, MESSAGE, "no"),
        "msg_blocks_too_long": (R, Reason.TOO_LONG, MESSAGE, "no"),
        "invalid_blocks": (R, Reason.BAD_FORMAT, MESSAGE, "no"),
        "invalid_blocks_format": (R, Reason.BAD_FORMAT, MESSAGE, "no"),
        "markdown_text_conflict": (R, Reason.BAD_FORMAT, MESSAGE, "no"),
        "no_text": (N, Reason.BAD_REQUEST, MESSAGE, "no"),
        "invalid_arg_name": (N, Reason.BAD_REQUEST, MESSAGE, "no"),
        "invalid_args": (N, Reason.BAD_REQUEST, MESSAGE, "no"),
        "invalid_arguments": (N, Reason.BAD_REQUEST, MESSAGE, "no"),
        "invalid_charset": (N, Reason.BAD_REQUEST, MESSAGE, "no"),
        "invalid_form_data": (N, Reason.BAD_REQUEST, MESSAGE, "no"),
        "invalid_json": (N, Reason.BAD_REQUEST, MESSAGE, "no"),
        "invalid_post_type": (N, Reason.BAD_REQUEST, MESSAGE, "no"),
        "missing_post_type": (N, Reason.BAD_REQUEST, MESSAGE, "no"),
        "cannot_reply_to_message": (N, Reason.BAD_REQUEST, MESSAGE, "no"),
        "attachment_payload_limit_exceeded": (N, Reason.TOO_LONG, MESSAGE, "no"),
        "send_on_behalf_not_allowed": (N, Reason.FORBIDDEN, MESSAGE, "no"),
        "slack_connect_file_link_sharing_blocked": (N, Reason.FORBIDDEN, MESSAGE, "no"),
        "team_not_found": (N, Reason.ROOM_GONE, ROOM, "no"),
        "too_many_attachments": (N, Reason.BAD_REQUEST, MESSAGE, "no"),
        "metadata_too_large": (N, Reason.BAD_REQUEST, MESSAGE, "no"),
        "thread_not_found": (N, Reason.THREAD_GONE, THREAD, "no"),
        "restricted_action_thread_locked": (N, Reason.FORBIDDEN, THREAD, "no"),
        "restricted_action_non_threadable_channel": (N, Reason.FORBIDDEN, THREAD, "no"),
        "restricted_action_thread_only_channel": (N, Reason.FORBIDDEN, MESSAGE, "no"),
        "channel_not_found": (N, Reason.ROOM_GONE, ROOM, "no"),
        "not_in_channel": (N, Reason.FORBIDDEN, ROOM, "no"),
        "is_archived": (N, Reason.ROOM_GONE, ROOM, "no"),
        "messages_tab_disabled": (N, Reason.FORBIDDEN, ROOM, "no"),
        "restricted_action": (N, Reason.FORBIDDEN, ROOM, "no"),
        "restricted_action_read_only_channel": (N, Reason.FORBIDDEN, ROOM, "no"),
        "ekm_access_denied": (N, Reason.FORBIDDEN, ROOM, "no"),
        "no_permission": (N, Reason.FORBIDDEN, ROOM, "no"),
    },
    "docs.slack.dev/reference/methods: chat.update, chat.delete": {
        "message_not_found": (N, Reason.MESSAGE_GONE, MESSAGE, "no"),
        "cant_update_message": (N, Reason.FORBIDDEN, MESSAGE, "no"),
        "edit_window_closed": (N, Reason.FORBIDDEN, MESSAGE, "no"),
        "cant_delete_message": (N, Reason.FORBIDDEN, MESSAGE, "no"),
        "block_mismatch": (N, Reason.BAD_REQUEST, MESSAGE, "no"),
        "cant_broadcast_message": (N, Reason.FORBIDDEN, MESSAGE, "no"),
        "compliance_exports_prevent_deletion": (N, Reason.FORBIDDEN, MESSAGE, "no"),
        "posting_to_channel_denied": (N, Reason.FORBIDDEN, MESSAGE, "no"),
        "update_failed": (R, Reason.PLATFORM_ERROR, MESSAGE, "unknown"),
        "streaming_state_conflict": (R, Reason.PLATFORM_ERROR, MESSAGE, "no"),
        "is_inactive": (N, Reason.ROOM_GONE, ROOM, "no"),
    },
    "docs.slack.dev/reference/methods: reactions.add, reactions.remove, pins.add, pins.remove": {
        "thread_locked": (N, Reason.FORBIDDEN, MESSAGE, "no"),
        "already_reacted": (DONE, Reason.NOT_MODIFIED, MESSAGE, "no"),
        "no_reaction": (DONE, Reason.NOT_MODIFIED, MESSAGE, "no"),
        "already_pinned": (DONE, Reason.NOT_MODIFIED, MESSAGE, "no"),
        "no_pin": (DONE, Reason.NOT_MODIFIED, MESSAGE, "no"),
        "not_pinned": (DONE, Reason.NOT_MODIFIED, MESSAGE, "no"),
    },
    "docs.slack.dev/reference/methods/auth.test#errors": {
        "invalid_auth": (F, Reason.UNAUTHORIZED, INSTANCE, "no"),
        "not_authed": (F, Reason.UNAUTHORIZED, INSTANCE, "no"),
        "account_inactive": (F, Reason.UNAUTHORIZED, INSTANCE, "no"),
        "token_revoked": (F, Reason.UNAUTHORIZED, INSTANCE, "no"),
        "token_expired": (F, Reason.UNAUTHORIZED, INSTANCE, "no"),
        "invalid_token": (F, Reason.UNAUTHORIZED, INSTANCE, "no"),
        "is_bot": (F, Reason.FORBIDDEN, INSTANCE, "no"),
        "not_allowed_token_type": (F, Reason.FORBIDDEN, INSTANCE, "no"),
        "app_access_restricted": (F, Reason.FORBIDDEN, INSTANCE, "no"),
        "accesslimited": (F, Reason.FORBIDDEN, INSTANCE, "no"),
        "access_denied": (F, Reason.FORBIDDEN, INSTANCE, "no"),
        "enterprise_is_restricted": (F, Reason.FORBIDDEN, INSTANCE, "no"),
        "two_factor_setup_required": (F, Reason.FORBIDDEN, INSTANCE, "no"),
        "missing_scope": (F, Reason.FORBIDDEN, OPERATION, "no"),
        "unknown_method": (F, Reason.UNSUPPORTED, OPERATION, "no"),
        "method_deprecated": (F, Reason.UNSUPPORTED, OPERATION, "no"),
        "deprecated_endpoint": (F, Reason.UNSUPPORTED, OPERATION, "no"),
    },
    "docs.slack.dev/reference/methods: what a method says of its arguments": {
        "message_not_owned_by_app": (N, Reason.FORBIDDEN, MESSAGE, "no"),
        **dict.fromkeys(
            (
                *("as_user_not_supported", "bad_timestamp", "blocked_file_type"),
                *("file_not_found", "json_not_object", "max_file_sharing_exceeded"),
                "metadata_must_be_sent_from_app",
                *("no_dual_broadcast_content_update", "no_item_specified", "not_enough_users"),
                *("not_reactable", "snippet_too_large", "time_in_past"),
                *("time_too_far", "unable_to_share_files", "unknown_subtype", "user_disabled"),
                *("user_not_in_channel", "user_not_visible", "users_list_not_supplied"),
            ),
            (N, Reason.BAD_REQUEST, MESSAGE, "no"),
        ),
    },
    "docs.slack.dev/messaging/sending-messages-using-incoming-webhooks, handling errors": {
        "channel_is_archived": (N, Reason.ROOM_GONE, ROOM, "no"),
        "action_prohibited": (N, Reason.FORBIDDEN, ROOM, "no"),
        "posting_to_general_channel_denied": (N, Reason.FORBIDDEN, ROOM, "no"),
    },
    "no page: what no rule knows": {
        "a_word_from_next_year": (N, Reason.UNCLASSIFIED, MESSAGE, "no"),
    },
}
ROWS = {error: row for rows in SOURCED.values() for error, row in rows.items()}


@pytest.mark.parametrize(
    ("source", "error"), [(source, error) for source, rows in SOURCED.items() for error in rows]
)
async def test_each_word_of_slack_has_its_meaning(slack, session, source, error):
    """As it comes over the wire: HTTP 200, and `ok: false`."""
    slack.will_say(said(error), headers={"Retry-After": "7"})
    threaded = attrs.evolve(SEND, thread="1700000000.000100")
    with pytest.raises(SlackApiError) as caught:
        await hooks.send(session=session, attempt=threaded)
    found = hooks.classify_error(attempt=threaded, error=caught.value)
    expected = ROWS[error]
    assert expected == (found.error_class, found.reason, found.scope, found.dispatched), source
    changed = found.reason in (Reason.TOO_LONG, Reason.BAD_FORMAT) and expected[0] is R
    waits = {"message_limit_exceeded": LONG_WAIT}
    wait = waits.get(error, 7.0) if expected[0] is R and not changed else None
    transform = "stricter" if changed else None
    assert (error, wait, transform) == (found.raw, found.retry_after, found.transform)


def test_no_word_of_the_adapter_is_left_untested():
    families = {word for word in set(ROWS) - set(VERDICTS) if word.startswith(tuple(PREFIXES))}
    assert set(VERDICTS) == set(ROWS) - families - {"a_word_from_next_year"}


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (429, said("ratelimited")),
        (429, said("rate_limited")),
        (429, b""),
        (429, said("message_limit_exceeded")),
        (200, said("ratelimited")),
        (200, said("rate_limited")),
    ],
)
def test_a_rate_limit_is_known_in_each_of_its_spellings(instance, status, body):
    found = verdict(instance, status=status, body=body, headers={"retry-after": "7"})
    assert (R, Reason.RATE_LIMITED, ROOM, 7.0, "no") == (
        found.error_class,
        found.reason,
        found.scope,
        found.retry_after,
        found.dispatched,
    )


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("30", 30.0),
        ("0", 0.0),
        ("1.5", 1.5),
        (" 12 ", 12.0),
        ("1000000000", 86_400.0),
        ("-1", None),
        ("nan", None),
        ("inf", None),
        ("soon", None),
        ("", None),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None),
        (None, None),
    ],
)
def test_an_odd_retry_after_leaves_the_wait_to_the_gateway(instance, header, seconds):
    headers = {} if header is None else {"retry-after": header}
    assert seconds == verdict(instance, status=429, headers=headers).retry_after


@pytest.mark.parametrize("attempt", [EDIT, DELETE, CALL], ids=lambda a: a.operation)
def test_edits_deletes_and_calls_are_limited_by_method_not_by_room(instance, attempt):
    found = verdict(instance, status=429, headers={"retry-after": "3"}, attempt=attempt)
    assert (OPERATION, 3.0) == (found.scope, found.retry_after)


def test_a_called_post_is_limited_by_room(instance):
    attempt = attrs.evolve(CALL, operation="call:chat.postMessage", method="chat.postMessage")
    assert verdict(instance, status=429, attempt=attempt).scope is ROOM


def test_a_late_sign_of_typing_is_dropped(instance):
    method = "assistant.threads.setStatus"
    attempt = attrs.evolve(CALL, operation=f"call:{method}", method=method)
    found = verdict(instance, status=429, headers={"retry-after": "30"}, attempt=attempt)
    assert (N, Reason.RATE_LIMITED, MESSAGE, None) == (
        found.error_class,
        found.reason,
        found.scope,
        found.retry_after,
    )


@pytest.mark.parametrize(
    "error",
    [
        "cannot_reply_to_message",
        "restricted_action_non_threadable_channel",
        "restricted_action_thread_locked",
        "thread_not_found",
    ],
)
def test_a_message_whose_reply_is_refused_goes_out_without_it(instance, error):
    """The channel would take it; in a thread that was asked for, it is the thread's affair."""
    reply = attrs.evolve(SEND, reply="1700000000.000100")
    found = verdict(instance, body=said(error), attempt=reply)
    assert (R, Reason.REPLY_GONE, MESSAGE, "without_reply") == (
        found.error_class,
        found.reason,
        found.scope,
        found.transform,
    )
    threaded = attrs.evolve(reply, thread="1700000000.000200")
    assert verdict(instance, body=said(error), attempt=threaded).transform is None
    dropped = attrs.evolve(SEND, without_reply=True)
    assert verdict(instance, body=said(error), attempt=dropped).transform is None


@pytest.mark.parametrize(
    ("error", "arguments", "scope"),
    [
        ("channel_not_found", {"channel": "C024BE91L"}, ROOM),
        ("channel_not_found", {"channel_id": "C0OTHER"}, MESSAGE),
        ("is_archived", {"channel": "C0OTHER"}, MESSAGE),
        ("not_in_channel", {"channel": "C024BE91L"}, MESSAGE),
        ("no_permission", {}, MESSAGE),
        ("not_allowed_token_type", {}, OPERATION),
        ("access_denied", {}, OPERATION),
        ("invalid_auth", {}, INSTANCE),
    ],
)
def test_a_refused_call_reaches_no_further_than_it_tells(instance, error, arguments, scope):
    """A reaction that is not allowed, or another channel's end, ends no message of the room."""
    attempt = attrs.evolve(CALL, arguments=arguments)
    assert verdict(instance, body=said(error), attempt=attempt).scope is scope


def test_not_being_allowed_to_delete_says_nothing_of_posting(instance):
    assert verdict(instance, body=said("no_permission"), attempt=DELETE).scope is MESSAGE
    assert verdict(instance, body=said("channel_not_found"), attempt=DELETE).scope is ROOM


@pytest.mark.parametrize(("header", "seconds"), [({}, LONG_WAIT), ({"retry-after": "900"}, 900.0)])
def test_a_spent_plan_waits_long(instance, header, seconds):
    found = verdict(instance, body=said("message_limit_exceeded"), headers=header)
    assert seconds == found.retry_after


@pytest.mark.parametrize("status", [500, 502, 503, 504, 524])
@pytest.mark.parametrize("body", [b"", b"<html>Bad Gateway</html>", said("invalid_auth")])
def test_a_server_error_may_have_acted(instance, status, body):
    found = verdict(instance, status=status, body=body)
    assert (R, Reason.PLATFORM_ERROR, INSTANCE, "unknown", None) == (
        found.error_class,
        found.reason,
        found.scope,
        found.dispatched,
        found.transform,
    )


@pytest.mark.parametrize("attempt", [SEND, EDIT], ids=lambda a: a.operation)
@pytest.mark.parametrize(
    "error",
    [
        "msg_too_long",
        "msg_blocks_too_long",
        "invalid_blocks",
        "invalid_blocks_format",
        "markdown_text_conflict",
    ],
)
def test_a_refused_part_is_planned_stricter_then_plain_then_given_up(instance, error, attempt):
    tried = [
        verdict(instance, body=said(error), attempt=attrs.evolve(attempt, mode=mode))
        for mode in ("as_asked", "stricter", "plain")
    ]
    assert ["stricter", "plain", None] == [found.transform for found in tried]
    assert [R, R, N] == [found.error_class for found in tried]


def test_a_call_has_no_part_to_plan_again(instance):
    found = verdict(instance, body=said("invalid_blocks"), attempt=CALL)
    assert (N, None) == (found.error_class, found.transform)


def test_a_repeated_delete_that_finds_nothing_has_succeeded(instance):
    again = attrs.evolve(DELETE, number=2)
    body = said("message_not_found")
    assert verdict(instance, body=body, attempt=again).error_class is ErrorClass.DONE
    assert verdict(instance, body=body, attempt=DELETE).error_class is N
    assert verdict(instance, body=body, attempt=attrs.evolve(EDIT, number=2)).error_class is N


@pytest.mark.parametrize(
    ("status", "body", "raw"),
    [
        (200, {"ok": False}, "HTTP 200"),
        (200, {"ok": False, "error": None}, "HTTP 200"),
        (200, {"ok": False, "error": 17}, "17"),
        (200, {"ok": False, "error": {"code": "x"}}, '{"code": "x"}'),
    ],
)
def test_a_no_of_another_shape_is_a_refusal_of_the_message(instance, status, body, raw):
    found = verdict(instance, status=status, body=body)
    assert (N, Reason.UNCLASSIFIED, MESSAGE, raw) == (
        found.error_class,
        found.reason,
        found.scope,
        found.raw,
    )


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (302, b""),
        (401, b"<html>"),
        (403, b"[1]"),
        (403, b"error code: 1020"),
        (403, b'{"message":"Forbidden"}'),
        (404, b"<html>"),
        (408, b""),
        (425, b""),
        (499, b""),
        (503, b"no healthy upstream"),
        (521, b"error code: 521"),
    ],
)
def test_what_somebody_else_answers_ends_no_message(instance, status, body):
    """A proxy, a front door, a captive portal: it kept the request, and says nothing of it."""
    found = verdict(instance, status=status, body=body)
    assert (R, Reason.UNREACHABLE, INSTANCE, "no") == (
        found.error_class,
        found.reason,
        found.scope,
        found.dispatched,
    )


@pytest.mark.parametrize("status", [413, 414])
def test_what_is_too_large_for_somebody_else_is_so_again(instance, status):
    found = verdict(instance, status=status, body=b"<html>")
    assert (N, Reason.TOO_LONG, MESSAGE) == (found.error_class, found.reason, found.scope)


def test_a_page_in_place_of_a_yes_proves_nothing(instance):
    found = verdict(instance, body=b"<html><title>Sign in</title></html>")
    assert (R, Reason.OUTCOME_UNKNOWN, "unknown") == (
        found.error_class,
        found.reason,
        found.dispatched,
    )


def test_a_limit_of_somebody_else_is_the_instances(instance):
    found = verdict(instance, status=429, body=b"slow down", headers={"retry-after": "7"})
    assert (R, Reason.RATE_LIMITED, INSTANCE, 7.0) == (
        found.error_class,
        found.reason,
        found.scope,
        found.retry_after,
    )


@pytest.mark.parametrize(
    ("body", "dispatched"), [(b"<html>", "unknown"), (said("service_unavailable"), "no")]
)
def test_a_503_is_asked_again_when_it_says(instance, body, dispatched):
    found = verdict(instance, status=503, body=body, headers={"retry-after": "30"})
    assert (R, dispatched, 30.0) == (found.error_class, found.dispatched, found.retry_after)


def test_a_refusal_is_read_with_any_status(instance):
    assert verdict(instance, status=403, body=said("invalid_auth")).error_class is F


def test_the_details_that_slack_gives_are_kept(instance):
    scope = verdict(instance, body=said("missing_scope", needed="chat:write", provided="x"))
    assert "missing_scope (needed: chat:write)" == scope.raw
    metadata = {"messages": ["[ERROR] missing required field: channel", 3]}
    arguments = verdict(instance, body=said("invalid_arguments", response_metadata=metadata))
    assert "invalid_arguments ([ERROR] missing required field: channel)" == arguments.raw


def test_no_token_is_kept_in_the_words(instance):
    metadata = {"messages": ["[ERROR] bad token xoxb-12-34-abcd, xoxe.xoxp-1-Mi0y, xapp-1-A0"]}
    found = verdict(instance, body=said("invalid_auth", response_metadata=metadata))
    assert "invalid_auth ([ERROR] bad token [token], [token], [token])" == found.raw


def test_what_is_not_slacks_is_left_to_core():
    errors = [TransportError("no route", dispatched="no"), ValueError("a bug")]
    assert [None, None] == [hooks.classify_error(attempt=SEND, error=e) for e in errors]


def test_an_error_names_the_method_and_the_word():
    error = SlackApiError("chat.update", status=200, error="no_text")
    assert "chat.update: no_text" == str(error)
    assert "chat.update: HTTP 502" == str(SlackApiError("chat.update", status=502))


def test_a_status_says_success_only_with_ok_true():
    def answer(body):
        return read("chat.postMessage", Response(200, {}, body))

    assert {"ok": True, "ts": "1"} == answer(b'{"ok": true, "ts": "1"}')
    unreadable = [b"", b"{", b"[]", b"{}", b'{"ok": 1}', b'{"ok": "false"}', b"\xff", b'{"ok":NaN}']
    assert [None] * len(unreadable) == [answer(body) for body in unreadable]
