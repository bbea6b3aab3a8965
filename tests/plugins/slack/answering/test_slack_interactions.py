"""Interactions on Slack: answered by a secret URL, and in the room once that serves no more."""

import pytest
import trio

from gateway_core import DeliveryError, GatewayConfig, Reason, open_gateway
from gateway_core.testing import virtual_wall
from gateway_plugin_slack.by_url.origins import hooks_of, path_in

URL = "https://hooks.slack.com/actions/T1/1/5ecret"
ROOM, TS = "C024BE91L", "1700000000.000200"
PRESS = {
    "type": "block_actions",
    "trigger_id": "12.34",
    "channel": {"id": ROOM},
    "message": {"ts": TS},
    "response_url": URL,
}
WRITTEN = {"type": "message", "channel": ROOM, "ts": TS, "user": "U1"}


@pytest.fixture
def opened(slack, instance):
    slack.network.mount("https://hooks.slack.com", slack)
    return lambda: open_gateway(GatewayConfig(instances=[instance]), wall_clock=virtual_wall)


def asked(slack):
    return [request.method for request in slack.requests]


async def test_a_press_is_answered_by_its_url(slack, opened, autojump_clock):
    slack.will_say(b"ok")
    async with opened() as gateway:
        receipt = await gateway.reply(PRESS, "a < b", extra={"attachments": [{"text": "x"}]})
    assert ["/actions/T1/1/5ecret"] == asked(slack)
    sent = slack.requests[0].fields
    assert ("in_channel", False, "a &lt; b") == (
        sent["response_type"], sent["replace_original"], sent["text"]
    )  # fmt: skip
    assert [{"text": "x"}] == sent["attachments"]
    assert "authorization" not in slack.requests[0].headers
    assert () == receipt.ref.parts


async def test_an_answer_for_one_alone(slack, opened, autojump_clock):
    slack.will_say(b"ok")
    async with opened() as gateway:
        await gateway.reply(PRESS, "for you", ephemeral=True)
    assert "ephemeral" == slack.requests[0].fields["response_type"]


async def test_a_stream_takes_one_of_the_urls_five_uses_and_says_that_it_did_not_grow(
    slack, opened, autojump_clock
):
    async def model():
        for n in range(60):
            await trio.sleep(1)
            yield f"{n} "

    async with opened() as gateway:
        receipt = await gateway.stream(PRESS, model())
    posts = [sent for sent in slack.requests if sent.method != "assistant.threads.setStatus"]
    assert ["/actions/T1/1/5ecret"] == [sent.method for sent in posts]
    assert " ".join(map(str, range(60))) == posts[0].fields["text"].strip()
    assert ("shown only when it was whole: its reply token takes no edits",) == receipt.degradations


@pytest.mark.parametrize("error", ["used_url", "expired_url"])
async def test_a_url_that_serves_no_more_leads_to_the_room(slack, opened, error, autojump_clock):
    slack.will_say({"ok": False, "error": error}, status=404)
    async with opened() as gateway:
        receipt = await gateway.reply(PRESS, "done")
    assert ["/actions/T1/1/5ecret", "chat.postMessage"] == asked(slack)
    assert TS == slack.requests[1].fields["thread_ts"]
    assert ("answered in the room",) == receipt.degradations


async def test_what_is_for_one_alone_is_never_shown_to_the_room(slack, opened, autojump_clock):
    slack.will_say({"ok": False, "error": "used_url"}, status=404)
    async with opened() as gateway:
        with pytest.raises(DeliveryError):
            await gateway.reply(PRESS, "secret", ephemeral=True)
    assert ["/actions/T1/1/5ecret"] == asked(slack)


@pytest.mark.parametrize(
    "url",
    ["https://hooks.slack.com.evil.example/actions/1", "http://hooks.slack.com/actions/1", "x"],
)
async def test_a_url_that_is_not_slacks_is_never_asked(slack, opened, url, autojump_clock):
    """Whoever forges an event would have the gateway post wherever they like."""
    async with opened() as gateway:
        receipt = await gateway.reply({**PRESS, "response_url": url}, "done")
    assert ["chat.postMessage"] == asked(slack)
    assert ("answered in the room",) == receipt.degradations


