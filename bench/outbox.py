"""What it costs to accept durably: our outbox alone, below a gateway, and three other libraries.

`python -m bench.outbox` prints a table. `--json` prints a list: an object `{engine, callers,
accepted_per_s, cpu_us_per_message, p50_ms, p99_ms}` for each run, and a last object with
`recover_100k_s` (seconds until 100,000 waiting messages are in their lanes) and related figures.
`--million` adds two objects for a file with 1,000,000 waiting messages, one with few rooms and one
with very many: seconds to the first attempt, and the peak of the process's memory.

Every engine writes the same payloads and waits for the disk (`synchronous=FULL`) before it calls a
message accepted. `write and fdatasync` is the disk's limit for all of them: one plain write of all
callers' payloads, and one wait for the disk. No engine whose callers wait for the disk can be
faster. `sealed` is our outbox with a key (`[outbox] keys`). The other libraries are in
`bench/requirements.txt`, and are left out if they are not installed.

`--outbox postgresql` measures the outbox in PostgreSQL: see `bench.outbox_shared`.
"""

from __future__ import annotations

import argparse
import base64
import gc
import json
import logging
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from random import Random
from statistics import median, quantiles
from typing import Any

import structlog
import trio

from bench.engine import Nothing, config
from bench.queues import QUEUES, by_threads, opened
from gateway_contrib.sqlite import SqliteOutbox
from gateway_core import Part, Secret, Send, open_gateway
from gateway_core.contract.fast_init import fast_init
from gateway_core.contract.ids import Ids
from gateway_core.outboxes import Entry

CALLERS = (1, 16, 64, 256)
SECONDS = 2.0
TEXT = "The deployment of version 2.3 has finished; all checks are green. " * 3
MILLION = 1_000_000
KEY = Secret(base64.b64encode(bytes(range(32))).decode())


def entries() -> Callable[[int], Entry]:
    """A function that makes entries with new ids; a room's envelope and plan are made only once."""
    ids, wall, entry = Ids(Random("bench")), time.time(), fast_init(Entry)
    plan = (Part(payload={"text": TEXT}, span=(0, len(TEXT)), digest="0" * 32),)

    @cache
    def envelope(room: int) -> Send:
        return Send(instance_id="bot", external_room_id=f"room{room}", text=TEXT)

    def make(room: int) -> Entry:
        return entry(
            id=ids.next(wall), envelope=envelope(room), plan=plan, accepted_at=wall,
            deadline=wall + 86_400,
        )  # fmt: skip

    return make


