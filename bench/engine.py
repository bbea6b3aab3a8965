"""The engine alone: CPU and memory per message on channels that do nothing or little.

`python -m bench.engine` prints a table with each workload; `--json` prints one object.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import sys
import time
import tracemalloc
from collections.abc import Callable, Sequence
from statistics import median

import structlog
import trio

from bench import telemetry
from gateway_core import GatewayConfig, Instance, Limit, Providers, Send, open_gateway
from gateway_core.authors import Answer, Traits, hookimpl
from gateway_core.testing import FakeSettings

CALLERS = 64
MESSAGES = 20_000
FIVE_MS = 0.005
ROUNDS = 3


class Nothing:
    """A channel that does nothing, or only waits, with or without limits."""

    GATEWAY_CONTRACT = 1

    def __init__(self, *, seconds: float | None = None, limits: Sequence[Limit] = ()) -> None:
        self.seconds = seconds
        self.limits = limits
        self.sent = 0

    @hookimpl
    def settings_type(self) -> type:
        return FakeSettings

    @hookimpl
    def traits(self) -> Traits:
        return Traits(edit=False, delete=False)

    @hookimpl
    def rate_limit(self) -> Sequence[Limit]:
        return self.limits

    @hookimpl
    async def send(self) -> Answer:
        self.sent += 1
        if self.seconds is not None:
            await trio.sleep(self.seconds)
        return Answer(message_id="1")


def config(**settings: object) -> GatewayConfig:
    return GatewayConfig(instances=[Instance("bot", "nothing", FakeSettings())], **settings)  # type: ignore[arg-type]  # a bench's settings


async def bare(
    messages: int, *, workers: int = 8, seconds: float | None = None
) -> tuple[float, float]:
    """CPU and wall seconds of a pipeline that a developer would write: channel, worker, event."""
    send, receive = trio.open_memory_channel[tuple[str, trio.Event]](CALLERS)

    async def deliver(_text: str) -> str:
        if seconds is not None:
            await trio.sleep(seconds)
        return "1"

    async def worker() -> None:
        async for text, done in receive:
            await deliver(text)
            done.set()

    async def caller() -> None:
        for _ in range(messages // CALLERS):
            done = trio.Event()
            await send.send(("hello world", done))
            await done.wait()

    async with trio.open_nursery() as nursery:
        for _ in range(workers):
            nursery.start_soon(worker)
        cpu, wall = time.process_time(), time.perf_counter()
        async with trio.open_nursery() as callers:
            for _ in range(CALLERS):
                callers.start_soon(caller)
        used = time.process_time() - cpu, time.perf_counter() - wall
        nursery.cancel_scope.cancel()
    return used


async def bare_five_ms() -> float:
    """Wall seconds of as many bare workers as there are callers, each taking 5 ms."""
    return (await bare(MESSAGES, workers=CALLERS, seconds=FIVE_MS))[1]


async def five_ms() -> float:
    """Wall seconds through the gateway on a channel that takes 5 ms."""
    return (await through(Nothing(seconds=FIVE_MS), 1_000, MESSAGES))[1]


async def through(
    channel: Nothing, rooms: int, messages: int, providers: Providers | None = None
) -> tuple[float, float]:
    """CPU and wall seconds for `messages` through `gateway.send` into `rooms` rooms."""
    plugins = [("nothing", channel)]
    async with open_gateway(config(), plugins=plugins, providers=providers) as gateway:

        async def caller(number: int) -> None:
            for i in range(messages // CALLERS):
                room = f"room{(number * 15_485_863 + i * 64) % rooms}"
                await gateway.send("bot", room, "hello world")

        cpu, wall = time.process_time(), time.perf_counter()
        async with trio.open_nursery() as callers:
            for number in range(CALLERS):
                callers.start_soon(caller, number)
        return time.process_time() - cpu, time.perf_counter() - wall


async def waiting_lanes(lanes: int, seconds: float) -> tuple[float, float]:
    """Share of a core, and attempts per second, while `lanes` wait for a limit of 30/s."""
    channel = Nothing(limits=[Limit("account", 30, 1.0)])
    settings = {"partition_bound": lanes, "instance_bound": lanes, "drain_timeout": 0.0}
    async with open_gateway(config(**settings), plugins=[("nothing", channel)]) as gateway:
        for number in range(lanes):
            await gateway.submit(_send(f"room{number}"))
        await trio.sleep(0.5)
        sent, cpu, wall = channel.sent, time.process_time(), time.perf_counter()
        await trio.sleep(seconds)
        took = time.perf_counter() - wall
        return (time.process_time() - cpu) / took, (channel.sent - sent) / took


async def queued_bytes(envelopes: int) -> float:
    """Bytes per queued envelope beyond its text, in rooms of ten."""
    channel = Nothing(limits=[Limit("account", 1, 3600.0)])
    text = "x" * 100
    settings = {"partition_bound": envelopes, "instance_bound": envelopes, "drain_timeout": 0.0}
    async with open_gateway(config(**settings), plugins=[("nothing", channel)]) as gateway:
        await gateway.submit(_send("first"))
        gc.collect()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        for number in range(envelopes):
            await gateway.submit(_send(f"room{number // 10}", f"{number:08d}{text}"))
        gc.collect()
        used = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
        return used / envelopes - sys.getsizeof(f"{0:08d}{text}")


async def idle_instance_bytes(instances: int) -> float:
    """Bytes per instance that is configured and has nothing to do."""
    async with open_gateway(config(), plugins=[("nothing", Nothing())]) as gateway:
        gc.collect()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        for number in range(instances):
            gateway.add_instance(Instance(f"bot{number}", "nothing", FakeSettings()))
        gc.collect()
        used = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
        return used / instances


async def told(providers: Providers | None) -> float:
    """CPU seconds of a round whose telemetry goes to `providers`."""
    return (await through(Nothing(), 1_000, MESSAGES, providers))[0]


def _send(room: str, text: str = "hello world") -> Send:
    return Send(instance_id="bot", external_room_id=room, text=text)


def best(measure: Callable[[], float]) -> float:
    return median(measure() for _ in range(ROUNDS))


def measure() -> dict[str, float]:
    """All figures; each ratio from rounds that alternate with the bare pipeline's."""
    bares, ours, million, waited, bare_waited = [], [], [], [], []
    for _ in range(ROUNDS):
        bare_waited.append(trio.run(bare_five_ms))
        waited.append(trio.run(five_ms))
        bares.append(trio.run(bare, MESSAGES)[0])
        ours.append(trio.run(through, Nothing(), 1_000, MESSAGES)[0])
        million.append(trio.run(through, Nothing(), 1_000_000, MESSAGES)[0])
    share, rate = trio.run(waiting_lanes, 100_000, 5.0)
    return {
        "ratio_to_bare": round(median(o / b for o, b in zip(ours, bares, strict=True)), 2),
        "cpu_us_per_message": round(median(ours) / MESSAGES * 1e6, 1),
        "bare_us_per_message": round(median(bares) / MESSAGES * 1e6, 1),
        "million_rooms_ratio": round(median(m / o for m, o in zip(million, ours, strict=True)), 2),
        "waiting_lanes_core_share": round(share, 4),
        "waiting_lanes_per_s": round(rate, 2),
        "bytes_per_queued": round(trio.run(queued_bytes, 20_000)),
        "bytes_per_idle_instance": round(trio.run(idle_instance_bytes, 1_000)),
        "five_ms_messages_per_s": round(MESSAGES // CALLERS * CALLERS / median(waited)),
        "five_ms_bare_per_s": round(MESSAGES // CALLERS * CALLERS / median(bare_waited)),
        **telemetry.cost(told, MESSAGES),
    }


WORKLOADS = {
    "ratio_to_bare": "CPU of gateway.send over a bare trio pipeline, 64 callers, 1,000 rooms",
    "cpu_us_per_message": "the same, microseconds of CPU per message",
    "bare_us_per_message": "the bare pipeline's",
    "million_rooms_ratio": "CPU with 1,000,000 rooms over that with 1,000",
    "waiting_lanes_core_share": "share of a core, 100,000 lanes waiting for one limit of 30/s",
    "waiting_lanes_per_s": "attempts per second meanwhile",
    "bytes_per_queued": "memory per queued envelope beyond its text, 20,000 in rooms of ten",
    "bytes_per_idle_instance": "memory per configured instance that has nothing to do",
    "five_ms_messages_per_s": "messages/s on a channel that takes 5 ms, 64 callers, defaults",
    "five_ms_bare_per_s": "the machine's bound: a bare pipeline of 64 workers, each taking 5 ms",
    "telemetry_us_without_sdk": "microseconds of telemetry's statements where no SDK is set up",
    "sdk_us_per_message": "CPU of gateway.send with the SDK, a batch exporter and 1 % sampling",
    "sdk_ratio": "the same over that without the SDK, rounds alternating",
}


def quietly() -> None:
    """Let the log show only errors."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one object and nothing else")
    arguments = parser.parse_args()
    quietly()
    figures = measure()
    if arguments.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name:26} {value:>10}   {WORKLOADS[name]}")


if __name__ == "__main__":
    main()
