"""What every asyncio client's process does: read a job, send it all at once, say how it went.

Standard library only, so that a client's interpreter needs that client's library and no more.
"""

from __future__ import annotations

import asyncio  # noqa: TID251 - the peers' loop; the gateway's own process does not import this
import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from bench.peers.measuring import Meter

Sender = Callable[[str, str], Awaitable[object]]
Opener = Callable[[dict[str, Any]], AbstractAsyncContextManager[Sender]]


async def _all(opener: Opener, job: dict[str, Any]) -> dict[str, Any]:
    async with opener(job) as send:
        meter = Meter()
        tasks = [asyncio.ensure_future(send(room, text)) for room, text in job["messages"]]
        await _while_something_ends(tasks, job)
        report = meter.report()
        outcomes = [_outcome(task) for task in tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return {**report, "outcomes": outcomes, "announced": 0, "errors": _errors(tasks)}


async def _while_something_ends(
    tasks: Sequence[asyncio.Future[object]], job: dict[str, Any]
) -> None:
    """Until all have ended, or the limit has passed, or nothing has ended for long."""
    loop = asyncio.get_running_loop()
    pending, end = set(tasks), loop.time() + job["limit_s"]
    while pending and loop.time() < end:
        before = len(pending)
        seconds = min(job["patience_s"], end - loop.time())
        _, pending = await asyncio.wait(pending, timeout=seconds)
        if len(pending) == before:
            return


def _outcome(task: asyncio.Future[object]) -> str:
    if not task.done():
        return "none"
    return "delivered" if task.exception() is None else "failed"


def _errors(tasks: Sequence[asyncio.Future[object]]) -> list[str]:
    failed = (task.exception() for task in tasks if not task.cancelled())
    return sorted({f"{type(error).__name__}: {error}"[:200] for error in failed if error})[:5]


def run(opener: Opener) -> None:
    """Answer the job on standard input with a report on standard output."""
    print(json.dumps(asyncio.run(_all(opener, json.load(sys.stdin)))), flush=True)


async def _timed(opener: Opener, job: dict[str, Any]) -> dict[str, float]:
    loop = asyncio.get_running_loop()
    async with opener(job) as send:
        meter, begun = Meter(), loop.time()

        async def later(at: float, room: str, text: str) -> None:
            await asyncio.sleep(begun + at - loop.time())
            await send(room, text)

        await asyncio.gather(*(later(*timed) for timed in job["timed"]))
        return meter.report()


def run_timed(opener: Opener) -> None:
    """The same for a job whose messages have their moments; nothing is caught."""
    print(json.dumps(asyncio.run(_timed(opener, json.load(sys.stdin)))), flush=True)
