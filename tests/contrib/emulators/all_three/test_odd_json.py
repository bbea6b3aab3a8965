"""What is no request gets a refusal of the platform's, wherever it is odd, and breaks nothing."""

from __future__ import annotations

import copy
import json
from collections import Counter
from random import Random

import httpx2
import pytest
import trio
from amounts import amount

from gateway_contrib.emulators.discord import DiscordEmulator, DiscordLimits
from gateway_contrib.emulators.discord.methods import METHODS as DISCORD_METHODS
from gateway_contrib.emulators.slack import SlackEmulator, SlackLimits
from gateway_contrib.emulators.slack.methods import METHODS as SLACK_METHODS
from gateway_contrib.emulators.telegram import TelegramEmulator
from gateway_contrib.emulators.telegram.methods import METHODS as TELEGRAM_METHODS
from gateway_core.http import transport_factory
from gateway_core.testing import open_network

URL = "https://platform.example"


def nested(kind, levels):
    value = kind()
    for _ in range(levels):
        value = [value] if kind is list else {"a": value}
    return value


ODD = [
    *(None, True, 5, -1, 0, 1.5, 10**30, float("nan"), float("inf"), "", "x", "\ud800", "\0"),
    *([], {}, [None], [[]], [{}], ["x"], [5], {"x": None}, {"type": []}, {"text": 5}, {"id": {}}),
    *({"message_id": []}, [{"type": 5}], [[{"type": {}}]], [[{"text": 5, "url": []}]]),
    *("[", "{", "null", "[[]]", '{"a": [5]}', '"x"'),
    *(nested(list, 500), nested(dict, 500), json.dumps(nested(list, 500)), "[" * 100_000),
]  # fmt: skip


class Telegram:
    """Requests of methods that it takes, each with a room that has a message."""

    emulator, methods = TelegramEmulator, {*TELEGRAM_METHODS}
    pause, headers = 70.0, {}
    entities = (
        {"type": "bold", "offset": 0, "length": 1},
        {"type": "text_link", "offset": 0, "length": 1, "url": "https://a.b"},
    )
    buttons = {  # noqa: RUF012 - likewise
        "inline_keyboard": [
            [{"text": "a", "callback_data": "b"}, {"text": "c", "url": "https://a.b"}]
        ]
    }

    async def requests(self, ask, emulator):
        found = []
        base = f"/bot123:{'a' * 35}"
        sent = await ask("POST", f"{base}/sendMessage", {"chat_id": 7, "text": "x"})
        number = sent.json()["result"]["message_id"]
        poll = await ask(
            "POST", f"{base}/sendPoll", {"chat_id": 7, "question": "q", "options": ["a", "b"]}
        )
        for kind, address in (
            ("image/png", "https://a.b/c.png"),
            ("video/mp4", "https://a.b/c.mp4"),
        ):
            emulator.serve_url(address, kind, 5)
        photo = await ask("POST", f"{base}/sendPhoto", {"chat_id": 7, "photo": "https://a.b/c.png"})
        room, of = {"chat_id": 7}, {"chat_id": 7, "message_id": number}
        shown = {"reply_markup": self.buttons}
        captioned = {"caption": "xy", "caption_entities": [*self.entities], "parse_mode": ""}
        reply = {"reply_parameters": {"message_id": number, "quote": "x"}}
        media = {"type": "photo", "media": "https://a.b/c.png", **captioned}
        for name, fields in {
            "sendMessage": {"text": "hi", "entities": [*self.entities], **shown, **reply,
                            "link_preview_options": {"is_disabled": True}},
            "editMessageText": {**of, "text": "ho", "entities": [*self.entities], **shown},
            "sendPhoto": {"photo": "https://a.b/c.png", "has_spoiler": True, **captioned, **shown},
            "sendMediaGroup": {"media": [media, media], **reply},
            "editMessageCaption": {"message_id": photo.json()["result"]["message_id"], **captioned},
            "editMessageMedia": {"message_id": photo.json()["result"]["message_id"],
                                 "media": {**media, "type": "video", "media": "https://a.b/c.mp4"}},
            "editMessageReplyMarkup": {**of, "reply_markup": {"inline_keyboard": []}},
            "sendPoll": {"question": "q", "options": [{"text": "a"}, "b"], "type": "regular",
                         "is_anonymous": True, "open_period": 60, **shown},
            "stopPoll": {"message_id": poll.json()["result"]["message_id"], **shown},
            "sendLocation": {"latitude": 1, "longitude": 2, "heading": 3, **reply},
            "sendVenue": {"latitude": 1, "longitude": 2, "title": "t", "address": "a"},
            "sendContact": {"phone_number": "1", "first_name": "f", "vcard": "v"},
            "sendDice": {"emoji": "🎲"},
            "sendInvoice": {"title": "t", "description": "d", "payload": "p", "currency": "XTR",
                            "prices": [{"label": "a", "amount": 1}]},
            "sendRichMessage": {"rich_message": {"markdown": "x", "blocks": [{"type": "p"}]}},
            "setMessageReaction": {**of, "reaction": [{"type": "emoji", "emoji": "👍"}]},
            "pinChatMessage": {**of, "disable_notification": True},
            "deleteMessages": {"message_ids": [number]},
            "sendChatAction": {"action": "typing"},
            "sendMessageDraft": {"draft_id": 1, "text": "x", "entities": [*self.entities]},
            "getUpdates": {"offset": 0, "limit": 1, "timeout": 0, "allowed_updates": ["message"]},
        }.items():  # fmt: skip
            found.append(("POST", f"{base}/{name}", {**room, **fields}))
        return [*found, *(("POST", f"{base}/{name}", None) for name in sorted(self.methods))]

    def is_done(self, answer):
        return answer.json()["ok"]

    def is_refused(self, answer):
        body = answer.json()
        words = body["error_code"] == answer.status_code and body["description"]
        return 400 <= answer.status_code < 500 and bool(words)


