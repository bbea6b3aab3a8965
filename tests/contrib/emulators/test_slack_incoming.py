"""What people do on the emulated Slack, response_urls, and incoming webhooks."""

import json

import pytest
import trio
from slack_sdk.signature import SignatureVerifier

from gateway_contrib.emulators.faults import Fault, FaultPlan, Said
from gateway_contrib.emulators.slack import SlackLimits
from gateway_contrib.emulators.slack.incoming.requests import request_of
from gateway_contrib.emulators.slack.incoming.routes import KINDS
from gateway_core.authors import TransportError
from gateway_plugin_slack.addresses import address_of

ROOM = "C024BE91L"
SOMEBODY = "U0PERSON1"


@pytest.fixture
async def slack(workspace, unlimited):
    return await workspace(limits=unlimited)


async def with_buttons(slack, **fields):
    """A message of the bot with a button."""
    button = {"type": "button", "action_id": "yes", "text": {"type": "plain_text", "text": "Yes"}}
    blocks = [{"type": "actions", "elements": [button]}]
    return await slack.ask("chat.postMessage", channel=ROOM, text="Sure?", blocks=blocks, **fields)


async def test_a_message_of_somebody_is_an_event_and_stands_in_the_room(slack, autojump_clock):
    await trio.sleep(2)
    body = slack.emulator.people.say(ROOM, "why?", user="U024BE7LH")
    event = body["event"]
    assert ("event_callback", "message", "U024BE7LH", "why?", ROOM, "channel") == (
        body["type"],
        *(event[name] for name in ("type", "user", "text", "channel", "channel_type")),
    )
    reply = slack.emulator.people.say(ROOM, "and?", thread=event["ts"])
    assert event["ts"] == reply["event"]["thread_ts"]
    assert "im" == slack.emulator.people.say("D024BE7LH", "hi")["event"]["channel_type"]
    assert body["event_id"] != reply["event_id"]
    assert ["why?", "and?"] == slack.texts(ROOM)
    where = address_of(reply)
    assert (ROOM, event["ts"], reply["event"]["ts"]) == (
        where.external_room_id,
        where.thread_id,
        where.reply_to,
    )
    edit = {"channel": ROOM, "ts": event["ts"], "text": "x"}
    assert "cant_update_message" == (await slack.ask("chat.update", **edit))["error"]
    assert {"received": 3, "requests": 1} == dict(slack.emulator.counters)


async def test_a_command_is_answered_at_its_response_url(slack, autojump_clock):
    """Ephemeral unless it says `in_channel`; works where the bot is no member."""
    slack.emulator.leave_room(ROOM)
    command = slack.emulator.people.command(ROOM, "/ask", "why?", user="U024BE7LH")
    assert ("/ask", "why?", ROOM) == tuple(command[n] for n in ("command", "text", "channel_id"))
    url = command["response_url"]
    assert (200, "ok") == await slack.hook(url, text="because")
    assert (200, "ok") == await slack.hook(url, text="for all", response_type="in_channel")
    slack.emulator.people.acknowledge(command)
    assert [("ephemeral", "because", "U024BE7LH")] == slack.seen(ROOM)
    assert ["for all"] == slack.texts(ROOM)
    refused = await slack.ask("chat.postMessage", channel=ROOM, text="x")
    assert "not_in_channel" == refused["error"]


async def test_a_response_url_serves_five_times(slack, autojump_clock):
    url = slack.emulator.people.command(ROOM, "/ask")["response_url"]
    assert 400 == (await slack.hook(url))[0]  # What is refused is no use of it.
    for number in range(5):
        assert (200, "ok") == await slack.hook(url, text=str(number))
    status, body = await slack.hook(url, text="6")
    assert (404, {"ok": False, "error": "used_url"}) == (status, json.loads(body))
    assert list("01234") == [message.text for message in slack.emulator.ephemeral]


