"""The requests that the adapter makes, field by field, and what it takes from the answers."""

from urllib.parse import unquote

import attrs
import pytest
from structlog.testing import capture_logs

from gateway_core import Identity, Part
from gateway_core.authors import Answer, BucketReport, TransportError
from gateway_plugin_discord import hooks
from gateway_plugin_discord.errors import DiscordApiError
from gateway_plugin_discord.learned.invalid_answers import InvalidAnswersError
from gateway_plugin_discord.methods import CREATE_FIELDS, EDIT_FIELDS
from gateway_plugin_discord.requests import nonce_of

ROOM = "1100000000000000001"
THREAD = "1100000000000000002"
MESSAGE = "1200000000000000001"
TOKEN = "MTk4NjIyNDgzNDcxOTI1MjQ4.Cl2FMQ.ZnCjm1XVW7vRze4b7Cq4se7kKWs"
CONTENT = {"content": "hello", "allowed_mentions": {"parse": []}, "flags": 4}

FIELDS_OF = {
    # discord.com/developers/docs/resources/message#create-message
    "POST /channels/{}/messages": {
        "content", "nonce", "tts", "embeds", "allowed_mentions", "message_reference", "components",
        "sticker_ids", "flags", "enforce_nonce", "poll", "shared_client_theme",
    },
    # discord.com/developers/docs/resources/message#edit-message
    "PATCH /channels/{}/messages/{}": {
        "content", "embeds", "flags", "allowed_mentions", "components", "attachments",
    },
    # discord.com/developers/docs/resources/message#delete-message
    "DELETE /channels/{}/messages/{}": set(),
    # discord.com/developers/docs/resources/user#get-current-user
    "GET /users/@me": set(),
}  # fmt: skip
"""Every route that the adapter takes by itself, and every field that it may fill in there."""


def template(asked):
    return f"{asked.verb} {'/'.join('{}' if p.isdigit() else p for p in asked.path.split('/'))}"


def test_the_adapters_fields_are_those_of_the_table():
    assert FIELDS_OF["POST /channels/{}/messages"] == CREATE_FIELDS
    assert FIELDS_OF["PATCH /channels/{}/messages/{}"] == EDIT_FIELDS


async def test_nothing_else_is_sent(discord, session, attempt):
    """Every operation with everything that it can carry: no route and no field beyond the table."""
    extra = {name: [] for name in ("embeds", "components")}
    whole = {"key": "k", "reply": "7", "thread": THREAD}
    await hooks.send(session=session, attempt=attempt("send", extra=extra, **whole))
    await hooks.edit(session=session, attempt=attempt("edit", extra=extra, **whole))
    await hooks.delete(session=session, attempt=attempt("delete", **whole))
    await hooks.probe(session=session)
    assert list(FIELDS_OF) == [template(asked) for asked in discord.requests]
    for asked in discord.requests:
        assert set(asked.body or {}) <= FIELDS_OF[template(asked)]


async def test_a_send(discord, session, attempt):
    answer = await hooks.send(session=session, attempt=attempt("send", key="e1/0"))
    (asked,) = discord.requests
    assert ("POST", f"/channels/{ROOM}/messages", "") == (asked.verb, asked.path, asked.query)
    assert {**CONTENT, "nonce": nonce_of("e1/0"), "enforce_nonce": True} == asked.body
    assert f"Bot {TOKEN}" == asked.headers["authorization"]
    assert "DiscordBot (https://example.com/gateway, 0.1.0)" == asked.headers["user-agent"]
    assert asked.headers["content-type"].startswith("application/json")
    assert Answer(message_id=MESSAGE) == answer


async def test_a_send_without_a_key_has_no_nonce(discord, session, attempt):
    await hooks.send(session=session, attempt=attempt("send"))
    assert CONTENT == discord.requests[0].body


