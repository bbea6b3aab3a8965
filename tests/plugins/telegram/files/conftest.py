"""A gateway to an emulated Telegram, and files of every kind."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
import pictures
import pytest

from gateway_contrib.emulators.telegram import TelegramEmulator, TelegramLimits
from gateway_core import File

FREE = {"chat_count": 1000, "group_count": 1000, "bulk_count": 1000, "bot_count": 1000}
CONTENTS = {
    "photo": ("a.png", pictures.png(30, 20)),
    "video": ("a.mp4", pictures.MP4),
    "animation": ("a.gif", pictures.gif()),
    "audio": ("a.mp3", pictures.MP3),
    "voice": ("a.ogg", pictures.OGG),
    "document": ("a.pdf", pictures.PDF),
}


@attrs.frozen
class _Named:
    """As a request names its chat."""

    room: str

    def text(self, _name: str) -> str:
        return self.room


@attrs.define
class Bot:
    """Sends files of kinds to one room, and tells what stands there."""

    gateway: Any
    emulator: TelegramEmulator
    front: Any
    room: str = "7"

    async def send(self, text: str, *files: File | str, **more: Any) -> Any:
        given = [file_of(one) if isinstance(one, str) else one for one in files]
        return await self.gateway.send("support", self.room, text, files=given, **more)

    @property
    def messages(self) -> list[Any]:
        return self.emulator.rooms.conversation(self.room)

    @property
    def seen(self) -> list[tuple[str, str]]:
        """Of each message what it shows, and its text or caption."""
        return [(self.kind(message), message.text) for message in self.messages]

    def content(self, message: Any) -> Any:
        """What the emulator has of it beside its text."""
        return self.emulator._world.chat(_Named(self.room)).contents[message.id]

    def kind(self, message: Any) -> str:
        media = self.content(message).media
        return media.kind if media is not None else "text"

    @property
    def asked(self) -> list[str]:
        """The methods that were called, in order."""
        return self.front.methods


class Front:
    """Notes what is asked, and answers itself where a test says so."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.methods: list[str] = []
        self.sizes: list[int] = []
        self.kinds: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.methods.append(scope["path"].rpartition("/")[2])
        headers = dict(scope["headers"])
        self.sizes.append(int(headers.get(b"content-length", b"0")))
        self.kinds.append(headers[b"content-type"].decode().partition(";")[0])
        await self.app(scope, receive, send)


def file_of(kind: str, **more: Any) -> File:
    name, content = CONTENTS[kind]
    return File(content, name=name, **more)


@pytest.fixture
def make() -> Any:
    """Makes a file of a kind."""
    return file_of


@pytest.fixture
def emulator() -> TelegramEmulator:
    free = {"chat_seconds": 0.0, "group_count": 1_000_000, "bot_count": 1_000_000}
    return TelegramEmulator(limits=TelegramLimits(**free))


@pytest.fixture
def run(open_to, instance, emulator, autojump_clock) -> Any:
    """Opens a gateway to the emulator, again if need be, without limits of its own."""
    free = attrs.evolve(instance, settings=attrs.evolve(instance.settings, **FREE))

    @asynccontextmanager
    async def opened(outbox: Any = None) -> AsyncIterator[Bot]:
        front = Front(emulator.app)
        async with open_to(instance.settings.base_url, front, free, outbox) as gateway:
            yield Bot(gateway, emulator, front)

    return opened


@pytest.fixture
async def bot(run):
    async with run() as opened:
        yield opened
