"""What idle accounts cost: `python -m bench.accounts`, or `--json`.

Of many accounts, only a few send. Either all accounts are configured, or only those that send, or a
source gives accounts when they are needed. Each row is a process of its own. It shows the seconds
of CPU until the gateway is open, those until each sending account has sent its messages, and the
memory that all of this took.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import subprocess
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import structlog
import trio

from gateway_contrib.sqlite import SqliteOutbox
from gateway_core import GatewayConfig, Instance, open_gateway
from gateway_core.testing import FakeChannel, FakeSettings

CASES = ("all configured", "working ones configured", "in a source")
MESSAGES = 10
"""How many messages each sending account sends."""
PAGE = 4096


def resident() -> float:
    """Megabytes of memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE / 1e6


def account(number: int) -> Instance:
    return Instance(f"tenant-{number}", "fake", FakeSettings())


async def one(case: str, outbox: str, accounts: int, working: int) -> dict[str, Any]:
    """Open a gateway, and have some of its accounts send."""
    step = max(1, accounts // working)
    names = [number * step for number in range(working)]
    chosen = {"all configured": range(accounts), "working ones configured": names}.get(case, ())
    gc.collect()
    before, began = resident(), time.process_time()

    async def source(instance_id: str) -> Instance | None:
        number = int(instance_id.partition("-")[2])
        return account(number) if number < accounts else None

    async with AsyncExitStack() as stack:
        folder = stack.enter_context(TemporaryDirectory())
        stored = SqliteOutbox(Path(folder) / "outbox.db") if outbox == "sqlite" else None
        gateway = await stack.enter_async_context(
            open_gateway(
                GatewayConfig(instances=map(account, chosen)),
                plugins=[("fake", FakeChannel())],
                outbox=stored,
                instance_source=source if case == "in a source" else None,
            )
        )
        opened = time.process_time() - began

        async def send(number: int) -> None:
            for _ in range(MESSAGES):
                await gateway.send(f"tenant-{number}", "room", "hello")

        began = time.process_time()
        async with trio.open_nursery() as nursery:
            for number in names:
                nursery.start_soon(send, number)
        worked = time.process_time() - began
        gc.collect()
        return {
            "accounts": case,
            "outbox": outbox,
            "opening_cpu_s": round(opened, 3),
            "working_cpu_s": round(worked, 3),
            "memory_mb": round(resident() - before, 1),
        }


def main(argv: list[str] | None = None) -> None:
    """Print a row for each case and outbox."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=10_000)
    parser.add_argument("--working", type=int, default=50)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--case", choices=CASES, help="only this case, in this process")
    parser.add_argument("--outbox", choices=("memory", "sqlite"), default="memory")
    options = parser.parse_args(argv)
    if options.case is not None:
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
        row = trio.run(one, options.case, options.outbox, options.accounts, options.working)
        print(json.dumps(row))
        return
    for outbox in ("memory", "sqlite"):
        for case in CASES:
            told = subprocess.run(  # noqa: S603 - this module
                [
                    sys.executable, "-m", "bench.accounts", "--case", case, "--outbox", outbox,
                    "--accounts", str(options.accounts), "--working", str(options.working),
                ],
                check=True, capture_output=True, text=True,
            ).stdout  # fmt: skip
            row = json.loads(told)
            print(told.strip() if options.json else "  ".join(f"{k} {v}" for k, v in row.items()))


if __name__ == "__main__":
    main()
