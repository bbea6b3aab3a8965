"""The platform's side of a run: an emulator on loopback behind 20 to 80 ms, in its own process.

`python -m bench.peers.serving CHANNEL FAULT` prints its address, waits for a line, and prints what
it holds. Fault runs have no limits, so that each client meets the same faults.
"""

from __future__ import annotations

import json
import sys
from random import Random
from typing import Any

import trio

from bench.peers.workload import FAULT_MESSAGES, FAULTY
from bench.worlds import PLATFORMS
from gateway_contrib.emulators.discord import DiscordLimits
from gateway_contrib.emulators.faults import Fault, FaultPlan
from gateway_contrib.emulators.serve import serve
from gateway_contrib.emulators.slack import SlackLimits
from gateway_contrib.emulators.telegram import TelegramLimits
from gateway_contrib.emulators.wire import Latency

_MANY = 1_000_000
WITHOUT_LIMITS: dict[str, Any] = {
    "telegram": TelegramLimits(chat_seconds=0.0, group_count=_MANY, bot_count=_MANY),
    "slack": SlackLimits(posts=(_MANY, 1.0), tiers={}),
    "discord": DiscordLimits(count=_MANY, global_count=_MANY),
}


def plan_of(fault: str) -> FaultPlan:
    """That fault at 20 of the first 200 requests, the same ones for each client."""
    hit = Random(f"faulty requests {fault}").sample(range(FAULT_MESSAGES), FAULTY)
    return FaultPlan(script=dict.fromkeys(hit, Fault(fault)))


def emulator_of(channel: str, fault: str) -> Any:
    """The platform as it is, or without limits and with faults, or (`free`) without either."""
    platform = PLATFORMS[channel]
    if fault == "none":
        return platform.emulator()
    if fault == "free":
        return platform.emulator(limits=WITHOUT_LIMITS[channel])
    return platform.emulator(limits=WITHOUT_LIMITS[channel], faults=plan_of(fault))


async def main(channel: str, fault: str) -> None:
    emulator = emulator_of(channel, fault)
    app = Latency(0.020, 0.080, f"bench {channel}")(emulator.app)
    async with trio.open_nursery() as nursery:
        print(await nursery.start(serve, app), flush=True)
        await trio.to_thread.run_sync(sys.stdin.readline)
        rooms = [
            [message.text for message in emulator.rooms.conversation(room)]
            for room in emulator.rooms.names()
        ]
        print(json.dumps({"counters": emulator.counters, "rooms": rooms}), flush=True)
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main, *sys.argv[1:])
