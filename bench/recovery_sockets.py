"""Runs the cases of `bench.recovery` over loopback sockets, in real time.

Each run is a process, and its platform runs in a thread of this process. `python -m
bench.recovery_sockets NAME [--quiet]` makes one run, without the trouble if quiet, and prints its
figures.

The gateway finds the platform by a name, through a relay whose port can be closed. When a platform
goes away, idle connections are cut, and connections with a request end after its answer. So, as in
memory, requests that had arrived are answered, and nothing else arrives.
"""

from __future__ import annotations

import json
import logging
import socket
import sys
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from random import Random
from typing import Any

import attrs
import httpx2
import structlog
import trio

from bench.middlebox import Middlebox, between
from bench.peers.tables import Row
from bench.recovery_cases import CASES, ON_CONNECTIONS, Case, Trouble, World, nothing
from bench.recovery_runs import Found, beside, run
from bench.worlds import PLATFORMS, configured
from gateway_contrib.emulators.serve import serve
from gateway_contrib.emulators.wire import RESET
from gateway_core import Gateway, open_gateway

AT_ONCE = 4
"""How many cases run at the same time, each with its ideal run; they mostly wait."""
QUIET = "--quiet"
IN_PLACE = 0.02
"""Seconds to wait until a trouble that begins at once has begun."""


class Names(trio.abc.HostnameResolver):
    """Resolves every name to this machine, except for platforms (by port) that have no name now."""

    def __init__(self) -> None:
        self.unknown: set[int] = set()

    async def getaddrinfo(self, host: Any, port: Any, *more: Any, **named: Any) -> Any:  # noqa: ARG002 - trio's arguments
        await trio.lowlevel.checkpoint()
        if int(port) in self.unknown:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", port))]

    async def getnameinfo(self, sockaddr: Any, flags: int) -> Any:
        raise NotImplementedError


@attrs.define(eq=False, kw_only=True)
class OverSockets(World):
    """A platform behind a relay; all of it but `unknown` belongs to its own thread."""

    unknown: set[int]
    url: str = ""
    up: threading.Event = attrs.field(factory=threading.Event)
    troubled: threading.Event = attrs.field(factory=threading.Event)
    _box: Middlebox = attrs.field(init=False)
    _leaves: bool = False
    _busy: set[Any] = attrs.field(factory=set)
    _cuts: dict[Any, Callable[[], None]] = attrs.field(factory=dict)
    _token: trio.lowlevel.TrioToken = attrs.field(init=False)
    _nursery: trio.Nursery = attrs.field(init=False)

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def mount(self) -> None:
        self._leaves = False
        self.unknown.discard(self.port)
        self._box.open()

    def unmount(self) -> None:
        self._box.shut()
        self._leave()

    def unname(self, *, keeps: bool) -> None:
        self.unknown.add(self.port)
        if not keeps:
            self._leave()

    def _leave(self) -> None:
        self._leaves = True
        for client in self._cuts.keys() - self._busy:
            with suppress(OSError):  # the connection had ended
                self._cuts.pop(client)()

    def stranger(self) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(base_url=self.url)

    async def _served(self, scope: Any, receive: Any, send: Any) -> None:
        client = tuple(scope["client"])
        self._cuts[client] = scope["extensions"][RESET]
        self._busy.add(client)
        up, down = self.latency()

        async def back(event: Any) -> None:
            if event["type"] == "http.response.start":
                await trio.sleep(down)
                if self._leaves:
                    event = {**event, "headers": [*event["headers"], (b"connection", b"close")]}
            await send(event)

        await trio.sleep(up)
        await self.app(scope, receive, back)
        self._busy.discard(client)

    async def main(self) -> None:
        """The thread's main function: serve until ended."""
        self._token = trio.lowlevel.current_trio_token()
        async with trio.open_nursery() as self._nursery:
            hidden = await self._nursery.start(_serve, self._served)
            async with between(hidden) as (self._box, self.url):
                self.up.set()
                await trio.sleep_forever()

    def begin(self, trouble: Trouble) -> None:
        """Begin the trouble; called from another thread."""

        async def begun() -> None:
            self._nursery.start_soon(trouble, self)
            await trio.sleep(IN_PLACE)
            self.troubled.set()

        self._token.run_sync_soon(self._nursery.start_soon, begun)

    def end(self) -> None:
        """End the platform; called from another thread."""
        self._token.run_sync_soon(self._nursery.cancel_scope.cancel)


async def _serve(app: Any, *, task_status: trio.TaskStatus[str]) -> None:
    await serve(app, task_status=task_status)


@asynccontextmanager
async def over_sockets(
    names: Names, channel: str, trouble: Trouble
) -> AsyncIterator[tuple[World, Gateway]]:
    """A world in real time, and a gateway in it; the trouble begins."""
    platform = PLATFORMS[channel]
    there = OverSockets(platform=platform, emulator=platform.emulator(), unknown=names.unknown)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.to_thread.run_sync, partial(trio.run, there.main))
        await trio.to_thread.run_sync(there.up.wait)
        try:
            url = f"http://localhost:{there.port}{platform.path}"
            settings = configured(platform, url, drain_timeout=0.0)
            async with open_gateway(settings, rng=Random("recovery")) as gateway:
                there.begin(trouble)
                await trio.to_thread.run_sync(there.troubled.wait)
                yield there, gateway
        finally:
            there.end()


async def once(case: Case, trouble: Trouble) -> Found:
    """One run, in this process."""
    names = Names()
    trio.socket.set_custom_hostname_resolver(names)
    return await run(case, trouble, partial(over_sockets, names))


async def _apart(name: str, *quiet: str) -> Found:
    """One run, in a process of its own."""
    command = [sys.executable, "-m", "bench.recovery_sockets", name, *quiet]
    done = await trio.run_process(command, capture_stdout=True)
    return Found(**json.loads(done.stdout))


async def rows(cases: Mapping[str, Case], told: Callable[[Row], None]) -> list[Row]:
    """Rows of the cases, in order; calls `told` with each row as soon as it is measured."""
    free = trio.Semaphore(AT_ONCE)
    found: dict[str, Row] = {}

    async def one(name: str, case: Case) -> None:
        pair: dict[str, Found] = {}

        async def half(*quiet: str) -> None:
            pair["".join(quiet)] = await _apart(name, *quiet)

        async with free, trio.open_nursery() as nursery:
            nursery.start_soon(half)
            nursery.start_soon(half, QUIET)
        found[name] = beside(name, case, pair[QUIET], pair[""])
        told(found[name])

    async with trio.open_nursery() as nursery:
        for name, case in cases.items():
            nursery.start_soon(one, name, case)
    return [found[name] for name in cases]


def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    name, *quiet = sys.argv[1:]
    case = {**CASES, **ON_CONNECTIONS}[name]
    found = trio.run(once, case, nothing if quiet == [QUIET] else case.trouble)
    print(json.dumps(attrs.asdict(found)))


if __name__ == "__main__":
    main()
