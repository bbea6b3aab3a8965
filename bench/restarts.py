"""How many 429s a restart in the middle of a busy room costs, in virtual time.

`python -m bench.restarts` prints a row for each case; `--table` Markdown. The real adapters send to
the emulators through a network in memory. A room gets messages as fast as its limits allow. The
gateway is closed or killed at some moment of the room's window, and another gateway goes on at
once; without an outbox it goes on after three seconds, since it does not know what was spent. `met`
are the 429s of all runs together, `delay` is how long a first message to a new room took after
that.
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import attrs
import structlog
import trio

from bench.peers.tables import Row, table
from bench.worlds import PLATFORMS, Platform, configured
from gateway_contrib.sqlite import SqliteOutbox, SqliteSettings
from gateway_core import Gateway, GatewayClosed, Send, open_gateway
from gateway_core.testing import Network, open_network, run_seeded, virtual_wall

URL = "http://127.0.0.1:9"
LATENCY = (0.010, 0.040)
ROOMS = {"telegram": "-1001000", "discord": "100000000000001000", "slack": "C00001000"}
FRESH = {"telegram": "-1002000", "discord": "100000000000002000", "slack": "C00002000"}
MESSAGES = 45
"""How many messages the busy room gets: more than two windows of any platform take."""
STARTING = 3.0
"""Seconds until a new process without an outbox sends; with an outbox it sends at once."""
WAYS = ("closed", "killed", "in memory")


@attrs.frozen(kw_only=True)
class Case:
    """A restart of one kind, `after` seconds after the first message."""

    channel: str
    way: str
    after: float


CASES = tuple(
    Case(channel=channel, way=way, after=after)
    for channel in ("telegram", "discord", "slack")
    for way in WAYS
    for after in (0.3, 2.0, 7.5, 19.0, 30.0, 63.0, 72.0)
)


@attrs.define(eq=False)
class World:
    """A platform that counts its 429s, and the folder of the outbox's file."""

    platform: Platform
    emulator: Any
    folder: Path
    met: int = 0
    asked: int = 0
    _random: Random = attrs.field(factory=lambda: Random("restarts"))

    def mount(self, network: Network) -> None:
        """Serve the platform in the network."""

        async def app(scope: Any, receive: Any, send: Any) -> None:
            async def told(event: Any) -> None:
                self.met += event["type"] == "http.response.start" and event["status"] == 429
                await send(event)

            self.asked += 1
            await self.emulator.app(scope, receive, told)

        network.mount(URL, app, latency=self._latency)

    def _latency(self) -> tuple[float, float]:
        return self._random.uniform(*LATENCY), self._random.uniform(*LATENCY)

    @asynccontextmanager
    async def gateway(self, file: str | None) -> AsyncIterator[Gateway]:
        """A gateway with its outbox in the file; None: without an outbox."""
        settings = configured(self.platform, URL + self.platform.path, drain_timeout=0.0)
        outbox = None
        if file is not None:
            path = self.folder / file
            outbox = SqliteOutbox(path, SqliteSettings(in_thread=False), wall_clock=virtual_wall)
        async with open_gateway(
            settings, outbox=outbox, rng=Random("restarts"), wall_clock=virtual_wall
        ) as gateway:
            yield gateway

    def snapshot(self, file: str, copy: str) -> None:
        """Copy the file, as a process that is killed at this moment leaves it."""
        for suffix in ("", "-wal"):
            there = self.folder / (file + suffix)
            if there.exists():
                shutil.copy(there, self.folder / (copy + suffix))


async def restarted(case: Case, folder: Path) -> Mapping[str, Any]:
    """Make two process runs; returns the 429s, and how long a first message took."""
    platform = PLATFORMS[case.channel]
    there = World(platform, platform.emulator(), folder)
    room, fresh = ROOMS[case.channel], FRESH[case.channel]
    durable = case.way != "in memory"
    async with open_network() as network:
        there.mount(network)
        async with there.gateway("first.db" if durable else None) as gateway:
            with trio.move_on_after(case.after):
                await _busy(gateway, room, MESSAGES)
            if case.way == "killed":
                there.snapshot("first.db", "second.db")
            asked = there.asked
        if not durable:
            await trio.sleep(STARTING)
        file = {"closed": "first.db", "killed": "second.db"}.get(case.way)
        async with there.gateway(file) as gateway, trio.open_nursery() as nursery:
            begun = trio.current_time()
            nursery.start_soon(_busy, gateway, room, MESSAGES)
            await gateway.send("bot", fresh, "the first message of another room")
            delay = trio.current_time() - begun
    return {
        "channel": case.channel,
        "way": case.way,
        "after_s": case.after,
        "asked_before": asked,
        "met": there.met,
        "delay_s": round(delay, 3),
    }


async def _busy(gateway: Gateway, room: str, messages: int) -> None:
    """Hand `messages` messages over at once, and wait for the last."""
    for number in range(messages):
        await gateway.submit(Send(instance_id="bot", external_room_id=room, text=f"busy {number}"))
    with suppress(GatewayClosed):
        await gateway.send("bot", room, "last of them")


def row(case: Case) -> Mapping[str, Any]:
    """The row of one case, which runs in a new world."""
    with TemporaryDirectory() as folder:
        return run_seeded("restarts", restarted, case, Path(folder))


def summed(rows: Sequence[Row]) -> list[Row]:
    """A row for each platform and way: 429s over all moments, the longest first message."""
    found = []
    for channel in ROOMS:
        for way in WAYS:
            some = [r for r in rows if (r["channel"], r["way"]) == (channel, way)]
            found.append(
                {
                    "channel": channel,
                    "way": way,
                    "restarts": len(some),
                    "met": sum(r["met"] for r in some),
                    "delay_s": max(r["delay_s"] for r in some),
                }
            )
    return found


COLUMNS: Mapping[str, Callable[[Row], str]] = {
    "platform": lambda row: str(row["channel"]),
    "restart": lambda row: str(row["way"]),
    "restarts": lambda row: str(row["restarts"]),
    "429s": lambda row: str(row["met"]),
    "first message of another room, s": lambda row: f"{row['delay_s']:.2f}",
}


def main() -> None:
    """Print the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--table", action="store_true")
    given = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    rows = [row(case) for case in CASES]
    if given.json:
        print(json.dumps(rows))
        return
    if not given.table:
        for found in rows:
            print(found)
    print(table(summed(rows), COLUMNS))


if __name__ == "__main__":
    main()
