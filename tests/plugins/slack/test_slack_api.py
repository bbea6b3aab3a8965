"""The session: what is sent, what the answers become."""

import attrs
import pytest
import trio
import trio.testing
from structlog.testing import capture_logs

from gateway_core import Identity, Instance, Part, Reason, Secret
from gateway_core.authors import Answer, TransportError
from gateway_plugin_slack import hooks
from gateway_plugin_slack.errors import SlackApiError
from gateway_plugin_slack.settings import Settings

TOKEN = "xoxb-1111-2222-abcDEF"
TS = "1700000000.000100"

ARGUMENTS = {
    # method -> the arguments that the adapter gives it of its own, and where they are documented
    "chat.postMessage": (
        {
            "blocks",
            "channel",
            "link_names",
            "mrkdwn",
            "parse",
            "text",
            "thread_ts",
            "unfurl_links",
            "unfurl_media",
        },
        "docs.slack.dev/reference/methods/chat.postMessage",
    ),
    "chat.update": (
        {"blocks", "channel", "link_names", "parse", "text", "ts"},
        "docs.slack.dev/reference/methods/chat.update",
    ),
    "chat.delete": ({"channel", "ts"}, "docs.slack.dev/reference/methods/chat.delete"),
    "auth.test": (set(), "docs.slack.dev/reference/methods/auth.test"),
    "oauth.v2.access": (
        {"client_id", "client_secret", "grant_type", "refresh_token"},
        "docs.slack.dev/reference/methods/oauth.v2.access",
    ),
}


def rotating():
    return Settings(
        token=Secret(TOKEN),
        refresh_token=Secret("xoxe-1-first"),
        client_id="1.2",
        client_secret=Secret("shh"),
    )


async def test_nothing_else_is_sent_than_the_documented_arguments(slack, attempt):
    instance = Instance("support", "slack", rotating())
    most = {"thread_ts": TS, "blocks": [{"type": "divider"}]}
    threaded = Part(payload={**attempt("send").part.payload, **most})
    async with hooks.open_session(instance=instance) as session:
        await hooks.send(session=session, attempt=attempt("send", thread=TS))
        await hooks.send(session=session, attempt=attempt("send", part=threaded))
        await hooks.edit(session=session, attempt=attempt("edit", part=threaded))
        await hooks.delete(session=session, attempt=attempt("delete"))
        await hooks.probe(session=session)
        await hooks.credentials(session=session)
    sent = {}
    for request in slack.requests:
        sent.setdefault(request.method, set()).update(request.fields)
    assert {method: known for method, (known, _) in ARGUMENTS.items()} == sent


async def test_a_post_is_json_with_the_token_in_the_header(slack, session, attempt):
    answer = await hooks.send(session=session, attempt=attempt("send"))
    [request] = slack.requests
    assert Answer(message_id=TS) == answer
    assert "chat.postMessage" == request.method
    assert f"Bearer {TOKEN}" == request.headers["authorization"]
    assert "application/json; charset=utf-8" == request.headers["content-type"]
    assert {
        "channel": "C024BE91L",
        "text": "hello",
        "mrkdwn": False,
        "parse": "none",
        "link_names": False,
        "unfurl_links": False,
        "unfurl_media": False,
    } == request.fields


@pytest.mark.parametrize(
    ("where", "thread"),
    [
        ({}, None),
        ({"thread": TS}, TS),
        ({"reply": "1700000000.000300"}, "1700000000.000300"),
        ({"reply": f"C024BE91L:{TS}"}, TS),
        ({"thread": TS, "reply": "1700000000.000300"}, TS),
    ],
)
async def test_a_reply_is_a_thread_unless_it_stands_in_one(slack, session, attempt, where, thread):
    await hooks.send(session=session, attempt=attempt("send", **where))
    assert thread == slack.requests[0].fields.get("thread_ts")


