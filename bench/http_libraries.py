# ruff: noqa: PLC0415 - each process imports the one library that it measures.
"""What an HTTP library costs per request: small JSON messages over kept connections on loopback.

`python -m bench.http_libraries` prints microseconds of CPU per request of the client's process, the
median of rounds that alternate between the libraries, with 1, 16 and 64 requests in flight. The
server is a process of its own. For libraries on trio, 300 requests are then cancelled at random
moments, and of the next 16 requests `good_after_cancels` succeed. `--json` prints one list.
Libraries that are not installed are named and left out.
"""

from __future__ import annotations

import argparse
import asyncio  # noqa: TID251 - the loop of the peers' libraries, each in a process of its own
import importlib.util
import json
import logging
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import trio

from gateway_core.http import open_client

IN_FLIGHT = (1, 16, 64)
REQUESTS = 3_200
ROUNDS = 3
CANCELS = 300
AFTERWARDS = 16

TEXT = {"chat_id": 1000, "text": "The build passed, and the new version is on its way."}
_ANSWER = json.dumps(
    {"ok": True, "result": {"message_id": 1, "date": 1, "chat": {"id": 1000, "type": "private"}}}
    | {"padding": "x" * 250}
).encode()
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"

Asks = Callable[[], Awaitable[object]]


# -- the server


async def _answer_all(stream: trio.SocketStream) -> None:
    """Give the same answer to each request, which has a head and a body of known length."""
    whole, pending = _HEAD % len(_ANSWER) + _ANSWER, b""
    with suppress(trio.BrokenResourceError):
        async for chunk in stream:
            pending += chunk
            while (size := _size_of_request(pending)) is not None:
                pending = pending[size:]
                await stream.send_all(whole)


def _size_of_request(pending: bytes) -> int | None:
    head, blank, _ = pending.partition(b"\r\n\r\n")
    if not blank:
        return None
    lines = head.lower().split(b"\r\n")
    lengths = [int(line[15:]) for line in lines if line.startswith(b"content-length:")]
    size = len(head) + 4 + sum(lengths)
    return size if size <= len(pending) else None


async def serve() -> None:
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, _answer_all, 0, host="127.0.0.1"))
        print(listeners[0].socket.getsockname()[1], flush=True)
        await trio.to_thread.run_sync(sys.stdin.read)
        nursery.cancel_scope.cancel()


# -- the libraries, on trio and on asyncio


@asynccontextmanager
async def through_gateway_core(url: str) -> AsyncIterator[Asks]:
    """`gateway_core.http`, with all that it adds to the library beneath it."""
    async with open_client(base_url=url) as client:

        async def ask() -> object:
            return (await client.request("POST", "/sendMessage", json=TEXT)).json()

        yield ask


@asynccontextmanager
async def through_httpx2(url: str) -> AsyncIterator[Asks]:
    import httpx2

    limits = httpx2.Limits(max_connections=64, max_keepalive_connections=64)
    async with httpx2.AsyncClient(limits=limits, trust_env=False) as client:

        async def ask() -> object:
            return (await client.post(f"{url}/sendMessage", json=TEXT)).json()

        yield ask


@asynccontextmanager
async def through_httpx2_transport(url: str) -> AsyncIterator[Asks]:
    import httpx2

    limits = httpx2.Limits(max_connections=64, max_keepalive_connections=64)
    async with httpx2.AsyncHTTPTransport(limits=limits, trust_env=False) as transport:

        async def ask() -> object:
            request = httpx2.Request("POST", f"{url}/sendMessage", json=TEXT)
            response = await transport.handle_async_request(request)
            body = await response.aread()
            await response.aclose()
            return json.loads(body)

        yield ask


@asynccontextmanager
async def through_httpcore2(url: str) -> AsyncIterator[Asks]:
    import httpcore2

    async with httpcore2.AsyncConnectionPool(
        max_connections=64, max_keepalive_connections=64
    ) as pool:

        async def ask() -> object:
            content = json.dumps(TEXT).encode()
            headers = {"content-type": "application/json", "content-length": str(len(content))}
            response = await pool.request(
                "POST", f"{url}/sendMessage", headers=headers, content=content
            )
            return json.loads(response.content)

        yield ask


@asynccontextmanager
async def through_pyqwest(url: str) -> AsyncIterator[Asks]:
    import pyqwest

    client = pyqwest.Client(pyqwest.HTTPTransport())
    headers = {"content-type": "application/json"}

    async def ask() -> object:
        content = json.dumps(TEXT).encode()
        response = await client.post(f"{url}/sendMessage", headers, content)
        return json.loads(response.content)

    yield ask


@asynccontextmanager
async def through_httpx(url: str) -> AsyncIterator[Asks]:
    import httpx

    limits = httpx.Limits(max_connections=64, max_keepalive_connections=64)
    async with httpx.AsyncClient(limits=limits, trust_env=False) as client:

        async def ask() -> object:
            return (await client.post(f"{url}/sendMessage", json=TEXT)).json()

        yield ask


