"""The channel that the guide has authors write, beside a homeserver that means harm."""

import json
import re
import runpy
import types
from contextlib import asynccontextmanager

import pytest
from guided_channel import GUIDED, guided_channel
from starlette.responses import Response

from gateway_core import (
    DeliveryError,
    File,
    GatewayConfig,
    Instance,
    Invalid,
    Poll,
    Secret,
    open_gateway,
)
from gateway_core.testing import open_network

URL = "https://matrix.example"
TOKEN = "syt_c3F1aXJyZWw_hazelnut"


@pytest.fixture(params=GUIDED)
def matrix(request, tmp_path):
    """The guide's module, as far as the page has come."""
    (tmp_path / "hooks.py").write_text(guided_channel(request.param))
    module = types.ModuleType("gateway_plugin_matrix.hooks")
    vars(module).update(runpy.run_path(str(tmp_path / "hooks.py"), run_name=module.__name__))
    return module


class Homeserver:
    """Answers as it is told, and keeps what it was asked."""

    def __init__(self, *answers):
        self.answers = list(answers) or [(200, b'{"event_id": "$1"}')]
        self.asked = []

    async def __call__(self, scope, receive, send):
        body = b""
        while (event := await receive())["type"] == "http.request":
            body += event.get("body", b"")
            if not event.get("more_body"):
                break
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        own = "application/json" in headers.get("content-type", "")
        path, query = scope["raw_path"].decode(), scope["query_string"].decode()
        path = f"{path}?{query}" if query else path
        self.asked.append((path, headers, json.loads(body) if own else body))
        status, content = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if callable(content):
            content = content(headers)
        await Response(content, status)(scope, receive, send)


@asynccontextmanager
async def opened(matrix, server):
    settings = matrix.MatrixSettings(token=Secret(TOKEN), base_url=URL)
    config = GatewayConfig(instances=[Instance("home", "matrix", settings)])
    async with open_network() as network:
        network.mount(URL, server)
        async with open_gateway(config, plugins=[("matrix", matrix)]) as gateway:
            yield gateway


@pytest.mark.parametrize(
    ("room", "quoted"),
    [
        ("!a:example.org", "%21a%3Aexample.org"),
        ("!a/../../../account", "%21a%2F..%2F..%2F..%2Faccount"),
        ("!a?access_token=x", "%21a%3Faccess_token%3Dx"),
        ("!a#b", "%21a%23b"),
        ("!%2e%2e%2fb", "%21%252e%252e%252fb"),
        ("!{secret}", "%21%7Bsecret%7D"),
        ("!ü", "%21%C3%BC"),
    ],
)
async def test_no_room_leads_to_another_method(matrix, room, quoted, autojump_clock):
    server = Homeserver()
    async with opened(matrix, server) as gateway:
        await gateway.send("home", room, "hello")
    (path, headers, _), *more = server.asked
    assert ([], f"Bearer {TOKEN}") == (more, headers["authorization"])
    assert re.fullmatch(
        f"/_matrix/client/v3/rooms/{re.escape(quoted)}/send/m.room.message/[0-9a-f.]+", path
    )


@pytest.mark.parametrize("room", ["..", "../../account/whoami?", "%2e%2e", "#name:example.org"])
async def test_what_is_no_room_is_refused_at_the_door(matrix, room, autojump_clock):
    server = Homeserver()
    async with opened(matrix, server) as gateway:
        with pytest.raises(Invalid, match=r"external_room_id: .* is no room id"):
            await gateway.send("home", room, "hello")
    assert [] == server.asked


async def test_all_that_was_asked_for_is_sent(matrix, autojump_clock):
    server = Homeserver()
    async with opened(matrix, server) as gateway:
        await gateway.send(
            "home", "!a", "hello", thread="$t", reply_to="$r", extra={"msgtype": "m.notice"}
        )
    relation = {"rel_type": "m.thread", "event_id": "$t", "m.in_reply_to": {"event_id": "$r"}}
    (_, _, content) = server.asked[0]
    assert {"msgtype": "m.notice", "body": "hello", "m.relates_to": relation} == content


@pytest.mark.parametrize("field", ["body", "m.relates_to"])
async def test_what_cannot_be_sent_is_refused_at_the_door(matrix, field, autojump_clock):
    server = Homeserver()
    async with opened(matrix, server) as gateway:
        with pytest.raises(Invalid, match=rf"extra\.{field}: "):
            await gateway.send("home", "!a", "hello", extra={field: "x"})
        with pytest.raises(Invalid):
            await gateway.call("home", "!a", "GET /sync")
        with pytest.raises(Invalid):
            await gateway.edit((await gateway.send("home", "!a", "hello")).ref, "hallo")
    assert 1 == len(server.asked)


