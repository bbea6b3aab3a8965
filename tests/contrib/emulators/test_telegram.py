"""The emulated Telegram: its wire format, cleaning, refusals, limits and faults."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack
from typing import Any

import attrs
import pytest
import trio
from httpx2 import AsyncClient

from gateway_contrib.emulators.faults import Fault, FaultPlan
from gateway_contrib.emulators.telegram import TelegramEmulator, TelegramLimits
from gateway_contrib.emulators.telegram.world import EPOCH
from gateway_core.authors import TransportError
from gateway_core.http import HttpClient, Response, open_client, transport_factory
from gateway_core.testing import open_network

TOKEN = "123456:AAbb-cc_dd"
URL = "http://127.0.0.1:8081"
FREE = TelegramLimits(chat_seconds=0.0, group_count=1_000_000, bot_count=1_000_000)
FAMILY = "👨‍👩‍👧‍👦"


@attrs.define
class Client:
    """Asks one emulator as one bot."""

    emulator: TelegramEmulator
    http: HttpClient
    token: str = TOKEN

    async def raw(self, method: str, verb: str = "POST", **options: Any) -> Response:
        return await self.http.request(verb, f"/bot{self.token}/{method}", **options)

    async def ask(self, method: str, **parameters: Any) -> Any:
        return (await self.raw(method, json=parameters)).json()

    async def post(self, text: str = "hello", chat_id: object = 7, **fields: Any) -> Any:
        return await self.ask("sendMessage", chat_id=chat_id, text=text, **fields)

    async def posted(self, text: str = "hello", chat_id: object = 7, **fields: Any) -> Any:
        body = await self.post(text, chat_id, **fields)
        assert body["ok"], body
        return body["result"]

    def texts(self, room: str = "7") -> list[str]:
        return [message.text for message in self.emulator.rooms.conversation(room)]


def refused(code: int, description: str, **parameters: Any) -> dict[str, Any]:
    body: dict[str, Any] = {"ok": False, "error_code": code, "description": description}
    return {**body, "parameters": parameters} if parameters else body


def bad(words: str) -> dict[str, Any]:
    return refused(400, f"Bad Request: {words}")


@pytest.fixture
async def opened():
    """Opens a client of an emulator that was made with the given fields."""
    async with open_network() as network:

        async def make(**fields: Any) -> Client:
            emulator = TelegramEmulator(**{"limits": FREE, **fields})
            network.mount(URL, emulator.app)
            return Client(emulator, await stack.enter_async_context(open_client(base_url=URL)))

        async with AsyncExitStack() as stack:
            yield make


@pytest.fixture
async def client(opened):
    return await opened()


async def test_a_message_as_the_bot_api_shows_it(client, autojump_clock):
    await trio.sleep(90 - trio.current_time() % 60)
    now = EPOCH + int(trio.current_time())
    body = await client.post("hi", -1001234567890)
    bot = {
        "id": 123456,
        "is_bot": True,
        "first_name": "Bot 123456",
        "username": "emulated_123456_bot",
    }
    chat = {"id": -1001234567890, "type": "supergroup", "title": "Chat -1001234567890"}
    message = {"message_id": 1, "from": bot, "chat": chat, "date": now, "text": "hi"}
    assert {"ok": True, "result": message} == body
    assert {"ok": True, "result": bot} == await client.ask("getMe")


async def test_ids_count_up_per_chat(client):
    ids = [(await client.posted(chat_id=chat))["message_id"] for chat in (7, 7, 8, 7)]
    assert [1, 2, 1, 3] == ids


@pytest.mark.parametrize(
    ("chat_id", "kind"),
    [(7, "private"), (-7, "group"), (-1001234567890, "supergroup"), ("@News_1", "channel")],
)
async def test_kinds_of_chats(client, chat_id, kind):
    chat = (await client.posted(chat_id=chat_id))["chat"]
    assert kind == chat["type"]
    assert isinstance(chat["id"], int)
    again = (await client.ask("getChat", chat_id=chat["id"]))["result"]
    assert chat.items() <= again.items()


async def test_a_channel_has_one_number_and_one_name(client):
    first = await client.posted("one", "@News")
    await client.posted("two", first["chat"]["id"])
    await client.posted("other", "@other")
    assert ["one", "two"] == client.texts("@news")
    assert ["@news", "@other"] == client.emulator.rooms.names()


MULTIPART = (
    b'--b\r\nContent-Disposition: form-data; name="chat_id"\r\n\r\n7\r\n'
    b'--b\r\nContent-Disposition: form-data; name="text"\r\n\r\nh\xc3\xa9 & +\r\n'
    b'--b\r\nContent-Disposition: form-data; name="f"; filename="a.txt"\r\n\r\nxyz\r\n--b--\r\n'
)


async def test_every_way_to_post_parameters(client):
    form = {"chat_id": "7", "text": "hé & +"}
    await client.raw("sendMessage", form=form)
    await client.raw("sendMessage", json={"chat_id": 7, "text": "hé & +"})
    await client.raw("sendMessage?chat_id=7&text=h%C3%A9+%26+%2B", verb="GET")
    await client.raw("sendMessage?chat_id=7", form={"text": "hé & +"})
    await client.raw("SENDmessage", json={"chat_id": "7", "text": "hé & +"})
    assert ["hé & +"] * 5 == client.texts()


async def test_a_multipart_form(opened):
    """As clients send that attach files; of a file its name is kept."""
    client = await opened()
    factory = transport_factory.get()
    assert factory is not None
    async with AsyncClient(transport=factory(), base_url=URL) as raw:
        answer = await raw.post(
            f"/bot{TOKEN}/sendMessage",
            content=MULTIPART,
            headers={"Content-Type": "multipart/form-data; boundary=b"},
        )
    assert answer.json()["ok"]
    [message] = client.emulator.rooms.conversation("7")
    assert {"chat_id": "7", "text": "hé & +", "f": "a.txt"} == message.fields


async def test_structures_are_json_in_a_form(client):
    keyboard = {"inline_keyboard": [[{"text": "Yes", "callback_data": "y"}]]}
    form = {"chat_id": "7", "text": "x", "reply_markup": json.dumps(keyboard)}
    body = (await client.raw("sendMessage", form=form)).json()
    assert keyboard == body["result"]["reply_markup"]


CLEANED = [
    ("  a b \n\n", "a b"),
    ("a\tb\x01c\x0bd", "a b c d"),
    ("a\r\nb", "a\nb"),
    ("a\u2028b\u202ec", "abc"),
    ("a\u030ab\u0333", "ab"),
    ("\u200e\u200f\u200ex", "\u200c\u200c\u200ex"),
    ("a\x7fb\u00a0", "a\x7fb\u00a0"),
    (FAMILY, FAMILY),
    ("@everyone <b>&amp;</b> *x* _y_", "@everyone <b>&amp;</b> *x* _y_"),
    ("😀" * 4096, "😀" * 4096),
    (" " * 5000 + "x", "x"),
]


@pytest.mark.parametrize(("text", "stored"), CLEANED)
async def test_a_text_is_stored_as_the_server_cleans_it(client, text, stored):
    assert stored == (await client.posted(text))["text"]
    assert [stored] == client.texts()


REFUSED = [
    ({"text": ""}, "message text is empty"),
    ({"text": " \n"}, "text must be non-empty"),
    ({"text": "\u200b\u2800"}, "text must be non-empty"),
    ({"text": "x" * 4097}, "message is too long"),
    ({"text": "😀" * 4097}, "message is too long"),
    ({"text": "\u0915" * 10_923}, "text is too long"),
    ({"chat_id": ""}, "chat_id is empty"),
    ({"chat_id": 0}, "chat not found"),
    ({"chat_id": "general"}, "chat not found"),
    ({"chat_id": "@1a"}, "chat not found"),
    ({"message_thread_id": 4}, "message thread not found"),
    ({"reply_parameters": {"message_id": 4}}, "message to be replied not found"),
    ({"reply_to_message_id": 4}, "message to be replied not found"),
    ({"reply_parameters": "{"}, "can't parse reply parameters JSON object"),
    ({"reply_parameters": [1]}, "can't parse reply parameters JSON object"),
    ({"entities": "bold"}, "can't parse entities JSON object"),
    ({"reply_markup": "yes"}, "can't parse reply keyboard markup JSON object"),
    ({"link_preview_options": []}, "can't parse link preview options JSON object"),
    ({"parse_mode": "rst"}, "unsupported parse_mode"),
    ({"parse_mode": "HTML", "text": "<b>x"},
     "can't parse entities: Can't find end tag corresponding to start tag \"b\""),
]  # fmt: skip


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: f"{case[1]} {str(case[0])[:30]}")
async def test_what_the_server_refuses(client, case):
    fields, words = case
    assert bad(words) == await client.ask("sendMessage", **{"chat_id": 7, "text": "x", **fields})
    assert [] == client.texts()
    assert {"requests": 1} == client.emulator.counters


def entity(offset: Any, length: Any, kind: str = "bold", **more: Any) -> dict[str, Any]:
    return {"type": kind, "offset": offset, "length": length, **more}


@pytest.mark.parametrize(
    ("text", "posted", "stored"),
    [
        ("ab", [entity(0, 1)], [entity(0, 1)]),
        ("😀b", [entity(2, 1)], [entity(2, 1)]),
        ("a\rb\r", [entity(2, 2)], [entity(1, 1)]),
        ("  ab", [entity(2, 1)], [entity(0, 1)]),
        ("  ab ", [entity(1, 4)], [entity(0, 3)]),
        ("ab  ", [entity(2, 2)], None),
        ("ab", [entity(1, 0)], None),
        ("ab", [entity(0, 2, "text_link", url="https://e.x/")],
         [entity(0, 2, "text_link", url="https://e.x/")]),
    ],
)  # fmt: skip
async def test_entities_move_with_the_cleaning(client, text, posted, stored):
    assert stored == (await client.posted(text, entities=posted)).get("entities")


@pytest.mark.parametrize("address", ["http://localhost:8080", "javascript:1", ""])
async def test_a_link_to_no_address_is_refused_with_its_message(client, address):
    link = {"type": "text_link", "offset": 0, "length": 1, "url": address}
    answer = await client.post("a", entities=[link])
    assert bad(f"entity URL '{address}' is invalid: Wrong HTTP URL") == answer


@pytest.mark.parametrize(
    ("place", "words"),
    [
        (entity(-1, 2), "receive an entity with incorrect offset -1"),
        (entity("0", 2), "receive an entity with incorrect offset 0"),
        (entity(0, -2), "receive an entity with incorrect length -2"),
        (entity(9, 1), "entity begins after the end of the text at UTF-16 offset 9"),
        (entity(0, 9), "entity ends after the end of the text at UTF-16 offset 9"),
        (entity(2, 1), "entity begins in a middle of a UTF-16 symbol at offset 2"),
        (entity(0, 2), "entity ends in a middle of a UTF-16 symbol at offset 2"),
    ],
)
async def test_entities_count_in_utf16_units(client, place, words):
    assert bad(words) == await client.post("a😀b", entities=[place])


MARKED = [
    ("HTML", "<b>a<i>b</i></b> &lt;&#65;&nbsp;", "ab <A&nbsp;",
     [("bold", 0, 2), ("italic", 1, 1)]),
    ("HTML", '<pre><code class="language-py">x</code></pre>', "x", [("pre", 0, 1)]),
    ("HTML", "<pre><code>x</code>y</pre>", "xy", [("pre", 0, 2), ("pre", 0, 1)]),
    ("HTML", "<a href='http://e.x/?a=1&amp;b'>l</a>", "l", [("text_link", 0, 1)]),
    ("HTML", "<blockquote expandable>q</blockquote>", "q", [("expandable_blockquote", 0, 1)]),
    ("HTML", '<tg-emoji emoji-id="5">😀</tg-emoji>', "😀", [("custom_emoji", 0, 2)]),
    ("MarkdownV2", r"*a* _b_ `c` [x](http://y.z/) \. ||s|| ~t~ __u__", "a b c x . s t u",
     [("bold", 0, 1), ("italic", 2, 1), ("code", 4, 1), ("text_link", 6, 1), ("spoiler", 10, 1),
      ("strikethrough", 12, 1), ("underline", 14, 1)]),
    ("MarkdownV2", "```py\nx=1\n```", "x=1", [("pre", 0, 3)]),
    ("MarkdownV2", ">q1\n>q2\nafter", "q1\nq2\nafter", [("blockquote", 0, 6)]),
    ("MarkdownV2", ">q", "q", [("blockquote", 0, 1)]),
    ("MarkdownV2", "a [b]", "a b", []),
    ("Markdown", "*a* [x](http://y.z/) 1.2", "a x 1.2", [("bold", 0, 1), ("text_link", 2, 1)]),
]  # fmt: skip


@pytest.mark.parametrize("case", MARKED)
async def test_parse_modes(client, case):
    mode, text, plain, expected = case
    ignored = [entity(0, 1, "code")]
    message = await client.posted(text, parse_mode=mode, entities=ignored)
    entities = [(one["type"], one["offset"], one["length"]) for one in message.get("entities", [])]
    assert (plain, expected) == (message["text"], entities)


@pytest.mark.parametrize(
    ("mode", "text", "words"),
    [
        ("HTML", "a < b", 'Unsupported start tag ""'),
        ("HTML", "</b>", 'Unexpected end tag "b"'),
        ("MarkdownV2", "a.b", "Character '.' is reserved and must be escaped with the preceding"),
        ("MarkdownV2", "a]", "Character ']' is reserved and must be escaped with the preceding"),
        ("MarkdownV2", "](x)", "Character ']' is reserved and must be escaped with the preceding"),
        ("MarkdownV2", "*a", "Can't find end of the entity that begins with *"),
    ],
)
async def test_markup_that_cannot_be_parsed(client, mode, text, words):
    body = await client.post(text, parse_mode=mode)
    assert 400 == body["error_code"]
    assert body["description"].startswith(f"Bad Request: can't parse entities: {words}")


async def test_the_length_counts_what_is_left_of_the_markup(client):
    text = "<b>" + "x" * 4096 + "</b>"
    assert "x" * 4096 == (await client.posted(text, parse_mode="HTML"))["text"]


async def test_topics(client):
    room = "-1001234567890"
    topic = client.emulator.create_topic(room, "News")
    message = await client.posted("in", room, message_thread_id=int(topic))
    assert (int(topic), True) == (message["message_thread_id"], message["is_topic_message"])
    assert message["chat"]["is_forum"]
    client.emulator.close_topic(room, topic)
    closed = await client.post("late", room, message_thread_id=topic)
    assert bad("TOPIC_CLOSED") == closed
    assert topic == client.emulator.rooms.conversation(room)[0].thread


async def test_topics_over_the_wire(client):
    fields = {"chat_id": -1009, "name": "Plans"}
    topic = (await client.ask("createForumTopic", **fields))["result"]["message_thread_id"]
    where = {"chat_id": -1009, "message_thread_id": topic}
    assert (await client.ask("sendMessage", text="x", **where))["ok"]
    assert {"ok": True, "result": True} == await client.ask("closeForumTopic", **where)
    assert bad("TOPIC_CLOSED") == await client.ask("closeForumTopic", **where)
    assert {"ok": True, "result": True} == await client.ask("deleteForumTopic", **where)
    assert bad("message thread not found") == await client.ask("deleteForumTopic", **where)
    assert bad("topic name is empty") == await client.ask("createForumTopic", chat_id=-1009)


async def test_replies(client):
    await client.posted("first")
    second = await client.posted("second", reply_parameters={"message_id": 1})
    third = await client.posted("third", reply_to_message_id="2")
    assert "first" == second["reply_to_message"]["text"]
    assert "second" == third["reply_to_message"]["text"]
    assert "reply_to_message" not in third["reply_to_message"]
    await client.ask("deleteMessage", chat_id=7, message_id=1)
    gone = {"message_id": 1, "allow_sending_without_reply": True}
    assert "reply_to_message" not in await client.posted("fourth", reply_parameters=gone)
    strict = {**gone, "allow_sending_without_reply": False}
    lost = await client.post("fifth", reply_parameters=strict)
    assert bad("message to be replied not found") == lost


NOT_MODIFIED = bad(
    "message is not modified: specified new message content and reply markup are exactly the same"
    " as a current content and reply markup of the message"
)


async def test_edits(client, autojump_clock):
    keyboard = {"inline_keyboard": [[{"text": "Yes", "callback_data": "y"}]]}
    await client.posted("old", reply_markup=keyboard)
    await trio.sleep(10)
    where = {"chat_id": 7, "message_id": 1}
    same = {"text": " old ", "reply_markup": keyboard, **where}
    assert NOT_MODIFIED == await client.ask("editMessageText", **same)
    edited = (await client.ask("editMessageText", text="new", **where))["result"]
    assert ("new", True) == (edited["text"], edited["edit_date"] >= edited["date"] + 10)
    assert "reply_markup" not in edited
    body = await client.ask("editMessageReplyMarkup", reply_markup=keyboard, **where)
    assert keyboard == body["result"]["reply_markup"]
    assert ["old", "new"] == client.emulator.rooms.conversation("7")[0].revisions
    assert {"stored": 1, "edited": 2, "requests": 4} == client.emulator.counters


async def test_edits_that_are_refused(client):
    await client.posted("old")
    other = attrs.evolve(client, token="99:other")
    edit = {"chat_id": 7, "text": "new"}
    cases = [
        (client, {"message_id": 2}, "message to edit not found"),
        (client, {}, "message identifier is not specified"),
        (client, {"message_id": "x"}, "message identifier is not specified"),
        (other, {"message_id": 1}, "message can't be edited"),
    ]
    for asking, fields, words in cases:
        assert bad(words) == await asking.ask("editMessageText", **edit, **fields)
    assert ["old"] == client.texts()


async def test_deletes(client):
    for text in "abcd":
        await client.posted(text)
    where = {"chat_id": 7, "message_id": 1}
    other = attrs.evolve(client, token="99:other")
    assert bad("message can't be deleted") == await other.ask("deleteMessage", **where)
    assert {"ok": True, "result": True} == await client.ask("deleteMessage", **where)
    assert bad("message to delete not found") == await client.ask("deleteMessage", **where)
    edit = await client.ask("editMessageText", text="x", **where)
    assert bad("message to edit not found") == edit
    await client.ask("deleteMessages", chat_id=7, message_ids=[1, 2, 3, 99])
    assert ["d"] == client.texts()
    assert 3 == client.emulator.counters["deleted"]


async def test_what_surrounds_messages(client):
    await client.posted("a")
    await client.posted("b")
    calls = [
        ("setMessageReaction", {"message_id": 1, "reaction": [{"type": "emoji", "emoji": "👍"}]}),
        ("pinChatMessage", {"message_id": 1}),
        ("pinChatMessage", {"message_id": 2}),
        ("unpinChatMessage", {"message_id": 1}),
        ("unpinChatMessage", {}),
        ("unpinAllChatMessages", {}),
        ("sendChatAction", {"action": "typing"}),
        ("answerCallbackQuery", {"callback_query_id": "5"}),
    ]
    for method, fields in calls:
        assert {"ok": True, "result": True} == await client.ask(method, chat_id=7, **fields)
    refusals = [
        ("setMessageReaction", {"message_id": 9}, "message to react not found"),
        ("pinChatMessage", {"message_id": 9}, "message to pin not found"),
        ("sendChatAction", {"action": "dancing"}, "wrong parameter action in request"),
        ("answerCallbackQuery", {},
         "query is too old and response timeout expired or query ID is invalid"),
    ]  # fmt: skip
    for method, fields, words in refusals:
        assert bad(words) == await client.ask(method, chat_id=7, **fields)


@pytest.mark.parametrize("token", ["nonsense", "12:", ":a", "bot"])
async def test_a_malformed_token_is_no_path(client, token):
    answer = await attrs.evolve(client, token=token).raw("getMe")
    assert (404, refused(404, "Not Found")) == (answer.status, answer.json())


async def test_tokens(opened):
    client = await opened(tokens=[TOKEN])
    other = attrs.evolve(client, token="99:other")
    answer = await other.raw("getMe")
    assert (401, refused(401, "Unauthorized")) == (answer.status, answer.json())
    client.emulator.revoke(TOKEN)
    assert refused(401, "Unauthorized") == await client.ask("getMe")
    client.emulator.restore(TOKEN)
    assert (await client.ask("getMe"))["ok"]


async def test_paths_and_verbs_that_are_none(client):
    assert refused(404, "Not Found: method not found") == await client.ask("sendNothing")
    answer = await client.http.request("GET", "/elsewhere")
    assert (404, refused(404, "Not Found")) == (answer.status, answer.json())
    answer = await client.raw("getMe", verb="PUT")
    assert 405 == answer.status
    assert "can't parse JSON object" in (await client.raw("getMe", json=[1])).json()["description"]


async def test_rooms_that_go_away(client):
    client.emulator.remove_room("7")
    client.emulator.remove_room("-7")
    client.emulator.forget_room("8")
    assert refused(403, "Forbidden: bot was blocked by the user") == await client.post()
    kicked = await client.post(chat_id=-7)
    assert refused(403, "Forbidden: bot was kicked from the group chat") == kicked
    assert bad("chat not found") == await client.post(chat_id=8)


async def test_a_group_that_moves_tells_where(client):
    await client.posted("before", -7)
    moved = client.emulator.migrate_room("-7")
    words = "Bad Request: group chat was upgraded to a supergroup chat"
    expected = refused(400, words, migrate_to_chat_id=int(moved))
    assert expected == await client.post("after", -7)
    assert "supergroup" == (await client.posted("after", moved))["chat"]["type"]
    assert (["before"], ["after"]) == (client.texts("-7"), client.texts(moved))
    with pytest.raises(ValueError, match="only groups"):
        client.emulator.migrate_room("7")


LIMITS = TelegramLimits()


async def test_a_chat_takes_one_write_a_second(opened, autojump_clock):
    """Edits share the allowance with sends; what is refused draws nothing."""
    client = await opened(limits=LIMITS)
    await client.posted("a")
    await trio.sleep(0.4)
    answer = await client.raw("sendMessage", json={"chat_id": 7, "text": "b"})
    wait = refused(429, "Too Many Requests: retry after 1", retry_after=1)
    assert (429, wait, "1") == (answer.status, answer.json(), answer.headers["retry-after"])
    edit = {"chat_id": 7, "message_id": 1, "text": "c"}
    assert wait == await client.ask("editMessageText", **edit)
    assert (await client.post(chat_id=8))["ok"]
    await trio.sleep(0.6)
    assert (await client.ask("editMessageText", **edit))["ok"]
    assert wait == await client.post("d")
    assert (await client.ask("deleteMessage", chat_id=7, message_id=1))["ok"]
    assert 3 == client.emulator.counters["rate_limited"]


async def test_a_millisecond_early_is_in_time(opened, autojump_clock):
    client = await opened(limits=LIMITS)
    await client.posted("a")
    await trio.sleep(0.9995)
    assert (await client.post("b"))["ok"]
    await trio.sleep(0.99)
    assert not (await client.post("c"))["ok"]


async def test_a_group_takes_twenty_in_a_minute(opened, autojump_clock):
    client = await opened(limits=LIMITS)
    for index in range(20):
        await client.posted(f"{index}", -7)
        await trio.sleep(1)
    refusal = await client.post("20", -7)
    assert 40 == refusal["parameters"]["retry_after"]
    await trio.sleep(39)
    assert 1 == (await client.post("20", -7))["parameters"]["retry_after"]
    await trio.sleep(1)
    assert (await client.post("20", -7))["ok"]
    assert 1 == (await client.post("21", -7))["parameters"]["retry_after"]


async def test_a_bot_has_thirty_tokens_that_come_back_evenly(opened, autojump_clock):
    client = await opened(limits=LIMITS)
    bodies = [await client.post(chat_id=100 + index) for index in range(31)]
    assert [True] * 30 + [False] == [body["ok"] for body in bodies]
    other = attrs.evolve(client, token="99:other")
    assert (await other.post(chat_id=7))["ok"]
    await trio.sleep(1 / 30)
    assert (await client.post(chat_id=200))["ok"]
    assert not (await client.post(chat_id=201))["ok"]
    assert (await client.ask("sendChatAction", chat_id=7, action="typing"))["ok"]


def planned(fault: Fault) -> FaultPlan:
    return FaultPlan(script={0: fault})


async def test_an_unforeseen_limit(opened):
    client = await opened(faults=planned(Fault.RATE_LIMITED))
    refusal = await client.post()
    assert refused(429, "Too Many Requests: retry after 3", retry_after=3) == refusal
    assert {"requests": 1, "faults": 1} == client.emulator.counters


async def test_a_server_error(opened):
    client = await opened(faults=planned(Fault.SERVER_ERROR))
    answer = await client.raw("sendMessage", json={"chat_id": 7, "text": "x"})
    assert (502, True) == (answer.status, answer.body.startswith(b"<html>"))
    assert [] == client.texts()


@pytest.mark.parametrize(
    ("fault", "stored"),
    [(Fault.RESET_BEFORE, []), (Fault.RESET_AFTER, ["x"]), (Fault.NO_ANSWER, ["x"])],
)
async def test_no_answer_comes(opened, fault, stored, autojump_clock):
    client = await opened(faults=planned(fault))
    with pytest.raises(TransportError) as caught:
        await client.post("x")
    assert "unknown" == caught.value.dispatched
    assert stored == client.texts()


async def test_a_malformed_answer(opened):
    client = await opened(faults=planned(Fault.MALFORMED))
    answer = await client.raw("sendMessage", json={"chat_id": 7, "text": "x"})
    assert 200 == answer.status
    with pytest.raises(ValueError, match=r"."):
        answer.json()
    assert ["x"] == client.texts()


async def test_a_token_that_is_revoked_in_the_middle(opened):
    client = await opened(faults=planned(Fault.TOKEN_REVOKED))
    assert refused(401, "Unauthorized") == await client.post()
    assert refused(401, "Unauthorized") == await client.ask("getMe")
    client.emulator.restore(TOKEN)
    assert (await client.post())["ok"]


async def test_a_room_that_vanishes_in_the_middle(opened):
    client = await opened(faults=planned(Fault.ROOM_GONE))
    blocked = refused(403, "Forbidden: bot was blocked by the user")
    assert blocked == await client.post()
    assert blocked == await client.post()
    assert (await client.post(chat_id=8))["ok"]


async def test_faults_hit_only_what_changes_messages(opened):
    client = await opened(faults=planned(Fault.SERVER_ERROR))
    assert (await client.ask("getMe"))["ok"]
    assert (await client.ask("sendChatAction", chat_id=7, action="typing"))["ok"]
    assert 502 == (await client.raw("deleteMessage", json={})).status


async def test_a_person_can_look_at_what_arrived(client):
    await client.posted("<i>not markup</i>")
    page = (await client.http.request("GET", "/")).body.decode()
    assert "&lt;i&gt;not markup&lt;/i&gt;" in page