@pytest.mark.parametrize("room", ["#general", "U024BE7LH"])
async def test_a_message_to_a_name_keeps_the_conversation_in_its_id(slack, session, attempt, room):
    if room.startswith("U"):  # of an app that may not open direct messages
        slack.will_say({"ok": False, "error": "missing_scope"})
    slack.will_say({"ok": True, "channel": "D024BE91L", "ts": TS})
    answer = await hooks.send(session=session, attempt=attempt("send", room=room))
    assert f"D024BE91L:{TS}" == answer.message_id
    for operation in ("edit", "delete"):
        step = attempt(operation, room=room, message_id=answer.message_id)
        again = await getattr(hooks, operation)(session=session, attempt=step)
        fields = slack.requests[-1].fields
        assert ("D024BE91L", TS) == (fields["channel"], fields["ts"])
        assert answer.message_id == again.message_id


async def test_an_edit_is_chat_update(slack, session, attempt):
    answer = await hooks.edit(session=session, attempt=attempt("edit", thread=TS))
    [request] = slack.requests
    assert ("chat.update", TS) == (request.method, answer.message_id)
    assert {
        "channel": "C024BE91L",
        "ts": TS,
        "text": "hello",
        "parse": "none",
        "link_names": False,
        "blocks": [],
    } == request.fields


@pytest.mark.parametrize(
    ("extra", "then"),
    [
        (None, {"blocks": []}),
        ({}, {"blocks": [], "attachments": []}),
        ({"blocks": [{"type": "divider"}]}, {"blocks": [{"type": "divider"}], "attachments": []}),
        ({"attachments": [{"text": "x"}]}, {"blocks": [], "attachments": [{"text": "x"}]}),
    ],
)
async def test_an_edit_names_what_the_message_loses(slack, session, attempt, extra, then):
    """What chat.update does not name stays, and blocks would hide the new text."""
    await hooks.edit(session=session, attempt=attempt("edit", extra=extra))
    fields = slack.requests[0].fields
    assert then == {name: fields[name] for name in ("blocks", "attachments") if name in fields}


async def test_the_platforms_own_fields_are_added_and_win(slack, session, attempt):
    extra = {"blocks": [{"type": "divider"}], "username": "ada", "unfurl_links": True}
    await hooks.send(session=session, attempt=attempt("send", extra=extra))
    assert extra.items() <= slack.requests[0].fields.items()


async def test_blocks_that_show_the_text_stay_before_the_platforms_own(slack, session, attempt):
    styled = Part(payload={"text": "a", "blocks": [{"type": "rich_text", "elements": []}]})
    step = attempt("send", part=styled, extra={"blocks": [{"type": "divider"}]})
    await hooks.send(session=session, attempt=step)
    assert ["rich_text", "divider"] == [b["type"] for b in slack.requests[0].fields["blocks"]]


async def test_a_plain_part_goes_without_blocks(slack, session, attempt):
    extra = {"blocks": [{"type": "divider"}], "attachments": [{}], "username": "ada"}
    kept = []
    for operation in ("send", "edit"):
        step = attempt(operation, extra=extra, mode="plain")
        await getattr(hooks, operation)(session=session, attempt=step)
        fields = slack.requests[-1].fields
        kept.append([fields[name] for name in extra if fields.get(name)])
    # chat.update knows no `username`.
    assert [["ada"], []] == kept


BUTTONS = {"type": "actions", "block_id": "gateway.buttons.0", "elements": [{"type": "button"}]}


@pytest.mark.parametrize(
    ("mode", "extra", "left"),
    [
        ("plain", {"blocks": [{"type": "divider"}], "username": "ada"}, {"username": "ada"}),
        ("plain", {"blocks": [{"type": "divider"}, BUTTONS]}, {"blocks": [BUTTONS]}),
        ("plain", {"username": "ada"}, None),
        ("plain", None, None),
        ("stricter", {"attachments": [{}]}, None),
    ],
)
async def test_the_answer_says_which_fields_are_left(slack, session, attempt, mode, extra, left):
    """Without those that a part in plain text loses, so that no later edit sends them again."""
    for operation in ("send", "edit"):
        step = attempt(operation, extra=extra, mode=mode)
        answer = await getattr(hooks, operation)(session=session, attempt=step)
        assert left == answer.extra