GARBLED = [b"", b"<html>Please log in</html>", b"{}", b"[]", b"null", b'{"event_id": 1}', b"NaN"]
GARBLED += [b'{"event_id": "$', b'{"event_id": "\xff"}', b"[" * 100_000, b"x" * 2_000_000]


@pytest.mark.parametrize("body", GARBLED, ids=range(len(GARBLED)))
async def test_a_200_that_says_nothing_refuses_nothing(matrix, body, autojump_clock):
    """It is tried again under the same key, by which a homeserver knows it."""
    server = Homeserver((200, body), (200, b'{"event_id": "$1"}'))
    async with opened(matrix, server) as gateway:
        receipt = await gateway.send("home", "!a", "hello")
    assert (True, "$1") == (receipt.delivered, receipt.parts[0].message_id)
    assert [server.asked[0][0]] * 2 == [path for path, _, _ in server.asked]


async def test_nobody_knows_what_only_such_answers_came_for(matrix, autojump_clock):
    server = Homeserver((200, b"<html>"))
    async with opened(matrix, server) as gateway:
        receipt = await gateway.send("home", "!a", "hello", raises=False)
    assert ("unknown", 2) == (receipt.disposition, len(server.asked))


@pytest.mark.parametrize("status", [302, 401, 403, 404])
@pytest.mark.parametrize("matrix", GUIDED[1:], indirect=True)
async def test_a_portal_is_not_the_homeserver(matrix, status, autojump_clock):
    """What it refuses is tried again; neither the account nor the room is given up."""
    server = Homeserver((status, b"<html>Please log in</html>"), (200, b'{"event_id": "$1"}'))
    async with opened(matrix, server) as gateway:
        receipt = await gateway.send("home", "!a", "hello")
    assert receipt.delivered


def _quoting(headers):
    said = headers["authorization"]
    return json.dumps({"errcode": f"M_{said}", "error": f"{said} and {TOKEN}, {said.split()[1]}"})


async def test_a_server_that_quotes_the_token_is_not_quoted(matrix, autojump_clock):
    async with opened(matrix, Homeserver((400, _quoting))) as gateway:
        with pytest.raises(DeliveryError) as caught:
            await gateway.send("home", "!a", "hello")
    assert "HTTP 400 M_***: *** and ***, ***" in str(caught.value)


# -- files and polls

WITH_BOTH = pytest.mark.parametrize("matrix", GUIDED[2:], indirect=True)
STORED, SENT = (200, b'{"content_uri": "mxc://a/1"}'), (200, b'{"event_id": "$1"}')
UPLOAD = "/_matrix/media/v3/upload?filename="


@pytest.mark.parametrize("matrix", GUIDED[:2], indirect=True)
async def test_a_channel_that_says_nothing_of_them_refuses_both(matrix, autojump_clock):
    server = Homeserver()
    async with opened(matrix, server) as gateway:
        with pytest.raises(Invalid, match="files: the channel takes no files"):
            await gateway.send("home", "!a", "hello", files=[File(b"x", name="x")])
        with pytest.raises(Invalid, match="poll: channel 'matrix' has no polls"):
            await gateway.send("home", "!a", "hello", poll=Poll("Lunch?", ["Pizza", "Sushi"]))
    assert [] == server.asked


NAMES = {
    "a cat.png": "a%20cat.png",
    'a"; filename="b.exe': "a%22%3B%20filename%3D%22b.exe",
    "a?access_token=x#&b=c": "a%3Faccess_token%3Dx%23%26b%3Dc",
    "%2e%2e%2fwhoami": "%252e%252e%252fwhoami",
    "{secret}": "%7Bsecret%7D",
    "9.41\u202fAM.png": "9.41%E2%80%AFAM.png",
    "\U0001f469\u200d\U0001f467": "%F0%9F%91%A9%E2%80%8D%F0%9F%91%A7",
}


@WITH_BOTH
@pytest.mark.parametrize("name", NAMES)
async def test_no_name_of_a_file_leads_elsewhere(matrix, name, autojump_clock):
    server = Homeserver(STORED, SENT)
    async with opened(matrix, server) as gateway:
        receipt = await gateway.send("home", "!a", "", files=[File(b"\x89cat", name=name)])
    (path, headers, body), (_, _, content) = server.asked
    assert (f"{UPLOAD}{NAMES[name]}", f"Bearer {TOKEN}") == (path, headers["authorization"])
    assert (b"\x89cat", "mxc://a/1", name) == (body, content["url"], content["filename"])
    assert ("mxc://a/1",) == tuple(file.id for file in receipt.ref.parts[0].files)


