"""The emulated Slack: its wire format, refusals, limits and faults."""

import json
import math

import attrs
import pytest
import trio

from gateway_contrib.emulators.faults import Fault, FaultPlan
from gateway_contrib.emulators.slack import SlackEmulator, SlackLimits, pings, visible_text
from gateway_core.authors import TransportError
from gateway_core.http import open_client
from gateway_core.testing import open_network

TOKEN = "xoxb-1111-2222-abc"
ROOM = "C024BE91L"
UNLIMITED = SlackLimits(posts=(1000, 1.0), tiers={})


@attrs.define
class Workspace:
    """An emulator with a client that asks it."""

    emulator: SlackEmulator
    http: object
    token: str | None = TOKEN

    async def ask(self, method, *, token=None, form=None, **fields):
        """The answer's body to a JSON request, or to one with that form."""
        body = {"form": form} if form is not None else {"json": fields}
        return (await self.response(method, token=token, **body)).json()

    async def response(self, method, *, token=None, headers=None, **body):
        token = token or self.token
        authorization = {"Authorization": f"Bearer {token}"} if token else {}
        path = f"/{method}"
        return await self.http.request(
            "POST", path, headers={**authorization, **(headers or {})}, **body
        )

    async def post(self, text="hello", channel=ROOM, **fields):
        return await self.ask("chat.postMessage", channel=channel, text=text, **fields)

    def texts(self, room=ROOM):
        return [message.text for message in self.emulator.rooms.conversation(room)]


@pytest.fixture
async def world():
    async with open_network() as network:
        network.open = lambda emulator: opened(network, emulator)
        yield network


def opened(network, emulator):
    network.mount("http://127.0.0.1:8082", emulator.app)
    return open_client(base_url="http://127.0.0.1:8082/api")


@pytest.fixture
async def slack(world):
    emulator = SlackEmulator(limits=UNLIMITED)
    async with world.open(emulator) as http:
        yield Workspace(emulator, http)


async def test_a_post_is_stored_and_answered(slack, autojump_clock):
    answer = await slack.post("a &lt; b")
    assert {
        "ok": True,
        "channel": ROOM,
        "ts": "1700000000.000100",
        "message": {
            "type": "message",
            "user": "U0BOT0001",
            "bot_id": "B0BOT0001",
            "team": "T0EMULATOR",
            "ts": "1700000000.000100",
            "text": "a &lt; b",
        },
    } == answer
    assert ["a < b"] == slack.texts()
    assert {"requests": 1, "stored": 1} == dict(slack.emulator.counters)


async def test_a_ts_is_unique_grows_and_follows_the_clock(slack, autojump_clock):
    found = [(await slack.post())["ts"] for _ in range(3)]
    await trio.sleep(2.5)
    found.append((await slack.post())["ts"])
    assert [
        "1700000000.000100",
        "1700000000.000200",
        "1700000000.000300",
        "1700000002.500000",
    ] == found


async def test_arguments_come_as_json_form_or_query(slack, autojump_clock):
    form = {"channel": ROOM, "text": "form", "blocks": '[{"type":"divider"}]', "token": TOKEN}
    slack.token = None
    assert (await slack.ask("chat.postMessage", form=form))["ok"]
    query = f"chat.postMessage?channel={ROOM}&text=query&token={TOKEN}"
    assert (await slack.http.request("GET", f"/{query}")).json()["ok"]
    assert ["form", "query"] == [
        message.fields["text"] for message in slack.emulator.rooms.conversation(ROOM)
    ]
    assert [{"type": "divider"}] == slack.emulator.rooms.conversation(ROOM)[0].fields["blocks"]


async def test_a_token_in_a_json_body_is_not_read(slack, autojump_clock):
    slack.token = None
    assert "not_authed" == (await slack.post(token=None))["error"]
    answer = await slack.http.request("POST", "/auth.test", json={"token": TOKEN})
    assert "not_authed" == answer.json()["error"]


