"""How soon all is well again: what a fault costs beyond its own time, in virtual time.

`python -m bench.recovery` prints a row for each case; `--json` one list, `--table` Markdown, and
`--plot` draws how the pace comes back, for docs/explanation/recovery.md. The
real adapters send to the emulators through a network in memory, so that every machine gets the same
figures. `ideal_s` is the time without the fault and the time that the fault itself takes; `lost_s`
is what it took beyond that, which should be less than a tenth of it, or than 2 s. `refused` are
429s of ours; `late` were accepted after a later message of their room.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import attrs
import httpx2
import structlog
import trio

from bench.peers.tables import Row, table
from bench.peers.workload import judged, texts
from bench.worlds import PLATFORMS, Platform, configured, message
from gateway_core import Gateway, open_gateway
from gateway_core.testing import Network, open_network, run_seeded, virtual_wall

URL = "http://127.0.0.1:9"
SHARE, SECONDS = 0.1, 2.0
"""The time that a case may lose: the larger of a share of the ideal, and so many seconds."""
LATENCY = (0.010, 0.040)
"""Seconds on the way there, and as many on the way back."""
REFUSALS: Mapping[str, Callable[[float], tuple[int, Any, dict[str, str]]]] = {
    "telegram": lambda seconds: (
        429,
        {
            "ok": False,
            "error_code": 429,
            "description": f"Too Many Requests: retry after {seconds:.0f}",
            "parameters": {"retry_after": round(seconds)},
        },
        {},
    ),
    "slack": lambda seconds: (
        429,
        {"ok": False, "error": "ratelimited"},
        {"retry-after": f"{seconds:.0f}"},
    ),
    "discord": lambda seconds: (
        429,
        {"message": "The resource is being rate limited.", "retry_after": seconds, "global": False},
        {"retry-after": f"{seconds:.0f}", "x-ratelimit-scope": "shared"},
    ),
}
"""A platform's refusal that says how many seconds to wait."""


@attrs.define(eq=False)
class World:
    """One platform in memory, and what happens to it.

    refuses   says for how many seconds a request is refused that names a room; None: it is not
    stalled   until then every request waits on its way
    broken    until then whoever stands before the platform answers 502
    refused   429s, of whatever origin, that the gateway's requests met
    """

    platform: Platform
    emulator: Any
    network: Network
    refuses: Callable[[bytes], float | None] = lambda _body: None
    stalled: float = 0.0
    broken: float = 0.0
    refused: int = 0
    _random: Random = attrs.field(factory=lambda: Random("recovery"))

    def mount(self) -> None:
        """Be there."""
        self.network.mount(URL, self._app, latency=self._latency)

    def unmount(self) -> None:
        """Refuse connections."""
        self.network.unmount(URL)

    def _latency(self) -> tuple[float, float]:
        up, down = self._random.uniform(*LATENCY), self._random.uniform(*LATENCY)
        return up + max(0.0, self.stalled - trio.current_time()), down

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        event = await receive()
        if trio.current_time() < self.broken:
            await _answer(send, 502, "", {})
            return
        body = event.get("body", b"") + scope["path"].encode()
        ours = dict(scope["headers"]).get(b"x-foreign") is None
        seconds = self.refuses(body) if ours and scope["method"] != "GET" else None
        if seconds is not None:
            self.refused += 1
            await _answer(send, *REFUSALS[self.platform.channel](seconds))
            return
        events = [event]

        async def again() -> Any:
            return events.pop() if events else await receive()

        async def told(event: Any) -> None:
            if ours and event["type"] == "http.response.start" and event["status"] == 429:
                self.refused += 1
            await send(event)

        await self.emulator.app(scope, again, told)


async def _answer(send: Any, status: int, body: Any, headers: dict[str, str]) -> None:
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    raw.append((b"content-type", b"application/json"))
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": json.dumps(body).encode()})


@asynccontextmanager
async def world(channel: str) -> AsyncIterator[tuple[World, Gateway]]:
    """A gateway with one account on an emulated platform."""
    platform = PLATFORMS[channel]
    async with open_network() as network:
        there = World(platform, platform.emulator(), network)
        there.mount()
        settings = configured(platform, URL + platform.path, drain_timeout=0.0)
        async with open_gateway(
            settings, rng=Random("recovery"), wall_clock=virtual_wall
        ) as gateway:
            yield there, gateway


Trouble = Callable[[World], Awaitable[None]]


@attrs.frozen(kw_only=True)
class Case:
    """Messages to rooms, and trouble beside.

    took    seconds that the trouble itself takes of everybody's time
    slow    rooms that are not counted, since the trouble is theirs
    before  messages that the first room has had, one after the other, when the others begin
    """

    channel: str
    trouble: Trouble
    messages: int = 600
    rooms: int = 60
    took: float = 0.0
    slow: int = 0
    before: int = 0


async def _nothing(_: World) -> None:
    """No trouble."""