@WITH_BOTH
@pytest.mark.parametrize("name", ["../../whoami", "a\\b", "a\r\nx-admin: yes", "..", "x" * 256])
async def test_a_name_that_is_none_is_refused_at_the_door(matrix, name, autojump_clock):
    server = Homeserver()
    async with opened(matrix, server) as gateway:
        with pytest.raises(Invalid, match=r"files\.0\.name: "):
            await gateway.send("home", "!a", "", files=[File(b"x", name=name)])
    assert [] == server.asked


@WITH_BOTH
async def test_a_file_goes_before_its_text_and_the_poll_behind_it(matrix, autojump_clock):
    server = Homeserver(STORED, *[(200, b'{"event_id": "$%d"}' % n) for n in (1, 2, 3)])
    async with opened(matrix, server) as gateway:
        receipt = await gateway.send(
            "home", "!a", "hello", files=[File(b"x", name="a.png", alt="a cat")],
            poll=Poll("Lunch?", ["Pizza", "Sushi"], multiple=True), reply_to="$r",
        )  # fmt: skip
    _, (_, _, file), (_, _, text), (path, _, poll) = server.asked
    assert ("m.image", "a cat", {"mimetype": "image/png", "size": 1}) == (
        file["msgtype"], file["body"], file["info"],
    )  # fmt: skip
    assert ({"event_id": "$r"}, "hello") == (file["m.relates_to"]["m.in_reply_to"], text["body"])
    assert "/send/m.poll.start/" in path
    answers = [each["m.text"][0]["body"] for each in poll["m.poll"]["answers"]]
    assert (["Pizza", "Sushi"], 2) == (answers, poll["m.poll"]["max_selections"])
    assert [False, False, True] == [part.fixed for part in receipt.ref.parts]


@WITH_BOTH
async def test_the_same_bytes_go_up_once(matrix, autojump_clock):
    server = Homeserver(STORED, SENT)
    async with opened(matrix, server) as gateway:
        for _ in range(2):
            await gateway.send("home", "!a", "", files=[File(b"x", name="x")])
    assert 1 == sum(path.startswith(UPLOAD) for path, _, _ in server.asked)


@WITH_BOTH
@pytest.mark.parametrize(
    ("wrong", "place"),
    [
        ({"files": [File("https://127.0.0.1/admin")]}, "files.0: Matrix has no files by URL"),
        ({"files": [File(id="mxc://a/1")]}, "files.0: Matrix has no files by URL or id"),
        ({"files": [File(b"x", name="x", spoiler=True)]}, "files.0.spoiler: "),
        ({"files": [File(b"x", name="x")] * 11}, "files: has 11 files, at most 10"),
        ({"files": [File(bytes(50_000_001), name="x")]}, "files.0: 'x' has 50000001 bytes"),
        ({"poll": Poll("?", ["a"] * 21)}, "poll.options: has 21 options"),
        ({"poll": Poll("?", ["a", "b"], anonymous=True)}, "poll.anonymous: "),
        ({"poll": Poll("?", ["a", "b"], duration=60)}, "poll.duration: "),
        ({"extra": {"url": "mxc://evil/1"}}, "extra.url: "),
        ({"extra": {"m.poll": {}}}, "extra.m.poll: "),
    ],
)
async def test_what_it_cannot_send_beside_a_text_is_refused(matrix, wrong, place, autojump_clock):
    server = Homeserver()
    async with opened(matrix, server) as gateway:
        with pytest.raises(Invalid, match=re.escape(place)):
            await gateway.send("home", "!a", "hello", **wrong)
    assert [] == server.asked


@WITH_BOTH
@pytest.mark.parametrize("on_file_error", ["fail", "send_text"])
async def test_the_text_of_a_refused_file_is_not_lost(matrix, on_file_error, autojump_clock):
    refused = (413, b'{"errcode": "M_TOO_LARGE", "error": "no"}')
    server = Homeserver(refused, SENT)
    async with opened(matrix, server) as gateway:
        receipt = await gateway.send(
            "home", "!a", "hello", files=[File(b"x", name="x")], on_file_error=on_file_error,
            raises=False,
        )  # fmt: skip
    sent = [content["body"] for _, _, content in server.asked[1:]]
    assert (on_file_error == "send_text", receipt.delivered) == (bool(sent), bool(sent))
    assert "M_TOO_LARGE" in str(receipt.verdict)


@WITH_BOTH
@pytest.mark.parametrize("body", GARBLED, ids=range(len(GARBLED)))
async def test_an_upload_whose_answer_says_nothing_is_made_again(matrix, body, autojump_clock):
    server = Homeserver((200, body), STORED, SENT)
    async with opened(matrix, server) as gateway:
        receipt = await gateway.send("home", "!a", "", files=[File(b"x", name="x")])
    assert (True, [b"x", b"x"]) == (receipt.delivered, [each[2] for each in server.asked[:2]])
