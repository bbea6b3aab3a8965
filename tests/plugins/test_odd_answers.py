"""Answers and events of shapes that no platform documents, drawn at random."""

from __future__ import annotations

import json
import math
from random import Random

import pytest
from starlette.responses import Response

from gateway_core import Instance, Part, Secret, Verdict
from gateway_core.authors import Attempt, TransportError
from gateway_core.testing import open_network
from gateway_plugin_discord import hooks as discord
from gateway_plugin_discord.settings import DiscordSettings
from gateway_plugin_slack import hooks as slack
from gateway_plugin_slack.settings import Settings as SlackSettings
from gateway_plugin_telegram import TelegramSettings
from gateway_plugin_telegram import hooks as telegram

SECRETS = {"telegram": "1234567:" + "a" * 35, "slack": "xoxb-1-secret", "discord": "a.secret.c"}
CHANNELS = {
    "telegram": (telegram, TelegramSettings, "https://api.telegram.org", "-7", "9"),
    "slack": (slack, SlackSettings, "https://slack.com", "C024BE91L", "1700000000.000100"),
    "discord": (discord, DiscordSettings, "https://discord.com", "1100000000000000001", "5"),
}
CALLS = {
    "telegram": ["sendChatAction", "getChat"],
    "slack": ["reactions.add", "assistant.threads.setStatus"],
    "discord": ["POST /channels/{channel}/typing", "POST /webhooks/{webhook}/{token}"],
}
TEXT = {"discord": "content"}
STATUSES = (200, 201, 204, 302, 400, 401, 403, 404, 409, 413, 429, 429, 429, 500, 502, 503, 524)
BODIES = (b"", b"<html>", b"\xff\xfe", b"null", b"[]", b'"x"', b'{"a":NaN}', b"{" * 3000)
VALUES = (
    None, True, False, 0, 1, -1, 429, 50035, 10**30, 1.5, "", "x", "7", "1.5", "nan", "\ud83d",
    "ratelimited", "invalid_auth", "chat not found", "\x00\x1b[31m", "long " * 200, [], {},
    "1700000000.000100", "C024BE91L", "0001-01-01T00:00:00", "9999-12-31T23:59:59+23:59",
)  # fmt: skip
NAMES = (
    "ok", "error", "error_code", "description", "parameters", "retry_after", "migrate_to_chat_id",
    "message", "code", "errors", "global", "content", "response_metadata", "messages", "needed",
    "result", "message_id", "id", "channel", "ts", "type", "channel_id", "chat", "event", "d", "t",
    "item", "edited", "edit_date", "edited_timestamp", "thread_ts", "trigger_id", "token", "data",
    "update_id", "callback_query", "message_reaction", "event_ts", "previous_message", "message_ts",
    "deleted_ts", "author", "assistant_thread", "message_thread_id", "is_topic_message",
)  # fmt: skip
HEADERS = (
    "retry-after", "via", "content-type", "content-encoding", "x-ratelimit-bucket",
    "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset-after", "x-ratelimit-scope",
    "x-ratelimit-global",
)  # fmt: skip
SAID = ("0", "1.5", "-1", "nan", "inf", "9" * 20, "", "user", "shared", "global", "true", "gzip",
        "Fri, 31 Dec 2027 23:59:59 GMT", "\xb2")  # fmt: skip


def value(rng: Random, depth: int = 0):
    """Anything that JSON can say, in names that the platforms use."""
    kind = rng.random()
    if depth > 4 or kind < 0.5:
        return rng.choice(VALUES)
    if kind < 0.85:
        return {rng.choice(NAMES): value(rng, depth + 1) for _ in range(rng.randint(0, 6))}
    return [value(rng, depth + 1) for _ in range(rng.randint(0, 4))]


def answer(rng: Random) -> Response:
    odd = rng.random() < 0.15
    body = rng.choice(BODIES) if odd else json.dumps(named(rng)).encode()
    headers = {rng.choice(HEADERS): rng.choice(SAID) for _ in range(rng.randint(0, 4))}
    return Response(body, rng.choice(STATUSES), headers)


def attempt(rng: Random, channel: str) -> Attempt:
    _, _, _, room, message = CHANNELS[channel]
    operation = rng.choice(["send", "edit", "delete", *(f"call:{m}" for m in CALLS[channel])])
    called = operation.startswith("call:")
    written = operation in ("send", "edit")
    return Attempt(
        operation=operation,
        envelope_id="e",
        instance_id="bot",
        room=room,
        key="k",
        number=rng.choice([1, 2]),
        mode=rng.choice(["as_asked", "stricter", "plain"]),
        part=Part(payload={TEXT.get(channel, "text"): "x"}) if written else None,
        message_id=message if operation in ("edit", "delete") else None,
        method=operation.removeprefix("call:") if called else None,
        arguments={"webhook": "1", "token": "t"} if "{token}" in operation else {},
    )


