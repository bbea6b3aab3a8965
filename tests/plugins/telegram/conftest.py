"""A bot, attempts for it, and a Telegram that gives the answer which a test asks for."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import attrs
import pytest
from starlette.requests import Request
from starlette.responses import Response

from gateway_core import File, Instance, Part, Secret
from gateway_core.authors import Attempt, Upload
from gateway_core.testing import Network, open_network
from gateway_plugin_telegram import TelegramSettings, hooks

TOKEN = "123456789:AAbbCCddEEffGGhh-iiJJkkLLmm_nnOOpp"
BASE_URL = "https://api.telegram.org"
OPERATIONS = {
    "send": hooks.send,
    "upload": hooks.send,
    "edit": hooks.edit,
    "delete": hooks.delete,
    "draft": hooks.stream,
}


@pytest.fixture
def token() -> str:
    return TOKEN


@pytest.fixture
def instance() -> Instance:
    return Instance("support", "telegram", TelegramSettings(token=Secret(TOKEN)))


@pytest.fixture
async def network():
    async with open_network() as network:
        yield network


@attrs.define
class Telegram:
    """Answers every request alike and keeps what was asked: method, JSON, path, headers."""

    status: int = 200
    body: bytes = b'{"ok":true,"result":{"message_id":77}}'
    headers: Mapping[str, str] = attrs.field(factory=dict)
    paths: list[str] = attrs.field(factory=list)
    posted: list[tuple[str, Any]] = attrs.field(factory=list)

    def answers(self, status: int, body: object, headers: Mapping[str, str] | None = None) -> None:
        self.status = status
        self.body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.headers = headers or {}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope, receive)
        self.paths.append(request.url.path)
        self.posted.append((request.url.path.rpartition("/")[2], await request.json()))
        await Response(self.body, self.status, self.headers)(scope, receive, send)


@pytest.fixture
def telegram(network: Network) -> Telegram:
    telegram = Telegram()
    network.mount(BASE_URL, telegram)
    return telegram


def _never():
    raise AssertionError("what has an id is not read")


@pytest.fixture
def attempt() -> Callable[..., Attempt]:
    """An attempt of the given operation, with what its kind has."""

    def make(operation: str = "send", **fields: Any) -> Attempt:
        has: dict[str, Any] = {"room": "-100123"}
        if operation in {"send", "edit"}:
            has["part"] = Part(payload={"text": "hello"})
        if operation == "upload":
            has["part"] = Part(payload={"media": [{"type": "photo"}]})
            has["files"] = (Upload(file=File(id="f", media_type="image/png"), open=_never),)
        if operation in {"edit", "delete"}:
            has["message_id"] = "9"
        if operation.startswith("call:"):
            has["method"] = operation.removeprefix("call:")
        return Attempt(
            operation=operation, envelope_id="e1", instance_id="support", **{**has, **fields}
        )

    return make


@pytest.fixture
def perform(instance: Instance) -> Callable[[Attempt], Awaitable[Any]]:
    """Make the attempt through the adapter's hooks, in a session of its own."""

    async def make(attempt: Attempt) -> Any:
        async with hooks.open_session(instance) as session:
            if attempt.operation == "probe":
                return await hooks.probe(session)
            return await OPERATIONS.get(attempt.operation, hooks.call)(session, attempt)

    return make
