"""Interactions, typing, direct messages and incoming webhooks of the emulated Discord."""

import pytest
import trio

from gateway_contrib.emulators.discord import DiscordEmulator, DiscordLimits
from gateway_contrib.emulators.faults import Fault, FaultPlan
from gateway_core.authors import TransportError
from gateway_core.http import Timeouts, open_client
from gateway_core.testing import open_network
from gateway_plugin_discord.addresses import address_of

URL = "https://discord.example"
ROOM = "1100000000000000001"
USER = "1200000000000000007"
FREE = DiscordLimits(count=1000, global_count=1000, webhook_count=1000)
EPHEMERAL = 64
LOADING = 128
FAILED = "The application did not respond"
CALLBACK = "POST /interactions/{interaction}/{token}/callback"
FOLLOW_UP = "POST /webhooks/{application}/{token}"


@pytest.fixture
async def opened():
    """Opens an emulator with a function that asks it, as a bot or, with `token=None`, as nobody."""
    async with open_network() as network, trio.open_nursery() as nursery:

        async def make(**fields):
            emulator = DiscordEmulator(**{"limits": FREE, **fields})
            network.mount(URL, emulator.app)
            client = open_client(base_url=f"{URL}/api/v10", timeouts=Timeouts(read=20))
            http = await nursery.start(held, client)

            async def ask(verb, path, body=None, *, token=None):
                headers = {"authorization": f"Bot {token}"} if token else {}
                answer = await http.request(verb, path, json=body, headers=headers)
                return answer.status, answer.json() if answer.body else None

            return emulator, ask

        yield make
        nursery.cancel_scope.cancel()


async def held(client, *, task_status):
    async with client as http:
        task_status.started(http)
        await trio.sleep_forever()


def codes(answer):
    return answer[0], answer[1]["code"]


async def respond(ask, entry, kind, *, query="", **data):
    body = {"type": kind, **({"data": data} if data else {})}
    path = f"/interactions/{entry.id}/{entry.token}/callback{query}"
    return await ask("POST", path, body)


def hook(entry):
    return f"/webhooks/{entry.application}/{entry.token}"


def original(entry):
    return f"{hook(entry)}/messages/@original"


def saw(entry):
    return [(seen.at, seen.text, seen.ephemeral) for seen in entry.seen()]


def texts(emulator, room=ROOM):
    return [message.text for message in emulator.rooms.conversation(room)]


async def test_nobody_answers_in_three_seconds(opened, autojump_clock):
    emulator, ask = await opened()
    entry = emulator.people.command(ROOM, "ask", user=USER)
    await trio.sleep(2.9)
    assert ([], []) == (saw(entry), emulator.screen.now())
    await trio.sleep(0.2)
    assert [(3.0, FAILED, True)] == saw(entry)
    (sight,) = emulator.screen.now(ROOM)
    assert ("failed", FAILED, USER) == (sight.what, sight.text, sight.user)
    assert (404, 10062) == codes(await respond(ask, entry, 4, content="late"))
    assert (404, 10015) == codes(await ask("POST", hook(entry), {"content": "late"}))
    assert [] == emulator.rooms.names()


async def test_a_message_at_once(opened, autojump_clock):
    emulator, ask = await opened()
    entry = emulator.people.command(ROOM, "ask")
    await trio.sleep(1)
    assert (204, None) == await respond(ask, entry, 4, content="**done**")
    assert (400, 40060) == codes(await respond(ask, entry, 5))
    await trio.sleep(1)
    status, body = await ask("PATCH", original(entry), {"content": "edited"})
    assert (200, "edited", "bot-1") == (status, body["content"], body["author"]["username"])
    assert [(1.0, "done", False), (2.0, "edited", False)] == saw(entry)
    assert ["edited"] == texts(emulator)
    assert "edited" == (await ask("GET", original(entry)))[1]["content"]
    assert (204, None) == await ask("DELETE", original(entry))
    assert (404, 10008) == codes(await ask("GET", original(entry)))
    assert [] == texts(emulator)