async def test_a_thread_is_a_channel_of_its_own(discord, session, attempt):
    await hooks.send(session=session, attempt=attempt("send", thread=THREAD))
    assert f"/channels/{THREAD}/messages" == discord.requests[0].path


async def test_a_reply_names_its_message_and_insists_on_it(discord, session, attempt):
    await hooks.send(session=session, attempt=attempt("send", reply="5"))
    expected = {"message_id": "5", "fail_if_not_exists": True}
    assert expected == discord.requests[0].body["message_reference"]


@pytest.mark.parametrize(
    ("extra", "flags"),
    [
        ({}, 4),
        ({"embeds": []}, 4),
        ({"embeds": [{"title": "hi"}]}, 0),
        ({"embeds": [{"title": "hi"}], "flags": 4096}, 4096),
    ],
)
async def test_flags_add_up_and_embeds_are_shown(discord, session, attempt, extra, flags):
    await hooks.send(session=session, attempt=attempt("send", extra=extra))
    assert {**CONTENT, **extra, "flags": flags} == discord.requests[0].body


@pytest.mark.parametrize(
    ("extra", "then"),
    [
        (None, {}),
        ({}, {"components": [], "embeds": []}),
        ({"embeds": [{"title": "x"}]}, {"components": [], "embeds": [{"title": "x"}]}),
        ({"tts": True, "poll": {}}, {"components": [], "embeds": []}),
    ],
)
async def test_an_edit_names_what_the_message_loses(discord, session, attempt, extra, then):
    """What a PATCH does not name stays; what it does not know is not sent."""
    await hooks.edit(session=session, attempt=attempt("edit", extra=extra))
    fields = discord.requests[0].body
    assert then == {name: fields[name] for name in fields if name not in {*CONTENT, "flags"}}


async def test_components_of_the_second_kind_are_all_that_a_message_is(discord, session, attempt):
    """No content and no embeds beside them, also not empty ones; an edit names no other flag."""
    own = {"components": [{"type": 10, "content": "hi"}], "flags": 1 << 15 | 1 << 12}
    part = Part(payload={"content": "", "flags": 4, "allowed_mentions": {"parse": []}})
    whole = {**own, "allowed_mentions": {"parse": []}}
    await hooks.send(session=session, attempt=attempt("send", part=part, extra=own))
    assert {**whole, "flags": 1 << 15 | 1 << 12 | 4} == discord.requests[0].body
    await hooks.edit(session=session, attempt=attempt("edit", part=part, extra=own))
    assert {**whole, "flags": 1 << 15 | 4} == discord.requests[1].body


async def test_an_edit(discord, session, attempt):
    """Neither nonce nor reference: they do not exist on PATCH."""
    part = Part(payload={"content": "ho", "flags": 0})
    step = attempt("edit", part=part, key="k", reply="5", extra={"components": []})
    assert MESSAGE == (await hooks.edit(session=session, attempt=step)).message_id
    (asked,) = discord.requests
    assert ("PATCH", f"/channels/{ROOM}/messages/{MESSAGE}") == (asked.verb, asked.path)
    assert {"content": "ho", "flags": 0, "components": [], "embeds": []} == asked.body


async def test_a_delete_has_no_body_and_no_answer(discord, session, attempt):
    discord.will_say(status=204)
    answer = await hooks.delete(session=session, attempt=attempt("delete"))
    (asked,) = discord.requests
    assert ("DELETE", f"/channels/{ROOM}/messages/{MESSAGE}", None) == (
        asked.verb,
        asked.path,
        asked.body,
    )
    assert Answer() == answer


async def test_a_probe(discord, session):
    discord.will_say({"id": "80351110224678912", "username": "gateway"})
    assert Identity(id="80351110224678912", name="gateway") == await hooks.probe(session=session)
    assert ("GET", "/users/@me") == (discord.requests[0].verb, discord.requests[0].path)


