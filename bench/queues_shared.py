"""Three queues that store jobs in PostgreSQL, used as documented: for `bench.outbox_shared`.

Each runs on asyncio, with callers and workers in one process, and a pool of connections of its own.
A job is a text and its room. A caller that waits for a job's end is woken in the same process. None
of the queues keeps the order of a room here, or checks keys, since what they offer for this differs
from this project's.
"""

from __future__ import annotations

import asyncio  # noqa: TID251 - the loop of the other queues
import json
import logging
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from itertools import count
from typing import Any, TypeAlias

CONNECTIONS = 5
"""Connections for callers: as many as a process with an outbox has in total."""
Accept: TypeAlias = Callable[[str, str], Awaitable[object]]
Queue: TypeAlias = Callable[[str, int, bool], AbstractAsyncContextManager[Accept]]


class Waiting:
    """The callers that wait for the ends of jobs."""

    def __init__(self) -> None:
        self._numbers = count()
        self._events: dict[int, asyncio.Event] = {}

    def expect(self) -> tuple[int, asyncio.Event]:
        number = next(self._numbers)
        return number, self._events.setdefault(number, asyncio.Event())

    def ended(self, number: int) -> None:
        if number in self._events:
            self._events.pop(number).set()


@asynccontextmanager
async def procrastinate(url: str, workers: int, ends: bool) -> AsyncIterator[Accept]:
    module, waiting = import_module("procrastinate"), Waiting()
    connector = module.PsycopgConnector(conninfo=url, min_size=CONNECTIONS, max_size=CONNECTIONS)
    app = module.App(connector=connector)

    async def send(room: str, text: str, number: int) -> None:  # noqa: ARG001 - what a job has
        waiting.ended(number)

    task = app.task(name="send", queue="bench")(send)
    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        work = app.run_worker_async(
            queues=["bench"], concurrency=workers, install_signal_handlers=False
        )

        async def accept(room: str, text: str) -> None:
            number, event = waiting.expect()
            await task.defer_async(room=room, text=text, number=number)
            if ends:
                await event.wait()

        async with _working(work if ends else None):
            yield accept
        work.close()


@asynccontextmanager
async def pgqueuer(url: str, workers: int, ends: bool) -> AsyncIterator[Accept]:
    waiting, asyncpg = Waiting(), import_module("asyncpg")
    drivers = import_module("pgqueuer.db")
    queries = import_module("pgqueuer.queries").Queries
    async with asyncpg.create_pool(url, min_size=CONNECTIONS, max_size=CONNECTIONS) as pool:
        driver = drivers.AsyncpgPoolDriver(pool)
        await queries(driver).install()
        served = import_module("pgqueuer").PgQueuer(driver)

        @served.entrypoint("send")  # type: ignore[untyped-decorator]
        async def send(job: Any) -> None:
            waiting.ended(json.loads(job.payload)["number"])

        enqueue = queries(driver).enqueue

        async def accept(room: str, text: str) -> None:
            number, event = waiting.expect()
            payload = {"room": room, "text": text, "number": number}
            await enqueue("send", json.dumps(payload).encode())
            if ends:
                await event.wait()

        work = served.run(batch_size=workers)
        async with _working(work if ends else None):
            yield accept
        work.close()


@dataclass
class SendText:
    """A job; awa names the kind of job by this class."""

    room: str
    text: str
    number: int


@asynccontextmanager
async def awa(url: str, workers: int, ends: bool) -> AsyncIterator[Accept]:
    waiting = Waiting()
    named = url.replace("@/", "@localhost/")  # it needs a host besides the socket's folder
    client = import_module("awa").AsyncClient(named, max_connections=CONNECTIONS)
    await client.migrate()

    @client.task(SendText, queue="bench")  # type: ignore[untyped-decorator]
    async def send(job: Any) -> None:
        waiting.ended(job.args.number)

    if ends:
        await client.start([("bench", workers)])

    async def accept(room: str, text: str) -> None:
        number, event = waiting.expect()
        await client.insert(SendText(room, text, number), queue="bench")
        if ends:
            await event.wait()

    try:
        yield accept
    finally:
        if ends:
            await client.shutdown()


QUEUES: dict[str, Queue] = {"procrastinate": procrastinate, "pgqueuer": pgqueuer, "awa": awa}


@asynccontextmanager
async def _working(work: Any) -> AsyncIterator[None]:
    """Run the worker, if there is one, during the block."""
    if work is None:
        yield
        return
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await asyncio.wait_for(task, timeout=10)


async def drive(
    queue: Queue, url: str, callers: int, text: str, seconds: float, *, ends: bool
) -> tuple[list[float], float, float]:
    """Drive a closed loop; returns the seconds of each message, CPU seconds, and wall seconds."""
    waits: list[float] = []

    async with queue(url, callers, ends) as accept:
        await asyncio.wait_for(accept("first", text), timeout=60)
        end = time.perf_counter() + seconds

        async def caller(number: int) -> None:
            while (start := time.perf_counter()) < end:
                await accept(f"room{number}", text)
                waits.append(time.perf_counter() - start)

        cpu, wall = time.process_time(), time.perf_counter()
        await asyncio.gather(*(caller(number) for number in range(callers)))
        return waits, time.process_time() - cpu, time.perf_counter() - wall


def driven(
    name: str, url: str, callers: int, text: str, seconds: float, *, ends: bool
) -> tuple[list[float], float, float]:
    """The result of `drive`, which runs in an event loop of its own."""
    logging.disable(logging.INFO)
    os.environ.setdefault("PGQUEUER_LOGLEVEL", "WARNING")
    return asyncio.run(drive(QUEUES[name], url, callers, text, seconds, ends=ends))