async def test_a_deferred_answer_is_thought_about_and_then_there(opened, autojump_clock):
    emulator, ask = await opened()
    entry = emulator.people.command(ROOM, "ask")
    await trio.sleep(2)
    assert 204 == (await respond(ask, entry, 5))[0]
    assert ["thinking…"] == [sight.text for sight in emulator.screen.now(ROOM)]
    assert LOADING == (await ask("GET", original(entry)))[1]["flags"]
    await trio.sleep(100)
    status, made = await ask("PATCH", original(entry), {"content": "done"})
    assert (200, 0) == (status, made["flags"])
    assert [] == emulator.screen.now()
    await trio.sleep(1)
    path = f"{hook(entry)}/messages/{made['id']}"
    assert 200 == (await ask("PATCH", path, {"content": "done!"}))[0]
    assert [
        (2.0, "thinking…", False),
        (102.0, "done", False),
        (103.0, "done!", False),
    ] == saw(entry)
    assert (["done!"], 1, 1) == (
        texts(emulator),
        emulator.counters["stored"],
        emulator.counters["edited"],
    )


async def test_the_first_follow_up_after_a_deferral_is_the_deferred_answer(opened, autojump_clock):
    """Its flags do not count then: whether it is ephemeral was said with the deferral."""
    emulator, ask = await opened()
    entry = emulator.people.command(ROOM, "ask")
    await respond(ask, entry, 5)
    _, first = await ask("POST", hook(entry), {"content": "one", "flags": EPHEMERAL})
    _, second = await ask("POST", hook(entry), {"content": "two"})
    assert first["id"] == (await ask("GET", original(entry)))[1]["id"] != second["id"]
    assert ["one", "two"] == texts(emulator)


async def test_an_ephemeral_answer_is_seen_by_one_and_stands_in_no_room(opened, autojump_clock):
    emulator, ask = await opened()
    entry = emulator.people.command(ROOM, "ask", user=USER)
    await respond(ask, entry, 5, flags=EPHEMERAL)
    assert [USER] == [sight.user for sight in emulator.screen.now(ROOM)]
    assert LOADING | EPHEMERAL == (await ask("GET", original(entry)))[1]["flags"]
    await trio.sleep(1)
    made = (await ask("PATCH", original(entry), {"content": "for you", "flags": 0}))[1]
    assert EPHEMERAL == made["flags"]
    await trio.sleep(1)
    await ask("PATCH", original(entry), {"content": "for you!"})
    follow_up = {"content": "more", "flags": EPHEMERAL}
    more = (await ask("POST", hook(entry), follow_up))[1]
    assert [
        (0.0, "thinking…", True),
        (1.0, "for you", True),
        (2.0, "for you!", True),
        (2.0, "more", True),
    ] == saw(entry)
    shown = [("ephemeral", "for you!", USER), ("ephemeral", "more", USER)]
    assert shown == [(s.what, s.text, s.user) for s in emulator.screen.now(ROOM)]
    assert ([], ["for you!", "more"]) == (
        texts(emulator),
        [message.text for message in emulator.ephemeral.conversation(ROOM)],
    )
    for message in (made["id"], more["id"]):
        path = f"/channels/{ROOM}/messages/{message}"
        assert (404, 10008) == codes(await ask("GET", path, token="t"))
        assert 204 == (await ask("DELETE", f"{hook(entry)}/messages/{message}"))[0]
    assert [] == emulator.screen.now(ROOM)
    public = {"content": "for all"}
    await ask("POST", hook(entry), public)
    assert ["for all"] == texts(emulator)


async def test_a_token_is_good_for_a_quarter_of_an_hour(opened, autojump_clock):
    emulator, ask = await opened()
    entry, waits = (emulator.people.command(ROOM, "ask") for _ in range(2))
    await respond(ask, entry, 4, content="a")
    await respond(ask, waits, 5)
    await trio.sleep(900)
    assert 200 == (await ask("PATCH", original(entry), {"content": "b"}))[0]
    await trio.sleep(1)
    for verb, path in [
        ("PATCH", original(entry)),
        ("GET", original(entry)),
        ("DELETE", original(entry)),
        ("POST", hook(entry)),
    ]:
        body = {"content": "c"} if verb in ("PATCH", "POST") else None
        assert (401, 50027) == codes(await ask(verb, path, body))
    assert (404, 10062) == codes(await respond(ask, entry, 5))
    assert [(0.0, "thinking…", False), (900.0, FAILED, True)] == saw(waits)
    message = emulator.rooms.conversation(ROOM)[0].id
    as_bot = await ask("PATCH", f"/channels/{ROOM}/messages/{message}", {"content": "d"}, token="t")
    assert 200 == as_bot[0]


