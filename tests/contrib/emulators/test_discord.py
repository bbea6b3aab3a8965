"""The emulated Discord speaks the platform's wire format, and its own limits hold."""

import json
from contextlib import asynccontextmanager

import pytest
import trio

from gateway_contrib.emulators.discord import DiscordEmulator, DiscordLimits
from gateway_contrib.emulators.discord.markup import visible
from gateway_contrib.emulators.faults import Fault, FaultPlan
from gateway_core.authors import TransportError
from gateway_core.http import Timeouts, open_client
from gateway_core.testing import open_network

URL = "https://discord.example"
ROOM = "1100000000000000001"
OTHER = "1100000000000000002"
MESSAGES = f"/channels/{ROOM}/messages"


@asynccontextmanager
async def running(emulator, *, token="t"):
    """A client of the emulator that returns (status, headers, JSON or text)."""
    async with open_network() as network:
        network.mount(URL, emulator.app)
        async with client_of(token) as ask:
            ask.network = network
            yield ask


@asynccontextmanager
async def client_of(token):
    headers = {"authorization": f"Bot {token}"} if token else {}
    async with open_client(base_url=URL, headers=headers, timeouts=Timeouts(read=20)) as client:

        async def ask(verb, path, body=None, *, prefix="/api/v10"):
            answer = await client.request(verb, f"{prefix}{path}", json=body)
            is_json = answer.headers.get("content-type", "").startswith("application/json")
            return answer.status, answer.headers, answer.json() if is_json else answer.body.decode()

        ask.client = client
        yield ask


@pytest.fixture
def emulator():
    return DiscordEmulator()


@pytest.fixture
async def ask(emulator):
    async with running(emulator) as ask:
        yield ask


async def post(ask, text="hi", room=ROOM, **fields):
    return await ask("POST", f"/channels/{room}/messages", {"content": text, **fields})


async def test_a_message_comes_back_as_discord_shows_it(ask, emulator, autojump_clock):
    status, headers, message = await post(ask, "hello", nonce="7", flags=4)
    assert 200 == status
    assert "1.1 google" == headers["via"]
    assert ("hello", ROOM, 0, 4, "7", True) == (
        message["content"],
        message["channel_id"],
        message["type"],
        message["flags"],
        message["nonce"],
        message["author"]["bot"],
    )
    (stored,) = emulator.rooms.conversation(ROOM)
    assert (message["id"], "hello", "7") == (stored.id, stored.text, stored.fields["nonce"])
    assert 1 == emulator.counters["stored"]


async def test_ids_are_snowflakes_that_grow_with_virtual_time(ask, autojump_clock):
    ids = []
    for _ in range(3):
        ids.append((await post(ask))[2]["id"])
        await trio.sleep(0.5)
    assert all(i.isdigit() for i in ids)
    first, second, third = map(int, ids)
    assert first < second < third
    assert 500 == pytest.approx((second >> 22) - (first >> 22), abs=1)


async def test_editing_and_deleting(ask, emulator, autojump_clock):
    message = (await post(ask, "one", embeds=[{"title": "t"}]))[2]
    path = f"{MESSAGES}/{message['id']}"
    status, _, edited = await ask("PATCH", path, {"content": "two"})
    assert (200, "two") == (status, edited["content"])
    assert edited["edited_timestamp"] is not None
    assert [{"title": "t"}] == edited["embeds"]
    assert ["one"] == emulator.rooms.get(ROOM, message["id"]).revisions
    assert "two" == (await ask("GET", path))[2]["content"]
    assert [message["id"]] == [m["id"] for m in (await ask("GET", MESSAGES))[2]]
    assert (204, "") == (await ask("DELETE", path))[::2]
    assert 10008 == (await ask("DELETE", path))[2]["code"]
    assert [] == emulator.rooms.conversation(ROOM)
    assert (1, 1, 1) == tuple(emulator.counters[key] for key in ("stored", "edited", "deleted"))


async def test_messages_are_listed_newest_first_in_pages(ask, autojump_clock):
    ids = [(await post(ask, str(number)))[2]["id"] for number in range(4)]

    async def page(query):
        return [m["content"] for m in (await ask("GET", f"{MESSAGES}?{query}"))[2]]

    assert ["3", "2"] == await page("limit=2")
    assert ["1", "0"] == await page(f"before={ids[2]}")
    assert ["3", "2"] == await page(f"after={ids[1]}")


async def test_the_wall_clock_is_the_one_that_is_given(autojump_clock):
    async with running(DiscordEmulator(wall_clock=lambda: 1_500_000_000.0)) as ask:
        status, headers, message = await post(ask)
        assert 200 == status
        assert "1500000005.000" == headers["x-ratelimit-reset"]
        assert "2017-07-14T02:40:00+00:00" == message["timestamp"]