async def test_a_call_goes_as_a_form_that_every_method_reads(slack, session, attempt):
    slack.will_say({"ok": True, "view": {"id": "V1"}})
    arguments = {"trigger_id": "1.2", "view": {"type": "modal"}, "n": 3, "on": True, "off": None}
    step = attempt("call:views.open", method="views.open", arguments=arguments)
    answer = await hooks.call(session=session, attempt=step)
    [request] = slack.requests
    assert "views.open" == request.method
    assert {
        "trigger_id": "1.2",
        "view": '{"type": "modal"}',
        "n": "3",
        "on": "true",
    } == request.fields
    assert {"ok": True, "view": {"id": "V1"}} == answer.result


async def test_probe_tells_who_it_is(slack, session):
    slack.will_say({"ok": True, "user_id": "U0BOT", "user": "deploybot", "team": "T"})
    assert Identity(id="U0BOT", name="deploybot") == await hooks.probe(session=session)


async def test_a_probe_whose_answer_cannot_be_read_proves_nothing(slack, session):
    slack.will_say(b"{")
    with pytest.raises(TransportError) as caught:
        await hooks.probe(session=session)
    assert "no" == caught.value.dispatched


async def test_slacks_no_is_raised_with_its_word(slack, session, attempt):
    slack.will_say({"ok": False, "error": "ratelimited"}, status=429, headers={"Retry-After": "9"})
    with pytest.raises(SlackApiError) as caught:
        await hooks.edit(session=session, attempt=attempt("edit"))
    error = caught.value
    assert ("chat.update", 429, "ratelimited", 9.0) == (
        error.method,
        error.status,
        error.error,
        error.retry_after,
    )


@pytest.mark.parametrize("body", [b"", b'{"ok":tr', b"[]", b"<ok>", b"\xff\xfe", b"x" * (2 << 20)])
async def test_a_success_that_cannot_be_read_is_a_message_of_unknown_id(
    slack, session, attempt, body
):
    slack.will_say(body)
    assert Answer(message_id=None) == await hooks.send(session=session, attempt=attempt("send"))
    slack.will_say(body)
    step = attempt("call:views.open", method="views.open")
    assert Answer(result=None) == await hooks.call(session=session, attempt=step)


async def test_a_refusal_that_cannot_be_read_is_known_by_its_status(slack, session, attempt):
    slack.will_say(b"x" * (2 << 20), status=502)
    with pytest.raises(SlackApiError) as caught:
        await hooks.send(session=session, attempt=attempt("send"))
    assert (502, "") == (caught.value.status, caught.value.error)


@pytest.mark.parametrize("ts", [1700000000.0001, None, "", 17])
async def test_a_ts_that_is_no_text_is_no_id(slack, session, attempt, ts):
    slack.will_say({"ok": True, "channel": "C024BE91L", "ts": ts})
    assert Answer(message_id=None) == await hooks.send(session=session, attempt=attempt("send"))


async def test_a_truncated_message_is_still_there(slack, session, attempt):
    slack.will_say({"ok": True, "ts": TS, "warning": "message_truncated"})
    assert Answer(message_id=TS) == await hooks.send(session=session, attempt=attempt("send"))


async def test_a_dead_server_did_not_get_it(slack, session, attempt):
    slack.network.unmount("https://slack.com")
    with pytest.raises(TransportError) as caught:
        await hooks.send(session=session, attempt=attempt("send"))
    assert "no" == caught.value.dispatched


async def test_the_whole_request_has_a_time(slack, attempt, autojump_clock):
    async def never(scope, receive, send):
        await trio.sleep_forever()

    slack.network.mount("https://slack.com", never)
    instance = Instance("s", "slack", Settings(token=Secret(TOKEN), timeout=7.0))
    async with hooks.open_session(instance=instance) as session:
        with pytest.raises(TransportError) as caught:
            await hooks.send(session=session, attempt=attempt("send"))
    assert ("unknown", 7.0) == (caught.value.dispatched, trio.current_time())
    assert TOKEN not in repr(caught.value)


REACTION = {"name": "x", "timestamp": TS}


