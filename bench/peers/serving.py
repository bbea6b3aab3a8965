"""The platform's side of a run: an emulator on loopback behind 20 to 80 ms, in its own process.

`python -m bench.peers.serving CHANNEL FAULT` prints its address, waits for a line, and prints what
it holds. Fault runs have no limits, so that each client meets the same faults.
"""

from __future__ import annotations

import json
import re
import sys
import time
from contextvars import ContextVar
from random import Random
from typing import Any

import trio

from bench.peers.workload import FAULT_MESSAGES, FAULTS, FAULTY, ROOMS, texts
from bench.worlds import PLATFORMS
from gateway_contrib.emulators.discord import DiscordLimits
from gateway_contrib.emulators.faults import Fault, FaultPlan
from gateway_contrib.emulators.serve import serve
from gateway_contrib.emulators.slack import SlackLimits
from gateway_contrib.emulators.telegram import TelegramLimits
from gateway_contrib.emulators.wire import ASGIApp, Event, Latency, Receive, Scope, Send

_MANY = 1_000_000
WITHOUT_LIMITS: dict[str, Any] = {
    "telegram": TelegramLimits(chat_seconds=0.0, group_count=_MANY, bot_count=_MANY),
    "slack": SlackLimits(posts=(_MANY, 1.0), tiers={}),
    "discord": DiscordLimits(count=_MANY, global_count=_MANY),
}


_NAME = re.compile(rb"r\d+n\d+(?=[ +%])")
_asked: ContextVar[bytes] = ContextVar("asked", default=b"")
"""The text that the request at hand would send, by its name."""


class OncePerMessage(FaultPlan):
    """That fault at the first request for each of 20 texts, the same ones for each client."""

    def __init__(self, fault: str) -> None:
        super().__init__()
        self._fault = Fault(fault)
        names = [text.split()[0].encode() for _, text in texts(ROOMS, FAULT_MESSAGES, "mixed")]
        self._due = set(Random(f"faulty {fault}").sample(names, FAULTY))

    def next(self) -> Fault | None:
        name = _asked.get()
        if name not in self._due:
            return None
        self._due.discard(name)
        self.counts[self._fault] += 1
        return self._fault


def naming(app: ASGIApp) -> ASGIApp:
    """The application, told beforehand which text a request is about."""

    async def named(scope: Scope, receive: Receive, send: Send) -> None:
        events = [await receive()]
        while events[-1].get("more_body"):
            events.append(await receive())
        found = _NAME.search(b"".join(event.get("body", b"") for event in events))
        _asked.set(found[0] if found else b"")
        events.reverse()

        async def again() -> Event:
            return events.pop() if events else await receive()

        await app(scope, again, send)

    return named


def emulator_of(channel: str, fault: str) -> Any:
    """The platform as it is, or without limits and with faults, or (`free`) without either."""
    platform, more = PLATFORMS[channel], {}
    if fault != "none":
        more["limits"] = WITHOUT_LIMITS[channel]
    if fault in FAULTS:
        more["faults"] = OncePerMessage(fault)
    if channel == "discord":
        # hikari holds the times in Discord's answers against its own clock.
        more["wall_clock"] = time.time
    return platform.emulator(**more)


async def main(channel: str, fault: str) -> None:
    made: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if not made:
            made.append(emulator_of(channel, fault))
        await made[0].app(scope, receive, send)

    distant = Latency(0.020, 0.080, f"bench {channel}")(naming(app))
    async with trio.open_nursery() as nursery:
        print(await nursery.start(serve, distant), flush=True)
        await trio.to_thread.run_sync(sys.stdin.readline)
        emulator = made[0] if made else emulator_of(channel, fault)
        rooms = [
            [message.text for message in emulator.rooms.conversation(room)]
            for room in emulator.rooms.names()
        ]
        print(json.dumps({"counters": emulator.counters, "rooms": rooms}), flush=True)
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main, *sys.argv[1:])