class Slack:
    methods, pause = {*SLACK_METHODS}, 0.01
    headers = {"authorization": "Bearer xoxb-1"}  # noqa: RUF012 - likewise
    room = "C024BE91L"
    text = {"type": "plain_text", "text": "x"}  # noqa: RUF012 - likewise
    button = {"type": "button", "text": text, "action_id": "a", "value": "v"}  # noqa: RUF012 - likewise
    inside = {"type": "rich_text_section", "elements": [  # noqa: RUF012 - likewise
        {"type": "text", "text": "x", "style": {"bold": True}},
        {"type": "link", "url": "https://a.b", "text": "t"}, {"type": "emoji", "name": "+1"},
    ]}  # fmt: skip
    blocks = (
        {"type": "section", "text": {"type": "mrkdwn", "text": "hi"}, "fields": [text],
         "accessory": button},
        {"type": "header", "text": text},
        {"type": "image", "image_url": "https://a.b/c.png", "alt_text": "x", "title": text},
        {"type": "actions", "elements": [button]},
        {"type": "context", "elements": [text]},
        {"type": "rich_text", "elements": [
            inside, {"type": "rich_text_list", "style": "bullet", "elements": [inside]}]},
        {"type": "divider"},
    )  # fmt: skip

    def emulator(self):
        return SlackEmulator(limits=SlackLimits(posts=(10_000, 1.0), tiers={}, share_seconds=0))

    async def requests(self, ask, emulator):
        found = []
        post = "/api/chat.postMessage"
        said = [await ask("POST", post, {"channel": self.room, "text": "x"}) for _ in range(3)]
        ts, other, gone = (answer.json()["ts"] for answer in said)
        room, of = {"channel": self.room}, {"channel": self.room, "ts": ts}
        about = {"channel": self.room, "timestamp": ts}
        rich = {"text": "hi", "blocks": [*self.blocks]}
        more = {"attachments": [{"text": "x", "fallback": "f", "fields": [{"title": "a"}]}],
                "metadata": {"event_type": "a", "event_payload": {"x": 1}}}  # fmt: skip
        asked = await ask("POST", "/api/files.getUploadURLExternal?filename=a&length=5", {})
        await ask("POST", asked.json()["upload_url"], None, b"12345")
        thread = emulator.people.say(self.room, "why?")["event"]["ts"]
        to = {"recipient_user_id": "U024BE7LH", "recipient_team_id": "T0EMULATOR"}
        begun = {**room, "thread_ts": thread, **to}
        growing = (await ask("POST", "/api/chat.startStream", begun)).json()["ts"]
        piece = {"channel": self.room, "ts": growing, "markdown_text": "x"}
        for name, fields in {
            "chat.postMessage": {**room, **rich, **more, "thread_ts": ts, "reply_broadcast": False},
            "chat.update": {**of, **rich, **more},
            "chat.postEphemeral": {**room, **rich, "user": "U1"},
            "reactions.add": {**about, "name": "thumbsup"},
            "pins.add": about,
            "chat.startStream": {**begun, "chunks": [{"type": "markdown_text", "text": "x"}]},
            "chat.appendStream": piece,
            "chat.stopStream": {**piece, "blocks": [*self.blocks]},
            "files.completeUploadExternal": {
                "files": [{"id": asked.json()["file_id"], "title": "t"}],
                "channel_id": self.room, "thread_ts": other, "blocks": [*self.blocks]},
            "conversations.open": {"users": "U024BE7LH"},
            "conversations.info": room,
            "users.info": {"user": "U024BE7LH"},
            "chat.delete": {"channel": self.room, "ts": gone},
        }.items():  # fmt: skip
            found.append(("POST", f"/api/{name}", fields))
        found.append(
            ("POST", emulator.webhook(self.room), {**rich, "attachments": more["attachments"]})
        )
        return [*found, *(("POST", f"/api/{name}", None) for name in sorted(self.methods))]

    def is_done(self, answer):
        of_hook = answer.headers["content-type"].startswith("text/plain")
        return answer.content == b"ok" if of_hook else answer.json()["ok"]

    def is_refused(self, answer):
        if answer.headers["content-type"].startswith("text/plain"):
            return 400 <= answer.status_code < 500
        return answer.status_code == 200 and answer.json()["ok"] is False and answer.json()["error"]


