"""What it costs to accept and to deliver with the outbox in PostgreSQL, on a server of its own.

`python -m bench.outbox --outbox postgresql`: rows as in `bench.outbox`, each with the server's CPU
per message (`server_us_per_message`). The server waits for the disk. `end to end` is the time from
the call of `submit` to the receipt, with a channel that does nothing. The last row has the time of
one wait for the disk (`fsync_ms`), and the machine's load before the first row and after the last.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from functools import partial
from itertools import count
from pathlib import Path
from statistics import quantiles
from typing import Any

import attrs
import psycopg
import trio

from bench.engine import Nothing, config
from bench.outbox import SECONDS, TEXT, drive, entries, fsync_ms, row
from bench.queues_shared import QUEUES, driven
from gateway_contrib.postgres import PostgresOutbox, PostgresSettings, enqueue
from gateway_core import Send, open_gateway
from gateway_core.authors import Answer, Attempt, hookimpl
from gateway_core.testing import FakeSettings

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "shared"))

import postgres_server  # type: ignore[import-not-found]  # of the tests, which begin it as this does

MOST = 10_000_000


class Noting:
    """A channel that notes when it is called for a room."""

    GATEWAY_CONTRACT = 1

    def __init__(self) -> None:
        self._at: dict[str, float] = {}
        self._called: dict[str, trio.Event] = {}

    @hookimpl
    def settings_type(self) -> type:
        return FakeSettings

    @hookimpl
    async def send(self, attempt: Attempt) -> Answer:
        self._at[attempt.room] = time.perf_counter()
        self._called[attempt.room].set()
        return Answer(message_id="1")

    async def lags(
        self, way: str, hand_over: Callable[[Send], Awaitable[object]], messages: int = 200
    ) -> list[float]:
        """Milliseconds from each message's commit to its call; 0: the call came earlier."""
        lags = []
        for number in range(messages):
            room = f"{way} {number}"
            self._called[room] = trio.Event()
            await hand_over(Send(instance_id="bot", external_room_id=room, text=TEXT))
            committed = time.perf_counter()
            with trio.fail_after(30):
                await self._called[room].wait()
            lags.append(max(0.0, self._at[room] - committed) * 1e3)
            await trio.sleep(0.02)
        return lags


