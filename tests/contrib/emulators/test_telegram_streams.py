"""Drafts, chat actions, and what people do in the emulated Telegram."""

import pytest
import trio

from gateway_contrib.emulators.faults import Fault, FaultPlan
from gateway_contrib.emulators.telegram import TelegramEmulator, TelegramLimits
from gateway_core.http import open_client
from gateway_core.testing import open_network
from gateway_plugin_telegram.addresses import address_of

TOKEN = "123456:AAbb-cc_dd"
URL = "http://127.0.0.1:8081"
FREE = TelegramLimits(chat_seconds=0.0, draft_seconds=0.0)
OK = {"ok": True, "result": True}


@pytest.fixture
async def opened():
    """Opens an emulator with a function that asks it: `await ask(method, **parameters)`."""
    async with open_network() as network, trio.open_nursery() as nursery:

        async def make(**fields):
            emulator = TelegramEmulator(**{"limits": FREE, **fields})
            network.mount(URL, emulator.app)
            client = open_client(base_url=URL)
            http = await nursery.start(held, client)

            async def ask(method, token=TOKEN, **parameters):
                return (await http.request("POST", f"/bot{token}/{method}", json=parameters)).json()

            return emulator, ask

        yield make
        nursery.cancel_scope.cancel()


async def held(client, *, task_status):
    async with client as http:
        task_status.started(http)
        await trio.sleep_forever()


def seen(emulator, room="7"):
    return [(sight.what, sight.text) for sight in emulator.screen.now(room)]


def refusal(code, words, **parameters):
    body = {"ok": False, "error_code": code, "description": words}
    return {**body, "parameters": parameters} if parameters else body


def bad(words):
    return refusal(400, f"Bad Request: {words}")


def flood(seconds):
    words = f"Too Many Requests: retry after {seconds}"
    return refusal(429, words, retry_after=seconds)


async def test_a_draft_grows_and_is_seen_for_thirty_seconds(opened, autojump_clock):
    emulator, ask = await opened()
    draft = {"chat_id": 7, "draft_id": 5}
    assert OK == await ask("sendMessageDraft", **draft, text="one")
    await trio.sleep(20)
    assert OK == await ask("sendMessageDraft", **draft, text="one two")
    await trio.sleep(29.9)
    assert [("draft", "one two")] == seen(emulator)
    await trio.sleep(0.2)
    assert [] == seen(emulator)
    assert [] == emulator.rooms.names()
    log = emulator.screen.log("7")
    assert [(0.0, 20.0), (20.0, 50.0)] == [(sight.since, sight.until) for sight in log]
    assert {"requests": 2, "drafts": 2} == emulator.counters


async def test_a_message_of_the_bot_takes_the_place_of_its_draft(opened, autojump_clock):
    emulator, ask = await opened()
    await ask("sendMessageDraft", chat_id=7, draft_id=5, text="half")
    await ask("sendMessageDraft", token="99:other", chat_id=7, draft_id=5, text="another's")
    assert (await ask("sendMessage", chat_id=7, text="whole"))["ok"]
    assert [("draft", "another's")] == seen(emulator)


async def test_one_draft_is_seen_in_a_thread(opened, autojump_clock):
    emulator, ask = await opened()
    topic = int(emulator.create_topic("7"))
    await ask("sendMessageDraft", chat_id=7, draft_id=1, text="first")
    await ask("sendMessageDraft", chat_id=7, draft_id=2, text="second")
    await ask("sendMessageDraft", chat_id=7, draft_id=2, text="topic", message_thread_id=topic)
    assert [("draft", "second"), ("draft", "topic")] == seen(emulator)
    await ask("sendMessage", chat_id=7, text="done", message_thread_id=topic)
    assert [("draft", "second")] == seen(emulator)


