"""Calls get their channel and thread where the method takes them."""

from __future__ import annotations

import pytest

from gateway_core import GatewayConfig, open_gateway
from gateway_core.testing import virtual_wall
from gateway_plugin_slack import hooks

CHANNEL, PERSON, CONVERSATION = "C024BE91L", "U024BE7LH", "D024BE7LH"
TS = "1700000000.000100"


@pytest.fixture
def opened(instance):
    return lambda: open_gateway(GatewayConfig(instances=[instance]), wall_clock=virtual_wall)


@pytest.mark.parametrize(
    ("method", "arguments", "given"),
    [
        ("files.completeUploadExternal", {"files": "[]"}, {"channel_id": CHANNEL, "thread_ts": TS}),
        ("files.completeUploadExternal", {"files": "[]", "channels": "C1"}, {}),
        ("chat.unfurl", {"unfurls": "{}", "ts": TS}, {"channel": CHANNEL}),
        ("chat.unfurl", {"unfurls": "{}", "unfurl_id": "u", "source": "composer"}, {}),
        ("conversations.open", {"users": PERSON}, {}),
        ("conversations.members", {"channel": None}, {}),
        ("reactions.remove", {"name": "eyes", "timestamp": TS}, {"channel": CHANNEL}),
        ("reactions.remove", {"name": "eyes", "file": "F1"}, {}),
        ("users.info", {"user": PERSON}, {}),
    ],
)
async def test_the_room_and_the_thread_are_sent(
    opened, slack, autojump_clock, method, arguments, given
):
    async with opened() as gateway:
        await gateway.call("support", CHANNEL, method, arguments, thread=TS)
    (request,) = slack.requests
    own = {name: value for name, value in arguments.items() if value is not None}
    assert (method, {**own, **given}) == (request.method, request.fields)


async def test_a_call_without_a_room_sends_none(opened, slack, autojump_clock):
    async with opened() as gateway:
        receipt = await gateway.call("support", "", "chat.postMessage", {"text": "x"})
    (request,) = slack.requests
    assert {"text": "x"} == request.fields
    assert receipt.ref is None  # no edit could name its room


async def test_a_person_is_their_conversation(opened, slack, autojump_clock):
    """Files are shared in conversations, and only messages may be posted to a user's id."""
    slack.will_say({"ok": True, "channel": {"id": CONVERSATION}})
    async with opened() as gateway:
        await gateway.call("support", PERSON, "files.completeUploadExternal", {"files": "[]"})
    asked = [(request.method, request.fields.get("channel_id")) for request in slack.requests]
    shared = ("files.completeUploadExternal", CONVERSATION)
    assert [("conversations.open", None), shared] == asked


@pytest.mark.parametrize(
    ("arguments", "message"), [({}, TS), ({"channel": "C1"}, f"{CHANNEL}:{TS}")]
)
async def test_the_ref_names_the_conversation_that_the_call_names(
    opened, slack, autojump_clock, arguments, message
):
    async with opened() as gateway:
        made = await gateway.call("support", CHANNEL if not arguments else "C024BE91M",
                                  "chat.postMessage", {"text": "x", **arguments})  # fmt: skip
        assert [message] == [part.message_id for part in made.ref.parts]
        await gateway.edit(made.ref, "y")
    assert (CHANNEL, TS) == (slack.requests[-1].fields["channel"], slack.requests[-1].fields["ts"])


async def test_the_method_decides_whether_an_answer_is_a_message(session, attempt):
    """chat.delete answers with the `ts` of what is gone."""
    for method, message in [("chat.delete", None), ("chat.meMessage", TS), ("pins.add", None)]:
        step = attempt(f"call:{method}", method=method, arguments={"ts": TS})
        assert message == (await hooks.call(session=session, attempt=step)).message_id