async def run(case: Case, trouble: Trouble) -> tuple[float, World, Mapping[str, int], int]:
    """Seconds until the last message of a room that is counted has ended, and what became of it."""
    there: World
    async with world(case.channel) as (there, gateway), trio.open_nursery() as nursery:
        nursery.start_soon(trouble, there)
        for number in range(case.before):
            await gateway.send("bot", there.platform.room_id(0), f"before {number}")
        begun, last = trio.current_time(), 0.0
        handed = texts(case.rooms, case.messages, "round_robin")
        outcomes: dict[int, str] = {}

        async def wait(number: int, room: int, ticket: Any) -> None:
            nonlocal last
            outcomes[number] = str((await ticket.receipt()).disposition)
            if room >= case.slow:
                last = max(last, trio.current_time() - begun)

        async with trio.open_nursery() as waiting:
            for number, (room, text) in enumerate(handed):
                ticket = await gateway.submit(message(there.platform, room, text))
                waiting.start_soon(wait, number, room, ticket)
        unforeseen = gateway.statistics().instances[0].possible_duplicates
        nursery.cancel_scope.cancel()
    rooms = [there.platform.room_id(room) for room in range(case.slow, case.rooms)]
    held = [[m.text for m in there.emulator.rooms.all(room)] for room in rooms]
    counted = [n for n, (room, _) in enumerate(handed) if room >= case.slow]
    told = ["delivered" if outcomes[n] == "delivered" else "failed" for n in counted]
    return last, there, judged([handed[n][1] for n in counted], told, held), unforeseen


# -- what happens


def outage(at: float, seconds: float) -> Trouble:
    """Connections are refused for so long."""

    async def trouble(there: World) -> None:
        if at:
            await trio.sleep(at)
        there.unmount()
        await trio.sleep(seconds)
        there.mount()

    return trouble


def stall(at: float, seconds: float) -> Trouble:
    """Requests arrive only when it is over, all at once."""

    async def trouble(there: World) -> None:
        await trio.sleep(at)
        there.stalled = trio.current_time() + seconds

    return trouble


def bad_gateway(seconds: float) -> Trouble:
    """A 502 for everything, for so long."""

    async def trouble(there: World) -> None:
        there.broken = trio.current_time() + seconds
        await trio.lowlevel.checkpoint()

    return trouble


def flood(at: float, seconds: float, told: float = 1.0) -> Trouble:
    """Everything is refused for so long."""

    async def trouble(there: World) -> None:
        await trio.sleep(at)
        over = trio.current_time() + seconds
        there.refuses = lambda _: None if trio.current_time() >= over else told

    return trouble


def rooms_limited(rooms: int, seconds: float) -> Trouble:
    """Some rooms are refused for so long, each refusal saying how long still."""

    async def trouble(there: World) -> None:
        names = [there.platform.room_id(room).encode() for room in range(rooms)]
        over = trio.current_time() + seconds

        def refuses(body: bytes) -> float | None:
            left = over - trio.current_time()
            return math.ceil(left) if left > 0 and any(name in body for name in names) else None

        there.refuses = refuses

    return trouble


def strict_room(seconds: float) -> Trouble:
    """One room takes a message in so many seconds."""

    async def trouble(there: World) -> None:
        name, free = there.platform.room_id(0).encode(), 0.0

        def refuses(body: bytes) -> float | None:
            nonlocal free
            if name not in body:
                return None
            left = free - trio.current_time()
            if left > 0:
                return math.ceil(left)
            free = trio.current_time() + seconds
            return None

        there.refuses = refuses

    return trouble


def foreign(at: float, seconds: float, rate: float) -> Trouble:
    """Another process sends with the same token to rooms of its own."""

    async def trouble(there: World) -> None:
        await trio.sleep(at)
        platform, over = there.platform, trio.current_time() + seconds
        async with (
            httpx2.AsyncClient(transport=there.network.transport(), base_url=URL) as client,
            trio.open_nursery() as nursery,
        ):
            number = 0
            while trio.current_time() < over:
                nursery.start_soon(_post, client, platform, 500 + number)
                number += 1
                await trio.sleep(1 / rate)

    return trouble


async def _post(client: httpx2.AsyncClient, platform: Platform, room: int) -> None:
    name, text, headers = platform.room_id(room), "r999n0 from elsewhere", {"x-foreign": "yes"}
    if platform.channel == "telegram":
        url, body = f"/bot{platform.token}/sendMessage", {"chat_id": name, "text": text}
    elif platform.channel == "slack":
        url, body = "/api/chat.postMessage", {"channel": name, "text": text}
        headers["authorization"] = f"Bearer {platform.token}"
    else:
        url, body = f"/api/v10/channels/{name}/messages", {"content": text}
        headers["authorization"] = f"Bot {platform.token}"
    await client.post(url, json=body, headers=headers)


