"""What each of Telegram's answers means: wire answer in, verdict out."""

from __future__ import annotations

from typing import Any

import pytest

from gateway_core import ErrorClass, Part, Reason, Scope, Verdict
from gateway_plugin_telegram import TelegramApiError, hooks

PART = Part(payload={"text": "hello"})


def refusal(code: int, description: str, **parameters: Any) -> dict[str, Any]:
    body = {"ok": False, "error_code": code, "description": description}
    return {**body, "parameters": parameters} if parameters else body


def verdict(error_class: str, reason: str, scope: str = "message", **more: Any) -> Verdict:
    return Verdict(
        error_class=ErrorClass(error_class), reason=Reason(reason), scope=Scope(scope), **more
    )


LIMITED = verdict("retryable", "rate_limited", "room")
ROOM_GONE = verdict("non_retryable", "room_gone", "room")
NO_RIGHTS = verdict("non_retryable", "forbidden", "room")
THREAD_GONE = verdict("non_retryable", "thread_gone", "thread")
MESSAGE_GONE = verdict("non_retryable", "message_gone")
BAD_REQUEST = verdict("non_retryable", "bad_request")
FILE_TOO_LARGE = verdict("non_retryable", "too_long")
UNSUPPORTED = verdict("non_retryable", "unsupported")
UNAUTHORIZED = verdict("fatal", "unauthorized", "instance")
TRY_PLAIN = verdict("retryable", "bad_format", transform="plain")
TRY_STRICTER = verdict("retryable", "too_long", transform="stricter")
TRY_WITHOUT_REPLY = verdict("retryable", "reply_gone", transform="without_reply")
DOWN = verdict("retryable", "platform_error", "instance", dispatched="unknown")

ASTRAY = verdict("retryable", "unreachable", "instance")
"""Somebody in between answered, and kept the request."""


def waiting(seconds: float | None) -> Verdict:
    return verdict("retryable", "rate_limited", "room", retry_after=seconds)


IN_ALBUM = "Bad Request: failed to send message #2 with the error message"