async def test_an_empty_draft_is_a_placeholder(opened, autojump_clock):
    emulator, ask = await opened()
    assert OK == await ask("sendMessageDraft", chat_id=7, draft_id=-5, text="")
    assert OK == await ask("sendMessageDraft", chat_id=8, draft_id=1)
    assert [("draft", "")] == seen(emulator)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"chat_id": -7}, "TEXTDRAFT_PEER_INVALID"),
        ({"chat_id": -1001234567890}, "TEXTDRAFT_PEER_INVALID"),
        ({"chat_id": "@channel_name"}, "TEXTDRAFT_PEER_INVALID"),
        ({"draft_id": 0}, "draft_id must be non-zero"),
        ({"draft_id": None}, "draft_id must be non-zero"),
        ({"chat_id": ""}, "chat_id is empty"),
        ({"text": "x" * 4097}, "message is too long"),
        ({"text": " \n"}, "text must be non-empty"),
        ({"message_thread_id": 99}, "message thread not found"),
        (
            {"entities": [{"type": "bold", "offset": 1, "length": 9}]},
            "entity ends after the end of the text at UTF-16 offset 10",
        ),
    ],
)
async def test_drafts_that_are_refused(opened, fields, words, autojump_clock):
    emulator, ask = await opened()
    draft = {"chat_id": 7, "draft_id": 5, "text": "one", **fields}
    assert bad(words) == await ask("sendMessageDraft", **draft)
    assert [] == emulator.screen.log()


async def test_the_length_of_a_draft_counts_after_its_entities(opened, autojump_clock):
    emulator, ask = await opened()
    text = f"<b>{'x' * 4096}</b>"
    assert OK == await ask("sendMessageDraft", chat_id=7, draft_id=5, text=text, parse_mode="HTML")
    assert [("draft", "x" * 4096)] == seen(emulator)


async def test_an_early_draft_closes_its_chat_to_drafts_and_edits(opened, autojump_clock):
    """The 429 says for how long; other chats, other bots and new messages are not closed."""
    emulator, ask = await opened(limits=TelegramLimits(chat_seconds=0.0, draft_flood=3))
    message = (await ask("sendMessage", chat_id=7, text="a"))["result"]["message_id"]
    edit = {"chat_id": 7, "message_id": message}
    draft = {"draft_id": 5, "text": "one"}
    assert OK == await ask("sendMessageDraft", chat_id=7, **draft)
    assert OK == await ask("sendMessageDraft", chat_id=8, **draft)
    await trio.sleep(0.5)
    assert flood(3) == await ask("sendMessageDraft", chat_id=7, **draft)
    await trio.sleep(1.5)
    assert flood(2) == await ask("sendMessageDraft", chat_id=7, **draft)
    assert flood(2) == await ask("editMessageText", **edit, text="b")
    assert OK == await ask("sendMessageDraft", chat_id=8, **draft)
    assert OK == await ask("sendMessageDraft", token="99:other", chat_id=7, **draft)
    assert (await ask("sendMessage", chat_id=7, text="final"))["ok"]
    await trio.sleep(1.5)
    assert OK == await ask("sendMessageDraft", chat_id=7, **draft)
    assert (await ask("editMessageText", **edit, text="b"))["ok"]
    assert {"sendMessageDraft": 2, "editMessageText": 1} == emulator.limited
    assert 3 == emulator.counters["rate_limited"]


async def test_drafts_once_a_second_are_never_refused(opened, autojump_clock):
    """They draw on nothing else: as many chats as one likes, and messages beside them."""
    emulator, ask = await opened(limits=TelegramLimits())
    for _ in range(3):
        for chat in range(1, 61):
            assert OK == await ask("sendMessageDraft", chat_id=chat, draft_id=1, text="x")
        await trio.sleep(1)
    assert (await ask("sendMessage", chat_id=7, text="final"))["ok"]
    assert {} == emulator.limited


async def test_a_chat_action_is_seen_for_five_seconds(opened, autojump_clock):
    emulator, ask = await opened()
    assert OK == await ask("sendChatAction", chat_id=-7, action="typing")
    await trio.sleep(4)
    assert OK == await ask("sendChatAction", chat_id=-7, action="typing")
    await trio.sleep(4.9)
    assert [("typing", "typing")] == seen(emulator, "-7")
    await trio.sleep(0.2)
    assert [] == seen(emulator, "-7")
    await ask("sendChatAction", chat_id=-7, action="upload_photo")
    await ask("sendMessage", chat_id=-7, text="here")
    assert [] == seen(emulator, "-7")


async def test_channels_take_no_chat_action(opened, autojump_clock):
    emulator, ask = await opened()
    emulator.make_channel("-1001234567890")
    for channel in ("@channel_name", -1001234567890):
        refused = await ask("sendChatAction", chat_id=channel, action="typing")
        assert bad("chat actions can't be sent to channel chats") == refused
    assert OK == await ask("sendChatAction", chat_id=-1009, action="typing")
    missing = await ask("sendChatAction", chat_id=7, action="typing", message_thread_id=99)
    assert bad("message thread not found") == missing