CASES: Mapping[str, Case] = {
    **{
        f"one message, {seconds:.0f} s of refused connections": Case(
            channel="telegram", trouble=outage(0, seconds), messages=1, rooms=1, took=seconds
        )
        for seconds in (5.0, 20.0, 120.0)
    },
    **{
        f"one message, 20 s of refused connections, {channel}": Case(
            channel=channel, trouble=outage(0, 20.0), messages=1, rooms=1, took=20.0
        )
        for channel in ("slack", "discord")
    },
    "one message, 12 s of 502": Case(
        channel="discord", trouble=bad_gateway(12.0), messages=1, rooms=1, took=12.0
    ),
    "600 messages, 20 s of refused connections": Case(
        channel="telegram", trouble=outage(2.0, 20.0), took=20.0
    ),
    "a stall of 2 s": Case(channel="telegram", trouble=stall(3.0, 2.0), took=2.0),
    "a stall of 2 s ": Case(channel="discord", trouble=stall(3.0, 2.0), took=2.0),
    "another process for 5 s": Case(
        channel="telegram", trouble=foreign(3, 5, 60), messages=1_100, rooms=110, took=5.0
    ),
    "another process for 5 s ": Case(
        channel="discord", trouble=foreign(3, 5, 100), messages=1_056, rooms=110, took=5.0
    ),
    "a flood of 10 s": Case(
        channel="telegram", trouble=flood(3, 10), messages=2_400, rooms=240, took=10.0
    ),
    "a flood of 10 s ": Case(
        channel="slack", trouble=flood(3, 10), messages=2_400, rooms=240, took=10.0
    ),
    "two rooms of 60 limited for 30 s": Case(
        channel="slack", trouble=rooms_limited(2, 30), messages=120, slow=2
    ),
    "three rooms of 60 limited for 30 s": Case(
        channel="slack", trouble=rooms_limited(3, 30), messages=120, slow=3
    ),
    "three rooms of 140 limited for 30 s": Case(
        channel="telegram", trouble=rooms_limited(3, 30), messages=140, rooms=140, slow=3
    ),
    "three rooms told to wait a day": Case(
        channel="telegram", trouble=rooms_limited(3, 86_400), messages=140, rooms=140, slow=3
    ),
    **{
        f"60 rooms beside one that takes one in 3 s, {channel}": Case(
            channel=channel, trouble=strict_room(3.0), messages=61, rooms=61, slow=1, before=20
        )
        for channel in ("telegram", "slack")
    },
}


PLOTTED = ("another process for 5 s", "a flood of 10 s")


def row(name: str, case: Case) -> Row:
    """One case beside its ideal."""
    ideal = run_seeded("recovery", run, case, _nothing)[0] + case.took
    took, there, found, copies = run_seeded("recovery", run, case, case.trouble)
    lost = took - ideal
    return {
        "case": name.removesuffix(case.channel).rstrip(", "),
        "channel": case.channel,
        "ideal_s": round(ideal, 2),
        "took_s": round(took, 2),
        "lost_s": round(lost, 2),
        "refused": there.refused,
        "copies": found["duplicated"],
        "announced": copies,
        "lost": found["lost"],
        "late": found["late"],
        "holds": lost <= max(SHARE * ideal, SECONDS) and not (found["lost"] or found["late"]),
    }


def curve(case: Case) -> list[int]:
    """How many messages arrived in each second."""
    took, there, *_ = run_seeded("recovery", run, case, case.trouble)
    rooms = there.emulator.rooms
    ours = [m for name in rooms.names() for m in rooms.all(name) if "elsewhere" not in m.text]
    counted = Counter(int(message.stored_at) for message in ours)
    return [counted[second] for second in range(int(took) + 1)]


COLUMNS: dict[str, Callable[[Row], str]] = {
    "case": lambda row: str(row["case"]),
    "channel": lambda row: str(row["channel"]),
    "ideal, s": lambda row: f"{row['ideal_s']:.1f}",
    "took, s": lambda row: f"{row['took_s']:.1f}",
    "lost, s": lambda row: f"{row['lost_s']:.1f}",
    "429s": lambda row: str(row["refused"]),
    "copies": lambda row: str(row["copies"]),
    "lost": lambda row: str(row["lost"]),
    "late": lambda row: str(row["late"]),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one list and nothing else")
    parser.add_argument("--table", action="store_true", help="print the rows as Markdown")
    parser.add_argument("--case", default="", help="those alone whose name has this in it")
    parser.add_argument("--plot", type=Path, help="draw how the pace comes back, into this file")
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    if arguments.plot is not None:
        from bench.plots import draw_recovery  # noqa: PLC0415 - the figures need no matplotlib

        drawn = {name: curve(case)[:45] for name, case in CASES.items() if name in PLOTTED}
        draw_recovery(drawn, arguments.plot)
        return
    rows = []
    for name, case in CASES.items():
        if arguments.case in name or arguments.case == case.channel:
            rows.append(row(name, case))
            if not (arguments.json or arguments.table):
                print("  ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
    if arguments.json:
        print(json.dumps(rows))
    if arguments.table:
        print(table(rows, COLUMNS))


if __name__ == "__main__":
    main()
