"""Control over HTTP: what arrived, what people do, what fails next, in any language."""

from __future__ import annotations

import httpx
import pytest

from gateway_contrib.emulators.testing.control import controlled
from gateway_contrib.emulators.testing.held import Held

ROOMS = {"telegram": "7", "slack": "C024BE91L", "discord": "1100000000000000001"}


@pytest.fixture
def client_of(autojump_clock):
    """A client of an emulated platform and of its control."""

    def opened(channel, **fields):
        held = Held(channel, **fields)
        held.locate("http://there")
        transport = httpx.ASGITransport(controlled(held))
        return httpx.AsyncClient(transport=transport, base_url="http://there")

    return opened


async def post(client, channel, text):
    """A message, as a bot of the platform posts it."""
    match channel:
        case "telegram":
            return await client.post("/bot1:a/sendMessage", json={"chat_id": 7, "text": text})
        case "slack":
            body = {"channel": ROOMS[channel], "text": text}
            headers = {"Authorization": "Bearer xoxb-1"}
            return await client.post("/api/chat.postMessage", json=body, headers=headers)
    headers = {"Authorization": "Bot a.b.c"}
    path = f"/api/v10/channels/{ROOMS[channel]}/messages"
    return await client.post(path, json={"content": text}, headers=headers)


@pytest.mark.parametrize("channel", ROOMS)
async def test_what_arrived_and_what_people_said_is_told(channel, client_of):
    async with client_of(channel) as client:
        assert (await post(client, channel, "hello")).is_success
        said = await client.post(
            "/emulator/people/say", json={"room": ROOMS[channel], "text": "hi"}
        )
        assert said.is_success
        rooms = (await client.get("/emulator/rooms")).json()
        assert {ROOMS[channel]: ["hello", "hi"]} == {
            room: [message["text"] for message in messages] for room, messages in rooms.items()
        }
        assert (
            rooms[ROOMS[channel]] == (await client.get(f"/emulator/rooms/{ROOMS[channel]}")).json()
        )
        assert [None, True] == [m["user"] and True for m in rooms[ROOMS[channel]]]
        [asked] = (await client.get("/emulator/requests")).json()
        assert ("POST", 200) == (asked["verb"], asked["status"])
        state = (await client.get("/emulator")).json()
        assert (channel, "http://there") == (state["channel"], state["url"])
        assert (1, []) == (state["counters"]["requests"], state["failures"])


@pytest.mark.parametrize("channel", ROOMS)
async def test_the_next_requests_fail_as_asked(channel, client_of):
    async with client_of(channel, limits="none") as client:
        asked = {"fault": "rate_limited", "retry_after": 5, "times": 2}
        assert (await client.post("/emulator/failures", json=asked)).is_success
        bad = {"status": 503, "body": "busy", "headers": {"Retry-After": "9"}}
        state = (await client.post("/emulator/failures", json=bad)).json()
        assert ["answer 429", "answer 429", "answer 503"] == state["failures"]
        answers = [await post(client, channel, "hello") for _ in range(4)]
        assert [429, 429, 503, 200] == [answer.status_code for answer in answers]
        waits = [answer.headers.get("Retry-After") for answer in answers]
        assert ["5", "5", "9", None] == waits
        assert "busy" == answers[2].text
        await client.post("/emulator/failures", json={"fault": "cut"})
        state = (await client.post("/emulator/failures", json={"fault": "server_error"})).json()
        assert ["cut", "server_error"] == state["failures"]
        assert [] == (await client.delete("/emulator/failures")).json()["failures"]
        assert 200 == (await post(client, channel, "hello")).status_code


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("<html>Grüße</html>", "<html>Grüße</html>"),
        ('{"ok": false}', '{"ok": false}'),
        ({"ok": False}, '{"ok": false}'),
        (None, ""),
    ],
)
async def test_a_text_is_answered_word_for_word_and_data_as_json(body, said, client_of):
    async with client_of("slack") as client:
        asked = {"status": 503} | ({} if body is None else {"body": body})
        assert (await client.post("/emulator/failures", json=asked)).is_success
        assert said == (await post(client, "slack", "hello")).text


@pytest.mark.parametrize("channel", ROOMS)
async def test_a_restart_knows_nothing_and_may_have_other_limits(channel, client_of):
    async with client_of(channel) as client:
        await post(client, channel, "hello")
        assert (await client.post("/emulator/restart", json={"limits": "none"})).is_success
        assert {} == (await client.get("/emulator/rooms")).json()
        answers = [await post(client, channel, str(n)) for n in range(60)]
        assert {200} == {answer.status_code for answer in answers}
        assert (await client.post("/emulator/restart")).is_success
        answers = [await post(client, channel, str(n)) for n in range(60)]
        assert {200} == {answer.status_code for answer in answers}, "limits stay as they are"


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("failures", {"fault": "meteor"}, "meteor is not a failure; there are rate_limited,"),
        ("failures", {"fault": "cut", "time": 2}, "time: unknown; there are body,"),
        ("failures", {"fault": "cut", "times": 0}, "times: 0 is not a whole number above 0"),
        ("failures", [1], "the body is not a JSON object"),
        ("people/dance", {}, "dance is not an action here; there are press, say"),
        ("people/say", {"room": "7"}, "missing 1 required positional argument: 'text'"),
        ("people/press", {"room": "7", "message_id": "1", "data": "x"}, "room 7 has no message 1"),
        (
            "people/press",
            {"room": "7", "message_id": "1", "value": "x"},
            "value: unknown; there are data, message_id, room, user",
        ),
        ("restart", {"limits": {"speed": 1}}, "speed is not a limit; there are chat_seconds,"),
        ("restart", {"limits": "few"}, "limits: 'few' is neither a mapping nor 'none'"),
        (
            "restart",
            {"limits": {"chat_seconds": "x"}},
            "chat_seconds: 'x' is not a value such as 1.0",
        ),
    ],
)
async def test_a_mistake_is_told(path, body, words, client_of):
    async with client_of("telegram") as client:
        answer = await client.post(f"/emulator/{path}", json=body)
        assert 400 == answer.status_code
        assert words in answer.json()["error"]


async def test_limits_are_read_as_texts_too(client_of):
    with pytest.raises(ValueError, match="posts: '5' is not a count in seconds such as 5/1"):
        Held("slack", limits={"posts": "5"})
    async with client_of("slack", limits={"posts": "3/60"}) as client:
        answers = [await post(client, "slack", str(n)) for n in range(4)]
        assert [200, 200, 200, 429] == [answer.status_code for answer in answers]
    with pytest.raises(ValueError, match="bot_slides: 'yes' is not a value such as False"):
        Held("telegram", limits={"bot_slides": "yes"})
