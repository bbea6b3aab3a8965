"""How much a backlog that ends slows down another account, in real time, on a platform in memory.

`python -m bench.neighbours` fills an account, sends through another account in a loop, and prints
the slowest of these sends, in seconds and in CPU seconds (on a busy machine only the second figure
is the gateway's own). Meanwhile the account is removed, or a suspension ends its envelopes
(`when_suspended="end"`), or its callers are cancelled together: callers of one key, callers of one
room, or callers that wait for a slot in the room.

A last row shows how long trio alone takes to cancel so many tasks, which it does in one turn.
Python's garbage collector, which also looks at a whole backlog at once, is off during the
measurement.
"""

from __future__ import annotations

import argparse
import gc
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import structlog
import trio

from gateway_contrib.sqlite import SqliteOutbox
from gateway_core import Disposition, Gateway, Send, Ttl, Undelivered
from gateway_core.authors import Attempt
from gateway_core.testing import FakeChannel, open_test_gateway

ROOMS = 60
ROOM_BOUND = 1000
LONG = 1e5
LARGE = 10**6
Times: TypeAlias = tuple[float, float]
"""Seconds, and CPU seconds of the thread."""
PACE = 0.001
"""Seconds between two sends of the neighbour."""


@asynccontextmanager
async def gateway_of(**settings: Any) -> AsyncIterator[Gateway]:
    """A gateway with a large account, whose attempts never end, and a small account."""

    async def never(attempt: Attempt) -> None:
        if attempt.instance_id == "large":
            await trio.sleep_forever()

    bounds = {"partition_bound": LARGE, "instance_bound": LARGE, "room_bound": LARGE}
    async with open_test_gateway(
        FakeChannel(latency=PACE, script=never),
        instances=["large", "small"],
        ttl=Ttl(normal=LONG),
        drain_timeout=0,
        **{**bounds, **settings},
    ) as gateway:
        yield gateway


async def fill(gateway: Gateway, number: int) -> None:
    """Give the large account a backlog."""
    for n in range(number):
        room = f"room {n % ROOMS}"
        await gateway.submit(Send(instance_id="large", external_room_id=room, text=str(n)))


async def slowest(gateway: Gateway, happens: Callable[[], Awaitable[object]]) -> Times:
    """The neighbour's slowest send, from just before `happens` begins to a second after its end."""
    took: list[Times] = []
    over = trio.Event()

    async def send() -> None:
        while not over.is_set():
            begun, used = time.perf_counter(), time.thread_time()
            await gateway.send("small", "room", "x")
            took.append((time.perf_counter() - begun, time.thread_time() - used))
            await trio.sleep(PACE)

    gc.disable()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        await trio.sleep(0.1)
        took.clear()
        await happens()
        await trio.sleep(1)
        over.set()
    gc.enable()
    return max(seconds for seconds, _ in took), max(used for _, used in took)


async def taken_out(number: int) -> Times:
    """The slowest send while the large account is removed."""
    async with gateway_of() as gateway:
        gateway.suspend("large")
        await fill(gateway, number)
        left: list[Undelivered] = []

        async def take_out() -> None:
            left.extend(await gateway.remove_instance("large"))

        return await slowest(gateway, take_out)


async def taken_out_of_an_outbox(number: int) -> Times:
    """The same with an outbox on disk, whose messages were loaded into memory before."""
    with TemporaryDirectory() as folder:
        outbox = SqliteOutbox(Path(folder) / "outbox.db")
        async with gateway_of(outbox=outbox) as gateway:
            gateway.suspend("large")
            async with trio.open_nursery() as nursery:
                for first in range(0, number, 1000):
                    count = min(1000, number - first)
                    nursery.start_soon(fill, gateway, count)
            gateway.resume("large")
            await trio.sleep(3)
            gateway.suspend("large")
            await trio.sleep(0.5)
            return await slowest(gateway, partial(gateway.remove_instance, "large"))


async def suspended(number: int) -> Times:
    """The slowest send while the large account is suspended, and its envelopes end."""
    async with gateway_of(when_suspended="end") as gateway:
        await fill(gateway, number)

        async def suspend() -> None:
            gateway.suspend("large")
            while gateway.statistics().dispositions.get(Disposition.FATAL, 0) < number - ROOMS:  # noqa: ASYNC110
                await trio.sleep(0.01)  # from outside, as applications look

        return await slowest(gateway, suspend)


async def cancelled(number: int, *, key: str | None, room_bound: int = LARGE) -> Times:
    """The slowest send while callers of the large account are cancelled together."""
    async with gateway_of(room_bound=room_bound) as gateway, trio.open_nursery() as nursery:
        gateway.suspend("large")
        scope = trio.CancelScope()

        async def call() -> None:
            with scope:
                async with trio.open_nursery() as callers:
                    for n in range(number):
                        text = "x" if key else str(n)
                        callers.start_soon(partial(gateway.send, "large", "r", text, key=key))

        nursery.start_soon(call)
        with trio.move_on_after(30):
            while gateway.statistics().accepted < (1 if key else min(number, room_bound)):  # noqa: ASYNC110
                await trio.sleep(0.1)
        await trio.sleep(1)

        async def cancel() -> None:
            scope.cancel()
            await trio.lowlevel.checkpoint()

        return await slowest(gateway, cancel)


async def trio_alone(number: int) -> Times:
    """How long trio alone takes to cancel `number` tasks that wait for an event."""
    async with trio.open_nursery() as nursery:
        for _ in range(number):
            nursery.start_soon(trio.Event().wait)
        await trio.sleep(0.5)
        gc.disable()
        begun, used = time.perf_counter(), time.thread_time()
        nursery.cancel_scope.cancel()
    took = time.perf_counter() - begun, time.thread_time() - used
    gc.enable()
    return took


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--backlog", type=int, default=60_000)
    parser.add_argument("--callers", type=int, default=20_000)
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    backlog, callers = options.backlog, options.callers
    rows: list[tuple[str, int, Callable[[], Awaitable[Times]]]] = [
        ("taken out", backlog, partial(taken_out, backlog)),
        ("taken out of an outbox", backlog, partial(taken_out_of_an_outbox, backlog)),
        ("suspended, ending what waits", backlog, partial(suspended, backlog)),
        ("callers of one key cancelled", callers, partial(cancelled, callers, key="k")),
        ("callers of one room cancelled", callers, partial(cancelled, callers, key=None)),
        (
            "callers that wait for a slot cancelled",
            callers,
            partial(cancelled, callers, key=None, room_bound=ROOM_BOUND),
        ),
        ("trio alone: tasks cancelled", callers, partial(trio_alone, callers)),
    ]
    print("what happens to the one account, of how many, and another one's slowest send")
    for name, number, run in rows:
        seconds, used = trio.run(run)
        print(f"{name:40} {number:7,} {1000 * seconds:8.1f} ms {1000 * used:8.1f} ms", flush=True)


if __name__ == "__main__":
    main()
