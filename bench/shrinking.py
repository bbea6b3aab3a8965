"""How an outbox's file gets shorter by itself, and how long callers wait meanwhile.

`python -m bench.shrinking` accepts and delivers `--messages` messages (default 200,000), lets all
of them grow too old, and goes on accepting while they are forgotten and their pages are given back.
It prints one object: bytes per delivered message, the file's size before and after, seconds until
it has the new size, the number of steps and the longest step, and how long appends took before and
meanwhile.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import trio

from bench.outbox import entries
from gateway_contrib.sqlite import SqliteOutbox, SqliteSettings
from gateway_contrib.sqlite.files import shrinking
from gateway_core import Disposition, Receipt
from gateway_core.outboxes import Entry

CALLERS = 500
AGE = 86_400.0


def delivered(entry: Entry, wall: float) -> Receipt:
    return Receipt(
        envelope_id=entry.id, instance_id="bot", external_room_id=entry.envelope.external_room_id,
        disposition=Disposition.DELIVERED, accepted_at=entry.accepted_at, ended_at=wall,
    )  # fmt: skip


async def fill(outbox: SqliteOutbox, messages: int, wall: float) -> None:
    make, numbers = entries(), iter(range(messages))

    async def caller() -> None:
        for number in numbers:
            entry = make(number % 1000)
            await outbox.append(entry, lambda: None)
            outbox.finished(delivered(entry, wall))

    async with trio.open_nursery() as nursery:
        for _ in range(CALLERS):
            nursery.start_soon(caller)
    await outbox.flush()


def size(path: Path) -> int:
    return path.stat().st_size


def ms(waits: list[float]) -> dict[str, float]:
    return {
        "p50_ms": round(median(waits) * 1e3, 2),
        "p99_ms": round(quantiles(waits, n=100)[98] * 1e3, 2),
        "longest_ms": round(max(waits) * 1e3, 2),
    }


async def appending(outbox: SqliteOutbox, done: Any) -> dict[str, float]:
    """Append about a hundred messages a second from one caller, until `done`."""
    make, waits = entries(), []
    while not done(len(waits)):
        start = time.perf_counter()
        await outbox.append(make(0), lambda: None)
        waits.append(time.perf_counter() - start)
        await trio.sleep(0.01)
    return ms(waits)


async def run(path: Path, messages: int) -> dict[str, Any]:
    ahead = 0.0
    steps: list[float] = []
    last = [time.perf_counter()]
    step = shrinking.Shrinker.step

    def timed(self: shrinking.Shrinker, wall: float, bounds: shrinking.Bounds) -> bool:
        start = time.perf_counter()
        more = step(self, wall, bounds)
        end = time.perf_counter()
        if more:
            last[0] = end
            steps.append(end - start)
        return more

    shrinking.Shrinker.step = timed  # type: ignore[method-assign]  # to time it
    settings = SqliteSettings(history_for=AGE)
    outbox = SqliteOutbox(path, settings, wall_clock=lambda: time.time() + ahead)
    async with outbox:
        await fill(outbox, messages, time.time())
    large = size(path)
    async with outbox:
        before = await appending(outbox, lambda n: n >= 500)
        ahead = 2 * AGE
        start = time.perf_counter()
        outbox.requested = lambda _: None  # from now on the outbox tidies itself
        meanwhile = await appending(
            outbox, lambda _: size(path) < large / 10 and time.perf_counter() - last[0] > 1.0
        )
    return {
        "messages": messages,
        "bytes_of_a_delivered_message": round(large / messages),
        "mb_before": round(large / 1e6, 1),
        "mb_after": round(size(path) / 1e6, 1),
        "seconds": round(last[0] - start, 1),
        "steps": len(steps),
        "longest_step_ms": round(max(steps) * 1e3, 1),
        "append_before": before,
        "append_meanwhile": meanwhile,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--messages", type=int, default=200_000)
    messages = parser.parse_args().messages
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(trio.run(run, Path(folder) / "outbox.db", messages), indent=2))


if __name__ == "__main__":
    main()