async def test_a_probe_takes_any_success_for_an_answer(discord, session):
    discord.will_say(b"[]")
    assert Identity(id="", name="") == await hooks.probe(session=session)


CALLS = [
    ("POST /channels/{channel}/typing", {}, f"/channels/{ROOM}/typing", "", None),
    (
        "PUT /channels/{channel}/messages/{message}/reactions/{emoji}/@me",
        {"message": MESSAGE, "emoji": "👍"},
        f"/channels/{ROOM}/messages/{MESSAGE}/reactions/👍/@me",
        "",
        None,
    ),
    (
        "POST /interactions/{interaction}/{token}/callback",
        {"interaction": 9, "token": "aW50/x", "type": 4, "data": {"content": "hi"}},
        "/interactions/9/aW50/x/callback",
        "",
        {"type": 4, "data": {"allowed_mentions": {"parse": []}, "content": "hi"}},
    ),
    (
        "POST /webhooks/{webhook}/{token}",
        {
            "webhook": 9,
            "token": "t",
            "content": "@here",
            "allowed_mentions": {"parse": ["everyone"]},
        },
        "/webhooks/9/t",
        "",
        {"content": "@here", "allowed_mentions": {"parse": ["everyone"]}},
    ),
    (
        "GET /channels/{channel}/messages",
        {"limit": 5, "around": MESSAGE},
        f"/channels/{ROOM}/messages",
        f"limit=5&around={MESSAGE}",
        None,
    ),
]


@pytest.mark.parametrize("example", CALLS)
async def test_calls(discord, session, attempt, example):
    """Arguments fill the path; the rest is the body, or the query where there is none."""
    method, arguments, path, query, body = example
    discord.will_say(status=204)
    step = attempt(f"call:{method}", arguments=arguments)
    assert Answer() == await hooks.call(session=session, attempt=step)
    (asked,) = discord.requests
    assert (path, query, body) == (unquote(asked.path), asked.query, asked.body)


async def test_a_calls_answer_is_its_result(discord, session, attempt):
    discord.will_say([{"id": "1"}])
    step = attempt("call:GET /channels/{channel}/messages")
    assert [{"id": "1"}] == (await hooks.call(session=session, attempt=step)).result


async def test_a_call_of_nothing_is_an_error_of_the_caller(session, attempt):
    with pytest.raises(ValueError, match="not a method of Discord's API"):
        await hooks.call(session=session, attempt=attempt("call:chat.postMessage"))


HEADERS = {
    "X-RateLimit-Bucket": "abc",
    "X-RateLimit-Limit": "5",
    "X-RateLimit-Remaining": "4",
    "X-RateLimit-Reset-After": "4.987",
}


async def test_an_answer_tells_of_its_bucket(discord, session, attempt):
    discord.will_say({"id": MESSAGE}, headers=HEADERS)
    answer = await hooks.send(session=session, attempt=attempt("send"))
    expected = BucketReport(
        bucket=f"abc:{ROOM}",
        limit=5,
        remaining=4,
        reset_after=4.987,
        provisional=f"POST /channels/{ROOM}/messages",
    )
    assert (expected,) == answer.buckets


async def test_the_provisional_name_is_the_one_that_was_asked_for(
    discord, session, instance, attempt
):
    for operation in ("send", "edit", "delete"):
        discord.will_say({"id": MESSAGE}, headers=HEADERS)
        step = attempt(operation)
        answer = await getattr(hooks, operation)(session=session, attempt=step)
        asked = hooks.rate_limit(instance=instance, room=ROOM, thread=None, operation=operation)
        assert asked[0].bucket == answer.buckets[0].provisional


async def test_headers_that_are_no_numbers_tell_nothing(discord, session, attempt):
    junk = {"X-RateLimit-Limit": "five", "X-RateLimit-Remaining": "-1"}
    discord.will_say({"id": MESSAGE}, headers={**HEADERS, **junk, "X-RateLimit-Reset-After": "nan"})
    (report,) = (await hooks.send(session=session, attempt=attempt("send"))).buckets
    assert (None, None, None) == (report.limit, report.remaining, report.reset_after)


