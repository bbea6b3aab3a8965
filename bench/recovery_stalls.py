"""What stalls, and 429s that name no bucket, cost; in virtual time.

In a stall of two seconds nothing arrives, and afterwards everything arrives at once. `python -m
bench.recovery_stalls` prints for each channel the 429s, and the seconds lost compared with the run
without the stall; for Telegram with both readings of its 30 messages a second. For Discord it
prints what 429s without a bucket's headers cost a room of 20 messages. `--paces` compares paces and
bounds for Telegram, on both readings, with short and long round trips.
"""

from __future__ import annotations

import argparse
import logging
from itertools import product
from typing import Any

import attrs
import structlog
import trio
import trio.testing

from bench.worlds import PLATFORMS, Platform, configured, message
from gateway_contrib.emulators.discord import DiscordEmulator
from gateway_contrib.emulators.faults import FaultPlan, Said
from gateway_contrib.emulators.telegram import TelegramEmulator, TelegramLimits
from gateway_contrib.emulators.wire import ASGIApp, Latency, Receive, Scope, Send
from gateway_core import open_gateway
from gateway_core.testing import open_network, virtual_wall

STALL = 2.0
BEGINS = 3.0
ROOMS, MESSAGES = 200, 600
UNBOUNDED = 10_000
BARE = {"message": "You are being rate limited.", "retry_after": 1.0, "global": False}
BASE = "https://platform.example"


@attrs.frozen
class Stalled:
    """The application, with requests of the `seconds` after `begins` held until their end."""

    app: ASGIApp
    begins: float
    seconds: float

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        now = trio.current_time()
        ends = self.begins + self.seconds
        if self.begins <= now < ends:
            await trio.sleep_until(ends)
        await self.app(scope, receive, send)


@attrs.frozen(kw_only=True)
class Row:
    """The figures of one run."""

    seconds: float
    refused: int


async def _run(
    platform: Platform, emulator: Any, stall: float, latency: tuple[float, float], own: Any
) -> Row:
    """One run, with all messages handed over at once."""
    async with open_network() as network:
        app = Stalled(emulator.app, trio.current_time() + BEGINS, stall)
        network.mount(BASE, app, latency=Latency(*latency, f"bench {latency}").halves)
        config = configured(platform, BASE + platform.path)
        [bot] = config.instances
        bot = attrs.evolve(bot, settings=attrs.evolve(bot.settings, **own))
        config = attrs.evolve(config, instances=[bot])
        async with open_gateway(config, wall_clock=virtual_wall) as gateway:
            started = trio.current_time()
            tickets = [
                await gateway.submit(message(platform, number % ROOMS, f"{number}"))
                for number in range(MESSAGES)
            ]
            for ticket in tickets:
                await ticket.receipt()
            seconds = trio.current_time() - started
    return Row(seconds=seconds, refused=emulator.counters["rate_limited"])


def run(
    platform: Platform,
    emulator: Any,
    *,
    stall: float = STALL,
    latency: tuple[float, float] = (0.020, 0.080),
    **own: Any,
) -> Row:
    """One run in virtual time, with these settings of the account."""
    clock = trio.testing.MockClock(autojump_threshold=0)
    return trio.run(_run, platform, emulator, stall, latency, own, clock=clock)


def _telegram(*, slides: bool) -> TelegramEmulator:
    return TelegramEmulator(limits=TelegramLimits(bot_slides=slides))


def stalls() -> dict[str, tuple[Row, Row]]:
    """For each channel, a run without the stall, and a run with it."""
    makers = {name: platform.emulator for name, platform in PLATFORMS.items()}
    makers["telegram, sliding"] = lambda: _telegram(slides=True)
    found = {}
    for name, make in makers.items():
        platform = PLATFORMS[name.partition(",")[0]]
        found[name] = (run(platform, make(), stall=0.0), run(platform, make()))
    return found


def bare_refusals(requests: tuple[int, ...]) -> Row:
    """Send 20 messages to a room of Discord, while these requests get a 429 without a bucket.

    Each 429 says to wait a second. The bot has another room as well.
    """
    bare = Said(status=429, body=BARE, headers={"Via": "1.1 google", "Retry-After": "1"})
    emulator = DiscordEmulator(faults=FaultPlan(script=dict.fromkeys(requests, bare)))
    clock = trio.testing.MockClock(autojump_threshold=0)
    seconds = trio.run(_one_room, PLATFORMS["discord"], emulator, 20, clock=clock)
    return Row(seconds=seconds, refused=len(requests))


async def _one_room(platform: Platform, emulator: Any, messages: int) -> float:
    async with open_network() as network:
        network.mount(BASE, emulator.app, latency=lambda: (0.025, 0.025))
        config = configured(platform, BASE + platform.path)
        async with open_gateway(config, wall_clock=virtual_wall) as gateway:
            await (await gateway.submit(message(platform, 1, "elsewhere"))).receipt()
            started = trio.current_time()
            sent = [message(platform, 0, f"{number}") for number in range(messages)]
            for ticket in [await gateway.submit(one) for one in sent]:
                await ticket.receipt()
            return trio.current_time() - started


def paces() -> None:
    """Print how long runs take with each of Telegram's paces and bounds, and the 429s."""
    print(f"{'count':>5} {'window':>6} {'round trip':>12} {'second':>7} {'stall':>5}  seconds 429s")
    bounds = ((30, None), (28, None), (30, 30), (29, 30), (28, 30), (28, 28))
    trips = ((0.020, 0.080), (0.100, 0.300))
    for (count, window), trip, slides, stall in product(bounds, trips, (False, True), (0.0, STALL)):
        own = {"bot_count": count, "bulk_count": count, "bot_window": window or UNBOUNDED}
        emulator = _telegram(slides=slides)
        row = run(PLATFORMS["telegram"], emulator, stall=stall, latency=trip, **own)
        low, high = (round(seconds * 1000) for seconds in trip)
        print(
            f"{count:5} {window or '-':>6} {f'{low}-{high} ms':>12}"
            f" {'slides' if slides else 'bucket':>7} {stall:5.0f}"
            f" {row.seconds:8.1f} {row.refused:4}",
            flush=True,
        )


def main() -> None:
    """Print a table."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    parser = argparse.ArgumentParser()
    parser.add_argument("--paces", action="store_true")
    if parser.parse_args().paces:
        paces()
        return
    print(f"{'channel':20} {'ideal':>8} {'lost':>8} {'429s':>5} {'without':>8}")
    for name, (ideal, row) in stalls().items():
        lost = row.seconds - ideal.seconds
        print(f"{name:20} {ideal.seconds:7.1f}s {lost:7.1f}s {row.refused:5} {ideal.refused:8}")
    print("discord, 429s without a bucket, before its first report and after")
    ideal = bare_refusals(())
    for requests in ((1,), (1, 2), (1, 2, 3), (5, 6, 7)):
        row = bare_refusals(requests)
        lost = row.seconds - ideal.seconds
        print(f"{requests!s:20} {ideal.seconds:7.1f}s {lost:7.1f}s {row.refused:5}")


if __name__ == "__main__":
    main()