async def test_a_press_changes_the_message_of_the_button(opened, autojump_clock):
    emulator, ask = await opened()
    button = {"type": 2, "style": 1, "custom_id": "yes", "label": "Yes"}
    rows = [{"type": 1, "components": [button]}]
    body = {"content": "Sure?", "components": rows}
    message = (await ask("POST", f"/channels/{ROOM}/messages", body, token="t"))[1]["id"]
    now, later = (emulator.people.press(ROOM, message, "yes") for _ in range(2))
    assert ("yes", 2, message) == (
        now.event["d"]["data"]["custom_id"],
        now.event["d"]["data"]["component_type"],
        now.event["d"]["message"]["id"],
    )
    assert message == address_of(now.event).reply_to
    await trio.sleep(1)
    assert 204 == (await respond(ask, now, 7, content="Done.", components=[]))[0]
    assert [(1.0, "Done.", False)] == saw(now)
    assert 204 == (await respond(ask, later, 6))[0]
    assert message == (await ask("PATCH", original(later), {"content": "Really."}))[1]["id"]
    assert ["Really."] == texts(emulator)
    await ask("POST", hook(later), {"content": "More."})
    assert ["Really.", "More."] == texts(emulator)
    chosen = emulator.people.press(ROOM, message, "list", values=["a"])
    assert (3, ["a"]) == tuple(chosen.event["d"]["data"][n] for n in ("component_type", "values"))
    with pytest.raises(LookupError, match="no message 5"):
        emulator.people.press(ROOM, "5", "yes")


async def test_a_form_is_shown_and_sent(opened, autojump_clock):
    emulator, ask = await opened()
    entry = emulator.people.command(ROOM, "order", user=USER)
    with pytest.raises(ValueError, match="not answered with a form"):
        emulator.people.submit(entry, {})
    rows = [
        {"type": 1, "components": [{"type": 4, "style": 1, "custom_id": "name", "label": "Name"}]}
    ]
    form = {"custom_id": "order", "title": "Your order", "components": rows}
    assert 204 == (await respond(ask, entry, 9, **form))[0]
    assert [("form", "Your order", USER)] == [
        (s.what, s.text, s.user) for s in emulator.screen.now(ROOM)
    ]
    sent = emulator.people.submit(entry, {"name": "Ada"})
    data = sent.event["d"]["data"]
    assert ("order", "Ada", 5) == (
        data["custom_id"],
        data["components"][0]["components"][0]["value"],
        sent.event["d"]["type"],
    )
    assert [] == emulator.screen.now(ROOM)
    assert (400, 50035) == codes(await respond(ask, sent, 9, **form))
    assert 204 == (await respond(ask, sent, 4, content="Thanks, Ada."))[0]
    assert ["Thanks, Ada."] == texts(emulator)


async def test_suggestions_for_what_is_typed(opened, autojump_clock):
    emulator, ask = await opened()
    entry = emulator.people.complete(ROOM, "find", {"what": "app", "n": 3}, focused="what")
    what, number = entry.event["d"]["data"]["options"]
    assert ({"name": "what", "type": 3, "value": "app", "focused": True}, 4) == (
        what,
        number["type"],
    )
    assert (400, 50035) == codes(await respond(ask, entry, 4, content="no"))
    many = [{"name": "apple", "value": "apple"}] * 26
    assert (400, 50035) == codes(await respond(ask, entry, 8, choices=many))
    assert (400, 50035) == codes(await respond(ask, entry, 8))
    assert 204 == (await respond(ask, entry, 8, choices=many[:25]))[0]
    assert many[:25] == entry.choices


