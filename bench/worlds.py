"""Emulators with the platforms' limits on loopback, and gateways on them, for the benches."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import attrs
import trio

from gateway_contrib.emulators.discord import DiscordEmulator
from gateway_contrib.emulators.serve import serve
from gateway_contrib.emulators.slack import SlackEmulator
from gateway_contrib.emulators.telegram import TelegramEmulator
from gateway_contrib.emulators.wire import ASGIApp, Latency
from gateway_core import GatewayConfig, Send, parse_config

ROOMS = 60
MESSAGES = 600
ARRIVALS = ("round_robin", "mixed", "room_by_room")


@attrs.frozen(kw_only=True)
class Platform:
    """What a bench needs to know of a channel.

    interval  seconds between messages of the whole account, as configured; 0: no such pacing
    chain     seconds that a room's `n` messages take at least, round trips left out
    """

    channel: str
    emulator: Any
    token: str
    path: str
    room: str
    interval: float
    burst: int
    per: float

    def room_id(self, number: int) -> str:
        return self.room.format(1_000 + number)

    def bound(self, counts: list[int], trip: float) -> float:
        """The shortest makespan that the configured pacing allows, with its round trips."""
        account = (sum(counts) - 1) * self.interval + trip
        return max(account, *(self._room(count, trip) for count in counts))

    def _room(self, count: int, trip: float) -> float:
        """`burst` messages, then each waits for the answer of the one `burst` before, and `per`."""
        rounds = (count - 1) // self.burst
        first = (count - 1) % self.burst + 1
        return rounds * (self.per + trip) + first * trip


PLATFORMS = {
    "telegram": Platform(
        channel="telegram",
        emulator=TelegramEmulator,
        token="1234567:bench-token-bench-token-bench-token",  # noqa: S106 - for an emulator
        path="",
        room="{:d}",
        interval=1 / 30,
        burst=1,
        per=1.0,
    ),
    "slack": Platform(
        channel="slack",
        emulator=SlackEmulator,
        token="xoxb-bench-token",  # noqa: S106 - for an emulator
        path="/api",
        room="C{:08d}",
        interval=0.0,
        burst=1,
        per=1.0,
    ),
    "discord": Platform(
        channel="discord",
        emulator=DiscordEmulator,
        token="bench.discord.token",  # noqa: S106 - for an emulator
        path="/api/v10",
        room="1{:017d}",
        interval=1 / 48,
        burst=5,
        per=5.0,
    ),
}


def arrival(order: str, counts: list[int], seed: str) -> list[tuple[int, int]]:
    """(room, number) of every message, in the order of submission."""
    by_room = [(room, n) for room, count in enumerate(counts) for n in range(count)]
    if order == "room_by_room":
        return by_room
    if order == "round_robin":
        return sorted(by_room, key=lambda item: (item[1], item[0]))
    rooms = [room for room, _ in by_room]
    Random(seed).shuffle(rooms)
    seen = [0] * len(counts)
    mixed = []
    for room in rooms:
        mixed.append((room, seen[room]))
        seen[room] += 1
    return mixed


@asynccontextmanager
async def emulated(platform: Platform, app_of: Any = None) -> AsyncIterator[tuple[Any, str]]:
    """An emulator on a free loopback port behind 20 to 80 ms of latency, and its base URL."""
    emulator = platform.emulator()
    app: ASGIApp = Latency(0.020, 0.080, f"bench {platform.channel}")(emulator.app)
    async with trio.open_nursery() as nursery:
        if app_of is not None:
            app = app_of(app)
        url = await nursery.start(lambda task_status: serve(app, task_status=task_status))
        yield emulator, url + platform.path
        nursery.cancel_scope.cancel()


def configured(platform: Platform, url: str, **more: Any) -> GatewayConfig:
    """A configuration with one instance, `bot`, on the installed plugin of the channel."""
    bot = {"channel": platform.channel, "token": platform.token, "base_url": url}
    return parse_config({"instances": {"bot": bot}, **more})


def message(platform: Platform, room: int, text: str) -> Send:
    return Send(instance_id="bot", external_room_id=platform.room_id(room), text=text)
