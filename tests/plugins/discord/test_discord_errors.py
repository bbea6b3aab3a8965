"""Every row of the table of Discord's refusals, in the shapes in which they come."""

import json

import attrs
import pytest

from gateway_core import ErrorClass, Part, Reason, Scope
from gateway_core.authors import BucketReport, TransportError
from gateway_core.http import Response
from gateway_plugin_discord.errors import (
    FRONT_DOOR_WAIT,
    LONG_BACKOFF,
    MOST_WORDS,
    DiscordApiError,
)
from gateway_plugin_discord.hooks import classify_error
from gateway_plugin_discord.learned.invalid_answers import InvalidAnswersError
from gateway_plugin_discord.learned.webhooks import BucketSpentError

ROOM = "1100000000000000001"
THREAD = "1100000000000000002"
VIA = {"via": "1.1 google"}
HASH = "80c17d2f203122d936070c88c8d10f33"
BUCKET = {
    "x-ratelimit-bucket": HASH,
    "x-ratelimit-limit": "5",
    "x-ratelimit-remaining": "0",
    "x-ratelimit-reset-after": "2.500",
}
CREATE = f"POST /channels/{ROOM}/messages"
REPORT = BucketReport(
    bucket=f"{HASH}:{ROOM}", limit=5, remaining=0, reset_after=2.5, provisional=CREATE
)
TOO_LONG = {
    "content": {"_errors": [{"code": "BASE_TYPE_MAX_LENGTH", "message": "Must be 2000 or fewer"}]}
}
NO_REFERENCE = {
    "message_reference": {
        "_errors": [{"code": "REPLIES_UNKNOWN_MESSAGE", "message": "Unknown message"}]
    }
}


