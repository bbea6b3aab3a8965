"""The cases of `bench.recovery`: troubles of a platform, in virtual time or over sockets."""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from random import Random
from typing import Any

import attrs
import httpx2
import trio

from bench.worlds import Platform

LATENCY = (0.010, 0.040)
"""The least and the most seconds of the way there, and of the way back."""
FOREIGN = "r999n0 from elsewhere"
"""The text that another process sends."""
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
"""By platform, a 429 that says how many seconds to wait."""


@attrs.define(eq=False, kw_only=True)
class World(ABC):
    """One platform, and its troubles.

    refuses   returns for how many seconds the request with this body is refused; None: it is not
    stalled   the time until which every request waits on its way
    broken    the time until which a proxy in front of the platform answers 502
    refused   how many 429s the gateway's requests got, whatever their cause
    """

    platform: Platform
    emulator: Any
    refuses: Callable[[bytes], float | None] = lambda _body: None
    stalled: float = 0.0
    broken: float = 0.0
    refused: int = 0
    _random: Random = attrs.field(factory=lambda: Random("recovery"))

    @abstractmethod
    def mount(self) -> None:
        """Take connections, under the platform's name."""

    @abstractmethod
    def unmount(self) -> None:
        """Refuse connections; requests under way are answered."""

    @abstractmethod
    def unname(self, *, keeps: bool) -> None:
        """Let the platform's name not resolve; requests under way are answered.

        keeps  existing connections go on
        """

    @abstractmethod
    def stranger(self) -> httpx2.AsyncClient:
        """A client of another process."""

    def latency(self) -> tuple[float, float]:
        """Seconds of the way there and of the way back, for the next request."""
        up, down = self._random.uniform(*LATENCY), self._random.uniform(*LATENCY)
        return up + max(0.0, self.stalled - trio.current_time()), down

    def arrivals(self) -> list[float]:
        """When each of the gateway's messages was stored."""
        every = [m for name in self.emulator.rooms.names() for m in self.emulator.rooms.all(name)]
        return [m.stored_at for m in every if m.text != FOREIGN]

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request that has arrived."""
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
    content = json.dumps(body).encode()
    told = {**headers, "content-type": "application/json", "content-length": str(len(content))}
    raw = [(name.encode(), value.encode()) for name, value in told.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": content})


Trouble = Callable[[World], Awaitable[None]]


@attrs.frozen(kw_only=True)
class Case:
    """Messages to rooms, and a trouble meanwhile.

    took    seconds that the trouble itself takes, for all rooms
    slow    how many rooms are not counted, since the trouble concerns them
    before  how many messages the first room gets, one after the other, before the others begin
    """

    channel: str
    trouble: Trouble
    messages: int = 600
    rooms: int = 60
    took: float = 0.0
    slow: int = 0
    before: int = 0


async def nothing(_: World) -> None:
    """No trouble."""


def outage(at: float, seconds: float) -> Trouble:
    """Connections are refused for these seconds."""

    async def trouble(there: World) -> None:
        if at:
            await trio.sleep(at)
        there.unmount()
        await trio.sleep(seconds)
        there.mount()

    return trouble


def unnamed(at: float, seconds: float, *, keeps: bool = False) -> Trouble:
    """The platform's name does not resolve for these seconds; existing connections may be kept."""

    async def trouble(there: World) -> None:
        if at:
            await trio.sleep(at)
        there.unname(keeps=keeps)
        await trio.sleep(seconds)
        there.mount()

    return trouble


def stall(at: float, seconds: float) -> Trouble:
    """Requests arrive only when the stall is over, all at once."""

    async def trouble(there: World) -> None:
        await trio.sleep(at)
        there.stalled = trio.current_time() + seconds

    return trouble


def bad_gateway(seconds: float) -> Trouble:
    """Every request gets a 502 for these seconds."""

    async def trouble(there: World) -> None:
        there.broken = trio.current_time() + seconds
        await trio.lowlevel.checkpoint()

    return trouble


def flood(at: float, seconds: float, told: float = 1.0) -> Trouble:
    """Every request gets a 429 for these seconds, which says to wait `told` seconds."""

    async def trouble(there: World) -> None:
        await trio.sleep(at)
        over = trio.current_time() + seconds
        there.refuses = lambda _: None if trio.current_time() >= over else told

    return trouble


def rooms_limited(rooms: int, seconds: float) -> Trouble:
    """Some rooms are refused for these seconds; each 429 says how many seconds are left."""

    async def trouble(there: World) -> None:
        names = [there.platform.room_id(room).encode() for room in range(rooms)]
        over = trio.current_time() + seconds

        def refuses(body: bytes) -> float | None:
            left = over - trio.current_time()
            return math.ceil(left) if left > 0 and any(name in body for name in names) else None

        there.refuses = refuses

    return trouble


def strict_room(seconds: float) -> Trouble:
    """One room takes only one message in these seconds."""

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
            there.stranger() as client,
            trio.open_nursery() as nursery,
        ):
            number = 0
            while trio.current_time() < over:
                nursery.start_soon(_post, client, platform, 500 + number)
                number += 1
                await trio.sleep(1 / rate)

    return trouble


async def _post(client: httpx2.AsyncClient, platform: Platform, room: int) -> None:
    name, text, headers = platform.room_id(room), FOREIGN, {"x-foreign": "yes"}
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
    "one message, no name for 20 s": Case(
        channel="telegram", trouble=unnamed(0, 20.0), messages=1, rooms=1, took=20.0
    ),
    "600 messages, no name for 20 s": Case(
        channel="telegram", trouble=unnamed(2.0, 20.0), took=20.0
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
ON_CONNECTIONS: Mapping[str, Case] = {
    f"600 messages, no name for 20 s, connections kept, {channel}": Case(
        channel=channel, trouble=unnamed(2.0, 20.0, keeps=True), took=20.0
    )
    for channel in ("telegram", "slack", "discord")
}
"""Cases of kept connections, which exist only over sockets; what they carry saves time."""

PLOTTED = ("another process for 5 s", "a flood of 10 s")
"""The cases whose pace is drawn."""
