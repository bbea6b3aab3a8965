"""What it costs to accept durably: our outbox alone, below a gateway, and three others.

`python -m bench.outbox` prints a table; `--json` a list of `{engine, callers, accepted_per_s,
cpu_us_per_message, p50_ms, p99_ms}` and `recover_100k_s`. Every engine writes the same payloads and
waits for the disk (`synchronous=FULL`) before it calls a message accepted. What one write to this
disk takes stands beside it: `fsync_ms`.

The others commit one message at a time on the caller's thread, as their documentation shows: they
know no group commit, and so are measured with threads as callers.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable
from importlib import import_module
from pathlib import Path
from random import Random
from statistics import median, quantiles
from typing import Any

import trio

from bench.engine import Nothing, config
from gateway_contrib.sqlite import SqliteOutbox
from gateway_core import Entry, MemoryOutbox, Part, Send, open_gateway
from gateway_core.ids import Ids

CALLERS = (1, 16, 64, 256)
SECONDS = 2.0
TEXT = "The deployment of version 2.3 has finished; all checks are green. " * 3


def entries() -> Callable[[int], Entry]:
    ids, wall = Ids(Random("bench")), time.time()

    def make(caller: int) -> Entry:
        envelope = Send(instance_id="bot", external_room_id=f"room{caller}", text=TEXT)
        part = Part(payload={"text": TEXT}, span=(0, len(TEXT)), digest="0" * 32)
        return Entry(
            id=ids.next(wall), envelope=envelope, plan=(part,), accepted_at=wall,
            deadline=wall + 3600,
        )  # fmt: skip

    return make


async def drive(callers: int, accept: Callable[[int], Awaitable[object]]) -> dict[str, Any]:
    """Closed loop: every caller hands over its next message when the last was accepted."""
    waits: list[float] = []
    end = time.perf_counter() + SECONDS

    async def caller(number: int) -> None:
        while (start := time.perf_counter()) < end:
            await accept(number)
            waits.append(time.perf_counter() - start)

    cpu, wall = time.process_time(), time.perf_counter()
    async with trio.open_nursery() as nursery:
        for number in range(callers):
            nursery.start_soon(caller, number)
    return _row(callers, waits, time.process_time() - cpu, time.perf_counter() - wall)


def _row(callers: int, waits: list[float], cpu: float, wall: float) -> dict[str, Any]:
    return {
        "callers": callers,
        "accepted_per_s": round(len(waits) / wall),
        "cpu_us_per_message": round(cpu / len(waits) * 1e6, 1),
        "p50_ms": round(median(waits) * 1e3, 2),
        "p99_ms": round((quantiles(waits, n=100)[98] if len(waits) > 1 else waits[0]) * 1e3, 2),
    }


async def alone(path: Path, callers: int) -> dict[str, Any]:
    make = entries()
    async with SqliteOutbox(path) as outbox:
        row = await drive(callers, lambda n: outbox.append(make(n), lambda: None))
    return {"engine": "gateway outbox"} | row


async def submitted(path: Path | None, callers: int) -> dict[str, Any]:
    """Through `gateway.submit`, nothing delivered meanwhile."""
    outbox = MemoryOutbox() if path is None else SqliteOutbox(path)
    most = 10_000_000
    settings = config(
        partition_bound=most, instance_bound=most, room_bound=most, drain_timeout=0.0,
        outbox_capacity=most,
    )  # fmt: skip
    channel = Nothing(seconds=3600.0)
    async with open_gateway(settings, plugins=[("nothing", channel)], outbox=outbox) as gateway:
        row = await drive(
            callers,
            lambda n: gateway.submit(
                Send(instance_id="bot", external_room_id=f"room{n}", text=TEXT)
            ),
        )
    return {"engine": "gateway.submit" if path else "gateway.submit, in memory"} | row


def threads(callers: int, accept: Callable[[str], object]) -> dict[str, Any]:
    waits: list[float] = []
    payload = json.dumps({"room": "room", "text": TEXT})
    end = time.perf_counter() + SECONDS

    def caller() -> None:
        while (start := time.perf_counter()) < end:
            accept(payload)
            waits.append(time.perf_counter() - start)

    workers = [threading.Thread(target=caller) for _ in range(callers)]
    cpu, wall = time.process_time(), time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return _row(callers, waits, time.process_time() - cpu, time.perf_counter() - wall)


def huey(folder: Path) -> Callable[[str], object]:
    storage = import_module("huey.storage").SqliteStorage(
        filename=str(folder / "huey.db"), fsync=True, timeout=60
    )
    return lambda payload: storage.enqueue(payload.encode())


def litequeue(folder: Path) -> Callable[[str], object]:
    local, path = threading.local(), str(folder / "litequeue.db")
    module = import_module("litequeue")

    def accept(payload: str) -> object:
        if not hasattr(local, "queue"):
            local.queue = module.LiteQueue(path, timeout=60)
            local.queue.conn.execute("PRAGMA synchronous = FULL")
        return local.queue.put(payload)

    accept("first")
    return accept


def persist_queue(folder: Path) -> Callable[[str], object]:
    module = import_module("persistqueue")
    queue = module.SQLiteQueue(
        str(folder / "persistqueue"), multithreading=True, auto_commit=True, timeout=60
    )
    queue._putter.execute("PRAGMA synchronous = FULL")  # noqa: SLF001 - it has no setting for it
    return queue.put


PEERS = {"huey": huey, "litequeue": litequeue, "persist-queue": persist_queue}


def peer(name: str, folder: Path, callers: int) -> dict[str, Any] | None:
    try:
        accept = PEERS[name](folder)
    except ModuleNotFoundError:
        print(f"{name} is not installed: left out", file=sys.stderr)
        return None
    try:
        return {"engine": name} | threads(callers, accept)
    except Exception as error:  # noqa: BLE001 - a peer that gives up is a result, too
        print(f"{name} at {callers} callers: {error}", file=sys.stderr)
        return None


async def recovery(path: Path, waiting: int) -> dict[str, float]:
    """Seconds from opening to the first attempt, and until all are in their lanes."""
    make = entries()
    async with SqliteOutbox(path) as outbox, trio.open_nursery() as nursery:

        async def fill(number: int) -> None:
            for _ in range(waiting // 1000):
                await outbox.append(make(number), lambda: None)

        for number in range(1000):
            nursery.start_soon(fill, number)
    channel = Nothing(seconds=3600.0)
    most = waiting + 1
    settings = config(partition_bound=most, instance_bound=most, room_bound=most, drain_timeout=0.0)
    start, first = time.perf_counter(), 0.0
    async with open_gateway(
        settings, plugins=[("nothing", channel)], outbox=SqliteOutbox(path)
    ) as gateway:
        while gateway.statistics().unfinished < waiting:
            first = first or (time.perf_counter() - start if channel.sent else 0.0)
            await trio.sleep(0.005)
    return {"first_attempt_s": round(first, 3), "all_s": round(time.perf_counter() - start, 3)}


def fsync_ms(folder: Path) -> float:
    file = os.open(folder / "probe", os.O_RDWR | os.O_CREAT)
    os.pwrite(file, b"x" * (1 << 20), 0)
    os.fsync(file)
    times = []
    for n in range(100):
        os.pwrite(file, os.urandom(4096), n * 4096)
        start = time.perf_counter()
        os.fdatasync(file)
        times.append(time.perf_counter() - start)
    os.close(file)
    return round(median(times) * 1e3, 3)


def main(callers: tuple[int, ...] = CALLERS, *, as_json: bool = False) -> None:
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_FOLDER")) as name:
        folder = Path(name)
        rows: list[Any] = []
        for number in callers:
            rows.append(trio.run(alone, folder / f"alone{number}.db", number))
            rows.append(trio.run(submitted, folder / f"submit{number}.db", number))
            rows.append(trio.run(submitted, None, number))
            for which in PEERS:
                (there := folder / f"{which}{number}").mkdir()
                rows.append(peer(which, there, number))
        recovered = trio.run(recovery, folder / "recover.db", 100_000)
        result = {
            "rows": [row for row in rows if row is not None],
            "recover_100k_s": recovered["all_s"],
            "first_attempt_s": recovered["first_attempt_s"],
            "fsync_ms": fsync_ms(folder),
        }
    if as_json:
        print(json.dumps(result))
        return
    for row in result["rows"]:
        print(
            f"{row['engine']:26} {row['callers']:4} callers {row['accepted_per_s']:7}/s"
            f" {row['cpu_us_per_message']:8} us CPU  p50 {row['p50_ms']:8} ms"
            f"  p99 {row['p99_ms']:8} ms"
        )
    print({name: value for name, value in result.items() if name != "rows"})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--callers", type=int, nargs="*", default=CALLERS)
    asked = parser.parse_args()
    main(tuple(asked.callers), as_json=asked.json)
