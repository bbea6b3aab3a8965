"""What the tests of the Slack channel share."""

import json
from urllib.parse import parse_qsl

import attrs
import pytest
import trio
from starlette.requests import Request
from starlette.responses import Response

from gateway_core import Instance, Part, Secret
from gateway_core.authors import Attempt
from gateway_core.testing import open_network
from gateway_plugin_slack import hooks
from gateway_plugin_slack.settings import Settings

TOKEN = "xoxb-1111-2222-abcDEF"


@pytest.fixture
def settings():
    return Settings(token=Secret(TOKEN))


@pytest.fixture
def instance(settings):
    return Instance("support", "slack", settings)


@attrs.define
class Sent:
    """One request as it arrived."""

    method: str
    fields: dict
    headers: dict


class Slack:
    """A server that records what it is asked and says what it is told to; then `ok: true`."""

    def __init__(self):
        self.requests: list[Sent] = []
        self.answers: list[Response] = []
        self.holding: trio.Event | None = None

    def will_say(self, body, *, status=200, headers=None):
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.answers.append(Response(raw, status, headers))

    async def __call__(self, scope, receive, send):
        request = Request(scope, receive)
        body = (await request.body()).decode()
        assert request.method == "POST"
        kind = request.headers.get("content-type", "")
        fields = json.loads(body) if kind.startswith("application/json") else dict(parse_qsl(body))
        method = request.url.path.removeprefix("/api/")
        self.requests.append(Sent(method, fields, dict(request.headers)))
        default = Response(b'{"ok":true,"channel":"C024BE91L","ts":"1700000000.000100"}')
        answer = self.answers.pop(0) if self.answers else default
        await trio.lowlevel.checkpoint()
        if self.holding is not None:
            await self.holding.wait()
        await answer(scope, receive, send)


@pytest.fixture
async def slack():
    async with open_network() as network:
        slack = Slack()
        slack.network = network
        network.mount("https://slack.com", slack)
        yield slack


@pytest.fixture
async def session(slack, instance):
    async with hooks.open_session(instance=instance) as session:
        yield session


def attempt(operation, **fields):
    """An attempt in the room C024BE91L; sends and edits carry a part as `chunk` makes it."""
    content = {
        "text": "hello",
        "mrkdwn": False,
        "parse": "none",
        "link_names": False,
        "unfurl_links": False,
        "unfurl_media": False,
    }
    if operation in {"send", "edit"}:
        fields.setdefault("part", Part(payload=content))
    if operation in {"edit", "delete"}:
        fields.setdefault("message_id", "1700000000.000100")
    fields.setdefault("room", "C024BE91L")
    return Attempt(operation=operation, envelope_id="e1", instance_id="support", **fields)


@pytest.fixture(name="attempt")
def make_attempt():
    return attempt