@pytest.mark.parametrize(
    ("method", "given", "thread", "sent"),
    [
        ("reactions.add", REACTION, None, {**REACTION, "channel": "C024BE91L"}),
        (
            "reactions.add",
            {**REACTION, "channel": "C0OTHER"},
            None,
            {**REACTION, "channel": "C0OTHER"},
        ),
        (
            "assistant.threads.setStatus",
            {"status": "is typing…"},
            TS,
            {"status": "is typing…", "channel_id": "C024BE91L", "thread_ts": TS},
        ),
        ("pins.add", {"timestamp": TS}, TS, {"timestamp": TS, "channel": "C024BE91L"}),
        # As the receipt of a message to a user or a name tells it.
        ("pins.add", {"timestamp": f"D0X:{TS}"}, None, {"timestamp": TS, "channel": "D0X"}),
        (
            "reactions.add",
            {"name": "x", "timestamp": f"D0X:{TS}", "channel": "D0Y"},
            None,
            {"name": "x", "timestamp": TS, "channel": "D0Y"},
        ),
    ],
)
async def test_a_call_is_given_its_room_and_thread(
    slack, session, attempt, method, given, thread, sent
):
    step = attempt(f"call:{method}", method=method, arguments=given, thread=thread)
    await hooks.call(session=session, attempt=step)
    assert sent == slack.requests[0].fields


async def test_without_the_means_there_is_no_new_token(slack, session):
    assert await hooks.credentials(session=session) is None
    assert [] == slack.requests


async def test_an_expired_token_is_exchanged_once_for_all_who_ask(slack, attempt):
    instance = Instance("support", "slack", rotating())
    slack.will_say({"ok": True, "access_token": "xoxe.xoxb-1-new", "refresh_token": "xoxe-1-next"})
    found = []

    async def ask(session):
        found.append(await hooks.credentials(session=session))

    async with hooks.open_session(instance=instance) as session:
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(ask, session)
        await hooks.send(session=session, attempt=attempt("send"))
    exchange, post = slack.requests
    assert [Secret("xoxe.xoxb-1-new")] * 5 == found
    assert "authorization" not in exchange.headers
    assert {
        "grant_type": "refresh_token",
        "client_id": "1.2",
        "client_secret": "shh",
        "refresh_token": "xoxe-1-first",
    } == exchange.fields
    assert "Bearer xoxe.xoxb-1-new" == post.headers["authorization"]


async def test_a_new_session_goes_on_with_the_tokens_of_the_last(slack, attempt):
    instance = Instance("support", "slack", rotating())
    slack.will_say({"ok": True, "access_token": "xoxe.xoxb-1-new", "refresh_token": "xoxe-1-next"})
    async with hooks.open_session(instance=instance) as session:
        await hooks.credentials(session=session)
    slack.will_say({"ok": True, "access_token": "xoxe.xoxb-1-newer"})
    async with hooks.open_session(instance=instance) as session:
        await hooks.credentials(session=session)
        await hooks.send(session=session, attempt=attempt("send"))
    assert "xoxe-1-next" == slack.requests[1].fields["refresh_token"]
    assert "Bearer xoxe.xoxb-1-newer" == slack.requests[2].headers["authorization"]
    assert Secret("xoxe-1-next") == instance.settings.tokens.refresh


EXPIRED = {"ok": False, "error": "token_expired"}
NEW = {"ok": True, "access_token": "xoxe.xoxb-1-new", "refresh_token": "xoxe-1-next"}