@contextmanager
def without_what_was() -> Iterator[None]:
    """Let the garbage collector look only at objects of the run, not at every module each time."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


async def drive(callers: int, accept: Callable[[int], Awaitable[object]]) -> dict[str, Any]:
    """Drive a closed loop: each caller hands over its next message when its last was accepted."""
    waits: list[float] = []
    end = time.perf_counter() + SECONDS

    async def caller(number: int) -> None:
        while (start := time.perf_counter()) < end:
            await accept(number)
            waits.append(time.perf_counter() - start)

    with without_what_was():
        cpu, wall = time.process_time(), time.perf_counter()
        async with trio.open_nursery() as nursery:
            for number in range(callers):
                nursery.start_soon(caller, number)
        return row(callers, waits, time.process_time() - cpu, time.perf_counter() - wall)


def row(callers: int, waits: list[float], cpu: float, wall: float) -> dict[str, Any]:
    return {
        "callers": callers,
        "accepted_per_s": round(len(waits) / wall),
        "cpu_us_per_message": round(cpu / len(waits) * 1e6, 1),
        "p50_ms": round(median(waits) * 1e3, 2),
        "p99_ms": round((quantiles(waits, n=100)[98] if len(waits) > 1 else waits[0]) * 1e3, 2),
    }


async def alone(path: Path, callers: int, *, keys: Sequence[Secret] = ()) -> dict[str, Any]:
    make = entries()
    async with SqliteOutbox(path, keys=keys) as outbox:
        found = await drive(callers, lambda n: outbox.append(make(n), lambda: None))
    return {"engine": "gateway outbox, sealed" if keys else "gateway outbox"} | found


async def submitted(path: Path | None, callers: int) -> dict[str, Any]:
    """The figures of `gateway.submit`, while nothing is delivered."""
    outbox = None if path is None else SqliteOutbox(path)
    most = 10_000_000
    settings = config(
        partition_bound=most, instance_bound=most, room_bound=most, drain_timeout=0.0,
        outbox_capacity=most,
    )  # fmt: skip
    channel = Nothing(seconds=3600.0)
    async with open_gateway(settings, plugins=[("nothing", channel)], outbox=outbox) as gateway:
        found = await drive(
            callers,
            lambda n: gateway.submit(
                Send(instance_id="bot", external_room_id=f"room{n}", text=TEXT)
            ),
        )
    return {"engine": "gateway.submit" if path else "gateway.submit, in memory"} | found


def plain(folder: Path, callers: int) -> dict[str, Any]:
    """The disk's limit: all callers' payloads in one write, and one wait."""
    data = os.urandom(callers * len(TEXT) * 2)  # text and plan
    file = os.open(folder / f"plain{callers}", os.O_WRONLY | os.O_CREAT)
    waits: list[float] = []
    cpu, begun = time.process_time(), time.perf_counter()
    while (start := time.perf_counter()) < begun + SECONDS / 2:
        os.write(file, data)
        os.fdatasync(file)
        waits += [time.perf_counter() - start] * callers
    spent = time.process_time() - cpu, time.perf_counter() - begun
    os.close(file)
    return {"engine": "write and fdatasync"} | row(callers, waits, *spent)


def peer(name: str, folder: Path, callers: int) -> dict[str, Any] | None:
    accept = opened(name, folder)
    if accept is None:
        return None
    waits, cpu, wall = by_threads(callers, SECONDS, TEXT, accept)
    return {"engine": name} | row(callers, waits, cpu, wall) if waits else None


async def fill(path: Path, waiting: int, rooms: int) -> None:
    """Fill a file as a gateway leaves it that has accepted messages and delivered none."""
    make, numbers = entries(), iter(range(waiting))
    async with SqliteOutbox(path) as outbox, trio.open_nursery() as nursery:

        async def caller() -> None:
            for number in numbers:
                await outbox.append(make(number % rooms), lambda: None)

        for _ in range(1000):
            nursery.start_soon(caller)


async def recovery(path: Path, waiting: int) -> dict[str, float]:
    """Seconds from opening to the first attempt, and until all are in their lanes."""
    channel = Nothing(seconds=3600.0)
    most = waiting + 1
    settings = config(partition_bound=most, instance_bound=most, room_bound=most, drain_timeout=0.0)
    gc.collect()
    start, cpu, first = time.perf_counter(), time.process_time(), 0.0
    async with open_gateway(
        settings, plugins=[("nothing", channel)], outbox=SqliteOutbox(path)
    ) as gateway:
        while gateway.statistics().unfinished < waiting:
            first = first or (time.perf_counter() - start if channel.sent else 0.0)
            await trio.sleep(0.02 if first else 0.005)  # one look costs as much as ten messages
        wall, spent = time.perf_counter() - start, time.process_time() - cpu
    return {
        "recover_100k_s": round(wall, 3),
        "first_attempt_s": round(first, 3),
        "cpu_us_per_message": round(spent / waiting * 1e6, 1),
    }


async def first_of_many(path: Path) -> dict[str, float]:
    """With default bounds: seconds to the first attempt, and the memory some time later."""
    channel = Nothing(seconds=0.001)
    start = time.perf_counter()
    async with open_gateway(
        config(drain_timeout=0.0), plugins=[("nothing", channel)], outbox=SqliteOutbox(path)
    ):
        while not channel.sent:  # noqa: ASYNC110 - what is looked at has no event
            await trio.sleep(0.002)
        first = time.perf_counter() - start
        await trio.sleep(10)
    return {
        "first_attempt_s": round(first, 3),
        "delivered_in_10_s": channel.sent,
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
    }


def of_a_million(path: Path, rooms: int) -> dict[str, Any]:
    """The figures of a file that this process fills, and another process opens."""
    trio.run(fill, path, MILLION, rooms)
    command = [sys.executable, "-m", "bench.outbox", "--open", str(path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - this module
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return {"waiting": MILLION, "rooms": rooms} | found


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


def runs(folder: Path, callers: tuple[int, ...]) -> Iterator[dict[str, Any]]:
    for number in callers:
        yield plain(folder, number)
        yield trio.run(alone, folder / f"alone{number}.db", number)
        yield trio.run(partial(alone, folder / f"sealed{number}.db", number, keys=[KEY]))
        yield trio.run(submitted, folder / f"submit{number}.db", number)
        yield trio.run(submitted, None, number)
        for which in QUEUES:
            (there := folder / f"{which}{number}").mkdir()
            found = peer(which, there, number)
            if found is not None:
                yield found
    trio.run(fill, folder / "recover.db", 100_000, 1000)
    yield trio.run(recovery, folder / "recover.db", 100_000) | {"fsync_ms": fsync_ms(folder)}


def shown(found: dict[str, Any]) -> str:
    if "engine" not in found:
        return ", ".join(f"{name} {value}" for name, value in found.items())
    return (
        f"{found['engine']:26} {found['callers']:4} callers {found['accepted_per_s']:7}/s"
        f" {found['cpu_us_per_message']:8} us CPU  p50 {found['p50_ms']:8} ms"
        f"  p99 {found['p99_ms']:8} ms"
    )


def main(
    callers: tuple[int, ...] = CALLERS, *, as_json: bool = False, million: bool = False
) -> None:
    result = []
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_FOLDER")) as name:
        folder = Path(name)
        for found in runs(folder, callers):
            result.append(found)
            if not as_json:
                print(shown(found), flush=True)
        for rooms in (1_000, 250_000) if million else ():
            found = of_a_million(folder / f"million{rooms}.db", rooms)
            result.insert(-1, found)
            if not as_json:
                print(shown(found), flush=True)
    if as_json:
        print(json.dumps(result))


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--callers", type=int, nargs="*", default=CALLERS)
    parser.add_argument("--million", action="store_true", help="also with 1,000,000 waiting")
    parser.add_argument("--outbox", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--open", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.outbox == "postgresql":
        from bench import outbox_shared  # which needs a server's programs

        rows = []
        for found in outbox_shared.runs(tuple(asked.callers)):
            rows.append(found)
            if not asked.json:
                print(outbox_shared.shown(found), flush=True)
        if asked.json:
            print(json.dumps(rows))
    elif asked.open is not None:
        print(json.dumps(trio.run(first_of_many, asked.open)))
    else:
        main(tuple(asked.callers), as_json=asked.json, million=asked.million)
