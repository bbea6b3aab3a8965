"""How fast a full gateway refuses: `submit(wait=False)` while every adapter hangs.

`python -m bench.admission` prints the figures with their workload; `--json` one object.
"""

from __future__ import annotations

import argparse
import json
import logging
import time

import structlog
import trio

from bench.engine import Nothing, config
from gateway_core import Overloaded, Send, open_gateway

CALLS = 20_000
WORKLOAD = f"{CALLS} submit(wait=False) calls, one after the other, full gateway, adapters hang"


async def refusals(calls: int) -> list[float]:
    """Seconds of each refused call."""
    settings = {"partition_bound": 50, "instance_bound": 50, "drain_timeout": 0.0}
    channel = Nothing(seconds=3600.0)
    took = []
    async with open_gateway(config(**settings), plugins=[("nothing", channel)]) as gateway:
        for number in range(50 * 64):
            try:
                await gateway.submit(_send(number), wait=False)
            except Overloaded:
                continue
        await trio.sleep(0.2)
        for number in range(calls):
            start = time.perf_counter()
            try:
                await gateway.submit(_send(number), wait=False)
            except Overloaded:
                took.append(time.perf_counter() - start)
        if len(took) != calls:
            raise SystemExit(f"{calls - len(took)} calls were accepted: the gateway was not full")
    return took


def _send(number: int) -> Send:
    return Send(instance_id="bot", external_room_id=f"room{number}", text="hello world")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one object and nothing else")
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    took = sorted(trio.run(refusals, CALLS))
    figures = {
        "p50_us": round(took[len(took) // 2] * 1e6, 1),
        "p99_us": round(took[len(took) * 99 // 100] * 1e6, 1),
    }
    if arguments.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name:8} {value:>10}   {WORKLOAD}")


if __name__ == "__main__":
    main()