async def test_a_reply_says_what_it_answers(ask, emulator, autojump_clock):
    first = (await post(ask))[2]["id"]
    reply = (await post(ask, message_reference={"message_id": first}))[2]
    assert (19, first) == (reply["type"], reply["message_reference"]["message_id"])
    assert first == emulator.rooms.get(ROOM, reply["id"]).reply_to
    missing = {"message_id": "5", "fail_if_not_exists": True}
    status, _, body = await post(ask, message_reference=missing)
    assert (400, 50035) == (status, body["code"])
    assert {"message_reference"} == set(body["errors"])
    plain = (await post(ask, message_reference={**missing, "fail_if_not_exists": False}))[2]
    assert "message_reference" not in plain


async def test_an_enforced_nonce_makes_one_message_for_a_few_minutes(ask, emulator, autojump_clock):
    first = (await post(ask, "a", nonce="n", enforce_nonce=True))[2]["id"]
    assert first == (await post(ask, "b", nonce="n", enforce_nonce=True))[2]["id"]
    await trio.sleep(179)
    assert first == (await post(ask, "a", nonce="n", enforce_nonce=True))[2]["id"]
    assert first != (await post(ask, "a", OTHER, nonce="n", enforce_nonce=True))[2]["id"]
    await trio.sleep(2)
    assert first != (await post(ask, "a", nonce="n", enforce_nonce=True))[2]["id"]
    assert 3 == emulator.counters["stored"]


async def test_a_nonce_that_is_not_enforced_makes_two(ask, emulator, autojump_clock):
    await post(ask, nonce="n")
    await post(ask, nonce="n")
    assert 2 == emulator.counters["stored"]


ERRORS = {
    "empty": ("POST", MESSAGES, {"content": ""}, 400, 50006),
    "white space": ("POST", MESSAGES, {"content": " \n"}, 400, 50006),
    "too long": ("POST", MESSAGES, {"content": "a" * 2001}, 400, 50035),
    "too many units": ("POST", MESSAGES, {"content": "🙂" * 1001}, 400, 50035),
    "no text": ("POST", MESSAGES, {"content": 5}, 400, 50035),
    "long nonce": ("POST", MESSAGES, {"content": "a", "nonce": "n" * 26}, 400, 50035),
    "flags": ("POST", MESSAGES, {"content": "a", "flags": "4"}, 400, 50035),
    "no object": ("POST", MESSAGES, ["a"], 400, 50035),
    "no snowflake": ("POST", "/channels/general/messages", {"content": "a"}, 400, 50035),
    "no message": ("PATCH", f"{MESSAGES}/5", {"content": "a"}, 404, 10008),
    "no message to pin": ("PUT", f"{MESSAGES}/pins/5", None, 404, 10008),
    "no route": ("GET", "/guilds", None, 404, 0),
    "no verb": ("DELETE", MESSAGES, None, 405, 0),
    "no interaction": ("POST", "/interactions/5/t/callback", {"type": 5}, 404, 10062),
    "no webhook token": ("POST", "/webhooks/5/t", {"content": "a"}, 401, 50027),
}


@pytest.mark.parametrize("name", ERRORS)
async def test_errors(ask, name, autojump_clock):
    verb, path, body, status, code = ERRORS[name]
    answer = await ask(verb, path, body)
    assert (status, code) == (answer[0], answer[2]["code"])
    assert "1.1 google" == answer[1]["via"]


async def test_the_length_is_a_mistake_of_the_content(ask, autojump_clock):
    errors = (await post(ask, "a" * 2001))[2]["errors"]
    expected = {"code": "BASE_TYPE_MAX_LENGTH", "message": "Must be 2000 or fewer in length."}
    assert {"content": {"_errors": [expected]}} == errors


async def test_bodies_that_are_no_json(ask, autojump_clock):
    answer = await ask.client.request("POST", f"/api/v10{MESSAGES}", form={"content": "a"})
    assert 50109 == answer.json()["code"]


async def test_others_messages_are_not_ours(ask, emulator, autojump_clock):
    message = (await post(ask))[2]["id"]
    async with client_of("another") as other:
        path = f"{MESSAGES}/{message}"
        assert (403, 50005) == codes(await other("PATCH", path, {"content": "x"}))
        assert (403, 50013) == codes(await other("DELETE", path))
        assert "bot-2" == (await other("GET", "/users/@me"))[2]["username"]


def codes(answer):
    return answer[0], answer[2]["code"]