@pytest.mark.parametrize(
    ("kind", "data", "code"),
    [
        (4, {}, 50006),
        (4, {"content": "x" * 2001}, 50035),
        (6, {}, 50035),
        (7, {"content": "x"}, 50035),
        (8, {"choices": []}, 50035),
        (9, {"custom_id": "a", "title": "b"}, 50035),
        (3, {}, 50035),
        ("4", {"content": "x"}, 50035),
        (None, {}, 50035),
    ],
)
async def test_first_answers_that_are_refused_acknowledge_nothing(
    opened, kind, data, code, autojump_clock
):
    emulator, ask = await opened()
    entry = emulator.people.command(ROOM, "ask")
    assert (400, code) == codes(await respond(ask, entry, kind, **data))
    assert 204 == (await respond(ask, entry, 5))[0]


async def test_with_response_shows_the_message(opened, autojump_clock):
    emulator, ask = await opened()
    entry, waits = (emulator.people.command(ROOM, "ask") for _ in range(2))
    query = "?with_response=true"
    status, body = await respond(ask, entry, 4, query=query, content="one", flags=EPHEMERAL)
    made = body["resource"]["message"]
    assert (200, entry.id, made["id"], True, False) == (
        status,
        body["interaction"]["id"],
        *(body["interaction"][f"response_message_{n}"] for n in ("id", "ephemeral", "loading")),
    )
    assert (4, "one") == (body["resource"]["type"], made["content"])
    _, body = await respond(ask, waits, 5, query=query)
    assert body["interaction"]["response_message_loading"]


async def test_answers_that_belong_to_nobody(opened, autojump_clock):
    emulator, ask = await opened()
    entry, other = (emulator.people.command(ROOM, "ask") for _ in range(2))
    wrong = f"/interactions/{other.id}/{entry.token}/callback"
    assert (404, 10062) == codes(await ask("POST", wrong, {"type": 5}))
    assert (404, 10015) == codes(await ask("PATCH", original(entry), {"content": "early"}))
    await respond(ask, entry, 5)
    assert (404, 10015) == codes(await ask("POST", f"/webhooks/7/{entry.token}", {"content": "x"}))
    missing = f"{hook(entry)}/messages/5"
    assert (404, 10008) == codes(await ask("PATCH", missing, {"content": "x"}))
    assert (400, 50006) == codes(await ask("PATCH", original(entry), {"content": ""}))
    assert 204 == (await ask("DELETE", original(entry)))[0]
    assert [] == emulator.screen.now(ROOM)


async def test_interactions_have_buckets_of_their_own(opened, autojump_clock):
    """By token, and not bound to the bot's global limit."""
    emulator, ask = await opened(limits=DiscordLimits(global_count=3))
    entry, other = (emulator.people.command(ROOM, "ask") for _ in range(2))
    await respond(ask, entry, 4, content="a")
    await respond(ask, other, 4, content="a")
    answers = [await ask("POST", hook(entry), {"content": str(n)}) for n in range(6)]
    assert [200] * 5 + [429] == [status for status, _ in answers]
    assert (False, 5.0) == (answers[5][1]["global"], answers[5][1]["retry_after"])
    assert 200 == (await ask("POST", hook(other), {"content": "x"}))[0]
    assert {FOLLOW_UP: 1} == emulator.limited
    for _ in range(3):
        assert 200 == (await ask("GET", "/users/@me", token="t"))[0]
    assert 429 == (await ask("GET", "/users/@me", token="t"))[0]
    assert 200 == (await ask("PATCH", original(entry), {"content": "y"}))[0]


async def test_faults_hit_answers(opened, autojump_clock):
    faults = FaultPlan(script={0: Fault.SERVER_ERROR, 2: Fault.RESET_AFTER})
    emulator, ask = await opened(faults=faults)
    entry = emulator.people.command(ROOM, "ask")
    with pytest.raises(ValueError, match=r"."):
        await respond(ask, entry, 5)
    assert 204 == (await respond(ask, entry, 5))[0]
    with pytest.raises(TransportError):
        await ask("PATCH", original(entry), {"content": "done"})
    assert ["done"] == texts(emulator)


