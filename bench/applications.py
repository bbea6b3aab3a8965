"""How late growing answers end, and how they slow other messages down. In virtual time.

`python -m bench.applications` streams 1, 5, 10 and 40 answers at once on each emulated channel,
each in a room of its own, and two in one of Telegram's groups. Each answer takes 20 to 90 s, and 20
plain messages go to other rooms. Answers have one part in one run, and 20,000 characters in
another, and are shown by edits and, if the channel can, natively. `final_s` is the longest time
from the model's end to the whole text, `cadence_s` the mean time between two passing states of a
stream, `plain_p95_s` how long plain messages take, and `alone_p95_s` the same without any stream.
`--table` prints the rows as Markdown, `--json` as one list.
"""

from __future__ import annotations

import argparse
import itertools
import json
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from random import Random
from statistics import fmean
from typing import Any

import structlog
import trio
import trio.testing

from bench.worlds import PLATFORMS, Platform, configured
from gateway_contrib.emulators.wire import Latency
from gateway_core import Gateway, open_gateway
from gateway_core.authors import Attempt, hookimpl
from gateway_core.testing import open_network, virtual_wall

COUNTS = (1, 5, 10, 40)
LENGTHS = {"one part": 1_500, "20,000 characters": 20_000}
ROOMS = {
    "telegram": "{:d}",
    "telegram groups": "-{:d}",
    "telegram one group": "-{:d}",
    "slack": "C{:08d}",
    "discord": "1{:017d}",
}
TOGETHER = {"telegram one group": (2,)}
"""How many answers grow in the same room, which takes 20 messages a minute."""
NATIVE = ("telegram", "slack")
"""Channels that show streams natively; Telegram's groups use edits."""
PASSING = ("edit", "draft", "append")
PLAIN = 20
WORDS = "the quick brown fox jumps over a lazy dog and answers at length "


def event(room: str) -> dict[str, Any]:
    """A question in a Slack channel, as an event of the Events API."""
    asked = {"type": "message", "channel": room, "user": "U0ASKS", "ts": "1700000000.000100"}
    return {"type": "event_callback", "team_id": "T0EMULATOR", "event": asked}


class Edits:
    """Notes when each room's passing states were sent."""

    GATEWAY_CONTRACT = 1

    def __init__(self) -> None:
        self.at: dict[str, list[float]] = defaultdict(list)

    @hookimpl
    def after_attempt(self, attempt: Attempt) -> None:
        if attempt.operation in PASSING:
            self.at[attempt.room].append(trio.current_time())


@asynccontextmanager
async def _gateway(
    platform: Platform, edits: Edits, how: str
) -> AsyncIterator[tuple[Any, Gateway]]:
    """A gateway on the emulated platform, on a network in memory with trips of 20 to 80 ms."""
    async with open_network() as network:
        emulator = platform.emulator()
        latency = Latency(0.020, 0.080, f"bench {platform.channel}")
        network.mount("http://127.0.0.1:8080", latency(emulator.app))
        url = "http://127.0.0.1:8080" + platform.path
        edited = how == "by edits" and platform.channel in NATIVE
        settings = {"streaming": "edits"} if edited else {}
        config = configured(platform, url, settings=settings)
        opened = open_gateway(config, plugins=[edits], rng=Random("bench"), wall_clock=virtual_wall)
        async with opened as gateway:
            yield emulator, gateway


async def _run(name: str, how: str, count: int, length: int, seed: int) -> dict[str, Any]:
    platform = PLATFORMS[name.split(maxsplit=1)[0]]
    rng, edits = Random(f"{name} {count} {length} {seed}"), Edits()
    late: list[float] = []
    waits: list[float] = []
    wrong: list[str] = []
    room_of = ROOMS[name].format

    async def answer(room: str, begins: float, seconds: float) -> None:
        await trio.sleep(begins)
        pace = length / seconds
        text = (WORDS * (length // len(WORDS) + 1))[:length].rstrip()
        where = event(room) if name == "slack" and how == "natively" else ("bot", room)
        async with gateway.stream(where) as out:
            said = 0
            began = trio.current_time()
            while said < len(text):
                upto = round((trio.current_time() - began + 0.1) * pace)
                out.write(text[said:upto])
                said = upto
                await trio.sleep(0.1)
            ended = trio.current_time()
            receipt = await out.finish()
            late.append(trio.current_time() - ended)
            if not receipt.delivered:
                wrong.append(receipt.envelope_id)

    async def plain(room: str, begins: float) -> None:
        await trio.sleep(begins)
        began = trio.current_time()
        await gateway.send("bot", room, "hello")
        waits.append(trio.current_time() - began)

    async with _gateway(platform, edits, how) as (emulator, gateway):
        async with trio.open_nursery() as nursery:
            for number in range(count):
                begins = rng.uniform(0, 5)
                where = room_of(2_000 + (0 if name in TOGETHER else number))
                nursery.start_soon(answer, where, begins, rng.uniform(20, 90))
            for number in range(PLAIN):
                nursery.start_soon(plain, room_of(1_000 + number), rng.uniform(0, 60))
        limited = emulator.counters["rate_limited"]
    gaps = [b - a for at in edits.at.values() for a, b in itertools.pairwise(at)]
    return {
        "channel": name,
        "shown": how,
        "streams": count,
        "final_s": round(max(late, default=0.0), 2),
        "cadence_s": round(fmean(gaps), 2) if gaps else None,
        "plain_p95_s": round(sorted(waits)[PLAIN * 95 // 100 - 1], 2),
        "rate_limited": limited,
        "not_delivered": len(wrong),
    }


def streams(
    name: str, count: int, kind: str, seed: int = 1, how: str = "by edits"
) -> dict[str, Any]:
    """One row: `count` streams of this kind on this channel."""
    clock = trio.testing.MockClock(autojump_threshold=0)
    row: dict[str, Any] = trio.run(_run, name, how, count, LENGTHS[kind], seed, clock=clock)
    clock = trio.testing.MockClock(autojump_threshold=0)
    alone = trio.run(_run, name, how, 0, LENGTHS[kind], seed, clock=clock)
    return row | {"answers": kind, "alone_p95_s": alone["plain_p95_s"]}


COLUMNS = (
    "channel", "shown", "answers", "streams", "final_s", "cadence_s", "plain_p95_s", "alone_p95_s",
    "rate_limited", "not_delivered",
)  # fmt: skip


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as Markdown."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "| --- " * len(COLUMNS) + "|"]
    lines += [
        "| " + " | ".join("" if row[c] is None else str(row[c]) for c in COLUMNS) + " |"
        for row in rows
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--channel", action="append", choices=list(ROOMS))
    parser.add_argument("--streams", action="append", type=int)
    parser.add_argument("--shown", action="append", choices=["by edits", "natively"])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--table", action="store_true")
    asked = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    rows = []
    kinds = [
        (name, *kind)
        for name in asked.channel or ROOMS
        for kind in itertools.product(
            asked.shown or ["by edits", "natively"],
            LENGTHS,
            asked.streams or TOGETHER.get(name, COUNTS),
        )
    ]
    for name, how, kind, count in kinds:
        if how == "natively" and name not in NATIVE:
            continue
        rows.append(streams(name, count, kind, asked.seed, how))
        if not (asked.json or asked.table):
            print(rows[-1], flush=True)
    if asked.json:
        print(json.dumps(rows))
    elif asked.table:
        print(table(rows))


if __name__ == "__main__":
    main()