@asynccontextmanager
async def through_aiohttp(url: str) -> AsyncIterator[Asks]:
    import aiohttp

    async with aiohttp.ClientSession() as session:

        async def ask() -> object:
            async with session.post(f"{url}/sendMessage", json=TEXT) as response:
                return await response.json()

        yield ask


ON_TRIO: dict[str, tuple[str, Any]] = {
    "gateway_core.http": ("gateway_core", through_gateway_core),
    "httpx2": ("httpx2", through_httpx2),
    "httpx2 transport": ("httpx2", through_httpx2_transport),
    "httpcore2": ("httpcore2", through_httpcore2),
    "pyqwest": ("pyqwest", through_pyqwest),
}
ON_ASYNCIO: dict[str, tuple[str, Any]] = {
    "httpx": ("httpx", through_httpx),
    "aiohttp": ("aiohttp", through_aiohttp),
}


async def on_trio(opened: Any, url: str, in_flight: int) -> float:
    """Microseconds of CPU per request."""
    async with opened(url) as ask:

        async def some(count: int) -> None:
            for _ in range(count):
                await ask()

        async def all_of(count: int) -> None:
            async with trio.open_nursery() as nursery:
                for _ in range(in_flight):
                    nursery.start_soon(some, count // in_flight)

        await all_of(in_flight * 2)
        start = time.process_time()
        await all_of(REQUESTS)
        return (time.process_time() - start) / REQUESTS * 1e6


async def on_asyncio(opened: Any, url: str, in_flight: int) -> float:
    async with opened(url) as ask:

        async def some(count: int) -> None:
            for _ in range(count):
                await ask()

        async def all_of(count: int) -> None:
            await asyncio.gather(*(some(count // in_flight) for _ in range(in_flight)))

        await all_of(in_flight * 2)
        start = time.process_time()
        await all_of(REQUESTS)
        return (time.process_time() - start) / REQUESTS * 1e6


async def after_cancels(opened: Any, url: str) -> float:
    """How many of 16 requests succeed after 300 requests were cancelled at random moments."""
    random, good = Random("cancels"), 0

    async with opened(url) as ask:

        async def cancelled() -> None:
            with trio.move_on_after(random.uniform(0, 0.004)):
                await ask()

        async def whole() -> None:
            nonlocal good
            await ask()
            good += 1

        for _ in range(CANCELS // 15):
            async with trio.open_nursery() as nursery:
                for _ in range(15):
                    nursery.start_soon(cancelled)
        with trio.move_on_after(10):
            async with trio.open_nursery() as nursery:
                for _ in range(AFTERWARDS):
                    nursery.start_soon(whole)
    return good


def one(name: str, url: str, in_flight: int) -> float:
    if not in_flight:
        return trio.run(after_cancels, ON_TRIO[name][1], url)
    if name in ON_TRIO:
        return trio.run(on_trio, ON_TRIO[name][1], url, in_flight)
    return asyncio.run(on_asyncio(ON_ASYNCIO[name][1], url, in_flight))


def measured(name: str, url: str, in_flight: int) -> float:
    """The figure of one library, in its own process, so that no library affects another."""
    asked = [sys.executable, "-m", "bench.http_libraries", "--one", name, url, str(in_flight)]
    done = subprocess.run(asked, capture_output=True, text=True, check=True, cwd=_root())  # noqa: S603 - this module
    return float(done.stdout)


def _root() -> Path:
    return Path(__file__).parents[1]


def rows(names: list[str]) -> list[dict[str, Any]]:
    asked = [sys.executable, "-m", "bench.http_libraries", "--serve"]
    with subprocess.Popen(  # noqa: S603 - this module
        asked, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=_root()
    ) as server:
        if server.stdout is None:
            raise AssertionError("a pipe was asked for")
        try:
            url = f"http://127.0.0.1:{server.stdout.readline().strip()}"
            taken: dict[tuple[str, int], list[float]] = {}
            for _ in range(ROUNDS):
                for in_flight in IN_FLIGHT:
                    for name in names:
                        cost = measured(name, url, in_flight)
                        taken.setdefault((name, in_flight), []).append(cost)
            good = {name: measured(name, url, 0) for name in names if name in ON_TRIO}
        finally:
            server.kill()
    return [
        {"library": name}
        | {f"cpu_us_at_{n}": round(median(taken[name, n])) for n in IN_FLIGHT}
        | ({"good_after_cancels": round(good[name])} if name in good else {})
        for name in names
    ]


def _installed() -> list[str]:
    names = []
    for name, (module, _) in {**ON_TRIO, **ON_ASYNCIO}.items():
        if importlib.util.find_spec(module) is None:
            print(f"{module} is not installed: left out", file=sys.stderr)
        else:
            names.append(name)
    return names


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one list and nothing else")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    logging.disable(logging.INFO)
    if arguments.serve:
        trio.run(serve)
    elif arguments.one:
        name, url, in_flight = arguments.one
        print(one(name, url, int(in_flight)))
    else:
        table = rows(_installed())
        if arguments.json:
            print(json.dumps(table))
            return
        for row in table:
            print("  ".join(f"{key} {value}" for key, value in row.items()))


if __name__ == "__main__":
    main()
