"""Builds the demo's three platforms: faults, latency, and their tables of `gateway.toml`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from json import dumps
from pathlib import Path
from random import Random
from typing import Any, TypeAlias

import attrs
import trio

from gateway_contrib.cli.demo.load import CHANNELS
from gateway_contrib.emulators.faults import Fault, FaultPlan
from gateway_contrib.emulators.testing.platforms import PLATFORMS
from gateway_contrib.emulators.wire import ASGIApp, Latency

ROUND_TRIP = (0.02, 0.08)
"""The least and the most seconds of a round trip."""

FAULTS = (Fault.RATE_LIMITED, Fault.SERVER_ERROR, Fault.RESET_BEFORE, Fault.RESET_AFTER)
"""Each fault happens once on each platform. A missing answer would take longer than the demo."""

ARRIVAL = 5.0
"""Seconds for which a room waits if a process was killed in the middle of its attempt."""

_FIRST, _LAST = 5, 150
"""The range of request numbers from which the faulty requests are drawn."""

_TOKENS = {
    "telegram": "123456789:demo-demo-demo-demo-demo",
    "slack": "xoxb-0-demo-demo",
    "discord": "demo.demo.demo-demo",
}

Addresses: TypeAlias = Mapping[str, str]
Hosting: TypeAlias = Callable[[Mapping[str, ASGIApp]], AbstractAsyncContextManager[Addresses]]
"""Serves applications by name for a block, and yields their base URLs."""


@attrs.frozen
class Emulated:
    """One platform: its emulator, its faults, and the application to serve."""

    channel: str
    emulator: Any
    faults: FaultPlan
    app: ASGIApp

    def settings(self, base_url: str) -> str:
        """The instance's table of `gateway.toml`; the instance has its channel's name."""
        return (
            f"[instances.{self.channel}]\n"
            f'channel = "{self.channel}"\n'
            f'token = {{ file = "{self.channel}.token" }}\n'
            f'base_url = "{base_url}{PLATFORMS[self.channel].path}"\n'
        )


def build(seed: str) -> dict[str, Emulated]:
    """The three platforms, with faults and latencies drawn from the seed."""
    return {channel: _build(channel, seed) for channel in CHANNELS}


def _build(channel: str, seed: str) -> Emulated:
    random = Random(f"faults:{seed}:{channel}")  # noqa: S311 - a plan to repeat
    numbers = random.sample(range(_FIRST, _LAST), len(FAULTS))
    faults = FaultPlan(script=dict(zip(numbers, FAULTS, strict=True)))
    emulator = PLATFORMS[channel].emulator(tokens={_TOKENS[channel]}, faults=faults)
    distant = Latency(*ROUND_TRIP, f"{seed}:{channel}")
    return Emulated(channel, emulator, faults, distant(emulator.app))


@asynccontextmanager
async def on_sockets(apps: Mapping[str, ASGIApp]) -> AsyncIterator[Addresses]:
    """Serve each application on a free loopback port."""
    from gateway_contrib.emulators.serve import serve  # noqa: PLC0415 - a server: few commands are one

    async with trio.open_nursery() as nursery:
        yield {name: await nursery.start(partial(serve, app)) for name, app in apps.items()}
        nursery.cancel_scope.cancel()


def write_configuration(
    folder: Path,
    platforms: Mapping[str, Emulated],
    addresses: Addresses,
    *,
    metrics: str | None = None,
    outbox: str | None = None,
) -> Path:
    """Write `gateway.toml` and the tokens beside it, as a person would; returns the file.

    metrics  `host:port` at which Prometheus may scrape the gateway's metrics
    outbox   the URL of a durable outbox
    """
    for channel in platforms:
        (folder / f"{channel}.token").write_text(_TOKENS[channel], encoding="utf-8")
    tables = [platform.settings(addresses[channel]) for channel, platform in platforms.items()]
    if outbox is not None:
        tables.append(f"[retries]\narrival = {ARRIVAL}\n")
    if metrics is not None:
        tables.append(f"[telemetry.export]\nprometheus = {dumps(metrics)}\n")
    file = folder / "gateway.toml"
    # An interrupted demo need not wait for its envelopes.
    first = "drain_timeout = 2.0\n" + (f"outbox = {dumps(outbox)}\n" if outbox else "")
    file.write_text("\n".join([first, *tables]), encoding="utf-8")
    return file