def error(status, body=None, headers=VIA):
    """An answer as it goes over the wire."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Response(status, headers, raw)


def coded(status, code, **more):
    return error(status, {"code": code, "message": "said so", **more})


def limited(wait=1.5, *, headers=None, **body):
    whole = {"message": "You are being rate limited.", "retry_after": wait, "global": False}
    return error(429, {**whole, **body}, {**VIA, **(headers or {})})


@attrs.frozen(kw_only=True)
class Meaning:
    error_class: ErrorClass
    reason: Reason
    scope: Scope = Scope.MESSAGE
    dispatched: str = "no"
    retry_after: float | None = None
    buckets: tuple[BucketReport, ...] = ()
    transform: str | None = None


def meaning(verdict):
    return Meaning(**{f.name: getattr(verdict, f.name) for f in attrs.fields(Meaning)})


def retryable(reason=Reason.RATE_LIMITED, scope=Scope.ROOM, **more):
    return Meaning(error_class=ErrorClass.RETRYABLE, reason=reason, scope=scope, **more)


def refused(reason, scope=Scope.MESSAGE, **more):
    return Meaning(error_class=ErrorClass.NON_RETRYABLE, reason=reason, scope=scope, **more)


def again(reason, transform):
    return retryable(reason, Scope.MESSAGE, transform=transform)


FATAL = Meaning(error_class=ErrorClass.FATAL, reason=Reason.UNAUTHORIZED, scope=Scope.INSTANCE)
ASTRAY = retryable(Reason.UNREACHABLE, Scope.INSTANCE)
SERVER = retryable(Reason.PLATFORM_ERROR, Scope.INSTANCE, dispatched="unknown")
EVERYWHERE = Scope.INSTANCE

ROWS = {
    "discord.com/developers/docs/topics/rate-limits": {
        "user": (limited(headers={**BUCKET, "x-ratelimit-scope": "user"}),
                 retryable(scope=Scope.MESSAGE, retry_after=1.5, buckets=(REPORT,))),
        "user, longer than its window": (
            limited(9.5, headers={**BUCKET, "x-ratelimit-remaining": "3",
                                  "x-ratelimit-scope": "user"}),
            retryable(scope=Scope.MESSAGE, retry_after=9.5,
                      buckets=(attrs.evolve(REPORT, reset_after=9.5),))),
        "user, without a bucket": (limited(headers={"x-ratelimit-scope": "user"}),
                                   retryable(retry_after=1.5)),
        "a bucket that is no name": (
            limited(headers={**BUCKET, "x-ratelimit-bucket": "x" * 5_000}),
            retryable(retry_after=1.5)),
        "no scope": (limited(headers=BUCKET), retryable(retry_after=1.5, buckets=(REPORT,))),
        "wait as text": (limited("1.5"), retryable(retry_after=1.5)),
        "header larger": (limited(headers={"retry-after": "2"}), retryable(retry_after=2.0)),
        "header only": (error(429, {"message": "slow"}, {**VIA, "retry-after": "3"}),
                        retryable(retry_after=3.0)),
        "reset only": (error(429, {}, {**VIA, "x-ratelimit-reset-after": "0.7"}),
                       retryable(retry_after=0.7)),
        "no wait": (error(429, {}), retryable()),
        "nan": (error(429, b'{"retry_after": NaN}'),
                retryable(scope=EVERYWHERE, retry_after=600.0)),
        "negative": (limited(-1), retryable()),
        "a date": (limited(None, headers={"retry-after": "Fri, 31 Dec 2027 23:59:59 GMT"}),
                   retryable()),
        "a billion": (limited(10**9), retryable(retry_after=86_400.0)),
        "global by body": (limited(0.3, **{"global": True}), retryable(scope=EVERYWHERE,
                                                                       retry_after=0.3)),
        "global by scope": (limited(headers={"x-ratelimit-scope": "global"}),
                            retryable(scope=EVERYWHERE, retry_after=1.5)),
        "global by header": (limited(headers={"x-ratelimit-global": "true"}),
                             retryable(scope=EVERYWHERE, retry_after=1.5)),
        "global slow mode": (limited(code=20016, **{"global": True}),
                             retryable(scope=EVERYWHERE, retry_after=1.5)),
        "shared": (limited(1337.57, headers={**BUCKET, "x-ratelimit-remaining": "9",
                                             "x-ratelimit-scope": "shared"}),
                   retryable(retry_after=1337.57, buckets=(attrs.evolve(REPORT, remaining=9),))),
        "unknown code": (limited(code=77), retryable(retry_after=1.5)),
    },
    "discord.com/developers/docs/topics/rate-limits#invalid-request-limit-aka-cloudflare-bans": {
        "html": (error(429, b"<html>Error 1015</html>"),
                 retryable(scope=EVERYWHERE, retry_after=FRONT_DOOR_WAIT)),
        "a JSON list": (error(429, []), retryable(scope=EVERYWHERE, retry_after=FRONT_DOOR_WAIT)),
        "no via": (error(429, {"retry_after": 5}, {}),
                   retryable(scope=EVERYWHERE, retry_after=FRONT_DOOR_WAIT)),
        "longer": (error(429, b"", {"retry-after": "3600"}),
                   retryable(scope=EVERYWHERE, retry_after=3600.0)),
        "40333": (coded(403, 40333), retryable(scope=EVERYWHERE, retry_after=FRONT_DOOR_WAIT)),
        "40333 as 429": (coded(429, 40333),
                         retryable(scope=EVERYWHERE, retry_after=FRONT_DOOR_WAIT)),
    },
    "discord.com/developers/docs/topics/opcodes-and-status-codes#json: limits of another kind": {
        "slow mode": (coded(429, 20016, retry_after=9.25), retryable(retry_after=9.25)),
        **{f"{code}": (coded(status, code), retryable(retry_after=LONG_BACKOFF))
           for status, code in ((429, 20016), (403, 20022), (429, 20028), (429, 20029),
                                (429, 30046), (400, 40003), (429, 40062))},
        **{f"{code}": (coded(400, code),
                       retryable(Reason.PLATFORM_ERROR, retry_after=LONG_BACKOFF))
           for code in (40004, 40006)},
        "110001": (coded(503, 110001),
                   retryable(Reason.PLATFORM_ERROR, retry_after=LONG_BACKOFF)),
        "130000": (coded(503, 130000, retry_after=4),
                   retryable(Reason.PLATFORM_ERROR, retry_after=4)),
    },
    "discord.com/developers/docs/reference#error-messages: what is wrong with the message": {
        "too long": (coded(400, 50035, errors=TOO_LONG), again(Reason.TOO_LONG, "stricter")),
        "too long, in words": (coded(400, 50035, errors={"content": ["2000 or fewer in length."]}),
                               again(Reason.TOO_LONG, "stricter")),
        "40005": (coded(413, 40005), again(Reason.TOO_LONG, "stricter")),
        "a form": (coded(400, 50035, errors={"embeds": {"0": {"title": {"_errors": [
            {"code": "BASE_TYPE_MAX_LENGTH", "message": "Must be 256 or fewer in length."}]}}}}),
            refused(Reason.BAD_REQUEST)),
        "a form without places": (coded(400, 50035), refused(Reason.BAD_REQUEST)),
        "a form of another shape": (coded(400, 50035, errors=["?"]), refused(Reason.BAD_REQUEST)),
        "a content of numbers": (coded(400, 50035, errors={"content": 5}),
                                 refused(Reason.BAD_REQUEST)),
        "no reply was asked for": (coded(400, 50035, errors=NO_REFERENCE),
                                   refused(Reason.BAD_REQUEST)),
        **{f"{code}": (coded(400, code), refused(Reason.BAD_REQUEST)) for code in
           (50006, 50046, 50109)},
        **{f"{code}": (coded(400, code), refused(Reason.FORBIDDEN)) for code in
           (160002, 200000, 200001, 240000, 50005, 50021)},
        "10008": (coded(404, 10008), refused(Reason.MESSAGE_GONE)),
    },
    "discord.com/developers/docs/topics/opcodes-and-status-codes#json: channels and permissions": {
        **{f"{code}": (coded(404, code), refused(Reason.ROOM_GONE, Scope.ROOM)) for code in
           (10003, 10004)},
        **{f"{code}": (coded(403, code), refused(Reason.FORBIDDEN, Scope.ROOM)) for code in
           (40007, 40058, 50001, 50007, 50008, 50009, 50013, 50024, 50095, 50278, 160005)},
        **{f"50083 as {status}": (coded(status, 50083), refused(Reason.FORBIDDEN, Scope.ROOM))
           for status in (400, 403)},
    },
    "discord.com/developers/docs/topics/opcodes-and-status-codes#json: tokens": {
        **{f"{code} as {status}": (coded(status, code), refused(Reason.UNAUTHORIZED))
           for status, code in ((401, 50027), (404, 10015), (401, 10015))},
        "401": (error(401, {"message": "401: Unauthorized", "code": 0}), FATAL),
        "401 with a room's code": (coded(401, 50001), FATAL),
        "50041": (coded(400, 50041), attrs.evolve(FATAL, reason=Reason.UNSUPPORTED)),
        **{f"{code}": (coded(status, code), FATAL) for status, code in
           ((401, 40001), (403, 40002), (401, 50014))},
    },
    "discord.com/developers/docs/topics/opcodes-and-status-codes#http, and recorded answers": {
        **{f"{status}": (error(status, b"<html>bad gateway</html>"), SERVER)
           for status in (500, 502, 503, 504, 520, 522, 524)},
        **{f"{status} of somebody else": (error(status, b"error code: 1020", {}), ASTRAY)
           for status in (302, 400, 401, 403, 404, 405, 408, 409, 425, 499, 511, 521, 523, 530)},
        "no code": (error(403, {"message": "Forbidden"}), ASTRAY),
        "nobody behind": (error(503, b"no healthy upstream"), ASTRAY),
        "too large for a proxy": (error(413, b"<html>"), refused(Reason.TOO_LONG)),
        "too long for a proxy": (error(414, b"<html>"), refused(Reason.TOO_LONG)),
        "a page in place of a yes": (
            error(200, b"<html><title>Sign in</title>"),
            retryable(Reason.OUTCOME_UNKNOWN, Scope.INSTANCE, dispatched="unknown")),
        "500 in JSON": (error(500, {"message": "500: Internal Server Error", "code": 0}), SERVER),
        "upstream": (error(503, b"upstream connect error", {"retry-after": "7"}),
                     attrs.evolve(SERVER, retry_after=7.0)),
    },
    "discord.com/developers/docs/topics/opcodes-and-status-codes: what is not listed there": {
        "404": (error(404, {"message": "404: Not Found", "code": 0}), refused(Reason.BAD_REQUEST)),
        "unknown": (coded(400, 99_999), refused(Reason.BAD_REQUEST)),
        "unknown, and forbidden": (coded(403, 99_999), refused(Reason.FORBIDDEN)),
        "unknown, and too large": (coded(413, 99_999), again(Reason.TOO_LONG, "stricter")),
        "unknown, with a strange status": (coded(418, 99_999), refused(Reason.UNCLASSIFIED)),
        "a code that is no number": (coded(400, "50001"), refused(Reason.BAD_REQUEST)),
    },
}  # fmt: skip
"""Each answer as it comes, by where it is documented."""


CASES = [
    pytest.param(source, *row, id=name)
    for source, rows in ROWS.items()
    for name, row in rows.items()
]


@pytest.mark.parametrize(("source", "refusal", "expected"), CASES)
async def test_each_row_has_its_meaning(refused_with, attempt, source, refusal, expected):
    verdict = await refused_with(attempt("send"), refusal)
    assert expected == meaning(verdict), source
    assert verdict.raw.startswith(f"HTTP {refusal.status}, ")


@pytest.mark.parametrize(
    ("refusal", "asked", "expected"),
    [
        pytest.param(
            coded(404, 10008),
            {"operation": "delete"},
            Meaning(error_class=ErrorClass.DONE, reason=Reason.MESSAGE_GONE),
            id="a message to delete that is gone is deleted",
        ),
        pytest.param(
            coded(404, 10008),
            {"operation": "call:DELETE /webhooks/{webhook}/{token}/messages/@original"},
            refused(Reason.MESSAGE_GONE),
            id="a follow-up to delete was never there",
        ),
        pytest.param(
            coded(404, 10008),
            {
                "operation": "call:DELETE /webhooks/{webhook}/{token}/messages/@original",
                "number": 2,
            },
            Meaning(error_class=ErrorClass.DONE, reason=Reason.MESSAGE_GONE),
            id="the try before has deleted the follow-up",
        ),
        pytest.param(
            coded(400, 50035, errors=NO_REFERENCE),
            {"operation": "send", "reply": "5"},
            again(Reason.REPLY_GONE, "without_reply"),
            id="an unknown message to answer is left out",
        ),
        pytest.param(
            coded(400, 50035, errors=TOO_LONG),
            {"operation": "send", "mode": "stricter"},
            refused(Reason.TOO_LONG),
            id="too long even when planned more strictly",
        ),
        pytest.param(
            coded(413, 40005),
            {"operation": "edit", "mode": "stricter"},
            refused(Reason.TOO_LONG),
            id="too large even when planned more strictly",
        ),
        pytest.param(
            coded(400, 50035, errors=TOO_LONG),
            {"operation": "call:PATCH /webhooks/{webhook}/{token}/messages/@original"},
            refused(Reason.TOO_LONG),
            id="a call has no part to plan again",
        ),
        pytest.param(
            coded(403, 160002),
            {"operation": "send", "reply": "5"},
            again(Reason.REPLY_GONE, "without_reply"),
            id="what may not be read is not answered, but said",
        ),
        pytest.param(
            coded(403, 50001),
            {"operation": "delete"},
            refused(Reason.FORBIDDEN, Scope.ROOM),
            id="where nothing may be seen nothing is sent either",
        ),
        pytest.param(
            coded(404, 10003),
            {"operation": "call:POST /channels/{channel}/typing"},
            refused(Reason.ROOM_GONE, Scope.ROOM),
            id="a room that is gone is gone for typing, too",
        ),
        pytest.param(
            coded(400, 40003),
            {"operation": "call:POST /users/@me/channels"},
            retryable(scope=Scope.OPERATION, retry_after=LONG_BACKOFF),
            id="a limit of opening rooms closes that",
        ),
        pytest.param(
            coded(404, 10003),
            {"operation": "send", "thread": THREAD},
            refused(Reason.ROOM_GONE, Scope.THREAD),
            id="in a thread the channel is the thread",
        ),
        pytest.param(
            limited(headers=BUCKET),
            {"operation": "edit", "thread": THREAD},
            retryable(
                scope=Scope.THREAD,
                retry_after=1.5,
                buckets=(
                    attrs.evolve(
                        REPORT,
                        bucket=f"{HASH}:{THREAD}",
                        provisional=f"PATCH /channels/{THREAD}/messages/{{message}}",
                    ),
                ),
            ),
            id="a thread's bucket is not taken for its room's",
        ),
        pytest.param(
            coded(403, 50013),
            {"operation": "call:PUT /channels/{channel}/messages/pins/{message}"},
            refused(Reason.FORBIDDEN),
            id="not to be allowed to pin says nothing of sending",
        ),
        pytest.param(
            coded(403, 50013),
            {"operation": "delete"},
            refused(Reason.FORBIDDEN),
            id="nor does another's message",
        ),
        pytest.param(
            coded(404, 10003),
            {"operation": "call:PUT /channels/{channel}/messages/pins/{message}"},
            refused(Reason.ROOM_GONE, Scope.ROOM),
            id="a room that is gone is gone for all",
        ),
        pytest.param(
            limited(headers=BUCKET),
            {"operation": "call:POST /channels/{channel}/typing"},
            refused(Reason.RATE_LIMITED),
            id="too much typing closes nothing, and nothing waits behind it",
        ),
        pytest.param(
            limited(headers=BUCKET),
            {"operation": "call:POST /interactions/{interaction}/{token}/callback"},
            retryable(scope=Scope.MESSAGE, retry_after=1.5),
            id="an interaction is in no room",
        ),
        pytest.param(
            limited(headers=BUCKET),
            {"operation": "probe"},
            retryable(scope=Scope.MESSAGE, retry_after=1.5),
            id="a probe is in no room",
        ),
        pytest.param(
            limited(0.3, **{"global": True}),
            {"operation": "call:POST /channels/{channel}/typing"},
            retryable(scope=Scope.INSTANCE, retry_after=0.3),
            id="typing may meet the limit of the whole bot",
        ),
        pytest.param(
            error(401, {"message": "401: Unauthorized", "code": 0}),
            {"operation": "call:POST /webhooks/{webhook}/{token}"},
            refused(Reason.UNAUTHORIZED),
            id="a webhook's own token is not the bot's",
        ),
        pytest.param(
            coded(400, 40060),
            {"operation": "call:POST /interactions/{interaction}/{token}/callback"},
            refused(Reason.BAD_REQUEST),
            id="another process has answered the interaction",
        ),
        pytest.param(
            coded(400, 40060),
            {"operation": "call:POST /interactions/{interaction}/{token}/callback", "number": 2},
            Meaning(error_class=ErrorClass.DONE, reason=Reason.NOT_MODIFIED),
            id="the try before has answered the interaction",
        ),
        pytest.param(
            BucketSpentError(retry_after=2.5),
            {"operation": "call:POST /webhooks/{webhook}/{token}"},
            retryable(scope=Scope.MESSAGE, retry_after=2.5),
            id="a webhook's bucket is known to be empty",
        ),
        pytest.param(
            InvalidAnswersError(count=8000, retry_after=12.5),
            {"operation": "send"},
            retryable(scope=Scope.INSTANCE, retry_after=12.5),
            id="the meter stops the instance",
        ),
    ],
)
async def test_meaning_by_attempt(refused_with, refusal, asked, expected, attempt):
    verdict = await refused_with(attempt(**asked), refusal)
    assert expected == meaning(verdict)


def test_errors_below_discord_are_left_to_core(attempt):
    for below in (TransportError("reset", dispatched="unknown"), ValueError("?")):
        assert classify_error(attempt=attempt("send"), error=below) is None


async def test_the_raw_words_are_kept_with_their_places(refused_with, attempt):
    verdict = await refused_with(attempt("send"), coded(400, 50035, errors=TOO_LONG))
    words = "content: BASE_TYPE_MAX_LENGTH, Must be 2000 or fewer"
    assert f"HTTP 400, code 50035: said so ({words})" == verdict.raw


async def test_words_that_are_no_text_give_way_to_the_body(refused_with, attempt):
    verdict = await refused_with(attempt("send"), coded(400, 0, message=7))
    assert 'HTTP 400, code 0: {"code": 0, "message": 7}' == verdict.raw


async def test_a_part_of_a_send_is_planned_again_once_only(refused_with, attempt):
    """As asked, then stricter, then refused: it ends."""
    refusal, modes = coded(400, 50035, errors=TOO_LONG), ["as_asked"]
    while len(modes) < 9:
        step = attempt("send", mode=modes[-1], part=Part(payload={"content": "x"}))
        verdict = await refused_with(step, refusal)
        if verdict.transform is None:
            break
        modes.append(verdict.transform)
    assert ["as_asked", "stricter"] == modes


def test_of_mistakes_without_end_the_first_are_looked_at():
    """However deep they are and however many: everything waits while they are."""
    deep, long = 900, [{"code": "LENGTH", "message": "too long"}] * 20_000
    errors = (
        f'{{"a": {{"_errors": {json.dumps(long)}}}, "content": {"[" * deep}"LENGTH"{"]" * deep}}}'
    )
    body = f'{{"code": 50035, "message": "Invalid Form Body", "errors": {errors}}}'
    error = DiscordApiError(Response(400, {}, body.encode()))
    assert MOST_WORDS == len(error.mistakes["a"])
    assert ("LENGTH",) == error.mistakes["content"]
    many = json.dumps({"errors": {f"{n}": "LENGTH" for n in range(20_000)}})
    assert MOST_WORDS == len(DiscordApiError(Response(400, {}, many.encode())).mistakes)


def test_no_beginning_of_a_secret_is_shown_where_an_answer_is_cut():
    secret = "MTIzNDU2.secret.abcdefghij"
    for before in range(150, 200):
        response = Response(429, {}, f"{'p' * before} {secret} end".encode())
        error = DiscordApiError(response, redact=lambda text: text.replace(secret, "***"))
        assert secret[:3] not in error.message