@pytest.mark.parametrize(
    ("body", "kind", "error"),
    [
        (b"{", "application/json; charset=utf-8", "invalid_json"),
        (b'{"text":"\\ud800"}', "application/json; charset=utf-8", "invalid_json"),
        (b'{"n":NaN}', "application/json; charset=utf-8", "invalid_json"),
        (b"[" * 100_000, "application/json; charset=utf-8", "invalid_json"),
        (b"[]", "application/json; charset=utf-8", "json_not_object"),
        (b"blocks=%22%5Cud800%22", "application/x-www-form-urlencoded", "invalid_blocks_format"),
        (b"x=1", "", "missing_post_type"),
        (b"x=1", "text/csv", "invalid_post_type"),
        (b"\xff", "application/x-www-form-urlencoded", "invalid_form_data"),
        (b"x", "application/x-www-form-urlencoded; charset=koi8-r", "invalid_charset"),
        (b"blocks=x", "application/x-www-form-urlencoded", "invalid_blocks_format"),
        (b"metadata=x", "application/x-www-form-urlencoded", "invalid_metadata_format"),
    ],
)
async def test_a_body_that_cannot_be_read_is_refused(slack, body, kind, error, autojump_clock):
    headers = [(b"authorization", b"Bearer " + TOKEN.encode()), (b"content-type", kind.encode())]
    sent = []

    async def receive():
        await trio.lowlevel.checkpoint()
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(event):
        await trio.lowlevel.checkpoint()
        sent.append(event)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/api/chat.postMessage",
        "query_string": b"",
        "root_path": "",
        "headers": headers,
    }
    await slack.emulator.app(scope, receive, send)
    assert {"ok": False, "error": error} == json.loads(sent[1]["body"])


async def test_json_without_a_charset_is_warned_of(slack, autojump_clock):
    headers = {"Content-Type": "application/json"}
    answer = await slack.response("auth.test", json={"a": 1}, headers=headers)
    assert ["missing_charset"] == answer.json()["response_metadata"]["warnings"]


async def test_tokens_are_told_apart(slack, autojump_clock):
    first, again, other = [
        await slack.ask("auth.test", token=token) for token in (TOKEN, TOKEN, "xoxp-2")
    ]
    assert first == again
    assert ("U0BOT0001", "U0BOT0002") == (first["user_id"], other["user_id"])


async def test_a_token_that_is_not_good_has_its_word(slack, world, autojump_clock):
    for lose, error in [
        (slack.emulator.revoke, "token_revoked"),
        (slack.emulator.expire, "token_expired"),
        (slack.emulator.deactivate, "account_inactive"),
    ]:
        lose(TOKEN)
        assert {"ok": False, "error": error} == await slack.post()
        slack.emulator.restore(TOKEN)
        assert (await slack.post())["ok"]
    assert "invalid_auth" == (await slack.ask("auth.test", token="123:abc"))["error"]
    async with world.open(SlackEmulator(tokens=[TOKEN])) as http:
        strict = Workspace(None, http)
        assert (await strict.ask("auth.test"))["ok"]
        assert "invalid_auth" == (await strict.ask("auth.test", token="xoxb-2"))["error"]


async def test_a_refresh_token_is_good_once(slack, autojump_clock):
    refresh = slack.emulator.grant_refresh(TOKEN)
    who = await slack.ask("auth.test")
    form = {
        "grant_type": "refresh_token",
        "client_id": "1.2",
        "client_secret": "s",
        "refresh_token": refresh,
    }
    slack.token = None
    answer = await slack.ask("oauth.v2.access", form=form)
    assert (True, 43_200, "bot") == (answer["ok"], answer["expires_in"], answer["token_type"])
    assert who == await slack.ask("auth.test", token=answer["access_token"])
    assert "invalid_refresh_token" == (await slack.ask("oauth.v2.access", form=form))["error"]
    following = {**form, "refresh_token": answer["refresh_token"]}
    assert (await slack.ask("oauth.v2.access", form=following))["ok"]