async def test_typing_is_shown_for_ten_seconds_or_until_the_message(opened, autojump_clock):
    emulator, ask = await opened()
    assert (204, None) == await ask("POST", f"/channels/{ROOM}/typing", token="t")
    await trio.sleep(8)
    await ask("POST", f"/channels/{ROOM}/typing", token="t")
    await trio.sleep(9.9)
    assert ["typing"] == [sight.what for sight in emulator.screen.now(ROOM)]
    await trio.sleep(0.2)
    assert [] == emulator.screen.now(ROOM)
    await ask("POST", f"/channels/{ROOM}/typing", token="t")
    await ask("POST", f"/channels/{ROOM}/messages", {"content": "other"}, token="other")
    assert 1 == len(emulator.screen.now(ROOM))
    await ask("POST", f"/channels/{ROOM}/messages", {"content": "done"}, token="t")
    assert [] == emulator.screen.now(ROOM)
    assert [8.0, 10.0] == [s.until - s.since for s in emulator.screen.log(ROOM)][:2]


async def test_a_direct_message_is_opened_once(opened, autojump_clock):
    emulator, ask = await opened()

    async def direct(token="t", user=USER):
        return await ask("POST", "/users/@me/channels", {"recipient_id": user}, token=token)

    status, channel = await direct()
    assert (200, 1, USER) == (status, channel["type"], channel["recipients"][0]["id"])
    assert channel == (await direct())[1] == (await direct(user=int(USER)))[1]
    assert channel["id"] != (await direct(token="other"))[1]["id"]
    assert channel == (await ask("GET", f"/channels/{channel['id']}", token="t"))[1]
    messages = f"/channels/{channel['id']}/messages"
    assert 200 == (await ask("POST", messages, {"content": "hi"}, token="t"))[0]
    emulator.refuse_direct(USER)
    assert (403, 50007) == codes(await ask("POST", messages, {"content": "hi"}, token="t"))
    emulator.refuse_direct("1200000000000000008")
    _, closed = await direct(user="1200000000000000008")
    messages = f"/channels/{closed['id']}/messages"
    assert (403, 50007) == codes(await ask("POST", messages, {"content": "hi"}, token="t"))
    assert (400, 50035) == codes(await direct(user="ada"))
    assert 401 == (await ask("POST", "/users/@me/channels", {"recipient_id": USER}))[0]


async def test_what_people_say_is_an_event_and_can_be_answered(opened, autojump_clock):
    emulator, ask = await opened()
    heard = []
    emulator.people.listeners.append(heard.append)
    event = emulator.people.say(ROOM, "why?", user=USER)
    data = event["d"]
    assert ("MESSAGE_CREATE", "why?", USER, False, ROOM) == (
        event["t"],
        data["content"],
        data["author"]["id"],
        data["author"]["bot"],
        data["channel_id"],
    )
    where = address_of(event)
    assert (ROOM, data["id"]) == (where.external_room_id, where.reply_to)
    body = {"content": "because", "message_reference": {"message_id": data["id"]}}
    assert 200 == (await ask("POST", f"/channels/{ROOM}/messages", body, token="t"))[0]
    path = f"/channels/{ROOM}/messages/{data['id']}"
    assert (403, 50005) == codes(await ask("PATCH", path, {"content": "x"}, token="t"))
    _, direct = await ask("POST", "/users/@me/channels", {"recipient_id": USER}, token="t")
    private = emulator.people.say(direct["id"], "psst", user=USER, reply_to="5")
    assert "guild_id" not in private["d"]
    command = emulator.people.command(direct["id"], "ask", {"loud": True, "ratio": 0.5}, user=USER)
    told = command.event["d"]
    assert (USER, 1, [5, 10]) == (
        told["user"]["id"],
        told["context"],
        [option["type"] for option in told["data"]["options"]],
    )
    assert [event, private, command.event] == heard
    assert ROOM == address_of(emulator.interaction(ROOM).event).external_room_id
    assert 2 == emulator.counters["received"]