@pytest.mark.parametrize(
    "body", [b"", b'{"id": "12', b"\xff", b"[]", b'{"id": 5}', b"x" * (2 << 20)]
)
async def test_a_success_that_cannot_be_read_is_a_success(discord, session, attempt, body):
    """Its id is asked for once, with the same nonce."""
    discord.will_say(body)
    assert (
        MESSAGE == (await hooks.send(session=session, attempt=attempt("send", key="k"))).message_id
    )
    first, again = discord.requests
    assert first == again


UNREAD = {"X-RateLimit-Bucket": "abc", "X-RateLimit-Remaining": "0"}


@pytest.mark.parametrize(
    ("key", "headers", "then", "requests"),
    [
        ("", {}, None, 1),
        ("k", UNREAD, None, 1),
        ("k", {}, (b"{", 200), 2),
        ("k", {}, ({"retry_after": 1, "message": "slow"}, 429), 2),
        ("k", {}, (b"", 502), 2),
    ],
    ids=["no nonce", "no token left", "unreadable again", "refused", "broken"],
)
async def test_where_its_id_cannot_be_told_it_is_a_success_all_the_same(
    discord, session, attempt, key, headers, then, requests
):
    discord.will_say(b"{", headers=headers)
    if then is not None:
        discord.will_say(then[0], status=then[1])
    assert (await hooks.send(session=session, attempt=attempt("send", key=key))).message_id is None
    assert requests == len(discord.requests)


async def test_a_refusal_is_raised_with_all_that_it_said(discord, session, attempt):
    discord.will_say({"code": 50001, "message": "Missing Access"}, status=403, headers=HEADERS)
    with pytest.raises(DiscordApiError) as caught:
        await hooks.send(session=session, attempt=attempt("send"))
    assert (403, 50001, "Missing Access") == (
        caught.value.status,
        caught.value.code,
        caught.value.message,
    )
    assert "abc" == caught.value.headers["x-ratelimit-bucket"]


async def test_a_refusal_that_cannot_be_read_is_somebody_elses_and_counts(
    discord, session, attempt
):
    discord.will_say(b"x" * (2 << 20), status=403)
    with pytest.raises(DiscordApiError) as caught:
        await hooks.send(session=session, attempt=attempt("send"))
    found = hooks.classify_error(attempt=attempt("send"), error=caught.value)
    assert ("retryable", "no") == (found.error_class, found.dispatched)
    assert 1 == len(session.meter._times)


async def test_the_session_stops_before_the_front_door_closes(
    discord, session, attempt, autojump_clock
):
    session.meter.limit = 10
    with capture_logs() as logs:
        for _ in range(8):
            discord.will_say({"code": 50001}, status=403)
            with pytest.raises(DiscordApiError):
                await hooks.send(session=session, attempt=attempt("send"))
    assert ["discord.invalid_answers_high"] == [log["event"] for log in logs]
    with pytest.raises(InvalidAnswersError) as caught:
        await hooks.send(session=session, attempt=attempt("send"))
    assert 8 == len(discord.requests)
    verdict = hooks.classify_error(attempt=attempt("send"), error=caught.value)
    assert ("instance", 600.0) == (verdict.scope, verdict.retry_after)


async def test_a_dead_server_gives_a_transport_error_without_the_token(instance, attempt):
    settings = attrs.evolve(instance.settings, base_url="http://127.0.0.1:9")
    async with hooks.open_session(instance=attrs.evolve(instance, settings=settings)) as session:
        with pytest.raises(TransportError) as caught:
            await hooks.send(session=session, attempt=attempt("send"))
    assert "no" == caught.value.dispatched
    assert TOKEN not in f"{caught.value} {caught.value!r}"