async def test_rooms_close_and_open(ask, emulator, autojump_clock):
    emulator.remove_room(ROOM)
    assert (404, 10003) == codes(await post(ask))
    emulator.close_room(ROOM)
    assert (403, 50001) == codes(await post(ask))
    emulator.close_room(ROOM, 50083)
    assert (400, 50083) == codes(await post(ask))
    emulator.restore_room(ROOM)
    assert 200 == (await post(ask))[0]


@pytest.mark.parametrize("token", [None, "unknown", "revoked"])
async def test_tokens(token, autojump_clock):
    emulator = DiscordEmulator(tokens=["known", "revoked"])
    emulator.revoke("revoked")
    async with running(emulator, token=token) as ask:
        status, _, body = await ask("GET", "/users/@me")
        assert (401, {"message": "401: Unauthorized", "code": 0}) == (status, body)
        emulator.restore("revoked")
        assert (200 if token == "revoked" else 401) == (await ask("GET", "/users/@me"))[0]


async def test_a_bucket_counts_down_and_refuses_the_sixth(ask, emulator, autojump_clock):
    headers = [(await post(ask))[1] for _ in range(5)]
    assert ["4", "3", "2", "1", "0"] == [h["x-ratelimit-remaining"] for h in headers]
    assert {"5"} == {h["x-ratelimit-limit"] for h in headers}
    await trio.sleep(2)
    status, refused, body = await post(ask)
    assert (429, 3.0, False) == (status, body["retry_after"], body["global"])
    assert ("user", "3", "3.000") == (
        refused["x-ratelimit-scope"],
        refused["retry-after"],
        refused["x-ratelimit-reset-after"],
    )
    assert 200 == (await post(ask, room=OTHER))[0]
    await trio.sleep(3)
    assert "4" == (await post(ask))[1]["x-ratelimit-remaining"]
    assert 1 == emulator.counters["rate_limited"]


async def test_reset_is_the_time_at_which_reset_after_is_over(ask, autojump_clock):
    headers = [(await post(ask))[1]]
    await trio.sleep(1)
    headers.append((await post(ask))[1])
    resets = [float(h["x-ratelimit-reset"]) for h in headers]
    assert resets[0] == pytest.approx(resets[1], abs=0.01)
    assert ["5.000", "4.000"] == [h["x-ratelimit-reset-after"] for h in headers]


async def test_routes_have_buckets_of_their_own_unless_they_share(autojump_clock):
    edit = "PATCH /channels/{channel}/messages/{message}"
    limits = DiscordLimits(shared={edit: "POST /channels/{channel}/messages"})
    for emulator, same in ((DiscordEmulator(), False), (DiscordEmulator(limits=limits), True)):
        async with running(emulator) as ask:
            _, posted, message = await post(ask)
            _, edited, _ = await ask("PATCH", f"{MESSAGES}/{message['id']}", {"content": "x"})
            name = "x-ratelimit-bucket"
            assert same == (posted[name] == edited[name])
            assert ("3" if same else "4") == edited["x-ratelimit-remaining"]


async def test_the_global_limit_is_a_sliding_second(ask, emulator, autojump_clock):
    for number in range(50):
        assert 200 == (await post(ask, room=str(number + 1)))[0]
    status, headers, body = await post(ask)
    assert (429, True, "global", "true") == (
        status,
        body["global"],
        headers["x-ratelimit-scope"],
        headers["x-ratelimit-global"],
    )
    await trio.sleep(body["retry_after"])
    assert 200 == (await post(ask))[0]


async def test_what_a_bucket_refuses_does_not_count_globally(ask, autojump_clock):
    for _ in range(60):
        await post(ask)
    assert 200 == (await post(ask, room=OTHER))[0]


async def test_a_shared_limit(ask, emulator, autojump_clock):
    emulator.limit_shared(ROOM, 1.5)
    status, headers, body = await post(ask)
    assert (429, "shared", 1.5) == (status, headers["x-ratelimit-scope"], body["retry_after"])
    await trio.sleep(1.5)
    assert 200 == (await post(ask))[0]


async def test_the_front_door_closes_after_too_many_invalid_answers(autojump_clock):
    emulator = DiscordEmulator(limits=DiscordLimits(invalid=3))
    emulator.close_room(ROOM)
    async with running(emulator) as ask:
        emulator.limit_shared(OTHER, 1)
        await post(ask, room=OTHER)  # A shared limit does not count.
        assert [403, 403, 403] == [(await post(ask))[0] for _ in range(3)]
        status, headers, body = await ask("GET", "/users/@me")
        assert (429, None, "600") == (status, headers.get("via"), headers["retry-after"])
        assert body.startswith("<html>")
        await trio.sleep(600)
        assert 200 == (await ask("GET", "/users/@me"))[0]