# source -> (operation, status, description, verdict): one line per wording.
WORDED = {
    "core.telegram.org/api/errors, and tdlib/telegram-bot-api, Client.cpp: what is sent": [
        ("send", 400, "Bad Request: can't parse entities: Unexpected end tag", TRY_PLAIN),
        ("edit", 400, "Bad Request: Can't parse entities: unclosed \"chat not found\"", TRY_PLAIN),
        ("send", 400, "Bad Request: message is too long", TRY_STRICTER),
        ("send", 400, "Bad Request: text is too long", TRY_STRICTER),
        ("edit", 400, "Bad Request: MESSAGE_TOO_LONG", TRY_STRICTER),
        ("edit", 400, "Bad Request: ENTITIES_TOO_LONG", TRY_STRICTER),
        ("call:closeForumTopic", 400, "Bad Request: TOPIC_NOT_MODIFIED",
         verdict("done", "not_modified")),
        ("edit", 400, "Bad Request: message is not modified: specified new message content …",
         verdict("done", "not_modified")),
        ("send", 400, "Bad Request: message is not modified", BAD_REQUEST),
        ("edit", 400, "Bad Request: message to edit not found", MESSAGE_GONE),
        ("edit", 400, "Bad Request: message can't be edited", MESSAGE_GONE),
        ("edit", 400, "Bad Request: MESSAGE_ID_INVALID", MESSAGE_GONE),
        ("delete", 400, "Bad Request: message to delete not found", MESSAGE_GONE),
        ("call:pinChatMessage", 400, "Bad Request: message to pin not found", MESSAGE_GONE),
        ("call:unpinChatMessage", 400, "Bad Request: message to unpin not found", MESSAGE_GONE),
        ("call:setMessageReaction", 400, "Bad Request: message to react not found", MESSAGE_GONE),
        ("call:copyMessage", 400, "Bad Request: message to copy not found", MESSAGE_GONE),
        ("call:forwardMessage", 400, "Bad Request: message to forward not found", MESSAGE_GONE),
        ("delete", 400, "Bad Request: message can't be deleted", BAD_REQUEST),
        ("send", 400, "Bad Request: message text is empty", BAD_REQUEST),
        ("send", 400, "Bad Request: text must be non-empty", BAD_REQUEST),
        ("send", 400, "Bad Request: inline keyboard button URL 'chat not found' is invalid",
         BAD_REQUEST),
        ("send", 400, "Bad Request: BUTTON_DATA_INVALID", BAD_REQUEST),
    ],
    "core.telegram.org/bots/api#sending-files, tdlib's FileManager and telegram-bot-api: files": [
        ("upload", 400, "Bad Request: wrong file identifier/HTTP URL specified", BAD_REQUEST),
        ("upload", 400, "Bad Request: wrong remote file identifier specified: Wrong padding",
         BAD_REQUEST),
        ("upload", 400, "Bad Request: can't use file of type Photo as Document", BAD_REQUEST),
        ("upload", 400, "Bad Request: failed to get HTTP URL content", BAD_REQUEST),
        ("upload", 400, "Bad Request: wrong type of the web page content", BAD_REQUEST),
        ("upload", 400, "Bad Request: PHOTO_INVALID_DIMENSIONS", BAD_REQUEST),
        ("upload", 400, "Bad Request: IMAGE_PROCESS_FAILED", BAD_REQUEST),
        ("upload", 400, "Bad Request: file must be non-empty", BAD_REQUEST),
        ("upload", 400, "Bad Request: file is too big", FILE_TOO_LARGE),
        ("upload", 400, "Bad Request: file of size 10485761 bytes is too big for a photo; the …",
         FILE_TOO_LARGE),
        ("upload", 413, "Request Entity Too Large", FILE_TOO_LARGE),
        ("upload", 400, "Bad Request: message caption is too long", TRY_STRICTER),
        ("upload", 400, "Bad Request: MEDIA_CAPTION_TOO_LONG", TRY_STRICTER),
        ("upload", 400, "Bad Request: message is not modified", BAD_REQUEST),
        ("upload", 400, "Bad Request: chat not found", ROOM_GONE),
        ("upload", 400, "Bad Request: not enough rights to send photos to the chat",
         verdict("non_retryable", "forbidden")),
        ("upload", 400, f'{IN_ALBUM} "WEBPAGE_MEDIA_EMPTY"', BAD_REQUEST),
        ("upload", 400, f'{IN_ALBUM} "file is too big"', FILE_TOO_LARGE),
        ("upload", 400, f'{IN_ALBUM} "CHAT_SEND_PHOTOS_FORBIDDEN"',
         verdict("non_retryable", "forbidden")),
        ("send", 400, f'{IN_ALBUM} "CHAT_WRITE_FORBIDDEN"', NO_RIGHTS),
        ("upload", 403, f'{IN_ALBUM} "USER_IS_BLOCKED"', NO_RIGHTS),
        ("upload", 400, f'{IN_ALBUM} "MEDIA_CAPTION_TOO_LONG"', TRY_STRICTER),
        ("upload", 400, f'{IN_ALBUM} "TOPIC_CLOSED"', THREAD_GONE),
        ("upload", 400, f'{IN_ALBUM} "something with "chat not found" in it"', BAD_REQUEST),
        ("edit", 400, "Bad Request: there is no text in the message to edit", UNSUPPORTED),
        ("edit", 400, "Bad Request: there is no caption in the message to edit", UNSUPPORTED),
        ("edit", 400, "Bad Request: message media can't be edited", UNSUPPORTED),
        ("edit", 400, "Bad Request: can't change media type in the album", UNSUPPORTED),
    ],
    "tdlib/telegram-bot-api, Client.cpp: rooms and rights": [
        ("send", 400, "Bad Request: message thread not found", THREAD_GONE),
        ("send", 400, "Bad Request: TOPIC_CLOSED", THREAD_GONE),
        ("send", 400, "Bad Request: TOPIC_DELETED", THREAD_GONE),
        ("send", 400, "Bad Request: chat not found", ROOM_GONE),
        ("send", 400, "Bad Request: PEER_ID_INVALID", ROOM_GONE),
        ("send", 400, "Bad Request: not enough rights to send text messages to the chat",
         NO_RIGHTS),
        ("send", 400, "Bad Request: have no rights to send a message", NO_RIGHTS),
        ("send", 400, "Bad Request: CHAT_WRITE_FORBIDDEN", NO_RIGHTS),
        ("send", 403, "Forbidden: bot was blocked by the user", NO_RIGHTS),
        ("send", 403, "Forbidden: user is deactivated", ROOM_GONE),
        ("send", 403, "Forbidden: bot was kicked from the supergroup chat", NO_RIGHTS),
        ("send", 403, "Forbidden: bot is not a member of the channel chat", NO_RIGHTS),
        ("send", 403, "Forbidden: the group chat was deleted", ROOM_GONE),
        ("send", 403, "Forbidden: bot can't initiate conversation with a user", NO_RIGHTS),
        ("send", 403, "Forbidden: bot can't send messages to bots", NO_RIGHTS),
        ("send", 403, "Unauthorized: bot was kicked from the group chat", NO_RIGHTS),
        ("send", 401, "Unauthorized: bot was kicked from the group chat", NO_RIGHTS),
        ("send", 403, "[Error]: Bot was blocked by the user", NO_RIGHTS),
        ("send", 403, "Forbidden: something new", verdict("non_retryable", "forbidden")),
    ],
    "tdlib/telegram-bot-api, Client.cpp and HttpConnection.cpp: tokens and methods": [
        ("send", 401, "Unauthorized", UNAUTHORIZED),
        ("send", 404, "Not Found", UNAUTHORIZED),
        ("call:nonsense", 404, "Not Found: method not found",
         verdict("non_retryable", "unsupported")),
    ],
    "core.telegram.org/bots/api#making-requests: HTTP statuses": [
        ("send", 409, "Conflict: terminated by other getUpdates request",
         verdict("retryable", "platform_error")),
        ("send", 413, "Request Entity Too Large", verdict("non_retryable", "too_long")),
        ("send", 405, "Method Not Allowed: unsupported", BAD_REQUEST),
        ("send", 500, "Internal Server Error", DOWN),
        ("send", 502, "Bad Gateway", DOWN),
        ("send", 503, "Service Unavailable", DOWN),
        ("send", 504, "Gateway Timeout", DOWN),
        ("send", 524, "A Timeout Occurred", DOWN),
        ("edit", 500, "Internal Server Error: chat not found", DOWN),
        ("send", 429, "Too Many Requests", LIMITED),
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("source", "case"),
    [
        pytest.param(source, case, id=f"{case[1]} {case[2]}")
        for source, cases in WORDED.items()
        for case in cases
    ],
)
async def test_each_wording_has_its_meaning(telegram, attempt, perform, source, case):
    operation, status, description, expected = case
    telegram.answers(status, refusal(status, description))
    tried = attempt(operation, thread="4" if "Topic" in operation else None)
    with pytest.raises(TelegramApiError) as caught:
        await perform(tried)
    answer = hooks.classify_error(tried, caught.value)
    assert (expected.error_class, expected.reason, expected.scope) == (
        answer.error_class,
        answer.reason,
        answer.scope,
    ), source
    assert (expected.dispatched, expected.transform) == (answer.dispatched, answer.transform)
    assert (None, None) == (answer.retry_after, answer.moved_to)
    assert f"{status} {description}" == answer.raw


CLOSED = verdict("retryable", "rate_limited", "instance")
GATEWAY_PAGE = b"<html><body><h1>502 Bad Gateway</h1></body></html>"

# (status, body, headers, verdict): answers that are told apart by more than their words. Sources:
# core.telegram.org/bots/api#responseparameters, #making-requests; recorded answers of what stands
# between (pages of HTML, nothing at all).
SHAPED = [
    (429, refusal(429, "Too Many Requests: retry after 7", retry_after=7), {}, waiting(7.0)),
    (429, refusal(429, "Too Many Requests: retry after 0", retry_after=0), {}, waiting(0.0)),
    (429, refusal(429, "Too Many Requests", retry_after="12"), {}, waiting(12.0)),
    (429, refusal(429, "Too Many Requests", retry_after=10**9), {}, waiting(86_400.0)),
    (429, refusal(429, "Too Many Requests", retry_after=-1), {}, waiting(None)),
    (429, refusal(429, "Too Many Requests", retry_after=True), {}, waiting(None)),
    (429, refusal(429, "Too Many Requests", retry_after="Thu, 01 Jan 2026"), {}, waiting(None)),
    (429, b'{"ok":false,"parameters":{"retry_after":NaN}}', {}, CLOSED),
    (429, b'{"ok":false,"parameters":[]}', {"Retry-After": "4"}, waiting(4.0)),
    (429, GATEWAY_PAGE, {}, CLOSED),
    (429, b"", {"Retry-After": "nan"}, CLOSED),
    (429, b"error code: 1015", {"Retry-After": "60"},
     verdict("retryable", "rate_limited", "instance", retry_after=60.0)),
    (400, refusal(400, "Bad Request: SLOWMODE_WAIT", retry_after=9), {}, waiting(9.0)),
    (400, refusal(400, "Bad Request: can't parse entities", retry_after=9), {}, waiting(9.0)),
    (500, refusal(500, "Internal Server Error: restart", retry_after=5), {}, waiting(5.0)),
    (200, refusal(429, "Too Many Requests: retry after 3", retry_after=3), {}, waiting(3.0)),
    (200, refusal(403, "Forbidden: bot was blocked by the user"), {}, NO_RIGHTS),
    (200, {"ok": False}, {}, verdict("retryable", "platform_error", "instance")),
    (400, {"ok": False, "description": None}, {}, BAD_REQUEST),
    (400, b"[1, 2]", {}, ASTRAY),
    (403, {"message": "Forbidden"}, {}, ASTRAY),
    (400, {"ok": False, "error_code": "400", "description": "chat not found"}, {}, ROOM_GONE),
    (400, refusal(400, "Bad Request: group chat was upgraded to a supergroup chat",
                  migrate_to_chat_id=-1001234567890), {},
     verdict("retryable", "room_moved", "room", moved_to="-1001234567890")),
    (403, refusal(403, "Forbidden: the group was migrated", migrate_to_chat_id=-1009), {},
     verdict("retryable", "room_moved", "room", moved_to="-1009")),
    (400, refusal(400, "Bad Request: group chat was upgraded", migrate_to_chat_id=None), {},
     BAD_REQUEST),
    (502, GATEWAY_PAGE, {"content-type": "text/html"}, DOWN),
    (503, b"", {"Retry-After": "30"},
     verdict("retryable", "platform_error", "instance", dispatched="unknown", retry_after=30.0)),
    (503, refusal(503, "Service Unavailable"), {"Retry-After": "30"},
     verdict("retryable", "platform_error", "instance", dispatched="unknown", retry_after=30.0)),
    (503, b"no healthy upstream", {}, ASTRAY),
    (521, b"error code: 521", {}, ASTRAY),
    (504, b"\xff\xfe", {}, DOWN),
    (404, b"<html>nginx</html>", {}, ASTRAY),
    (403, b"error code: 1020", {}, ASTRAY),
    (401, b"", {}, ASTRAY),
    (408, b"", {}, ASTRAY),
    (413, GATEWAY_PAGE, {}, verdict("non_retryable", "too_long")),
    (414, b"", {}, verdict("non_retryable", "too_long")),
    (200, b"<html><title>Sign in</title></html>", {},
     verdict("retryable", "outcome_unknown", "instance", dispatched="unknown")),
    (302, b"", {"Location": "https://example.org/"}, ASTRAY),
]  # fmt: skip


@pytest.mark.parametrize("case", SHAPED)
async def test_each_shape_has_its_meaning(telegram, attempt, perform, case):
    status, body, headers, expected = case
    telegram.answers(status, body, headers)
    with pytest.raises(TelegramApiError) as caught:
        await perform(attempt())
    answer = hooks.classify_error(attempt(), caught.value)
    assert expected == Verdict(
        error_class=answer.error_class,
        reason=answer.reason,
        scope=answer.scope,
        dispatched=answer.dispatched,
        retry_after=answer.retry_after,
        transform=answer.transform,
        moved_to=answer.moved_to,
    )


REPLY_LOST = [
    "Bad Request: message to be replied not found",
    "Bad Request: reply message not found",
    "Bad Request: replied message not found",
]


@pytest.mark.parametrize("description", REPLY_LOST)
def test_a_lost_reply_is_dropped_once(attempt, description):
    error = TelegramApiError(status=400, description=description)
    with_reply = hooks.classify_error(attempt(reply="5"), error)
    without = hooks.classify_error(attempt(), error)
    assert TRY_WITHOUT_REPLY.transform == with_reply.transform
    assert (ErrorClass.RETRYABLE, Reason.REPLY_GONE) == (with_reply.error_class, with_reply.reason)
    assert (ErrorClass.NON_RETRYABLE, None) == (without.error_class, without.transform)


@pytest.mark.parametrize(
    ("description", "mode", "transform"),
    [
        ("can't parse entities", "as_asked", "plain"),
        ("can't parse entities", "stricter", "plain"),
        ("can't parse entities", "plain", None),
        ("message is too long", "as_asked", "stricter"),
        ("message is too long", "stricter", None),
        ("message is too long", "plain", None),
    ],
)
def test_a_part_is_planned_again_only_where_that_changes_it(attempt, description, mode, transform):
    error = TelegramApiError(status=400, description=f"Bad Request: {description}")
    answer = hooks.classify_error(attempt(mode=mode), error)
    assert transform == answer.transform
    expected = ErrorClass.NON_RETRYABLE if transform is None else ErrorClass.RETRYABLE
    assert expected == answer.error_class


def test_a_call_has_no_part_to_plan_again(attempt):
    error = TelegramApiError(status=400, description="Bad Request: can't parse entities: x")
    answer = hooks.classify_error(attempt("call:sendPhoto"), error)
    assert (ErrorClass.NON_RETRYABLE, None) == (answer.error_class, answer.transform)


@pytest.mark.parametrize("operation", ["delete", "call:deleteMessage"])
@pytest.mark.parametrize(("number", "expected"), [(1, "non_retryable"), (2, "done")])
def test_a_repeated_delete_finds_its_message_gone(attempt, operation, number, expected):
    """The first try of a delete may have worked though nobody heard of it."""
    error = TelegramApiError(status=400, description="Bad Request: message to delete not found")
    assert expected == hooks.classify_error(attempt(operation, number=number), error).error_class


@pytest.mark.parametrize(
    ("operation", "arguments", "description", "scope"),
    [
        ("call:pinChatMessage", {}, "not enough rights to manage pinned messages", "message"),
        ("delete", {}, "not enough rights", "message"),
        ("call:getChat", {"chat_id": "-5"}, "chat not found", "message"),
        ("call:getChat", {"chat_id": -100123}, "chat not found", "room"),
        ("call:sendChatAction", {}, "chat not found", "room"),
        ("delete", {}, "chat not found", "room"),
    ],
)
def test_a_room_is_given_up_only_for_what_concerns_it(
    attempt, operation, arguments, description, scope
):
    """A missing right to pin, or another chat's end, must not end the room's backlog."""
    error = TelegramApiError(status=400, description=f"Bad Request: {description}")
    answer = hooks.classify_error(attempt(operation, arguments=arguments), error)
    assert (ErrorClass.NON_RETRYABLE, Scope(scope)) == (answer.error_class, answer.scope)


@pytest.mark.parametrize(
    ("operation", "error_class", "scope", "wait"),
    [
        ("send", "retryable", "room", 3.0),
        ("call:pinChatMessage", "retryable", "room", 3.0),
        ("call:answerCallbackQuery", "retryable", "message", 3.0),
        ("call:getChat", "retryable", "message", 3.0),
        ("call:sendChatAction", "non_retryable", "message", None),
        ("probe", "retryable", "instance", 3.0),
    ],
)
def test_a_limit_closes_what_draws_on_it(attempt, operation, error_class, scope, wait):
    """A late sign of typing is dropped; an answer to a press keeps no message back."""
    answer = hooks.classify_error(attempt(operation), TelegramApiError(status=429, retry_after=3.0))
    assert (ErrorClass(error_class), Reason.RATE_LIMITED, Scope(scope), wait) == (
        answer.error_class,
        answer.reason,
        answer.scope,
        answer.retry_after,
    )


def test_a_limited_probe_closes_the_instance(attempt):
    error = TelegramApiError(status=429, retry_after=3.0)
    assert Scope.INSTANCE == hooks.classify_error(attempt("probe"), error).scope


def test_other_errors_are_left_to_core(attempt):
    assert hooks.classify_error(attempt(), RuntimeError("no answer of Telegram's")) is None
    assert "500" == str(TelegramApiError(status=500))
