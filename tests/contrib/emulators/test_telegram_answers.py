"""Every answer of the emulated Telegram has the fields that the Bot API's objects require.

aiogram's classes of methods and objects are generated from the Bot API's description.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest

from gateway_contrib.emulators.telegram import TelegramEmulator, TelegramLimits
from gateway_contrib.emulators.telegram.methods import METHODS
from gateway_core.http import FormField, Multipart, open_client
from gateway_core.testing import open_network

URL = "http://127.0.0.1:8081"
FREE = TelegramLimits(chat_seconds=0.0, group_count=1_000_000, bot_count=1_000_000)
GROUP = -1001234567890
TEXT, POLL, PHOTO, GONE, TOPIC = 1, 2, 3, 4, 1
FILES = {
    "photo": "https://a.b/c.png",
    "video": "https://a.b/c.mp4",
    "animation": "https://a.b/c.gif",
    "audio": "https://a.b/c.mp3",
    "voice": "https://a.b/c.ogg",
    "document": "https://a.b/c.pdf",
}
LONG_ID = "CAACAgIAAx"
BUTTONS = {"inline_keyboard": [[{"text": "a", "callback_data": "b"}]]}
CARDS: dict[str, dict[str, Any]] = {
    "sendLocation": {"latitude": 1, "longitude": 2, "heading": 3},
    "sendVenue": {"latitude": 1, "longitude": 2, "title": "t", "address": "a"},
    "sendContact": {"phone_number": "1", "first_name": "f"},
    "sendDice": {},
    "sendSticker": {"sticker": LONG_ID},
    "sendVideoNote": {"video_note": LONG_ID},
    "sendLivePhoto": {"live_photo": LONG_ID, "photo": LONG_ID},
    "sendPaidMedia": {"star_count": 1, "media": [{"type": "photo", "media": FILES["photo"]}]},
    "sendGame": {"game_short_name": "g"},
    "sendInvoice": {
        "title": "t",
        "description": "d",
        "payload": "p",
        "currency": "XTR",
        "prices": [{"label": "a", "amount": 1}],
    },
    "sendChecklist": {
        "business_connection_id": "b",
        "checklist": {"title": "t", "tasks": [{"id": 1, "text": "x"}]},
    },
    "sendRichMessage": {"rich_message": {"markdown": "x"}},
}
REQUESTS: list[tuple[str, dict[str, Any]]] = [
    ("sendMessage", {"text": "<b>b</b>", "parse_mode": "HTML", "reply_markup": BUTTONS}),
    ("sendPoll", {"question": "q", "options": [{"text": "a"}, "b"], "type": "quiz"}),
    ("sendPhoto", {"photo": FILES["photo"], "caption": "c", "has_spoiler": True}),
    ("sendMessage", {"text": "x", "reply_parameters": {"message_id": TEXT}}),
    *((f"send{kind.capitalize()}", {kind: url}) for kind, url in FILES.items()),
    *CARDS.items(),
    ("sendMediaGroup", {"media": [{"type": k, "media": FILES[k]} for k in ("photo", "video")]}),
    ("editMessageText", {"message_id": TEXT, "text": "y"}),
    ("editMessageReplyMarkup", {"message_id": TEXT, "reply_markup": BUTTONS}),
    ("editMessageCaption", {"message_id": PHOTO, "caption": "d"}),
    (
        "editMessageMedia",
        {"message_id": PHOTO, "media": {"type": "video", "media": FILES["video"]}},
    ),
    ("stopPoll", {"message_id": POLL, "reply_markup": BUTTONS}),
    ("setMessageReaction", {"message_id": TEXT, "reaction": [{"type": "emoji", "emoji": "👍"}]}),
    ("pinChatMessage", {"message_id": TEXT}),
    ("unpinChatMessage", {"message_id": TEXT}),
    ("unpinAllChatMessages", {}),
    ("sendChatAction", {"action": "typing"}),
    ("sendMessageDraft", {"draft_id": 1, "text": "x"}),
    ("answerCallbackQuery", {"callback_query_id": "1"}),
    ("deleteMessage", {"message_id": GONE}),
    ("deleteMessages", {"message_ids": [TEXT, POLL]}),
    ("getMe", {}),
    ("deleteWebhook", {}),
    *(("getChat", {"chat_id": room}) for room in (7, -9, GROUP, "@channel")),
    ("createForumTopic", {"chat_id": GROUP, "name": "t"}),
    ("sendMessage", {"chat_id": GROUP, "text": "x", "message_thread_id": TOPIC}),
    ("closeForumTopic", {"chat_id": GROUP, "message_thread_id": TOPIC}),
    ("deleteForumTopic", {"chat_id": GROUP, "message_thread_id": TOPIC}),
]


@pytest.fixture(scope="module")
def answers():
    """Makes the model of a method's answer. Imported by what uses it: that takes seconds."""
    methods = import_module("aiogram.methods")

    def of(method: str) -> Any:
        made = getattr(methods, method[0].upper() + method[1:])
        return methods.Response[made.__returning__]

    return of


@pytest.fixture
async def asking(autojump_clock):
    """Asks an emulator; an answer's body."""
    async with open_network() as network, open_client(base_url=URL) as http:
        emulator = TelegramEmulator(limits=FREE)
        network.mount(URL, emulator.app)

        async def ask(method: str, form: Any = (), **fields: Any) -> bytes:
            said = {"body": Multipart(form)} if form else {"json": {"chat_id": 7, **fields}}
            path = f"/bot123456:AAbb-cc_dd/{method}"
            return (await http.request("POST", path, **said)).body

        ask.emulator = emulator
        yield ask


async def test_every_method_answers_with_all_required_fields(answers, asking):
    for method, fields in REQUESTS:
        answer = answers(method).model_validate_json(await asking(method, **fields))
        assert answer.ok, (method, answer)
    asked = {method.lower() for method, _ in REQUESTS}
    assert {*METHODS} - {"getfile"} == asked


async def test_a_file_is_named_with_all_required_fields(answers, asking):
    form = [FormField("chat_id", "7"), FormField("document", b"%PDF-1.4", filename="a.pdf")]
    sent = answers("sendDocument").model_validate_json(await asking("sendDocument", form=form))
    found = await asking("getFile", file_id=sent.result.document.file_id)
    assert 8 == answers("getFile").model_validate_json(found).result.file_size


async def test_updates_have_all_required_fields(answers, asking):
    people = asking.emulator.people
    people.say("7", "/start now")
    await asking("sendMessage", text="Clear?", reply_markup=BUTTONS)
    people.press("7", "2", "b")
    people.say(str(GROUP), "hi")
    answer = answers("getUpdates").model_validate_json(await asking("getUpdates"))
    assert ["message", "callback_query", "message"] == [each.event_type for each in answer.result]
