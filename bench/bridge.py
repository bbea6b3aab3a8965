"""What the bridge costs a message: CPU above the trio face, on a channel that does nothing.

`python -m bench.bridge` sends the same messages with 50 senders and with one, through the gateway
of `gateway_core` on trio and of `gateway_core.aio` on asyncio (and on uvloop, if it is installed),
and with 50 threads and one through `gateway_core.blocking`. The rounds of one run take turns, and
each kind is compared with the trio face in the same turn. The median of the differences is printed,
in microseconds of CPU of this process, including its threads and the kernel's share.
"""

from __future__ import annotations

import argparse
import asyncio  # noqa: TID251 - the other side of the bridge
import gc
import json
import logging
import sys
import threading
import time
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from statistics import median
from typing import Any

import structlog
import trio

from gateway_core import GatewayConfig, Instance, aio, blocking, open_gateway
from gateway_core.testing import FakeChannel, FakeSettings

MESSAGES = 6_000
ROUNDS = 7
WARM = 300
SENDERS = (50, 1)
ROOMS = 60


class Nothing(FakeChannel):
    """A channel that remembers nothing, so that rounds do not differ."""

    async def _attempt(self, _attempt: Any) -> None:
        await trio.lowlevel.checkpoint()


def setting() -> tuple[GatewayConfig, dict[str, Any]]:
    config = GatewayConfig(instances=[Instance("bot", "fake", FakeSettings())])
    return config, {"plugins": [("fake", Nothing())]}


def used(since: float, messages: int) -> float:
    return (time.process_time() - since) / messages * 1e6


def on_trio(senders: int, messages: int) -> float:
    async def sender(gateway: Any, number: int, each: int) -> None:
        for n in range(each):
            await gateway.send("bot", f"room {(number + n * senders) % ROOMS}", "hello")

    async def send(gateway: Any, each: int) -> None:
        async with trio.open_nursery() as nursery:
            for number in range(senders):
                nursery.start_soon(sender, gateway, number, each)

    async def main() -> float:
        config, given = setting()
        async with open_gateway(config, **given) as gateway:
            await send(gateway, WARM // senders)
            gc.collect()
            start = time.process_time()
            await send(gateway, messages // senders)
            return used(start, messages)

    return trio.run(main)


def on_asyncio(senders: int, messages: int, run: Callable[[Any], float] = asyncio.run) -> float:
    async def sender(gateway: Any, number: int, each: int) -> None:
        for n in range(each):
            await gateway.send("bot", f"room {(number + n * senders) % ROOMS}", "hello")

    async def send(gateway: Any, each: int) -> None:
        await asyncio.gather(*(sender(gateway, number, each) for number in range(senders)))

    async def main() -> float:
        config, given = setting()
        async with aio.open_gateway(config, **given) as gateway:
            await send(gateway, WARM // senders)
            gc.collect()
            start = time.process_time()
            await send(gateway, messages // senders)
            return used(start, messages)

    return run(main())


def in_threads(senders: int, messages: int) -> float:
    def sender(gateway: Any, number: int, each: int) -> None:
        for n in range(each):
            gateway.send("bot", f"room {(number + n * senders) % ROOMS}", "hello")

    def send(gateway: Any, each: int) -> None:
        threads = [
            threading.Thread(target=sender, args=(gateway, number, each))
            for number in range(senders)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    config, given = setting()
    with blocking.open_gateway(config, **given) as gateway:
        send(gateway, WARM // senders)
        gc.collect()
        start = time.process_time()
        send(gateway, messages // senders)
        return used(start, messages)


def kinds() -> dict[str, Callable[[int, int], float]]:
    found: dict[str, Callable[[int, int], float]] = {"asyncio": on_asyncio, "threads": in_threads}
    if find_spec("uvloop") is None:
        return found
    uvloop = import_module("uvloop")
    return {**found, "uvloop": lambda senders, n: on_asyncio(senders, n, uvloop.run)}


def measure(messages: int, rounds: int) -> dict[str, float]:
    """Microseconds above the trio face, by kind and senders, and those of the trio face itself."""
    rows: dict[str, list[float]] = {}
    for senders in SENDERS:
        for _ in range(rounds):
            base = on_trio(senders, messages)
            rows.setdefault(f"trio_{senders}", []).append(base)
            for name, run in kinds().items():
                rows.setdefault(f"{name}_{senders}_above", []).append(run(senders, messages) - base)
    return {name: round(median(values), 1) for name, values in rows.items()}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=MESSAGES, help="messages of each round")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    given = parser.parse_args(arguments or [])
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    print(json.dumps(measure(given.messages, given.rounds)))


if __name__ == "__main__":
    main(sys.argv[1:])
