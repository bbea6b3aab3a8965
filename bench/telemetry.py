"""What telemetry costs per message: its statements without an SDK, and the SDK's share.

`bench.engine` prints the figures. `python -m bench.telemetry` sends the messages of one round and
prints nothing, for a tool that counts instructions: other work of the machine does not change this
number.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Awaitable, Callable
from statistics import median
from typing import Any

import trio
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from gateway_contrib.otel import OtelSettings, open_telemetry
from gateway_core import Disposition, PartReceipt, Providers, Receipt, Send
from gateway_core.accounts.instance_state import Counts
from gateway_core.clock import NEVER
from gateway_core.deliveries import waits
from gateway_core.deliveries.delivery import Delivery
from gateway_core.deliveries.steps import Step
from gateway_core.monitoring import histograms, recorder
from gateway_core.monitoring.observer import NOBODY

SAMPLING = 0.01
ROUNDS = 5
TIMES = 200_000

Run = Callable[[Providers | None], Awaitable[float]]
"""Sends the messages of a round through a gateway; returns the CPU seconds."""


NOTHING: Any = None
"""Stands for arguments that the observer ignores."""


class Nowhere(SpanExporter):
    """An exporter that takes every batch, and forgets it."""

    def export(self, _spans: object) -> SpanExportResult:
        return SpanExportResult.SUCCESS


async def with_sdk(run: Run) -> float:
    settings = OtelSettings(sampling=SAMPLING)
    reader = InMemoryMetricReader()
    async with open_telemetry(settings, spans=Nowhere(), readers=[reader]) as providers:
        return await run(providers)


def statements() -> float:
    """Microseconds of all statements that telemetry adds to a message if no SDK is set up."""
    counts = Counts()
    delivery = Delivery("id", Send(instance_id="bot", external_room_id="room", text="hello"), ())
    receipt = Receipt(
        envelope_id="id",
        instance_id="bot",
        external_room_id="room",
        disposition=Disposition.DELIVERED,
        parts=(PartReceipt(index=0, outcome="delivered"),),
    )
    step, account, performing, observer = Step("send", 0), NOTHING, NOTHING, NOBODY
    start = time.process_time()
    for _ in range(TIMES):
        # Each of these statements runs once for a message.
        begun = 1 if observer.listens else 0
        delivery.cause = "queue"
        counts.accepted += 1
        observer.admitted(delivery, account, 0, begun)
        delivery.wait_for("attempt", 1)
        observer.attempting(delivery, step, account, 0, 1, performing)
        counts.answer(0, delivery.pressure)
        observer.attempted(delivery, step, account, 0, None, begun, 1)
        counts.end(receipt, copied=False, member=False)
        observer.ended(delivery, receipt, account, 0)
    used = time.process_time() - start
    start = time.process_time()
    for _ in range(TIMES):
        pass
    return (used - (time.process_time() - start)) / TIMES * 1e6


def cost(run: Run, messages: int) -> dict[str, float]:
    """The figures, from rounds with the SDK that alternate with rounds without."""
    without, sdk = [], []
    for _ in range(ROUNDS):
        without.append(trio.run(run, None))
        sdk.append(trio.run(with_sdk, run))
    ratios = [s / w for s, w in zip(sdk, without, strict=True)]
    return {
        "telemetry_us_without_sdk": round(median(statements() for _ in range(ROUNDS)), 2),
        "sdk_us_per_message": round(median(sdk) / messages * 1e6, 1),
        "sdk_ratio": round(median(ratios), 2),
    }


def nothing_takes_long() -> None:
    """Report no waits and stalls, since counting instructions slows everything down."""
    waits.SHORTEST_WAIT = recorder.NOTICED = NEVER
    histograms.STALL = float(NEVER)


def main() -> None:
    from bench import engine  # noqa: PLC0415 - it imports this module

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--messages", type=int, default=engine.MESSAGES, help="messages of the round"
    )
    parser.add_argument("--sdk", action="store_true", help="with the SDK set up")
    arguments = parser.parse_args()
    engine.quietly()
    nothing_takes_long()

    async def run(providers: Providers | None) -> float:
        return (await engine.through(engine.Nothing(), 1_000, arguments.messages, providers))[0]

    if arguments.sdk:
        trio.run(with_sdk, run)
    else:
        trio.run(run, None)


if __name__ == "__main__":
    main()