async def test_a_webhook_posts_edits_and_deletes(opened, autojump_clock):
    emulator, ask = await opened()
    webhook = emulator.webhook(ROOM)
    path = f"/webhooks/{webhook.id}/{webhook.token}"
    assert ROOM == (await ask("GET", path))[1]["channel_id"]
    assert (204, None) == await ask("POST", path, {"content": "**silent**"})
    body = {"content": "loud", "username": "Deploy"}
    status, made = await ask("POST", f"{path}?wait=true", body)
    assert (200, "loud", "Deploy", webhook.id) == (
        status,
        made["content"],
        made["author"]["username"],
        made["webhook_id"],
    )
    message = f"{path}/messages/{made['id']}"
    assert "louder" == (await ask("PATCH", message, {"content": "louder"}))[1]["content"]
    assert "louder" == (await ask("GET", message))[1]["content"]
    assert ["silent", "louder"] == texts(emulator)
    assert (204, None) == await ask("DELETE", message)
    assert (404, 10008) == codes(await ask("PATCH", message, {"content": "x"}))
    await ask("POST", f"{path}?thread_id=1100000000000000009", {"content": "in a thread"})
    assert ["in a thread"] == texts(emulator, "1100000000000000009")


async def test_what_a_webhook_refuses(opened, autojump_clock):
    emulator, ask = await opened()
    webhook, other = emulator.webhook(ROOM), emulator.webhook(ROOM)
    path = f"/webhooks/{webhook.id}/{webhook.token}"
    for body, code in [({"content": " "}, 50006), ({"content": "x" * 2001}, 50035)]:
        assert (400, code) == codes(await ask("POST", path, body))
    wrong = f"/webhooks/{webhook.id}/{other.token}"
    assert (401, 50027) == codes(await ask("POST", wrong, {"content": "x"}))
    theirs = (await ask("POST", f"/webhooks/{other.id}/{other.token}?wait=1", {"content": "x"}))[1]
    assert (404, 10008) == codes(await ask("DELETE", f"{path}/messages/{theirs['id']}"))
    emulator.close_room(ROOM)  # A bot that cannot see it does not matter.
    assert 204 == (await ask("POST", path, {"content": "x"}))[0]
    emulator.remove_room(ROOM)
    assert (404, 10003) == codes(await ask("POST", path, {"content": "x"}))
    emulator.remove_webhook(webhook)
    assert (404, 10015) == codes(await ask("POST", path, {"content": "x"}))


async def test_a_webhook_has_a_bucket_of_its_own(opened, autojump_clock):
    emulator, ask = await opened(limits=DiscordLimits(global_count=1))
    one, other = (
        f"/webhooks/{webhook.id}/{webhook.token}"
        for webhook in (emulator.webhook(ROOM), emulator.webhook(ROOM))
    )
    answers = [await ask("POST", one, {"content": str(n)}) for n in range(6)]
    assert [204] * 5 + [429] == [status for status, _ in answers]
    assert 2.0 == answers[5][1]["retry_after"]
    assert 204 == (await ask("POST", other, {"content": "x"}))[0]
    assert 200 == (await ask("POST", f"/channels/{ROOM}/messages", {"content": "x"}, token="t"))[0]
    await trio.sleep(2)
    assert 204 == (await ask("POST", one, {"content": "x"}))[0]
    assert {"POST /webhooks/{webhook}/{token}": 1} == emulator.limited


async def test_429s_are_counted_by_route(opened, autojump_clock):
    emulator, ask = await opened(limits=DiscordLimits(global_count=2))
    path = f"/channels/{ROOM}/messages"
    for _ in range(3):
        await ask("POST", path, {"content": "x"}, token="t")
    emulator.limit_shared(ROOM, 1.0)
    await ask("POST", f"/channels/{ROOM}/typing", token="t")
    await trio.sleep(2)
    emulator.slow_mode(ROOM, 60.0)
    await ask("POST", path, {"content": "x"}, token="t")
    create, typing = "POST /channels/{channel}/messages", "POST /channels/{channel}/typing"
    assert ({create: 2, typing: 1}, 3) == (emulator.limited, emulator.counters["rate_limited"])


async def test_the_page_shows_who_waits_and_who_sees_what(opened, autojump_clock):
    emulator, ask = await opened()
    await respond(ask, emulator.people.command(ROOM, "ask"), 5)
    shown = emulator.people.command(ROOM, "ask", user=USER)
    await respond(ask, shown, 4, content="for you", flags=EPHEMERAL)
    await ask("POST", f"/channels/{ROOM}/typing", token="t")
    async with open_client(base_url=URL) as http:
        page = (await http.request("GET", "/")).body.decode()
    for words in ("thinking…", "for you", f"only {USER} sees it", "typing"):
        assert words in page