@pytest.mark.parametrize(
    ("missing", "error"),
    [
        ("grant_type", "invalid_grant_type"),
        ("client_id", "invalid_client_id"),
        ("client_secret", "bad_client_secret"),
    ],
)
async def test_an_exchange_needs_the_app(slack, missing, error, autojump_clock):
    form = {"grant_type": "refresh_token", "client_id": "1", "client_secret": "s"}
    del form[missing]
    assert error == (await slack.ask("oauth.v2.access", form=form or {"x": "y"}))["error"]


async def test_an_app_may_tell_who_it_is_by_http_basic(slack, autojump_clock):
    form = {"grant_type": "refresh_token", "refresh_token": slack.emulator.grant_refresh(TOKEN)}
    for authorization, error in [
        ("Basic MS4yOg==", "bad_client_secret"),
        ("Basic ####", "invalid_client_id"),
        ("Basic MS4yOnM=", None),
    ]:
        headers = {"Authorization": authorization}
        answer = await slack.response("oauth.v2.access", form=form, headers=headers)
        assert error == answer.json().get("error")


async def test_a_known_token_list_grows_by_what_is_exchanged(world, autojump_clock):
    emulator = SlackEmulator(tokens=[TOKEN])
    access, _, _ = emulator._directory.exchange(emulator.grant_refresh(TOKEN))
    async with world.open(emulator) as http:
        assert (await Workspace(emulator, http).ask("auth.test", token=access))["ok"]


async def test_rooms_are_ids_names_and_users(slack, autojump_clock):
    assert "C0NAMED0001" == (await slack.post(channel="#general"))["channel"]
    assert "C0NAMED0001" == (await slack.post(channel="general"))["channel"]
    assert "D024BE7LH" == (await slack.post(channel="U024BE7LH"))["channel"]
    for wrong in ("", "C", "#Two Words", 7, None):
        assert "channel_not_found" == (await slack.post(channel=wrong))["error"]


@pytest.mark.parametrize(
    ("close", "posting", "editing", "deleting"),
    [
        ("remove_room", "channel_not_found", "channel_not_found", "channel_not_found"),
        ("archive_room", "is_archived", "is_inactive", None),
        ("leave_room", "not_in_channel", "not_in_channel", None),
    ],
)
async def test_a_room_that_is_closed_says_why(slack, close, posting, editing, deleting):
    ts = (await slack.post())["ts"]
    getattr(slack.emulator, close)(ROOM)
    assert posting == (await slack.post())["error"]
    edited = await slack.ask("chat.update", channel=ROOM, ts=ts, text="x")
    assert editing == edited["error"]
    info = await slack.ask("conversations.info", channel=ROOM)
    assert (info.get("error"), close != "remove_room") == (deleting, info["ok"])
    assert deleting == (await slack.ask("chat.delete", channel=ROOM, ts=ts)).get("error")
    slack.emulator.restore_room(ROOM)
    assert (await slack.post())["ok"]


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"text": ""}, "no_text"),
        ({"text": " \n"}, "no_text"),
        ({"text": None}, "no_text"),
        ({"text": 17}, "invalid_arguments"),
        ({"text": "x", "markdown_text": "y"}, "markdown_text_conflict"),
        (
            {"text": "", "markdown_text": "y", "blocks": [{"type": "divider"}]},
            "markdown_text_conflict",
        ),
        ({"text": "", "markdown_text": "y" * 12_001}, "msg_too_long"),
        ({"attachments": [{}] * 101}, "too_many_attachments"),
        ({"attachments": {"a": 1}}, "invalid_attachments"),
        ({"blocks": {"type": "divider"}}, "invalid_blocks_format"),
        ({"blocks": [{"type": "divider"}] * 51}, "invalid_blocks"),
        ({"blocks": [{"type": "nothing"}]}, "invalid_blocks"),
        ({"blocks": ["divider"]}, "invalid_blocks"),
        ({"blocks": [{"type": "section"}]}, "invalid_blocks"),
        (
            {"blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": "x" * 3001}}]},
            "invalid_blocks",
        ),
        (
            {"blocks": [{"type": "section", "fields": [{"type": "mrkdwn", "text": "x"}] * 11}]},
            "invalid_blocks",
        ),
        (
            {"blocks": [{"type": "section", "fields": [{"type": "mrkdwn", "text": "x" * 2001}]}]},
            "invalid_blocks",
        ),
        (
            {"blocks": [{"type": "header", "text": {"type": "mrkdwn", "text": "x"}}]},
            "invalid_blocks",
        ),
        (
            {"blocks": [{"type": "header", "text": {"type": "plain_text", "text": "x" * 151}}]},
            "invalid_blocks",
        ),
        ({"blocks": [{"type": "actions", "elements": []}]}, "invalid_blocks"),
        (
            {"blocks": [{"type": "actions", "elements": [{"type": "button"}] * 26}]},
            "invalid_blocks",
        ),
        (
            {"blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": "x" * 3000}}] * 5},
            "msg_blocks_too_long",
        ),
        ({"thread_ts": "yesterday"}, "invalid_thread_ts"),
    ],
)
async def test_content_that_slack_refuses_is_refused(slack, fields, error, autojump_clock):
    assert (
        error
        == (await slack.ask("chat.postMessage", **{"channel": ROOM, "text": "x", **fields}))[
            "error"
        ]
    )
    assert [] == slack.texts()