async def test_invalid_answers_are_forgotten_after_ten_minutes(autojump_clock):
    emulator = DiscordEmulator(limits=DiscordLimits(invalid=2))
    emulator.close_room(ROOM)
    async with running(emulator) as ask:
        for _ in range(3):
            assert 403 == (await post(ask))[0]
            await trio.sleep(600)


async def test_reactions_pins_and_typing(ask, emulator, autojump_clock):
    message = (await post(ask))[2]["id"]
    reaction = f"{MESSAGES}/{message}/reactions/%F0%9F%91%8D/@me"
    for path in (reaction, f"{MESSAGES}/pins/{message}"):
        assert [204, 204] == [(await ask("PUT", path))[0] for _ in range(2)]
    assert ["👍"] == [emoji for _, emoji in emulator.reactions(ROOM, message)]
    assert [message] == emulator.pins(ROOM)
    assert (await ask("GET", f"{MESSAGES}/{message}"))[2]["pinned"]
    for path in (reaction, f"{MESSAGES}/pins/{message}"):
        assert [204, 204] == [(await ask("DELETE", path))[0] for _ in range(2)]
    assert ([], []) == (emulator.reactions(ROOM, message), emulator.pins(ROOM))
    assert 204 == (await ask("POST", f"/channels/{ROOM}/typing"))[0]


async def test_the_account_and_the_channel(ask, autojump_clock):
    assert (await ask("GET", "/users/@me"))[2]["bot"]
    assert "bot-1" == (await ask("GET", "/oauth2/applications/@me"))[2]["name"]
    assert ROOM == (await ask("GET", f"/channels/{ROOM}"))[2]["id"]
    assert (await ask("GET", "/gateway/bot"))[2]["url"].startswith("wss://127.0.0.1")


async def test_an_interaction_is_answered_once_and_followed_up(emulator, autojump_clock):
    async with running(emulator, token=None) as ask:
        entry = emulator.interaction(ROOM)
        callback = f"/interactions/{entry.id}/{entry.token}/callback"
        hooked = f"/webhooks/{entry.application}/{entry.token}"
        assert 204 == (await ask("POST", callback, {"type": 4, "data": {"content": "one"}}))[0]
        assert (400, 40060) == codes(await ask("POST", callback, {"type": 5}))
        assert 200 == (await ask("POST", hooked, {"content": "two"}))[0]
        assert 200 == (await ask("PATCH", f"{hooked}/messages/@original", {"content": "1"}))[0]
        assert ["1", "two"] == [m.text for m in emulator.rooms.conversation(ROOM)]
        await trio.sleep(901)
        assert (401, 50027) == codes(await ask("POST", hooked, {"content": "three"}))


async def test_a_deferred_interaction_gets_its_message_later(emulator, autojump_clock):
    async with running(emulator, token=None) as ask:
        entry = emulator.interaction(ROOM)
        path = f"/webhooks/{entry.application}/{entry.token}/messages/@original"
        await ask("POST", f"/interactions/{entry.id}/{entry.token}/callback", {"type": 5})
        made = (await ask("PATCH", path, {"content": "done"}))[2]
        other = path.replace("@original", made["id"])
        assert made["id"] == (await ask("PATCH", other, {"content": "done!"}))[2]["id"]
        assert ["done!"] == [m.text for m in emulator.rooms.conversation(ROOM)]


async def test_a_form_carries_its_json_in_payload_json(ask, emulator, autojump_clock):
    """As clients send it that attach files."""
    payload = json.dumps({"content": "grüße 🙂"})
    parts = (
        '--b\r\nContent-Disposition: form-data; name="payload_json"\r\n'
        f"Content-Type: application/json\r\n\r\n{payload}\r\n"
        '--b\r\nContent-Disposition: form-data; name="files[0]"; filename="a.txt"\r\n'
        "Content-Type: text/plain\r\n\r\nabc\r\n--b--\r\n"
    )
    sent = await raw(ask, parts.encode(), "multipart/form-data; boundary=b")
    assert b"HTTP/1.1 200" == sent[:12]
    assert ["grüße 🙂"] == [m.text for m in emulator.rooms.conversation(ROOM)]