async def test_faults_hit_drafts(opened, autojump_clock):
    emulator, ask = await opened(faults=FaultPlan(script={0: Fault.RATE_LIMITED}))
    draft = {"chat_id": 7, "draft_id": 5, "text": "one"}
    assert flood(3) == await ask("sendMessageDraft", **draft)
    assert OK == await ask("sendMessageDraft", **draft)
    assert ({}, 1) == (emulator.limited, emulator.counters["faults"])


async def test_what_people_say_is_an_update_and_can_be_answered(opened, autojump_clock):
    emulator, ask = await opened()
    update = emulator.people.say("7", "/ask why?")
    message = update["message"]
    assert (1, "/ask why?", 7) == (update["update_id"], message["text"], message["chat"]["id"])
    assert {"id": 7, "is_bot": False, "first_name": "User 7"} == message["from"]
    assert [{"type": "bot_command", "offset": 0, "length": 4}] == message["entities"]
    reply = {"message_id": message["message_id"]}
    answer = await ask("sendMessage", chat_id=7, text="because", reply_parameters=reply)
    assert "/ask why?" == answer["result"]["reply_to_message"]["text"]
    edit = {"chat_id": 7, "message_id": message["message_id"], "text": "x"}
    assert bad("message can't be edited") == await ask("editMessageText", **edit)
    assert {"requests": 2, "stored": 1, "received": 1} == emulator.counters
    assert ["7", None] == [m.user for m in emulator.rooms.conversation("7")]


async def test_the_adapter_finds_the_address_of_what_people_do(opened, autojump_clock):
    emulator, ask = await opened()
    topic = emulator.create_topic("-1009")
    said = address_of(emulator.people.say("-1009", "hi", user=42, thread=topic))
    assert ("-1009", topic, "-1009:2") == (said.external_room_id, said.thread_id, said.reply_to)
    keyboard = {"inline_keyboard": [[{"text": "Yes", "callback_data": "y"}]]}
    await ask("sendMessage", chat_id=7, text="Sure?", reply_markup=keyboard)
    pressed = emulator.people.press("7", "1", "y")
    assert "y" == pressed["callback_query"]["data"]
    assert ("7", "1") == (address_of(pressed).external_room_id, address_of(pressed).reply_to)
    assert OK == await ask("answerCallbackQuery", callback_query_id=pressed["callback_query"]["id"])
    with pytest.raises(LookupError, match="no message 9"):
        emulator.people.press("7", "9", "y")


async def test_the_page_shows_drafts_typing_and_429s(opened, autojump_clock):
    emulator, ask = await opened(limits=TelegramLimits())
    emulator.people.say("7", "hello?")
    await ask("sendMessageDraft", chat_id=7, draft_id=5, text="growing <b>")
    await ask("sendMessageDraft", chat_id=7, draft_id=5, text="too early")
    await ask("sendChatAction", chat_id=8, action="typing")
    async with open_client(base_url=URL) as http:
        page = (await http.request("GET", "/")).body.decode()
        assert "growing &lt;b&gt;" in page
        assert "from 7" in page
        assert "429s (1)" in page
        assert "<summary>8 (0)</summary>" in page
        assert "http-equiv" in page
        await trio.sleep(31)
        assert "http-equiv" not in (await http.request("GET", "/")).body.decode()


async def test_who_polls_gets_each_update_until_it_is_confirmed(opened, autojump_clock):
    emulator, ask = await opened()
    assert OK == await ask("deleteWebhook")
    first, second = (emulator.people.say("7", text) for text in ("one", "two"))

    async def polled(**fields):
        return (await ask("getUpdates", **fields))["result"]

    assert [first] == await polled(limit=1)
    assert [first, second] == await polled(timeout=10)
    assert [second] == await polled(offset=2)
    assert ([], 0.0) == (await polled(offset=3), trio.current_time())
    assert ([], 10.0) == (await polled(offset=3, timeout=10), trio.current_time())


async def test_who_polls_hears_at_once(opened, autojump_clock):
    emulator, ask = await opened()
    heard = []

    async def poll():
        answer = await ask("getUpdates", timeout=30)
        heard.append((answer["result"], trio.current_time()))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(poll)
        await trio.sleep(4)
        update = emulator.people.say("7", "now")
    assert [([update], 4.0)] == heard