async def test_a_long_text_is_cut_with_a_warning(slack, autojump_clock):
    answer = await slack.post("x" * 40_001)
    assert "message_truncated" == answer["warning"]
    assert ["message_truncated"] == answer["response_metadata"]["warnings"]
    assert ["x" * 40_000] == slack.texts()
    assert "warning" not in await slack.post("x" * 40_000)


async def test_blocks_and_markdown_are_what_a_person_sees(slack, autojump_clock):
    section = {"type": "section", "text": {"type": "mrkdwn", "text": "*a* &amp; <http://x|b>"}}
    header = {"type": "header", "text": {"type": "plain_text", "text": "&amp;"}}
    await slack.post("fallback", blocks=[header, section, {"type": "divider"}])
    await slack.ask("chat.postMessage", channel=ROOM, markdown_text="**b** & c")
    assert ["&amp;\n*a* & b", "**b** & c"] == slack.texts()


@pytest.mark.parametrize(
    ("posted", "kept", "seen", "called"),
    [
        ("a & b < c > d", "a &amp; b &lt; c &gt; d", "a & b < c > d", ()),
        ("&lt;!here&gt; &amp;amp;", "&lt;!here&gt; &amp;amp;", "<!here> &amp;", ()),
        ("<!here> x", "<!here> x", "@here x", ("!here",)),
        ("<@U024BE7LH|ada>", "<@U024BE7LH|ada>", "ada", ("@U024BE7LH",)),
        ("<!subteam^S012>", "<!subteam^S012>", "@subteam^S012", ("!subteam^S012",)),
        ("<http://x/?a=1&b=2|c &amp; d>", "<http://x/?a=1&b=2|c &amp; d>", "c & d", ()),
        ("@here @channel", "@here @channel", "@here @channel", ()),
    ],
)
async def test_a_text_is_kept_seen_and_heard(slack, posted, kept, seen, called):
    answer = await slack.post(posted)
    [message] = slack.emulator.rooms.conversation(ROOM)
    assert kept == answer["message"]["text"] == message.fields["text"]
    assert seen == message.text == visible_text(message)
    assert called == pings(message)


@pytest.mark.parametrize("fields", [{"link_names": True}, {"parse": "full"}])
async def test_names_call_people_where_slack_is_told_to_look(slack, fields, autojump_clock):
    await slack.post("@here a@channel.example", **fields)
    assert ("@here",) == pings(slack.emulator.rooms.conversation(ROOM)[0])