async def raw(ask, body, kind):
    """The status line of a request whose body is given byte for byte."""
    import httpx2  # noqa: PLC0415 - what makes a request by hand, for this test only

    from gateway_core.http import transport_factory  # noqa: PLC0415 - likewise

    headers = {"authorization": "Bot t", "content-type": kind}
    request = httpx2.Request("POST", f"{URL}/api/v10{MESSAGES}", headers=headers, content=body)
    timeouts = dict.fromkeys(("connect", "read", "write", "pool"), 5.0)
    request.extensions["timeout"] = timeouts
    async with transport_factory.get()() as transport:
        response = await transport.handle_async_request(request)
        return f"HTTP/1.1 {response.status_code}".encode()


async def test_white_space_at_the_ends_is_taken_off(ask, emulator, autojump_clock):
    assert "a  b" == (await post(ask, "\n a  b \n"))[2]["content"]


async def test_the_store_keeps_what_the_reader_sees(ask, emulator, autojump_clock):
    await post(ask, r"**bold** and \*stars\*")
    (stored,) = emulator.rooms.conversation(ROOM)
    assert "bold and *stars*" == stored.text
    assert r"**bold** and \*stars\*" == stored.fields["content"]


async def test_the_page_shows_what_arrived(ask, autojump_clock):
    await post(ask, "<b>hello</b>")
    status, _, page = await ask("GET", "/", prefix="")
    assert 200 == status
    assert "discord emulator" in page
    assert "&lt;b&gt;hello&lt;/b&gt;" in page


def failing(fault, **more):
    return DiscordEmulator(faults=FaultPlan(script={0: fault}), **more)


@pytest.mark.parametrize(
    ("fault", "status", "stored"),
    [
        (Fault.RATE_LIMITED, 429, 0),
        (Fault.SERVER_ERROR, 502, 0),
        (Fault.TOKEN_REVOKED, 401, 0),
        (Fault.ROOM_GONE, 404, 0),
        (Fault.MALFORMED, 200, 1),
    ],
)
async def test_faults_with_an_answer(fault, status, stored, autojump_clock):
    emulator = failing(fault)
    async with running(emulator) as ask:
        answer = await ask.client.request("POST", f"/api/v10{MESSAGES}", json={"content": "a"})
        assert (status, stored) == (answer.status, emulator.counters["stored"])
        assert (1, 0) == (emulator.counters["faults"], emulator.counters["rate_limited"])


@pytest.mark.parametrize(
    ("fault", "stored"),
    [(Fault.RESET_BEFORE, 0), (Fault.RESET_AFTER, 1), (Fault.NO_ANSWER, 1)],
)
async def test_faults_without_an_answer(fault, stored, autojump_clock):
    emulator = failing(fault)
    async with running(emulator) as ask:
        with pytest.raises(TransportError) as caught:
            await post(ask)
        assert ("unknown", stored) == (caught.value.dispatched, emulator.counters["stored"])


async def test_an_injected_429_leaves_the_bucket_empty_for_as_long_as_it_says(autojump_clock):
    async with running(failing(Fault.RATE_LIMITED)) as ask:
        _, headers, body = await post(ask)
        assert ("0", 1.0) == (headers["x-ratelimit-remaining"], body["retry_after"])
        assert 429 == (await post(ask))[0]
        await trio.sleep(1)
        assert 200 == (await post(ask))[0]


async def test_lasting_faults_last(autojump_clock):
    emulator = failing(Fault.TOKEN_REVOKED)
    async with running(emulator) as ask:
        assert [401, 401] == [(await post(ask))[0] for _ in range(2)]
        emulator.restore("t")
        assert 200 == (await post(ask))[0]


SEEN = {
    "**b** *i* _i_ __u__ ~~s~~ ||spoiler|| `code`": "b i i u s spoiler code",
    "***both***": "both",
    "```py\nx = 1\n```": "x = 1",
    "# Title\ntext": "Title\ntext",
    "-# small": "small",
    "- one\n* two\n  - three\n1. four": "• one\n• two\n  • three\n1. four",
    "> a\n> b": "a\nb",
    ">>> a\nb": "a\nb",
    "[label](https://x.org)": "label",
    "<https://x.org/a_b_> https://x.org/*a*": "https://x.org/a_b_ https://x.org/*a*",
    "<@1> <@&2> <#3> <:wow:4> </say:5>": "@1 @&2 #3 :wow: /say",
    "<t:1700000000:R> <id:guide>": "1700000000 guide",
    ":tada: 12:30:45 :nosuch:": "🎉 12:30:45 :nosuch:",
    r"\*a\* C:\dir": r"*a* C:\dir",
    "5 * 3 * 2 snake_case": "5 * 3 * 2 snake_case",
    "**open": "**open",
}


@pytest.mark.parametrize("content", SEEN)
def test_what_a_reader_sees(content):
    assert SEEN[content] == visible(content)
