"""How long a login code waits if a backlog of bulk messages has reached a bound; in virtual time.

`python -m bench.classes` prints a row for each run, in memory and with SQLite; `--json` prints one
list. The account may send 30 messages a second. A run hands over a backlog of bulk messages, waits
five seconds, and then sends one code: `urgent`, `order="none"`, `ttl=60`. In a run's control no
bound is reached. In `restart` the process ends before it sends the code, and the next process finds
the code in the file, after the backlog.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import attrs
import structlog
import trio
import trio.testing

from gateway_contrib.sqlite import SqliteOutbox, SqliteSettings
from gateway_core import Gateway, GatewayError, Limit, Receipt, Send
from gateway_core.testing import FakeChannel, open_test_gateway, virtual_wall

PACE = 30
FLOWS = 5.0
TTL = 60.0
AT_ONCE = 1_000
"""How many callers start at the same time; each waits by itself if it finds no slot."""


CODE = Send(
    instance_id="bot", external_room_id="room 0", text="1234", ttl=TTL, priority="urgent",
    order="none",
)  # fmt: skip


@attrs.frozen(kw_only=True)
class Run:
    """A backlog, and the bounds that it reaches.

    rooms  how many rooms the backlog is spread over; the code goes to the first of them
    wide   the bounds of the run's control, which the backlog does not reach
    """

    bulk: int
    rooms: int
    bounds: Mapping[str, int] = attrs.field(factory=dict)
    wide: Mapping[str, int]


RUNS: Mapping[str, Run] = {
    "account": Run(bulk=70_000, rooms=2_000, wide={"partition_bound": 20_000}),
    "partition": Run(
        bulk=5_000,
        rooms=500,
        bounds={"partition_count": 1, "partition_bound": 1_000},
        wide={"partition_count": 1},
    ),
    "room": Run(bulk=3_000, rooms=1, wide={"room_bound": 5_000}),
}
OUTBOXES = ("memory", "sqlite")


async def code(run: Run, folder: Path | None, *, control: bool = False) -> dict[str, Any]:
    """One run: seconds until the code arrived, and how it ended."""
    async with AsyncExitStack() as stack:
        gateway, channel = await _opened(stack, run, folder, control=control)
        nursery = await stack.enter_async_context(trio.open_nursery())
        await _hand_over(nursery, gateway, run)
        await trio.sleep(FLOWS)
        row = await _sent(gateway, channel, _waiting(gateway))
        nursery.cancel_scope.cancel()
    return row


async def restarted(run: Run, folder: Path) -> dict[str, Any]:
    """One run whose process ends before it sends the accepted code; the next process finds it."""
    async with AsyncExitStack() as stack:
        gateway, _ = await _opened(stack, run, folder)
        gateway.suspend("bot")
        nursery = await stack.enter_async_context(trio.open_nursery())
        await _hand_over(nursery, gateway, run)
        ticket = await gateway.submit(CODE)
    async with AsyncExitStack() as stack:
        gateway, channel = await _opened(stack, run, folder)
        gateway.resume("bot")
        begun, waiting = trio.current_time(), gateway.statistics().stored
        with trio.move_on_after(TTL + 1):
            while _arrived(channel) is None:  # noqa: ASYNC110 - virtual time
                await trio.sleep(1 / PACE)
        status = await gateway.status(ticket.id)
        return _row(status.receipt if status else None, channel, begun, waiting)


async def _opened(
    stack: AsyncExitStack, run: Run, folder: Path | None, *, control: bool = False
) -> tuple[Gateway, FakeChannel]:
    channel = FakeChannel(limits=lambda _room, _operation: [Limit("account", PACE, 1.0)])
    outbox = None
    if folder is not None:
        settings = SqliteSettings(in_thread=False)
        outbox = SqliteOutbox(folder / "outbox.db", settings, wall_clock=virtual_wall)
    bounds = run.wide if control else run.bounds
    opened = open_test_gateway(channel, outbox=outbox, drain_timeout=0.0, **bounds)
    return await stack.enter_async_context(opened), channel


async def _hand_over(nursery: trio.Nursery, gateway: Gateway, run: Run) -> None:
    """Hand each bulk message over by its own caller; returns once all are accepted or wait."""
    for first in range(0, run.bulk, AT_ONCE):
        for number in range(first, min(run.bulk, first + AT_ONCE)):
            room = f"room {number % run.rooms}"
            nursery.start_soon(_submit, gateway, _bulk(room, number))
        await trio.testing.wait_all_tasks_blocked()


async def _submit(gateway: Gateway, envelope: Send) -> None:
    try:
        await gateway.submit(envelope)
    except GatewayError:  # the run is over
        return


def _bulk(room: str, number: int) -> Send:
    text = f"newsletter {number}"
    return Send(instance_id="bot", external_room_id=room, text=text, priority="bulk")


async def _sent(gateway: Gateway, channel: FakeChannel, waiting: int) -> dict[str, Any]:
    """Send the code to the first room of the backlog."""
    begun, receipt = trio.current_time(), None
    try:
        with trio.move_on_after(10 * TTL):
            receipt = await (await gateway.submit(CODE)).receipt()
    except GatewayError as refusal:
        return {"took_s": None, "ended": type(refusal).__name__, "waiting": waiting}
    return _row(receipt, channel, begun, waiting)


def _row(
    receipt: Receipt | None, channel: FakeChannel, begun: float, waiting: int
) -> dict[str, Any]:
    at = _arrived(channel)
    took = None if at is None else round(at - begun, 3)
    ended = "unfinished" if receipt is None else str(receipt.disposition)
    return {"took_s": took, "ended": ended, "waiting": waiting}


def _arrived(channel: FakeChannel) -> float | None:
    """When the code was sent."""
    found = (made.at for made in channel.made if made.attempt.payload["text"] == CODE.text)
    return next(found, None)


def _waiting(gateway: Gateway) -> int:
    """How many messages wait outside of memory: for a slot, or only in the file."""
    parts = gateway.statistics().partitions
    return sum(part.waiting + part.spilled for part in parts)


def in_virtual_time(run: Run, outbox: str, how: str) -> dict[str, Any]:
    """One run in virtual time; `how` is `run`, `control` or `restart`."""
    clock = trio.testing.MockClock(autojump_threshold=0)
    with TemporaryDirectory(prefix="classes") as name:
        folder = None if outbox == "memory" else Path(name)
        if how != "restart":
            return trio.run(lambda: code(run, folder, control=how == "control"), clock=clock)
        return trio.run(lambda: restarted(run, Path(name)), clock=clock)


def rows() -> list[dict[str, Any]]:
    """Rows of every run and its control; with SQLite also of a restart."""
    found = []
    for name, run in RUNS.items():
        for outbox in OUTBOXES:
            for how in ("run", "control", *(["restart"] if outbox == "sqlite" else [])):
                row = {"run": name, "outbox": outbox, "how": how}
                found.append(row | in_virtual_time(run, outbox, how))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one list and nothing else")
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    found = rows()
    if arguments.json:
        print(json.dumps(found))
        return
    for row in found:
        took = "never" if row["took_s"] is None else f"{row['took_s']:.3f} s"
        print(
            f"{row['run']:10} {row['outbox']:7} {row['how']:8} {took:>10}  {row['ended']:12}"
            f" {row['waiting']:>7} wait beyond memory"
        )


if __name__ == "__main__":
    main()