async def test_who_was_refused_with_the_old_token_asks_for_no_second_exchange(slack, attempt):
    """Two are in flight as the token expires: one is told before the exchange, one after."""
    instance = Instance("support", "slack", rotating())
    verdicts = []
    async with hooks.open_session(instance=instance) as session:

        async def refused():
            slack.will_say(EXPIRED)
            with pytest.raises(SlackApiError) as caught:
                await hooks.send(session=session, attempt=attempt("send"))
            verdict = hooks.classify_error(attempt=attempt("send"), error=caught.value)
            verdicts.append((str(verdict.error_class), verdict.retry_after))

        await refused()
        late = trio.Event()
        slack.holding = late
        async with trio.open_nursery() as nursery:
            nursery.start_soon(refused)
            await trio.testing.wait_all_tasks_blocked()
            slack.holding = None
            slack.will_say(NEW)
            assert Secret("xoxe.xoxb-1-new") == await hooks.credentials(session=session)
            late.set()
        assert Secret("xoxe.xoxb-1-new") == await hooks.credentials(session=session)
    assert [("fatal", None), ("retryable", 0.0)] == verdicts
    assert 1 == [request.method for request in slack.requests].count("oauth.v2.access")


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (502, b"<html>"),
        (403, b"<html>"),
        (200, b"<html>"),
        (429, b""),
        (200, {"ok": False, "error": "service_unavailable"}),
    ],
)
async def test_an_exchange_that_gets_no_answer_is_made_again_by_the_next_probe(slack, status, body):
    instance = Instance("support", "slack", rotating())
    async with hooks.open_session(instance=instance) as session:
        slack.will_say(body, status=status)
        with pytest.raises(SlackApiError):
            await hooks.credentials(session=session)
        slack.will_say(NEW)
        slack.will_say({"ok": True, "user_id": "U1", "user": "bot"})
        await hooks.probe(session=session)
    methods = [request.method for request in slack.requests]
    assert ["oauth.v2.access", "oauth.v2.access", "auth.test"] == methods
    assert Secret("xoxe.xoxb-1-new") == instance.settings.tokens.access


async def test_a_probe_by_itself_spends_no_refresh_token(slack):
    """`gateway check` must not use up what the application needs."""
    async with hooks.open_session(instance=Instance("s", "slack", rotating())) as session:
        slack.will_say(EXPIRED)
        with pytest.raises(SlackApiError):
            await hooks.probe(session=session)
    assert ["auth.test"] == [request.method for request in slack.requests]


@pytest.mark.parametrize(
    "answer",
    [
        {"ok": False, "error": "invalid_refresh_token"},
        {"ok": True},
        {"ok": True, "access_token": 7},
        {"ok": True, "access_token": ""},
        b"{",
    ],
)
async def test_an_exchange_that_fails_leaves_the_old_tokens(slack, answer):
    instance = Instance("support", "slack", rotating())
    slack.will_say(answer)
    async with hooks.open_session(instance=instance) as session:
        assert await hooks.credentials(session=session) is None
    assert Secret(TOKEN) == instance.settings.tokens.access
    assert Secret("xoxe-1-first") == instance.settings.tokens.refresh


async def test_why_an_exchange_was_refused_is_logged(slack):
    """The instance is suspended for its expired token; what is wrong is the secret of the app."""
    slack.will_say({"ok": False, "error": "bad_client_secret"})
    with capture_logs() as logged:
        async with hooks.open_session(instance=Instance("s", "slack", rotating())) as session:
            assert await hooks.credentials(session=session) is None
    assert [("slack.exchange_refused", "bad_client_secret")] == [
        (entry["event"], entry["error"]) for entry in logged
    ]


async def test_no_token_shows_in_an_error(slack, session, attempt):
    slack.will_say({"ok": False, "error": f"bad {TOKEN}"})
    with pytest.raises(SlackApiError) as caught:
        await hooks.send(session=session, attempt=attempt("send"))
    verdict = hooks.classify_error(attempt=attempt("send"), error=caught.value)
    assert ("bad [token]", Reason.UNCLASSIFIED) == (verdict.raw, verdict.reason)
    for shown in (str(caught.value), repr(caught.value), repr(vars(caught.value)), repr(session)):
        assert TOKEN not in shown


async def test_secrets_of_another_form_are_taken_out_as_well(slack):
    """What stands between may quote the request, and so the secret of the app."""
    settings = attrs.evolve(rotating(), token=Secret("xoxs-legacy-token-7"))
    slack.will_say({"ok": False, "error": "no_route", "needed": "shh xoxs-legacy-token-7"})
    async with hooks.open_session(instance=Instance("s", "slack", settings)) as session:
        with pytest.raises(SlackApiError) as caught:
            await hooks.probe(session=session)
    assert "no_route (needed: [token] [token])" == caught.value.raw