async def test_an_edit_replaces_the_content(slack, autojump_clock):
    first = await slack.post("one", thread_ts="1600000000.000100")
    await trio.sleep(3)
    answer = await slack.ask("chat.update", channel=ROOM, ts=first["ts"], text="two &amp; three")
    [message] = slack.emulator.rooms.conversation(ROOM)
    assert (True, ROOM, first["ts"], "two &amp; three") == tuple(
        answer[name] for name in ("ok", "channel", "ts", "text")
    )
    assert {"user": "U0BOT0001", "ts": first["ts"]} == answer["message"]["edited"]
    assert ("two & three", ["one"], "1600000000.000100") == (
        message.text,
        message.revisions,
        message.thread,
    )
    assert 3.0 == message.edited_at - message.stored_at
    assert 1 == slack.emulator.counters["edited"]


async def test_blocks_stay_on_an_edited_message_until_it_names_others(slack, autojump_clock):
    """They hide the new text meanwhile: docs.slack.dev, chat.update."""
    header = {"type": "header", "text": {"type": "plain_text", "text": "Title"}}
    first = await slack.post("one", blocks=[header])
    [message] = slack.emulator.rooms.conversation(ROOM)
    edit = {"channel": ROOM, "ts": first["ts"], "text": "two"}
    await slack.ask("chat.update", **edit)
    assert "Title" == message.text
    await slack.ask("chat.update", **edit, blocks=[])
    assert ("two", []) == (message.text, message.fields["blocks"])


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"text": "語" * 1334}, "msg_too_long"),
        ({"text": "x" * 4001}, "msg_too_long"),
        ({"text": "x" * 4000}, None),
        ({"text": ""}, "no_text"),
        ({"text": 7}, "invalid_arguments"),
        ({"ts": "1700000000.000999"}, "message_not_found"),
        ({"ts": 1700000000.0001}, "message_not_found"),
        ({"channel": "#general"}, "channel_not_found"),
        ({"channel": "U024BE7LH"}, "channel_not_found"),
    ],
)
async def test_an_edit_that_slack_refuses_is_refused(slack, fields, error, autojump_clock):
    ts = (await slack.post())["ts"]
    given = {"channel": ROOM, "ts": ts, "text": "new", **fields}
    assert error == (await slack.ask("chat.update", **given)).get("error")


async def test_a_message_of_another_bot_is_not_ones_own(slack, autojump_clock):
    where = {"channel": ROOM, "ts": (await slack.post())["ts"]}
    update = await slack.ask("chat.update", token="xoxb-other", text="x", **where)
    delete = await slack.ask("chat.delete", token="xoxb-other", **where)
    assert ("cant_update_message", "cant_delete_message") == (update["error"], delete["error"])


async def test_a_deleted_message_is_gone(slack, autojump_clock):
    where = {"channel": ROOM, "ts": (await slack.post())["ts"]}
    assert {"ok": True, **where} == await slack.ask("chat.delete", **where)
    assert [] == slack.texts()
    for method in ("chat.delete", "chat.update"):
        assert "message_not_found" == (await slack.ask(method, text="x", **where))["error"]
    assert "thread_not_found" == (await slack.post(thread_ts=where["ts"]))["error"]
    assert 1 == slack.emulator.counters["deleted"]


async def test_an_ephemeral_message_stands_in_no_room(slack, autojump_clock):
    answer = await slack.ask("chat.postEphemeral", channel=ROOM, user="U1", text="psst")
    assert ["psst"] == [message.text for message in slack.emulator.ephemeral]
    assert (True, []) == ("message_ts" in answer, slack.texts())
    nobody = await slack.ask("chat.postEphemeral", channel=ROOM, text="psst")
    assert "invalid_arguments" == nobody["error"]