async def test_a_response_url_serves_for_half_an_hour(slack, autojump_clock):
    url = slack.emulator.people.command(ROOM, "/ask")["response_url"]
    await trio.sleep(1800)
    assert 200 == (await slack.hook(url, text="in time"))[0]
    await trio.sleep(0.1)
    status, body = await slack.hook(url, text="late")
    assert (404, "expired_url") == (status, json.loads(body)["error"])


async def test_what_a_command_s_url_posted_is_not_replaced(slack, autojump_clock):
    url = slack.emulator.people.command(ROOM, "/ask")["response_url"]
    await slack.hook(url, text="one")
    await slack.hook(url, text="two", replace_original=True)
    assert ["one", "two"] == [text for _, text, _ in slack.seen(ROOM)][:2]


async def test_a_press_replaces_and_deletes_the_message(slack, autojump_clock):
    posted = await with_buttons(slack)
    press = slack.emulator.people.press(ROOM, posted["ts"], "yes", value="y", user="U024BE7LH")
    assert ("block_actions", "yes", "y", "Sure?") == (
        press["type"],
        press["actions"][0]["action_id"],
        press["actions"][0]["value"],
        press["message"]["text"],
    )
    assert (ROOM, posted["ts"]) == (address_of(press).external_room_id, address_of(press).reply_to)
    url = press["response_url"]
    await slack.hook(url, text="new, ephemeral")
    await slack.hook(url, text="done", replace_original="true")
    (message,) = slack.emulator.rooms.conversation(ROOM)
    assert ("done", []) == (message.text, message.fields["blocks"])
    assert 200 == (await slack.hook(url, delete_original=True))[0]
    assert [] == slack.texts(ROOM)
    assert ["new, ephemeral"] == [m.text for m in slack.emulator.ephemeral]
    with pytest.raises(LookupError, match="no message"):
        slack.emulator.people.press(ROOM, posted["ts"], "yes")


async def test_a_press_sends_the_value_of_the_message_s_button(slack, autojump_clock):
    yes, guide = (
        {"type": "button", "action_id": name, "text": {"type": "plain_text", "text": "Go"}, **more}
        for name, more in (("yes", {"value": "y"}), ("guide", {"url": "https://example.org/"}))
    )
    section = {"type": "section", "text": {"type": "mrkdwn", "text": "Sure?"}, "accessory": yes}
    blocks = [section, {"type": "actions", "elements": [guide]}]
    posted = await slack.ask("chat.postMessage", channel=ROOM, text="Sure?", blocks=blocks)
    press = slack.emulator.people.press
    for name, pressed in (("yes", "y"), ("guide", None), ("none", None)):
        assert pressed == address_of(press(ROOM, posted["ts"], name)).pressed
    assert "n" == address_of(press(ROOM, posted["ts"], "yes", value="n")).pressed


async def test_an_ephemeral_message_is_changed_by_its_press_only(slack, autojump_clock):
    answer = await slack.ask("chat.postEphemeral", channel=ROOM, user="U024BE7LH", text="psst")
    ts = answer["message_ts"]
    assert [("ephemeral", "psst", "U024BE7LH")] == slack.seen(ROOM)
    edit = await slack.ask("chat.update", channel=ROOM, ts=ts, text="x")
    assert "message_not_found" == edit["error"]
    press = slack.emulator.people.press(ROOM, ts, "yes", user="U024BE7LH")
    assert (True, False) == (press["container"]["is_ephemeral"], "message" in press)
    slack.emulator.people.acknowledge(press)
    await slack.hook(press["response_url"], text="louder", replace_original=True)
    assert [("ephemeral", "louder", "U024BE7LH")] == slack.seen(ROOM)
    await slack.hook(press["response_url"], delete_original=True)
    assert [] == slack.seen(ROOM)


async def test_without_an_acknowledgement_in_three_seconds_the_person_sees_a_failure(
    slack, autojump_clock
):
    people = slack.emulator.people
    command = people.command(ROOM, "/ask", user="U024BE7LH")
    await trio.sleep(2.9)
    assert [] == slack.seen()
    await trio.sleep(0.2)
    failure = '/ask failed with the error "operation_timeout"'
    assert [("failed", failure, "U024BE7LH")] == slack.seen(ROOM)
    people.acknowledge(command, "too late to be seen")
    assert [("failed", failure, "U024BE7LH")] == slack.seen(ROOM)
    with pytest.raises(LookupError):
        people.acknowledge(command)