class Discord:
    methods = {method.route for method in DISCORD_METHODS}  # noqa: RUF012 - likewise
    pause, headers = 0.01, {"authorization": "Bot a.b.c"}
    room = "1100000000000000001"
    message = {  # noqa: RUF012 - likewise
        "content": "hi", "nonce": "1", "enforce_nonce": True, "flags": 0, "tts": False,
        "embeds": [{"title": "t", "fields": [{"name": "a", "value": "b"}], "footer": {"text": "x"},
                    "image": {"url": "https://a.b"}}],
        "components": [{"type": 1, "components": [
            {"type": 2, "style": 1, "label": "x", "custom_id": "y", "emoji": {"name": "x"}},
            {"type": 2, "style": 5, "label": "x", "url": "https://a.b"}]}],
        "attachments": [], "sticker_ids": ["1"],
        "allowed_mentions": {"parse": ["users"], "users": ["1"], "replied_user": False},
    }  # fmt: skip
    poll = {  # noqa: RUF012 - likewise
        "question": {"text": "q"}, "duration": 1, "allow_multiselect": False,
        "answers": [{"poll_media": {"text": "a", "emoji": {"name": "x"}}},
                    {"poll_media": {"text": "b"}}],
    }  # fmt: skip

    def emulator(self):
        return DiscordEmulator(limits=DiscordLimits(count=10_000, global_count=10_000))

    async def requests(self, ask, emulator):
        found = []
        base, messages = "/api/v10", f"/api/v10/channels/{self.room}/messages"
        number = (await ask("POST", messages, {"content": "x"})).json()["id"]
        reply = {"message_reference": {"message_id": number, "fail_if_not_exists": False}}
        edit = {name: value for name, value in self.message.items() if "nonce" not in name}
        found.append(("POST", messages, {**self.message, **reply}))
        found.append(("POST", messages, {"poll": self.poll}))
        found.append(("PATCH", f"{messages}/{number}", edit))
        found.append(("POST", f"{base}/users/@me/channels", {"recipient_id": "1"}))
        for kind, data in ((4, edit), (4, {"poll": self.poll}), (5, {"flags": 64})):
            asked = emulator.interaction(self.room)
            callback = f"{base}/interactions/{asked.id}/{asked.token}/callback"
            found.append(("POST", callback, {"type": kind, "data": data}))
            of_it = f"{base}/webhooks/{asked.application}/{asked.token}"
            found.append(("POST", of_it, edit))
            found.append(("PATCH", f"{of_it}/messages/@original", edit))
        webhook = emulator.webhook(self.room)
        found.append(("POST", f"{base}/webhooks/{webhook.id}/{webhook.token}?wait=true", edit))
        ids = {"channel": self.room, "message": number}
        for route in sorted(self.methods):
            verb, _, path = route.partition(" ")
            for name in ("channel", "message", "application", "token", "interaction", "emoji"):
                path = path.replace(f"{{{name}}}", ids.get(name, "1"))
            found.append((verb, base + path, None))
        return found

    def is_done(self, answer):
        return answer.status_code < 300

    def is_refused(self, answer):
        return 400 <= answer.status_code < 500 and "code" in answer.json()


