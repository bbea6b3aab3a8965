"""Runs the job of each asyncio client's process: reads the job, sends the texts, reports.

The texts are handed over all at once, or by one loop per room (`way`), as an application would.

This module uses only the standard library, so that a client's interpreter needs only the client's
library.
"""

from __future__ import annotations

import asyncio  # noqa: TID251 - the peers' loop; the gateway's own process does not import this
import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from bench.peers.by_hand import Pace, room_pause
from bench.peers.measuring import Meter

Sender = Callable[[str, str], Awaitable[object]]
Futures = list[asyncio.Future[object]]
Opener = Callable[[dict[str, Any]], AbstractAsyncContextManager[Sender]]


async def handed_over(opener: Opener, job: dict[str, Any]) -> dict[str, Any]:
    """The report of the client's process on the job."""
    async with opener(job) as send:
        meter = Meter()
        running, answers = _STARTED[job["way"]](send, job)
        await _while_something_ends(answers, job)
        report = meter.report()
        outcomes = [_outcome(answer) for answer in answers]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    return {**report, "outcomes": outcomes, "announced": 0, "errors": _errors(answers)}


def _at_once(send: Sender, job: dict[str, Any]) -> tuple[Futures, Futures]:
    """Start a task for each text; the tasks are also the answers."""
    tasks = [asyncio.ensure_future(send(room, text)) for room, text in job["messages"]]
    return tasks, tasks


def _per_room(send: Sender, job: dict[str, Any], pause: float = 0.0) -> tuple[Futures, Futures]:
    """Start a task for each room; returns the tasks, and an answer for each text."""
    loop = asyncio.get_running_loop()
    rooms: dict[str, list[tuple[str, asyncio.Future[object]]]] = {}
    answers: Futures = [loop.create_future() for _ in job["messages"]]
    for (room, text), answer in zip(job["messages"], answers, strict=True):
        rooms.setdefault(room, []).append((text, answer))

    async def one_by_one(room: str) -> None:
        for text, answer in rooms[room]:
            try:
                answer.set_result(await send(room, text))
            except Exception as error:  # noqa: BLE001 - the loop goes on, whatever a client raises
                answer.set_exception(error)
            await asyncio.sleep(pause)

    return [asyncio.ensure_future(one_by_one(room)) for room in rooms], answers


def _paced(send: Sender, job: dict[str, Any]) -> tuple[Futures, Futures]:
    """Like `_per_room`, but the rooms share a pace, and each room pauses after an answer."""
    pace = Pace.of_account(job["channel"])

    async def in_turn(room: str, text: str) -> object:
        await pace.turn()
        return await send(room, text)

    return _per_room(in_turn, job, room_pause(job["channel"]))


_STARTED: dict[str, Callable[[Sender, dict[str, Any]], tuple[Futures, Futures]]] = {
    "at_once": _at_once,
    "per_room": _per_room,
    "paced": _paced,
}


async def _while_something_ends(
    tasks: Sequence[asyncio.Future[object]], job: dict[str, Any]
) -> None:
    """Wait until all have ended, or the time limit has passed, or nothing has ended for long."""
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
    failed = (task.exception() for task in tasks if task.done() and not task.cancelled())
    return sorted({f"{type(error).__name__}: {error}"[:200] for error in failed if error})[:5]


def run(opener: Opener) -> None:
    """Answer the job on standard input with a report on standard output."""
    print(json.dumps(asyncio.run(handed_over(opener, json.load(sys.stdin)))), flush=True)


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
    """Like `run`, for a job that says when to send each message; errors are not caught."""
    print(json.dumps(asyncio.run(_timed(opener, json.load(sys.stdin)))), flush=True)