async def test_reactions_are_kept(slack, autojump_clock):
    ts = (await slack.post())["ts"]
    where = {"channel": ROOM, "timestamp": ts, "name": ":eyes:"}
    assert (await slack.ask("reactions.add", **where))["ok"]
    assert "already_reacted" == (await slack.ask("reactions.add", **where))["error"]
    assert [("U0BOT0001", "eyes")] == slack.emulator.reactions(ROOM, ts)
    assert (await slack.ask("reactions.remove", **where))["ok"]
    assert "no_reaction" == (await slack.ask("reactions.remove", **where))["error"]
    for wrong, error in [
        ({"name": ""}, "invalid_name"),
        ({"timestamp": None}, "no_item_specified"),
        ({"timestamp": "1700000009.000100"}, "message_not_found"),
        ({"channel": "general"}, "channel_not_found"),
    ]:
        assert error == (await slack.ask("reactions.add", **{**where, **wrong}))["error"]


async def test_pins_are_kept(slack, autojump_clock):
    ts = (await slack.post())["ts"]
    where = {"channel": ROOM, "timestamp": ts}
    assert (await slack.ask("pins.add", **where))["ok"]
    assert "already_pinned" == (await slack.ask("pins.add", **where))["error"]
    assert [ts] == slack.emulator.pins(ROOM)
    assert (await slack.ask("pins.remove", **where))["ok"]
    assert "no_pin" == (await slack.ask("pins.remove", **where))["error"]
    assert "no_item_specified" == (await slack.ask("pins.add", channel=ROOM))["error"]


async def test_a_sign_of_typing_is_shown_in_its_thread(slack, autojump_clock):
    ts = (await slack.post())["ts"]
    method, where = "assistant.threads.setStatus", {"channel_id": ROOM, "thread_ts": ts}
    assert (await slack.ask(method, **where, status="is typing…"))["ok"]
    assert {(ROOM, ts): "is typing…"} == slack.emulator.statuses
    wrong = await slack.ask(method, channel_id=ROOM, thread_ts="soon", status="x")
    assert "invalid_thread_ts" == wrong["error"]


async def test_a_trigger_opens_one_view(slack, autojump_clock):
    view = {"type": "modal"}
    assert (await slack.ask("views.open", trigger_id="1.2", view=view))["view"]["id"]
    again = await slack.ask("views.open", trigger_id="1.2", view=view)
    assert "exchanged_trigger_id" == again["error"]
    assert "invalid_trigger_id" == (await slack.ask("views.open", view=view))["error"]
    assert "invalid_arguments" == (await slack.ask("views.open", trigger_id="3.4"))["error"]
    assert [("1.2", view)] == slack.emulator.views


async def test_a_locked_thread_takes_no_reply(slack, autojump_clock):
    ts = (await slack.post())["ts"]
    slack.emulator.lock_thread(ROOM, ts)
    refused = await slack.post(thread_ts=ts)
    assert "restricted_action_thread_locked" == refused["error"]
    assert (await slack.post())["ok"]


async def test_conversations_and_users_are_described(slack, autojump_clock):
    info = await slack.ask("conversations.info", form={"channel": ROOM})
    assert (ROOM, True, False) == tuple(info["channel"][k] for k in ("id", "is_channel", "is_im"))
    opened = await slack.ask("conversations.open", users="U024BE7LH", return_im=True)
    assert ("D024BE7LH", True) == (opened["channel"]["id"], opened["channel"]["is_im"])
    assert (await slack.ask("conversations.open", channel="D1234"))["channel"]["id"] == "D1234"
    assert "users_list_not_supplied" == (await slack.ask("conversations.open", x=1))["error"]
    assert "U1" == (await slack.ask("users.info", user="U1"))["user"]["id"]
    assert "user_not_found" == (await slack.ask("users.info", user="nobody"))["error"]


async def test_api_test_echoes(slack, autojump_clock):
    slack.token = None
    assert {"ok": True, "args": {"a": "1"}} == await slack.ask("api.test", form={"a": "1"})
    assert "my_error" == (await slack.ask("api.test", error="my_error"))["error"]


