"""The channel that the guide has authors write, beside a homeserver that means harm."""

import json
import re
import runpy
import types
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from starlette.responses import Response

from gateway_core import DeliveryError, GatewayConfig, Instance, Invalid, Secret, open_gateway
from gateway_core.testing import open_network

GUIDE = Path(__file__).parents[2] / "docs/how-to/write-a-channel.md"
PIECES = re.compile(
    r"^```python\n(# gateway_plugin_matrix/hooks\.py.*?)^```$", re.MULTILINE | re.DOTALL
)
URL = "https://matrix.example"
TOKEN = "syt_c3F1aXJyZWw_hazelnut"


@pytest.fixture(params=["the least", "with its first hooks"])
def matrix(request, tmp_path):
    """The guide's module, as far as the page has come."""
    least, further = PIECES.findall(GUIDE.read_text())
    whole = request.param == "with its first hooks"
    (tmp_path / "hooks.py").write_text(f"{least}\n\n{further}" if whole else least)
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
        self.asked.append((scope["raw_path"].decode(), headers, json.loads(body)))
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
@pytest.mark.parametrize("matrix", ["with its first hooks"], indirect=True)
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
