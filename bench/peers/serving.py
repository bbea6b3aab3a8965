"""Serves the platform of a run: an emulator on loopback, 20 to 80 ms away, in its own process.

`python -m bench.peers.serving CHANNEL FAULT` prints its address, waits for a line, and prints its
content. Runs with faults have no limits, so that each client meets the same faults.
"""

from __future__ import annotations

import json
import re
import sys
import time
from random import Random
from typing import Any

import trio

from bench.journeys import Journeys, asked
from bench.peers.workload import FAULT_MESSAGES, FAULTS, FAULTY, ROOMS, texts
from bench.worlds import PLATFORMS
from gateway_contrib.emulators.discord import DiscordLimits
from gateway_contrib.emulators.faults import Fault, FaultPlan
from gateway_contrib.emulators.serve import serve
from gateway_contrib.emulators.slack import SlackLimits
from gateway_contrib.emulators.telegram import TelegramLimits
from gateway_contrib.emulators.wire import Receive, Scope, Send

_MANY = 1_000_000
WITHOUT_LIMITS: dict[str, Any] = {
    "telegram": TelegramLimits(chat_seconds=0.0, group_count=_MANY, bot_count=_MANY),
    "slack": SlackLimits(posts=(_MANY, 1.0), tiers={}),
    "discord": DiscordLimits(count=_MANY, global_count=_MANY),
}


_NAME = re.compile(rb"r\d+n\d+(?=[ +%])")


class OncePerMessage(FaultPlan):
    """A fault at the first request for each of 20 texts, which are the same for each client."""

    def __init__(self, fault: str) -> None:
        super().__init__()
        self._fault = Fault(fault)
        names = [text.split()[0] for _, text in texts(ROOMS, FAULT_MESSAGES, "mixed")]
        self._due = set(Random(f"faulty {fault}").sample(names, FAULTY))

    def next(self) -> Fault | None:
        name = asked.get()
        if name not in self._due:
            return None
        self._due.discard(name)
        self.counts[self._fault] += 1
        return self._fault


def emulator_of(channel: str, fault: str) -> Any:
    """The platform with its limits, or with faults and no limits, or (`free`) with neither."""
    platform, more = PLATFORMS[channel], {}
    if fault != "none":
        more["limits"] = WITHOUT_LIMITS[channel]
    if fault in FAULTS:
        more["faults"] = OncePerMessage(fault)
    if channel == "discord":
        # hikari compares the times in Discord's answers with its own clock.
        more["wall_clock"] = time.time
    return platform.emulator(**more)


def _texts(emulator: Any, room: str) -> list[str]:
    """The workload's texts in the room."""
    texts_there = [message.text for message in emulator.rooms.conversation(room)]
    return [text for text in texts_there if _NAME.match(text.encode())]


async def main(channel: str, fault: str) -> None:
    made: list[Any] = []
    journeys = Journeys(channel, _NAME)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if not made:
            made.append(emulator_of(channel, fault))
        await made[0].app(scope, receive, send)

    async with trio.open_nursery() as nursery:
        print(await nursery.start(serve, journeys(app)), flush=True)
        await trio.to_thread.run_sync(sys.stdin.readline)
        emulator = made[0] if made else emulator_of(channel, fault)
        held = {
            "counters": emulator.counters,
            "rooms": [_texts(emulator, room) for room in emulator.rooms.names()],
            "trips": journeys.trips,
            "arrivals": journeys.arrivals,
        }
        print(json.dumps(held), flush=True)
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main, *sys.argv[1:])