async def test_an_unknown_method_is_named(slack, autojump_clock):
    assert {"ok": False, "error": "unknown_method", "req_method": "chat.shout"} == await slack.ask(
        "chat.shout", x=1
    )


async def test_a_page_shows_what_arrived(slack, autojump_clock):
    await slack.post("&lt;script&gt; &amp;")
    page = await slack.http.request("GET", "/auth.test")
    assert page.status == 200
    async with open_client(base_url="http://127.0.0.1:8082") as http:
        page = (await http.request("GET", "/")).body.decode()
    assert "slack" in page
    assert "&lt;script&gt; &amp;" in page


@pytest.fixture
async def limited(world):
    emulator = SlackEmulator()
    async with world.open(emulator) as http:
        yield Workspace(emulator, http)


async def test_a_channel_takes_one_post_a_second(limited, autojump_clock):
    assert (await limited.post())["ok"]
    assert (await limited.post(channel="C0OTHER"))["ok"]
    await trio.sleep(0.5)
    refused = await limited.response("chat.postMessage", json={"channel": ROOM, "text": "x"})
    assert (429, "1") == (refused.status, refused.headers["retry-after"])
    assert {"ok": False, "error": "ratelimited"} == refused.json()
    await trio.sleep(0.4995)
    assert (await limited.post())["ok"]
    assert (3, 1) == (
        limited.emulator.counters["stored"],
        limited.emulator.counters["rate_limited"],
    )


async def test_a_channels_name_and_id_share_its_limit(limited, autojump_clock):
    channel = (await limited.post(channel="#general"))["channel"]
    assert "ratelimited" == (await limited.post(channel=channel))["error"]


async def test_what_was_refused_takes_nothing_of_the_limit(limited, autojump_clock):
    assert "no_text" == (await limited.post(""))["error"]
    assert (await limited.post())["ok"]


@pytest.mark.parametrize("method", ["chat.update", "reactions.add"])
async def test_other_methods_are_counted_by_the_minute_and_workspace(
    limited, method, autojump_clock
):
    ts = (await limited.post())["ts"]

    def fields(n):
        return {"channel": ROOM, "ts": ts, "timestamp": ts, "text": f"{n}", "name": f"n{n}"}

    answers = [await limited.ask(method, **fields(n)) for n in range(50)]
    assert all(answer["ok"] for answer in answers)
    await trio.sleep(10)
    refused = await limited.response(method, json=fields(50))
    assert (429, "50") == (refused.status, refused.headers["retry-after"])
    await trio.sleep(50)
    assert (await limited.ask(method, **fields(51)))["ok"]


async def test_deletes_are_counted_apart_from_edits(limited, autojump_clock):
    limits = SlackLimits(tiers={"chat.update": (1, 60.0), "chat.delete": (1, 60.0)})
    assert 2 == len(limits.tiers)
    ts = (await limited.post())["ts"]
    assert (await limited.ask("chat.update", channel=ROOM, ts=ts, text="x"))["ok"]
    assert (await limited.ask("chat.delete", channel=ROOM, ts=ts))["ok"]


async def faulty(world, fault):
    emulator = SlackEmulator(limits=UNLIMITED, faults=FaultPlan(script={0: fault}))
    return emulator, world.open(emulator)


@pytest.mark.parametrize(
    ("fault", "status", "stored"),
    [
        (Fault.RATE_LIMITED, 429, []),
        (Fault.SERVER_ERROR, 502, []),
        (Fault.MALFORMED, 200, ["hello"]),
    ],
)
async def test_a_fault_answers_otherwise(world, fault, status, stored, autojump_clock):
    emulator, opening = await faulty(world, fault)
    async with opening as http:
        slack = Workspace(emulator, http)
        answer = await slack.response("chat.postMessage", json={"channel": ROOM, "text": "hello"})
        assert (status, stored) == (answer.status, slack.texts())
        if fault is not Fault.RATE_LIMITED:
            with pytest.raises(ValueError):  # noqa: PT011 - whatever a JSON parser says
                answer.json()
        assert (await slack.post("again"))["ok"]
    assert 1 == emulator.counters["faults"]


