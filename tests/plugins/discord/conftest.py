"""What the tests of the Discord channel share."""

import json

import attrs
import pytest
import trio
from starlette.requests import Request
from starlette.responses import Response

from gateway_core import Instance, Part, Secret
from gateway_core.authors import Attempt
from gateway_core.testing import open_network
from gateway_plugin_discord import hooks
from gateway_plugin_discord.errors import DiscordApiError
from gateway_plugin_discord.methods import route_of
from gateway_plugin_discord.settings import DiscordSettings

TOKEN = "MTk4NjIyNDgzNDcxOTI1MjQ4.Cl2FMQ.ZnCjm1XVW7vRze4b7Cq4se7kKWs"
ROOM = "1100000000000000001"
THREAD = "1100000000000000002"
MESSAGE = "1200000000000000001"
CONTENT = {"content": "hello", "allowed_mentions": {"parse": []}, "flags": 4}


@pytest.fixture
def instance():
    return Instance("support", "discord", DiscordSettings(token=Secret(TOKEN)))


@attrs.define
class Asked:
    """One request as it arrived."""

    verb: str
    path: str
    query: str
    body: object
    headers: dict


class Discord:
    """A server that records what it is asked and says what it is told to; then a message."""

    def __init__(self):
        self.requests: list[Asked] = []
        self.answers: list[Response] = []

    def will_say(self, body=b"", *, status=200, headers=None):
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.answers.append(Response(raw, status, headers))

    async def __call__(self, scope, receive, send):
        request = Request(scope, receive)
        raw = await request.body()
        path = scope["raw_path"].decode()
        self.requests.append(
            Asked(
                request.method,
                path.removeprefix("/api/v10"),
                scope["query_string"].decode(),
                json.loads(raw) if raw else None,
                dict(request.headers),
            )
        )
        await trio.lowlevel.checkpoint()
        default = Response(json.dumps({"id": MESSAGE, "channel_id": ROOM}).encode())
        await (self.answers.pop(0) if self.answers else default)(scope, receive, send)


@pytest.fixture
async def discord():
    async with open_network() as network:
        discord = Discord()
        network.mount("https://discord.com", discord)
        yield discord


@pytest.fixture
async def session(discord, instance):
    async with hooks.open_session(instance=instance) as session:
        yield session


def attempt(operation, **fields):
    """An attempt in ROOM; sends and edits carry a part as `chunk` makes it."""
    if operation in {"send", "edit"}:
        fields.setdefault("part", Part(payload=CONTENT))
    if operation in {"edit", "delete"}:
        fields.setdefault("message_id", MESSAGE)
    if operation.startswith("call:"):
        fields["method"] = operation.removeprefix("call:")
    fields.setdefault("room", ROOM)
    return Attempt(operation=operation, envelope_id="e1", instance_id="support", **fields)


@pytest.fixture(name="attempt")
def make_attempt():
    return attempt


@pytest.fixture
def refused_with(discord, session):
    """The verdict on an attempt that Discord, or what stands before it, gives this answer to."""

    async def verdict(step, refusal):
        if isinstance(refusal, Exception):  # the session's own: nothing goes over the wire
            return hooks.classify_error(attempt=step, error=refusal)
        discord.will_say(refusal.body, status=refusal.status, headers=dict(refusal.headers))
        with pytest.raises(DiscordApiError) as caught:
            await _performed(session, step)
        return hooks.classify_error(attempt=step, error=caught.value)

    return verdict


async def _performed(session, step):
    if step.operation == "probe":
        return await hooks.probe(session=session)
    if step.operation in {"send", "edit", "delete"}:
        return await getattr(hooks, step.operation)(session=session, attempt=step)
    needed = [name for name in route_of(step.operation).parameters if name != "channel"]
    body = {"content": "x"} if " /webhooks/" in step.operation else {}
    body = {} if "DELETE" in step.operation else body
    body = {"type": 5} if "/interactions/" in step.operation else body
    whole = attrs.evolve(step, arguments={**dict.fromkeys(needed, "5"), **body})
    return await hooks.call(session=session, attempt=whole)