PLATFORMS = [Telegram(), Slack(), Discord()]


def places_in(value, before=()):
    """Every place in JSON, the whole included."""
    yield before
    inside = value if isinstance(value, dict | list) else ()
    for name, item in inside.items() if isinstance(inside, dict) else enumerate(inside):
        yield from places_in(item, (*before, name))


def with_odd(value, place, odd):
    if not place:
        return odd
    value = copy.deepcopy(value)
    inside = value
    for name in place[:-1]:
        inside = inside[name]
    inside[place[-1]] = odd
    return value


@pytest.fixture
async def opened(request, autojump_clock):
    """The platform, the emulator, a function that asks it, and what it raised."""
    platform = request.param
    emulator = platform.emulator()
    async with open_network() as network:
        for host in (URL, "https://hooks.slack.com", "https://files.slack.com"):
            network.mount(host, emulator.app)
        transport = transport_factory.get()()
        async with httpx2.AsyncClient(transport=transport, base_url=URL, timeout=None) as client:

            async def ask(verb, path, body, raw=None):
                kind = {"content-type": "application/json; charset=utf-8"} if raw is None else {}
                content = json.dumps(body).encode() if raw is None else raw
                headers = {**platform.headers, **kind}
                answer = await client.request(verb, path, content=content, headers=headers)
                await trio.sleep(platform.pause)  # no limit is met
                return answer

            yield platform, emulator, ask, network.errors


ON_EACH = pytest.mark.parametrize(
    "opened", PLATFORMS, ids=lambda each: type(each).__name__, indirect=True
)


@ON_EACH
async def test_the_requests_are_ones_that_it_takes(opened):
    """Else what is odd in them would not be reached."""
    platform, emulator, ask, _ = opened
    for verb, path, body in await platform.requests(ask, emulator):
        if body is not None:
            answer = await ask(verb, path, body)
            assert platform.is_done(answer), (path, answer.status_code, answer.text)


@ON_EACH
async def test_what_is_odd_in_a_request_is_refused_or_taken(opened):
    """At any place in it; and nothing of it breaks the page that shows what was taken."""
    platform, emulator, ask, errors = opened
    random, outcomes = Random(f"odd {type(platform).__name__}"), Counter()
    while sum(outcomes.values()) < amount("odd requests of an emulator"):
        for verb, path, body in await platform.requests(ask, emulator):
            place, odd = random.choice([*places_in(body)]), random.choice(ODD)
            try:
                answer = await ask(verb, path, with_odd(body, place, odd))
            except httpx2.HTTPError as error:
                answer = error
            told = f"{verb} {path} with {ascii(odd)[:60]} at {place}: {errors} {answer}"
            assert [] == errors, told
            outcome = platform.is_done(answer) or (platform.is_refused(answer) and "refused")
            assert outcome, f"{told} {answer.text}"
            outcomes[str(outcome)] += 1
        assert 200 == (await ask("GET", "/", None)).status_code, errors
    assert len(outcomes) == 2, outcomes