async def test_an_acknowledgement_may_carry_the_answer(slack, autojump_clock):
    people = slack.emulator.people
    people.acknowledge(people.command(ROOM, "/ask"), "at once")
    shared = {"response_type": "in_channel", "text": "for all"}
    people.acknowledge(people.command(ROOM, "/ask"), shared)
    posted = await with_buttons(slack)
    people.acknowledge(people.press(ROOM, posted["ts"], "yes"))
    await trio.sleep(10)
    assert [("ephemeral", "at once", SOMEBODY)] == slack.seen()
    assert "for all" == slack.texts(ROOM)[0]


async def test_a_form_that_is_sent(slack, autojump_clock):
    view = {"type": "modal", "callback_id": "order"}
    values = {"name": {"input": {"type": "plain_text_input", "value": "Ada"}}}
    sent = slack.emulator.people.submit(view, values)
    assert ("view_submission", "order", values, []) == (
        sent["type"],
        sent["view"]["callback_id"],
        sent["view"]["state"]["values"],
        sent["response_urls"],
    )
    assert address_of(sent) is None
    slack.emulator.people.acknowledge(sent)


async def test_an_app_s_request_is_signed(slack, autojump_clock):
    """As slack_sdk verifies it, and in the form that the kind of payload has."""
    people = slack.emulator.people
    posted = await with_buttons(slack)
    for payload, kind, begin in [
        (people.say(ROOM, "hi"), "application/json", b"{"),
        (people.command(ROOM, "/ask"), "application/x-www-form-urlencoded", b"token="),
        (people.press(ROOM, posted["ts"], "yes"), "application/x-www-form-urlencoded", b"payload="),
    ]:
        body, headers = request_of(payload, secret="s3cret", timestamp=1_700_000_000)
        assert (kind, begin) == (headers["Content-Type"], body[: len(begin)])
        clock = type("Clock", (), {"now": lambda _: 1_700_000_000.0})()
        assert SignatureVerifier("s3cret", clock).is_valid_request(body, headers)
        assert not SignatureVerifier("other", clock).is_valid_request(body, headers)


async def test_a_webhook_posts_into_its_channel(slack, autojump_clock):
    slack.emulator.leave_room(ROOM)
    url = slack.emulator.webhook(ROOM)
    assert (200, "ok") == await slack.hook(url, text="a &lt; b", channel="C0ELSEWHERE")
    assert (200, "ok") == await slack.hook(url, form={"payload": '{"text": "form"}'})
    assert ["a < b", "form"] == slack.texts(ROOM)
    thread = slack.emulator.rooms.conversation(ROOM)[0].id
    await slack.hook(url, text="reply", thread_ts=thread)
    assert thread == slack.emulator.rooms.conversation(ROOM)[-1].thread
    assert 3 == slack.emulator.counters["stored"]


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        ({"json": {}}, (400, "no_text")),
        ({"json": {"text": " "}}, (400, "no_text")),
        ({"json": ["text"]}, (400, "invalid_payload")),
        ({"form": {"text": "x"}}, (400, "invalid_payload")),
        ({"form": {"payload": "x"}}, (400, "invalid_payload")),
        ({"json": {"text": "x", "blocks": {"type": "divider"}}}, (400, "invalid_blocks_format")),
        ({"json": {"text": "x", "attachments": [{}] * 101}}, (400, "too_many_attachments")),
    ],
)
async def test_what_a_webhook_refuses_is_a_plain_word(slack, body, answer, autojump_clock):
    assert answer == await slack.hook(slack.emulator.webhook(ROOM), **body)
    assert [] == slack.texts(ROOM)


