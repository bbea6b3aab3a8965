"""Three libraries that store messages in SQLite, used as documented: for `bench.outbox`.

They commit one message at a time on the caller's thread, without group commit, so they are measured
with threads as callers. Each is configured to wait for the disk, as the outbox does.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any


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
    put: Callable[[str], object] = queue.put
    return put


QUEUES = {"huey": huey, "litequeue": litequeue, "persist-queue": persist_queue}


def opened(name: str, folder: Path) -> Callable[[str], object] | None:
    try:
        return QUEUES[name](folder)
    except ModuleNotFoundError:
        print(f"{name} is not installed: left out", file=sys.stderr)
        return None


def by_threads(
    callers: int, seconds: float, text: str, accept: Callable[[str], Any]
) -> tuple[list[float], float, float]:
    """Drive a closed loop; returns the seconds of each message, CPU seconds, and wall seconds."""
    waits: list[float] = []
    errors: list[Exception] = []
    payload = json.dumps({"room": "room", "text": text})
    end = time.perf_counter() + seconds

    def caller() -> None:
        try:
            while (start := time.perf_counter()) < end:
                accept(payload)
                waits.append(time.perf_counter() - start)
        except Exception as error:  # noqa: BLE001 - a peer that gives up is a result, too
            errors.append(error)

    workers = [threading.Thread(target=caller) for _ in range(callers)]
    cpu, wall = time.process_time(), time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if errors:
        print(f"{len(errors)} of {callers} callers gave up: {errors[0]}", file=sys.stderr)
    return waits, time.process_time() - cpu, time.perf_counter() - wall
