"""Each channel with its emulated platform, and what a test wants the platform to refuse."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import attrs
import pytest
from starlette.requests import Request
from starlette.responses import Response

from gateway_contrib.emulators.discord import DiscordEmulator
from gateway_contrib.emulators.rooms import Message
from gateway_contrib.emulators.slack import SlackEmulator
from gateway_contrib.emulators.telegram import TelegramEmulator
from gateway_contrib.emulators.wire import Latency
from gateway_core import Gateway, GatewayConfig, Instance, Secret, open_gateway
from gateway_core.authors import Outbox
from gateway_core.testing import open_network, virtual_wall
from gateway_plugin_discord.settings import DiscordSettings
from gateway_plugin_slack.settings import Settings as SlackSettings
from gateway_plugin_telegram.settings import TelegramSettings

Answers = Callable[[str, Mapping[str, Any]], "tuple[int, Mapping[str, Any]] | None"]
"""From the method and the posted fields to an answer in place of the platform's; None: its own."""


@attrs.frozen
class Channel:
    """One channel with small messages: `settings` of a limit, where it lives, buttons for it."""

    emulator: Callable[[], Any]
    settings: Callable[[int], Any]
    host: str
    room: str
    buttons: Callable[[str], Mapping[str, Any]]
    shown: Callable[[Any, Message], str]


def _telegram_button(emulator: TelegramEmulator, message: Message) -> str:
    keyboard = emulator._world.chat(_Named(message.room)).contents[message.id].keyboard
    return keyboard["inline_keyboard"][0][0]["text"] if keyboard else ""


@attrs.frozen
class _Named:
    room: str

    def text(self, _name: str) -> str:
        return self.room


def _slack_button(_: SlackEmulator, message: Message) -> str:
    blocks = message.fields.get("blocks") or []
    rows = [block for block in blocks if block["type"] == "actions"]
    return rows[0]["elements"][0]["text"]["text"] if rows else ""


def _discord_button(_: DiscordEmulator, message: Message) -> str:
    rows = message.fields.get("components") or []
    return rows[0]["components"][0]["label"] if rows else ""


CHANNELS = {
    "telegram": Channel(
        TelegramEmulator,
        lambda limit: TelegramSettings(token=Secret("1234567:" + "a" * 35), text_limit=limit),
        "https://api.telegram.org",
        "7",
        lambda text: {
            "reply_markup": {"inline_keyboard": [[{"text": text, "callback_data": "1"}]]}
        },
        _telegram_button,
    ),
    "slack": Channel(
        SlackEmulator,
        lambda limit: SlackSettings(token=Secret("xoxb-1"), part_bytes=limit),
        "https://slack.com",
        "C024BE91L",
        lambda text: {
            "blocks": [
                {
                    "type": "actions",
                    "elements": [{"type": "button", "text": {"type": "plain_text", "text": text}}],
                }
            ]
        },
        _slack_button,
    ),
    "discord": Channel(
        DiscordEmulator,
        lambda limit: DiscordSettings(token=Secret("a.b.c"), max_length=limit),
        "https://discord.com",
        "1100000000000000001",
        lambda text: {
            "components": [
                {
                    "type": 1,
                    "components": [{"type": 2, "style": 1, "label": text, "custom_id": "1"}],
                }
            ]
        },
        _discord_button,
    ),
}


class Front:
    """Stands before an emulator: answers itself where the test says so, and keeps what was asked.

    posted  method and fields of each request, in order
    """

    def __init__(self, app: Any) -> None:
        self.app = app
        self.answers: Answers = lambda _method, _fields: None
        self.posted: list[tuple[str, Mapping[str, Any]]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = await Request(scope, receive).body()
        method = f"{scope['method']} {scope['path']}"
        is_json = body[:1] == b"{"
        fields = json.loads(body) if is_json else {}
        self.posted.append((method, fields))
        found = self.answers(method, fields)
        if found is not None:
            status, answer = found
            await Response(json.dumps(answer).encode(), status)(scope, receive, send)
            return
        again = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def replay() -> Any:
            return next(again, None) or await receive()

        await self.app(scope, replay, send)


@asynccontextmanager
async def _opened(
    host: str,
    app: Any,
    instance: Instance,
    outbox: Outbox | None = None,
    policies: Sequence[Any] = (),
) -> AsyncIterator[Gateway]:
    """A gateway to an application at `host`; a round trip takes 20 to 80 ms."""
    async with open_network() as network:
        network.mount(host, app, latency=Latency(0.02, 0.08, "wire").halves)
        async with open_gateway(
            GatewayConfig(instances=[instance]),
            plugins=policies,
            rng=Random("jitter"),
            wall_clock=virtual_wall,
            outbox=outbox,
        ) as gateway:
            yield gateway


@pytest.fixture
def open_to() -> Callable[..., Any]:
    """Opens a gateway with one instance to an application in the place of a platform."""
    return _opened


@attrs.define
class World:
    """A gateway with one instance (`bot`) of the channel, and the platform behind it."""

    name: str
    channel: Channel
    emulator: Any
    front: Front
    limit: int = 200

    @property
    def room(self) -> str:
        """The one that the tests write to."""
        return self.channel.room

    @asynccontextmanager
    async def opened(
        self, outbox: Outbox | None = None, policies: Sequence[Any] = ()
    ) -> AsyncIterator[Gateway]:
        """One life of the gateway; the platform outlives it."""
        instance = Instance("bot", self.name, self.channel.settings(self.limit))
        async with _opened(self.channel.host, self.front, instance, outbox, policies) as gateway:
            yield gateway

    def messages(self) -> list[Message]:
        """What stands in the room."""
        return self.emulator.rooms.conversation(self.room)

    def texts(self) -> list[str]:
        """What a reader sees of it, without its buttons."""
        pairs = zip(self.messages(), self.buttons(), strict=True)
        return [message.text.removesuffix(button).strip() for message, button in pairs]

    def buttons(self) -> list[str]:
        """The label of the button below each message; empty where there is none."""
        return [self.channel.shown(self.emulator, message) for message in self.messages()]

    def counts(self) -> tuple[int, int, int]:
        """How many messages were stored, edited and deleted so far."""
        counters = self.emulator.counters
        return counters["stored"], counters["edited"], counters["deleted"]


@pytest.fixture(params=CHANNELS)
def world(request: pytest.FixtureRequest) -> World:
    """Each channel in turn."""
    channel = CHANNELS[request.param]
    emulator = channel.emulator()
    return World(request.param, channel, emulator, Front(emulator.app))