async def test_a_word_of_slacks_ends_that_message_alone(slack, opened, autojump_clock):
    slack.will_say(b"no_text", status=400)
    async with opened() as gateway:
        with pytest.raises(DeliveryError, match="no_text"):
            await gateway.reply(PRESS, "x")
        assert (await gateway.send("support", ROOM, "x")).delivered


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        (b"channel_is_archived", Reason.ROOM_GONE),
        (b"action_prohibited", Reason.FORBIDDEN),
        (b"posting_to_general_channel_denied", Reason.FORBIDDEN),
    ],
)
async def test_a_closed_channel_is_known_by_the_urls_own_words(
    slack, opened, word, reason, autojump_clock
):
    slack.will_say(word, status=410)
    async with opened() as gateway:
        receipt = await gateway.reply(PRESS, "x", raises=False)
    assert (reason, "message") == (receipt.verdict.reason, receipt.verdict.scope)


async def test_a_failing_server_is_asked_again(slack, opened, autojump_clock):
    slack.will_say(b"<html>bad gateway</html>", status=502)
    async with opened() as gateway:
        receipt = await gateway.reply(PRESS, "x")
    assert 2 == asked(slack).count("/actions/T1/1/5ecret")
    assert receipt.possible_duplicate


async def test_no_log_and_no_error_shows_the_url(slack, opened, autojump_clock, capsys):
    slack.will_say({"ok": False, "error": f"bad {URL} /actions/T1/1/5ecret"}, status=400)
    async with opened() as gateway:
        with pytest.raises(DeliveryError) as raised:
            await gateway.reply(PRESS, "x")
    assert "5ecret" not in f"{capsys.readouterr()}{raised.value!r}{raised.value}"


async def test_a_status_shows_that_an_answer_is_written(slack, opened, autojump_clock):
    async with opened() as gateway:
        async with gateway.typing(WRITTEN):
            await trio.sleep(150)
        await trio.sleep(5)
    assert ["assistant.threads.setStatus"] * 3 == asked(slack)
    assert ["is typing…", "is typing…", ""] == [
        sent.fields.get("status", "") for sent in slack.requests
    ]
    assert {TS} == {sent.fields["thread_ts"] for sent in slack.requests}


async def test_a_command_in_no_thread_shows_nothing(slack, opened, autojump_clock):
    command = {"command": "/deploy", "channel_id": ROOM, "trigger_id": "5.6", "response_url": URL}
    async with opened() as gateway, gateway.typing(command):
        await trio.sleep(10)
    assert [] == asked(slack)


@pytest.mark.parametrize(
    ("base", "hooks"),
    [
        ("https://slack.com/api", "https://hooks.slack.com"),
        ("https://slack-gov.com/api", "https://hooks.slack-gov.com"),
        ("http://127.0.0.1:8000/api", "http://127.0.0.1:8000"),
    ],
)
def test_urls_lead_to_where_the_workspace_is(base, hooks):
    assert hooks == hooks_of(base)
    assert "/actions/1" == path_in(f"{hooks}/actions/1", hooks)
    assert path_in(hooks, hooks) is None


BENT = [
    "/../api/chat.delete",
    "/actions/%2E%2e/1",
    "/actions/a b",
    "/actions/1\r\nX: y",
    "/ä",
    "/#1",
]


@pytest.mark.parametrize("path", BENT)
def test_a_path_that_no_request_can_have_is_none_of_slack_s(path):
    assert path_in(f"https://hooks.slack.com{path}", "https://hooks.slack.com") is None


@pytest.mark.parametrize("path", BENT)
async def test_an_answer_to_a_forged_url_at_slack_goes_to_the_room(
    path, slack, opened, autojump_clock
):
    """As an answer does whose URL is at another host."""
    forged = {"response_url": f"https://hooks.slack.com{path}"}
    event = {"command": "/deploy", "channel_id": ROOM, "trigger_id": "5.6"} | forged
    async with opened() as gateway:
        receipt = await gateway.reply(event, "done")
    assert receipt.delivered
    assert ["chat.postMessage"] == asked(slack)
