"""How settings change throughput, waiting times and pressure, in virtual time.

`python -m bench.tuning` prints the figures and draws the plots of docs/how-to/tune.md (`--into`).
Time is simulated, so every machine gets the same figures: they show the engine's rules, not its
speed. `--json` prints only the figures.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import attrs
import structlog
import trio
import trio.testing

from gateway_core import Gateway, GatewayConfig, Instance, Limit, Overloaded, Send, open_gateway
from gateway_core.testing import FakeChannel, FakeSettings, seeded_schedule, virtual_wall

LATENCY = (0.05, 0.15)
"""The least and the most seconds of an attempt, evenly distributed."""
ROOMS = 400
INSTANCES = 8
MESSAGES = 2_400
TOOK = 20.0
"""Seconds for which messages arrive if they arrive at a rate."""
PLOTS = Path("docs/how-to/plots")


@attrs.frozen(kw_only=True)
class Load:
    """The messages that arrive: `rate` a second (0: all at once), in rooms of several accounts."""

    messages: int = MESSAGES
    rate: float = 0.0
    rooms: int = ROOMS
    instances: int = INSTANCES
    limit: Limit | None = None


@attrs.frozen(kw_only=True)
class Outcome:
    """The figures of a run: messages a second, waits in seconds, and how full partitions were."""

    throughput: float
    wait_p50: float
    wait_p95: float
    refused: float
    occupancy: float
    high: float
    shares: tuple[float, ...]


class Distant(FakeChannel):
    """A channel whose answers take a time that differs from attempt to attempt."""

    def __init__(self, limit: Limit | None) -> None:
        limits = [limit] if limit is not None else []
        super().__init__(limits=lambda _room, _operation: limits, script=self._travel)
        self._random = Random("latency")

    async def _travel(self, _attempt: object) -> None:
        await trio.sleep(self._random.uniform(*LATENCY))


async def run(load: Load, settings: Mapping[str, Any]) -> Outcome:
    """Send one load through one gateway."""
    names = [f"bot{number}" for number in range(load.instances)]
    config = GatewayConfig(
        instances=[Instance(name, "distant", FakeSettings()) for name in names],
        drain_timeout=600.0,
        **settings,
    )
    waits: list[float] = []
    levels: list[float] = []
    refused = 0
    async with open_gateway(
        config,
        plugins=[("distant", Distant(load.limit))],
        rng=Random("tuning"),
        wall_clock=virtual_wall,
    ) as gateway:
        begun = trio.current_time()

        async def send(number: int) -> None:
            nonlocal refused
            asked = trio.current_time()
            name, room = names[number % load.instances], f"room{number * 7919 % load.rooms}"
            envelope = Send(instance_id=name, external_room_id=room, text="hello")
            try:
                ticket = await gateway.submit(envelope, wait=not load.rate)
            except Overloaded:
                refused += 1
                return
            await ticket.receipt()
            waits.append(trio.current_time() - asked)

        async with trio.open_nursery() as watched:
            watched.start_soon(partial(_recorder, gateway, levels))
            async with trio.open_nursery() as callers:
                for number in range(load.messages):
                    callers.start_soon(send, number)
                    if load.rate:
                        await trio.sleep(1 / load.rate)
            took = trio.current_time() - begun
            watched.cancel_scope.cancel()
        statistics = gateway.statistics()
    waits.sort()
    return Outcome(
        throughput=round(len(waits) / took, 1),
        wait_p50=round(waits[len(waits) // 2], 3),
        wait_p95=round(waits[len(waits) * 95 // 100], 3),
        refused=round(refused / load.messages, 4),
        occupancy=round(max(levels), 3),
        high=round(sum(level >= 0.85 for level in levels) / len(levels), 3),
        shares=tuple(round(part.share, 3) for part in statistics.partitions),
    )


async def _recorder(gateway: Gateway, levels: list[float]) -> None:
    """Note ten times a second how full the fullest partition is."""
    while True:
        levels.append(max(part.occupancy for part in gateway.statistics().partitions))
        await trio.sleep(0.1)


def measured(load: Load, **settings: Any) -> Outcome:
    clock = trio.testing.MockClock(autojump_threshold=0)
    with seeded_schedule("tuning"):
        outcome: Outcome = trio.run(run, load, settings, clock=clock)
    return outcome


def skewed(instance: str, room: str) -> int:
    """A hash that puts four of five rooms into one partition, as a hash with few values does."""
    number = int(room.removeprefix("room"))
    return 0 if number % 5 else number + len(instance)


# -- the settings that are varied

COUNTS = (1, 2, 4, 8, 16)
BOUNDS = (25, 50, 100, 200, 400, 800)
SLOTS = (1, 2, 4, 8, 16, 32, 64)
CAPACITY = 4 * 12 / 0.1  # 4 partitions, three quarters of 16 slots, 0.1 s an attempt


def partition_counts() -> dict[str, list[Outcome]]:
    """8 slots per partition: more partitions give more slots, if the hash uses all partitions."""
    settings = {"attempts_per_partition": 8, "attempts_per_instance": 64}
    return {
        name: [measured(Load(), partition_count=n, partition_by=by, **settings) for n in COUNTS]
        for name, by in (("even hash", "room"), ("skewed hash", skewed))
    }


def queue_bounds() -> dict[str, list[Outcome]]:
    """Loads below and above what 4 partitions of 16 slots can send."""
    settings = {"partition_count": 4, "attempts_per_partition": 16}

    def at(share: float, bound: int) -> Outcome:
        rate = CAPACITY * share
        load = Load(messages=round(rate * TOOK), rate=rate)
        return measured(load, partition_bound=bound, instance_bound=bound, **settings)

    return {f"{share:.0%} of capacity": [at(share, b) for b in BOUNDS] for share in (0.8, 1.2)}


def attempts_in_flight() -> dict[str, list[Outcome]]:
    """40 messages a second for one account in one partition; without a limit, and with 30/s."""
    load = Load(messages=round(40 * TOOK), rate=40, instances=1)
    limited = attrs.evolve(load, limit=Limit("account", 30, 1.0))
    settings = {"partition_count": 1, "partition_bound": 100, "instance_bound": 100}
    return {
        name: [
            measured(each, attempts_per_partition=n, attempts_per_instance=n, **settings)
            for n in SLOTS
        ]
        for name, each in (("no limit", load), ("account limit 30/s", limited))
    }


EXPERIMENTS: Mapping[str, tuple[Sequence[int], Callable[[], dict[str, list[Outcome]]]]] = {
    "partition_count": (COUNTS, partition_counts),
    "partition_bound": (BOUNDS, queue_bounds),
    "attempts_per_partition": (SLOTS, attempts_in_flight),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one object and nothing else")
    parser.add_argument("--into", type=Path, default=PLOTS, help="the folder for the plots")
    arguments = parser.parse_args()
    if not arguments.json:  # before minutes of measuring: it needs matplotlib, the figures do not
        from bench.plots import draw  # noqa: PLC0415 - see the line above
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    found = {name: (turned, measure()) for name, (turned, measure) in EXPERIMENTS.items()}
    if arguments.json:
        plain = {
            name: {line: [attrs.asdict(o) for o in outcomes] for line, outcomes in lines.items()}
            for name, (_, lines) in found.items()
        }
        print(json.dumps(plain))
        return
    for name, (turned, lines) in found.items():
        print_table(name, turned, lines)
    draw(found, arguments.into)


def print_table(name: str, turned: Sequence[int], lines: Mapping[str, list[Outcome]]) -> None:
    print(f"\n{name:>24}  msg/s  p50 s  p95 s  refused  fullest  high  largest share")
    for line, outcomes in lines.items():
        print(line)
        for value, o in zip(turned, outcomes, strict=True):
            print(
                f"{value:>24} {o.throughput:6.1f} {o.wait_p50:6.2f} {o.wait_p95:6.2f}"
                f" {o.refused:8.1%} {o.occupancy:8.0%} {o.high:5.0%} {max(o.shares):14.0%}"
            )


if __name__ == "__main__":
    main()