async def test_what_a_limit_refuses_is_not_answered_as_if_it_were_stored(world, autojump_clock):
    emulator = SlackEmulator(faults=FaultPlan(script={1: Fault.MALFORMED}))
    async with world.open(emulator) as http:
        slack = Workspace(emulator, http)
        await slack.post()
        answer = await slack.response("chat.postMessage", json={"channel": ROOM, "text": "again"})
        assert (429, ["hello"]) == (answer.status, slack.texts())


@pytest.mark.parametrize(
    ("fault", "stored", "waited"),
    [
        (Fault.RESET_BEFORE, [], 0),
        (Fault.RESET_AFTER, ["hello"], 0),
        (Fault.NO_ANSWER, ["hello"], 35),
    ],
)
async def test_a_fault_gives_no_answer(world, fault, stored, waited, autojump_clock):
    emulator, opening = await faulty(world, fault)
    async with opening as http:
        slack = Workspace(emulator, http)
        with pytest.raises(TransportError) as caught:
            await slack.post()
        assert ("unknown", stored) == (caught.value.dispatched, slack.texts())
        assert waited == math.floor(trio.current_time())


async def test_a_fault_may_last(world, autojump_clock):
    emulator, opening = await faulty(world, Fault.TOKEN_REVOKED)
    async with opening as http:
        slack = Workspace(emulator, http)
        assert ["token_revoked"] * 2 == [(await slack.post())["error"] for _ in range(2)]
        emulator.restore(TOKEN)
        assert (await slack.post())["ok"]
    emulator, opening = await faulty(world, Fault.ROOM_GONE)
    async with opening as http:
        slack = Workspace(emulator, http)
        assert ["channel_not_found"] * 2 == [(await slack.post())["error"] for _ in range(2)]
        assert (await slack.post(channel="C0OTHER"))["ok"]


async def test_reading_methods_are_not_failed(world, autojump_clock):
    emulator = SlackEmulator(faults=FaultPlan(rates={Fault.SERVER_ERROR: 1.0}))
    async with world.open(emulator) as http:
        assert (await Workspace(emulator, http).ask("auth.test"))["ok"]


async def test_rich_text_is_read_as_it_looks(slack):
    def section(*elements):
        return {"type": "rich_text_section", "elements": list(elements)}

    def text(words):
        return {"type": "text", "text": words, "style": {"bold": True}}

    link = {"type": "link", "url": "http://x", "text": "label"}
    bare = {"type": "link", "url": "http://y"}
    calling = [
        {"type": "user", "user_id": "U1"},
        {"type": "usergroup", "usergroup_id": "S1"},
        {"type": "broadcast", "range": "here"},
        {"type": "channel", "channel_id": "C1"},
        {"type": "emoji", "name": "eyes"},
    ]
    items = [section(text("one")), section(text("two"))]
    numbered = {"type": "rich_text_list", "style": "ordered", "offset": 4, "elements": items}
    bullets = {"type": "rich_text_list", "style": "bullet", "indent": 1, "elements": items}
    code = {"type": "rich_text_preformatted", "elements": [text("a <b>\n")]}
    block = {
        "type": "rich_text",
        "elements": [
            section(text("&amp; "), link, bare),
            numbered,
            bullets,
            code,
            section(*calling),
        ],
    }
    called = {"type": "section", "text": {"type": "mrkdwn", "text": "<!channel>"}}
    await slack.post("fallback", blocks=[block, called, {"type": "rich_text"}])
    [message] = slack.emulator.rooms.conversation(ROOM)
    assert (
        "&amp; labelhttp://y\n5. one\n6. two\n  • one\n  • two\na <b>\n@U1@S1@here#C1:eyes:"
        "\n@channel"
    ) == message.text
    assert ("!channel", "@U1", "!subteam^S1", "!here") == pings(message)
