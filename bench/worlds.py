"""Opens emulators with the platforms' limits on loopback, and configures gateways for benches."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import attrs
import trio

from gateway_contrib.emulators.discord import DiscordEmulator
from gateway_contrib.emulators.serve import serve
from gateway_contrib.emulators.slack import SlackEmulator
from gateway_contrib.emulators.telegram import TelegramEmulator
from gateway_contrib.emulators.wire import ASGIApp, Latency
from gateway_core import GatewayConfig, Send, parse_config


@attrs.frozen(kw_only=True)
class Platform:
    """The facts about a channel that a bench needs.

    interval    seconds between messages of the whole account, as configured; 0: no such pacing
    burst, per  a room takes `burst` messages in `per` seconds, counted from the answers
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

    def bound(self, rooms: Iterable[Sequence[float]]) -> float:
        """The shortest makespan that the configured pacing allows, with these round trips.

        `rooms` has the round trips of each room's messages, in the messages' order.
        """
        trips = [list(room) for room in rooms if room]
        account = (sum(map(len, trips)) - 1) * self.interval + min(map(min, trips))
        return max(account, *map(self._room, trips))

    def _room(self, trips: list[float]) -> float:
        """The makespan of one room.

        A message waits for the answer before it, and `per` seconds after the answer `burst` before.
        """
        ends: list[float] = []
        for number, trip in enumerate(trips):
            begin = ends[-1] if ends else 0.0
            if number >= self.burst:
                begin = max(begin, ends[number - self.burst] + self.per)
            ends.append(begin + trip)
        return ends[-1]


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


@asynccontextmanager
async def emulated(platform: Platform, app_of: Any = None) -> AsyncIterator[tuple[Any, str]]:
    """An emulator on a free loopback port, with 20 to 80 ms of latency, and its base URL."""
    emulator = platform.emulator()
    app: ASGIApp = Latency(0.020, 0.080, f"bench {platform.channel}")(emulator.app)
    async with trio.open_nursery() as nursery:
        if app_of is not None:
            app = app_of(app)
        url = await nursery.start(lambda task_status: serve(app, task_status=task_status))
        yield emulator, url + platform.path
        nursery.cancel_scope.cancel()


def configured(
    platform: Platform, url: str, *, settings: Mapping[str, Any] | None = None, **more: Any
) -> GatewayConfig:
    """A configuration with one instance, `bot`, on the installed plugin of the channel."""
    bot = {"channel": platform.channel, "token": platform.token, "base_url": url}
    bot |= settings or {}
    return parse_config({"instances": {"bot": bot}, **more})


def message(platform: Platform, room: int, text: str) -> Send:
    return Send(instance_id="bot", external_room_id=platform.room_id(room), text=text)