def check(verdict: Verdict, secret: str) -> None:
    """A verdict that can be acted on, and shown."""
    assert verdict.retry_after is None or 0 <= verdict.retry_after <= 86_400
    assert all(math.isfinite(report.reset_after or 0.0) for report in verdict.buckets)
    assert len(verdict.raw) <= 500
    assert secret not in verdict.raw


async def tried(hooks, session, step: Attempt) -> Verdict | None:
    """The verdict on a refusal; None: it was taken for a yes, or left to core."""
    perform = {"send": hooks.send, "edit": hooks.edit, "delete": hooks.delete}
    try:
        made = await perform.get(step.operation, hooks.call)(session=session, attempt=step)
    except TransportError:
        return None
    except Exception as error:  # noqa: BLE001 - whatever it is, the adapter must know it
        return hooks.classify_error(attempt=step, error=error) or pytest.fail(repr(error))
    assert made.message_id is None or made.message_id
    return None


@pytest.mark.parametrize("channel", CHANNELS)
async def test_whatever_comes_is_a_yes_or_has_a_verdict(channel, autojump_clock):
    hooks, settings, host, _, _ = CHANNELS[channel]
    rng = Random(f"odd answers {channel}")
    instance = Instance("bot", channel, settings(token=Secret(SECRETS[channel])))

    async def platform(scope, receive, send):
        await answer(rng)(scope, receive, send)

    verdicts = 0
    async with open_network() as network, hooks.open_session(instance=instance) as session:
        network.mount(host, platform)
        for _ in range(1000):
            verdict = await tried(hooks, session, attempt(rng, channel))
            if verdict is not None:
                check(verdict, SECRETS[channel])
                verdicts += 1
    assert verdicts > 500


YES = {
    "telegram": '{{"ok": true, "result": {{"message_id": {}, "chat": {{"id": -7}}}}}}',
    "slack": '{{"ok": true, "channel": "C024BE91L", "ts": {}}}',
    "discord": '{{"id": {}, "channel_id": "1100000000000000001"}}',
}
ODD_IDS = (
    '"../../x"',
    '"1/reactions"',
    '"1?a=b"',
    '"5 "',
    '"%2e"',
    "-1",
    "0",
    "1.5",
    "9" * 30,
    "true",
)


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("odd", ODD_IDS)
async def test_an_id_that_no_edit_could_name_is_none(channel, odd, autojump_clock):
    """The message is there; what it is called, the platform has not said."""
    hooks, settings, host, room, _ = CHANNELS[channel]
    instance = Instance("bot", channel, settings(token=Secret(SECRETS[channel])))
    step = Attempt(
        operation="send",
        envelope_id="e",
        instance_id="bot",
        room=room,
        part=Part(payload={TEXT.get(channel, "text"): "x"}),
    )
    async with open_network() as network, hooks.open_session(instance=instance) as session:
        network.mount(host, Response(YES[channel].format(odd)))
        made = await hooks.send(session=session, attempt=step)
    assert made.message_id is None


def named(rng: Random) -> dict:
    """An object with a few of the names."""
    return {rng.choice(NAMES): value(rng, 1) for _ in range(rng.randint(0, 6))}


MESSAGES = {
    "telegram": {"chat": {"id": 7}, "message_id": 5},
    "slack": {"channel": "C024BE91L", "ts": "1700000000.000100"},
    "discord": {"channel_id": "7", "id": "5"},
}


@pytest.mark.parametrize("channel", CHANNELS)
def test_whatever_an_event_is_its_address_has_texts_or_nothing(channel):
    address_of = CHANNELS[channel][0].address_of
    rng, found = Random(f"odd events {channel}"), 0
    for _ in range(5000):
        message = {**MESSAGES[channel], **named(rng)}
        inner = rng.choice(["message", "event", "d", "callback_query", "item"])
        event = rng.choice([message, {**named(rng), inner: message}, named(rng)])
        address = address_of(event)
        if address is not None:
            found += 1
            texts = (address.thread_id, address.reply_to, address.key)
            assert isinstance(address.external_room_id, str)
            assert address.external_room_id
            assert all(text is None or (isinstance(text, str) and text) for text in texts)
    assert found > 1000
