"""A gateway to all three emulated platforms, for files."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from random import Random
from types import MappingProxyType
from typing import Any

import attrs
import httpx2
import pytest

from gateway_contrib.emulators.discord import DiscordEmulator
from gateway_contrib.emulators.slack import SlackEmulator
from gateway_contrib.emulators.telegram import TelegramEmulator
from gateway_core import Gateway, GatewayConfig, Instance, Secret, open_gateway
from gateway_core.authors import Outbox
from gateway_core.http import transport_factory
from gateway_core.testing import open_network, virtual_wall
from gateway_plugin_discord.settings import DiscordSettings
from gateway_plugin_slack.settings import Settings as SlackSettings
from gateway_plugin_telegram.settings import TelegramSettings

ROOMS = {"telegram": "7", "slack": "C024BE91L", "discord": "1100000000000000001"}
HOSTS = {
    "telegram": ("https://api.telegram.org",),
    "slack": ("https://slack.com", "https://files.slack.com"),
    "discord": ("https://discord.com",),
}
EMULATORS = {"telegram": TelegramEmulator, "slack": SlackEmulator, "discord": DiscordEmulator}
MOST = 2_000
"""Bytes of a file on any of them."""
SETTINGS = {
    "telegram": TelegramSettings(token=Secret("1234567:" + "a" * 35), upload_bytes=MOST),
    "slack": SlackSettings(token=Secret("xoxb-1"), max_file_size=MOST),
    "discord": DiscordSettings(token=Secret("a.b.c"), max_file_size=MOST),
}


@attrs.define
class Three:
    """One gateway with an instance for each channel, which has its name."""

    gateway: Gateway
    emulators: Mapping[str, Any]

    async def page(self, channel: str) -> list[tuple[str, list[str]]]:
        """What a person sees of its room: of each message its text, and where its pictures are."""
        [host, *_] = HOSTS[channel]
        async with httpx2.AsyncClient(transport=transport_factory.get()(), base_url=host) as client:
            page = (await client.get("/")).text
            articles = re.findall(r"<article.*?</article>", page, re.DOTALL)
            for address in re.findall(r'<img src="([^"]*)"', page):
                assert "image/png" == (await client.get(address)).headers["content-type"]
        return [
            (re.findall(r"<pre[^>]*>(.*?)</pre>", each)[0], re.findall(r'<img src="([^"]*)"', each))
            for each in articles
        ]

    def texts(self, channel: str) -> list[tuple[str, list[str]]]:
        """Of each message in its room the text, and its files' names."""
        messages = self.emulators[channel].rooms.conversation(ROOMS[channel])
        return [(message.text, [file.name for file in message.files]) for message in messages]


@asynccontextmanager
async def _opened(
    outbox: Outbox | None = None,
    roomy: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
    **faults: Any,
) -> AsyncIterator[Three]:
    emulators = {
        name: make(faults=faults[name]) if name in faults else make()
        for name, make in EMULATORS.items()
    }
    instances = [
        Instance(name, name, attrs.evolve(settings, **roomy.get(name, {})))
        for name, settings in SETTINGS.items()
    ]
    async with open_network() as network:
        for name, emulator in emulators.items():
            for host in HOSTS[name]:
                network.mount(host, emulator.app)
        async with open_gateway(
            GatewayConfig(instances=instances),
            rng=Random("jitter"),
            wall_clock=virtual_wall,
            outbox=outbox,
        ) as gateway:
            yield Three(gateway, emulators)


@pytest.fixture
def open_three() -> Callable[..., Any]:
    """Opens it, with an outbox, other settings and a plan of faults for a channel."""
    return _opened


@pytest.fixture
async def three(autojump_clock) -> AsyncIterator[Three]:
    async with _opened() as opened:
        yield opened
