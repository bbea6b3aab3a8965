"""How well the limits are used: 600 messages to 60 rooms on the emulators, over loopback sockets.

`python -m bench.schedule` prints each workload's row; `--json` prints one list, `--table` the rows
as Markdown. `late` counts messages that the platform accepted after a later message of their room.
`bound_s` is the shortest time that the configured pacing allows, with the drawn round trips.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Callable
from functools import partial
from typing import Any

import structlog
import trio

from bench.peers.platform import bound, served
from bench.peers.tables import ARRIVALS as NAMES
from bench.peers.tables import Row, table
from bench.peers.workload import ARRIVALS, MESSAGES, ROOMS, judged, texts
from bench.worlds import PLATFORMS, Platform, configured, emulated, message
from gateway_core import open_gateway


def makespan(platform: Platform, order: str) -> dict[str, Any]:
    """Send all messages at once, in this order, to a platform in a process of its own."""
    messages = texts(ROOMS, MESSAGES, order)
    with served(platform.channel, "none") as there:
        took, outcomes = trio.run(_sent, platform, there.url + platform.path, messages)
        held = there.held()
    verdict = judged([text for _, text in messages], outcomes, held["rooms"])
    return {
        "channel": platform.channel,
        "arrival": order,
        "makespan_s": round(took, 2),
        "bound_s": round(bound(platform.channel, messages, held), 2),
        "rate_limited": held["counters"].get("rate_limited", 0),
        "lost": verdict["lost"],
        "late": verdict["late"],
    }


async def _sent(
    platform: Platform, url: str, messages: list[tuple[int, str]]
) -> tuple[float, list[str]]:
    """Seconds from the first submission to the last receipt, and how each message ended."""
    async with open_gateway(configured(platform, url)) as gateway:
        start = trio.current_time()
        tickets = [await gateway.submit(message(platform, *each)) for each in messages]
        outcomes = [str((await ticket.receipt()).disposition) for ticket in tickets]
        return trio.current_time() - start, outcomes


async def hot_room() -> dict[str, Any]:
    """One room gets 40 messages, and 59 rooms get one message each: how long those rooms wait."""
    platform = PLATFORMS["telegram"]
    waits: list[float] = []
    async with (
        emulated(platform) as (emulator, url),
        open_gateway(configured(platform, url)) as gateway,
        trio.open_nursery() as nursery,
    ):
        start = trio.current_time()

        async def send(room: int, number: int) -> None:
            await gateway.send("bot", platform.room_id(room), f"{room}/{number}")
            if room:
                waits.append(trio.current_time() - start)

        for number in range(40):
            nursery.start_soon(send, 0, number)
        await trio.sleep(0.01)
        for room in range(1, ROOMS):
            nursery.start_soon(send, room, 0)
    return {
        "others_p95_s": round(sorted(waits)[len(waits) * 95 // 100], 2),
        "rate_limited": emulator.counters["rate_limited"],
    }


def hanging_for(room: str) -> Any:
    """A wrapper for an application that never answers requests that name `room`."""

    def around(app: Any) -> Any:
        async def wrapped(scope: Any, receive: Any, send: Any) -> None:
            event = await receive()
            if room.encode() in event.get("body", b""):
                await trio.sleep_forever()
            events = [event]

            async def again() -> Any:
                return events.pop() if events else await receive()

            await app(scope, again, send)

        return wrapped

    return around


async def beside(*, trouble: bool) -> float:
    """The p99 of 50 healthy rooms; with `trouble`, beside a hanging room and a dead instance."""
    platform = PLATFORMS["slack"]
    waits: list[float] = []
    hanging = hanging_for(platform.room_id(99))
    async with emulated(platform, hanging) as (_, url), trio.open_nursery() as nursery:
        dead = await nursery.start(_listens_and_never_answers)
        config = configured(platform, url, partition_count=1, drain_timeout=0.0)
        async with open_gateway(config) as gateway, trio.open_nursery() as callers:
            if trouble:
                dead_bot = configured(platform, dead + platform.path).instances[0]
                gateway.add_instance(type(dead_bot)("dead", dead_bot.channel, dead_bot.settings))
                await gateway.submit(message(platform, 99, "99/0"))
                for room in range(100):
                    send = message(platform, room, f"{room}/0")
                    await gateway.submit(_for(send, "dead"))
                await trio.sleep(0.2)

            async def send_all(room: int) -> None:
                for number in range(4):
                    begun = trio.current_time()
                    await gateway.send("bot", platform.room_id(room), f"{room}/{number}")
                    waits.append(trio.current_time() - begun)

            for room in range(50):
                callers.start_soon(send_all, room)
        nursery.cancel_scope.cancel()
    return sorted(waits)[len(waits) * 99 // 100]


def _for(send: Any, instance_id: str) -> Any:
    return type(send)(
        instance_id=instance_id, external_room_id=send.external_room_id, text=send.text
    )


async def _listens_and_never_answers(task_status: trio.TaskStatus[str]) -> None:
    async def ignore(stream: trio.SocketStream) -> None:
        async with stream:
            await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        listen = partial(trio.serve_tcp, ignore, 0, host="127.0.0.1")
        listeners = await nursery.start(listen)
        port = listeners[0].socket.getsockname()[1]
        task_status.started(f"http://127.0.0.1:{port}")


COLUMNS: dict[str, Callable[[Row], str]] = {
    "channel": lambda row: str(row["channel"]),
    "arrival": lambda row: NAMES[row["arrival"]],
    "makespan, s": lambda row: f"{row['makespan_s']:.2f}",
    "bound, s": lambda row: f"{row['bound_s']:.2f}",
    "ratio": lambda row: f"{row['makespan_s'] / row['bound_s']:.3f}",
    "429s": lambda row: str(row["rate_limited"]),
    "lost": lambda row: str(row["lost"]),
    "late": lambda row: str(row["late"]),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one list and nothing else")
    parser.add_argument("--table", action="store_true", help="print the rows as Markdown")
    parser.add_argument("--channel", choices=sorted(PLATFORMS), help="only this channel")
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    rows = []
    for channel in [arguments.channel] if arguments.channel else list(PLATFORMS):
        for order in ARRIVALS:
            rows.append(makespan(PLATFORMS[channel], order))
            if not (arguments.json or arguments.table):
                print("  ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
    if arguments.json:
        print(json.dumps(rows))
        return
    if arguments.table:
        print(table(rows, COLUMNS))
    if arguments.channel is None:
        print("hot room (40 messages), 59 others with one, telegram:", trio.run(hot_room))
        print_beside()


def print_beside() -> None:
    async def alone() -> float:
        return await beside(trouble=False)

    async def troubled() -> float:
        return await beside(trouble=True)

    without, beside_them = trio.run(alone), trio.run(troubled)
    print(
        "50 healthy rooms, 4 messages each, one partition, slack: p99"
        f" {without:.2f} s alone, {beside_them:.2f} s beside a hanging room and a dead instance"
        f" (ratio {beside_them / without:.2f})"
    )


if __name__ == "__main__":
    main()