class Measured:
    """A server, and measurements with it."""

    def __init__(self, server: Any) -> None:
        self.server = server
        self._numbers = count()

    def outbox(self) -> PostgresOutbox:
        """An outbox in a schema that nothing else uses."""
        settings = PostgresSettings(schema=f"bench_{next(self._numbers)}", lease=60)
        return PostgresOutbox(self.server.url(), settings)

    def spent(self) -> float:
        """CPU seconds of all of the server's processes, including processes that have ended."""
        ticks, postmaster = 0, self.server.process_id
        for folder in Path("/proc").iterdir():
            if not folder.name.isdigit():
                continue
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # the process has ended meanwhile
                continue
            if int(folder.name) == postmaster:
                ticks += sum(map(int, fields[11:15]))  # its own, and those of ended children
            elif int(fields[1]) == postmaster:
                ticks += sum(map(int, fields[11:13]))
        return ticks / os.sysconf("SC_CLK_TCK")

    async def drive(
        self, engine: str, callers: int, accept: Callable[[int], Awaitable[object]]
    ) -> dict[str, Any]:
        done, before = 0, self.spent()

        async def one(number: int) -> None:
            nonlocal done
            await accept(number)
            done += 1

        found = await drive(callers, one)
        used = (self.spent() - before) / done
        return {"engine": engine} | found | {"server_us_per_message": round(used * 1e6, 1)}

    async def alone(self, callers: int, *, keys: bool) -> dict[str, Any]:
        make, numbers = entries(), count()
        async with self.outbox() as outbox:
            if keys:

                async def accept(room: int) -> None:
                    entry = make(room)
                    envelope = attrs.evolve(entry.envelope, key=f"key {next(numbers)}")
                    await outbox.append(attrs.evolve(entry, envelope=envelope), lambda: None)

                return await self.drive("outbox, keys", callers, accept)
            return await self.drive("outbox", callers, lambda n: outbox.append(make(n), _nothing))

    async def gateway(self, callers: int, *, keys: bool, ends: bool) -> dict[str, Any]:
        """The figures of `gateway.submit`; `ends`: each caller waits for the receipt."""
        settings = config(
            partition_bound=MOST, instance_bound=MOST, room_bound=MOST, drain_timeout=0.0,
            outbox_capacity=MOST,
        )  # fmt: skip
        channel, numbers = Nothing(seconds=None if ends else 3600.0), count()
        outbox = self.outbox()
        async with open_gateway(settings, plugins=[("nothing", channel)], outbox=outbox) as gateway:

            async def submit(number: int) -> None:
                key = f"key {next(numbers)}" if keys else None
                room = f"room{number}"
                ticket = await gateway.submit(
                    Send(instance_id="bot", external_room_id=room, text=TEXT, key=key)
                )
                if ends:
                    await ticket.receipt()

            what = "end to end" if ends else "submit"
            return await self.drive(f"{what}{', keys' if keys else ''}", callers, submit)

    async def first_attempts(self) -> list[dict[str, Any]]:
        """Times from commit to the channel's call, for `submit`, `serve=False` and `enqueue`."""
        settings, channel, outbox = config(drain_timeout=0.0), Noting(), self.outbox()
        schema, plugins = outbox.settings.schema, [("nothing", channel)]
        beside = PostgresOutbox(self.server.url(), outbox.settings)
        async with AsyncExitStack() as opened:
            enter = opened.enter_async_context
            owner = await enter(open_gateway(settings, plugins=plugins, outbox=outbox))
            producer = await enter(
                open_gateway(settings, plugins=plugins, outbox=beside, serve=False)
            )
            connection = opened.enter_context(psycopg.connect(self.server.url()))

            def enqueued(envelope: Send) -> None:
                with connection.transaction():
                    enqueue(connection, envelope, schema=schema)

            found: list[dict[str, Any]] = []
            ways: dict[str, Callable[[Send], Awaitable[object]]] = {
                "submit": owner.submit,
                "serve=False": producer.submit,
                "enqueue": lambda envelope: trio.to_thread.run_sync(enqueued, envelope),
            }
            for way, hand_over in ways.items():
                lags = await channel.lags(way, hand_over)
                at = {
                    f"p{each}_ms": round(quantiles(lags, n=100)[each - 1], 2) for each in (50, 95)
                }
                found.append({"from commit to first attempt": way} | at)
            return found

    def beside(self, name: str, callers: int, *, ends: bool) -> dict[str, Any] | None:
        """The figures of another queue library; None: it is not installed."""
        database = f"bench_{next(self._numbers)}"
        self.server.execute(f"CREATE DATABASE {database}")
        before, url = self.spent(), self.server.url(database)
        try:
            waits, cpu, wall = driven(name, url, callers, TEXT, SECONDS, ends=ends)
        except ModuleNotFoundError:
            print(f"{name} is not installed: left out", file=sys.stderr)
            return None
        used = (self.spent() - before) / len(waits)
        found = {"engine": f"{name}{', to its end' if ends else ''}"}
        found |= row(callers, waits, cpu, wall)
        return found | {"server_us_per_message": round(used * 1e6, 1)}


def _nothing() -> None: ...


def runs(callers: tuple[int, ...]) -> Iterator[dict[str, Any]]:
    load = os.getloadavg()[0]
    server = postgres_server.Server(safe=True)
    try:
        measured = Measured(server.start())
        for number in callers:
            for keys in (False, True):
                yield trio.run(partial(measured.alone, keys=keys), number)
                for ends in (False, True):
                    yield trio.run(partial(measured.gateway, keys=keys, ends=ends), number)
            for name in QUEUES:
                for ends in (False, True):
                    if (found := measured.beside(name, number, ends=ends)) is not None:
                        yield found
        yield from trio.run(measured.first_attempts)
        took = fsync_ms(Path(server.folder))
        yield {"fsync_ms": took, "load_before": load, "load_after": os.getloadavg()[0]}
    finally:
        server.remove()


def shown(found: dict[str, Any]) -> str:
    if "engine" not in found:
        return ", ".join(f"{name} {value}" for name, value in found.items())
    return (
        f"{found['engine']:24} {found['callers']:4} callers {found['accepted_per_s']:7}/s"
        f" {found['cpu_us_per_message']:8} us CPU and {found['server_us_per_message']:8} us of the"
        f" server  p50 {found['p50_ms']:8} ms  p99 {found['p99_ms']:8} ms"
    )