async def test_webhooks_that_work_no_more(slack, autojump_clock):
    emulator = slack.emulator
    url = emulator.webhook(ROOM)
    for close, answer in [
        (emulator.remove_room, (404, "channel_not_found")),
        (emulator.archive_room, (410, "channel_is_archived")),
        (lambda room: emulator.close_room(room, "restricted_action"), (403, "action_prohibited")),
    ]:
        close(ROOM)
        assert answer == await slack.hook(url, text="x")
    emulator.restore_room(ROOM)
    emulator.refuse_webhook(url)
    assert (404, "no_service") == await slack.hook(url, text="x")
    emulator.refuse_webhook(url, 403, "team_disabled")
    assert (403, "team_disabled") == await slack.hook(url, text="x")
    assert (404, "no_service") == await slack.hook(f"{url}x", text="x")
    with pytest.raises(TypeError, match="no incoming webhook"):
        emulator.refuse_webhook(emulator.people.command(ROOM, "/ask")["response_url"])


async def test_a_webhook_takes_one_post_a_second(workspace, autojump_clock):
    slack = await workspace(limits=SlackLimits())
    one, other = slack.emulator.webhook(ROOM), slack.emulator.webhook(ROOM)
    assert (200, "ok") == await slack.hook(one, text="x")
    await trio.sleep(0.5)
    path = one.removeprefix(slack.emulator.hooks_url)
    answer = await slack.http.request("POST", path, json={"text": "x"})
    assert (429, b"rate_limited", "1") == (
        answer.status,
        answer.body,
        answer.headers["retry-after"],
    )
    assert (200, "ok") == await slack.hook(other, text="x")
    await trio.sleep(0.5)
    assert (200, "ok") == await slack.hook(one, text="x")
    assert {"incoming-webhook": 1} == slack.emulator.limited
    url = slack.emulator.people.command(ROOM, "/ask")["response_url"]
    assert [(200, "ok")] * 5 == [await slack.hook(url, text="x") for _ in range(5)]


@pytest.mark.parametrize(
    ("fault", "answer", "stored"),
    [
        (Fault.RATE_LIMITED, (429, "rate_limited"), 0),
        (Fault.SERVER_ERROR, 502, 0),
        (Fault.TOKEN_REVOKED, (403, "invalid_token"), 0),
        (Fault.ROOM_GONE, (404, "channel_not_found"), 0),
        (Fault.MALFORMED, (200, "<!doc"), 1),
        (Fault.RESET_BEFORE, None, 0),
        (Fault.RESET_AFTER, None, 1),
        (Fault.NO_ANSWER, None, 1),
        (Said(status=408, body=b"slow"), (408, "slow"), 0),
    ],
)
async def test_faults_hit_urls(workspace, unlimited, fault, answer, stored, autojump_clock):
    slack = await workspace(limits=unlimited, faults=FaultPlan(script={0: fault}))
    url = slack.emulator.webhook(ROOM)
    if answer is None:
        with pytest.raises(TransportError):
            await slack.hook(url, text="x")
    else:
        given = await slack.hook(url, text="x")
        assert answer in (given, given[0])
    assert (stored, 1) == tuple(slack.emulator.counters[n] for n in ("stored", "faults"))


async def test_urls_lead_where_the_app_is_served(slack, autojump_clock):
    slack.emulator.hooks_url = "https://hooks.example"
    assert slack.emulator.webhook(ROOM).startswith("https://hooks.example/services/T")
    command = slack.emulator.people.command(ROOM, "/ask")
    assert command["response_url"].startswith("https://hooks.example/commands/T")
    assert {"commands", "actions", "services"} == set(KINDS)


async def test_the_page_shows_who_sees_what(slack, autojump_clock):
    url = slack.emulator.people.command(ROOM, "/ask", user="U024BE7LH")["response_url"]
    await slack.hook(url, text="for you")
    await trio.sleep(4)
    page = (await slack.http.request("GET", "/")).body.decode()
    assert "for you" in page
    assert "only U024BE7LH sees it" in page
    assert "operation_timeout" in page
