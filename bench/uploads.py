# ruff: noqa: PLC0415 - each process imports the one library that it measures.
"""What an upload costs, by HTTP library: files of 20 MB as multipart/form-data over loopback.

`python -m bench.uploads` prints two figures of the client's process. One is milliseconds of CPU per
megabyte, with one upload and with 16 at once: the median of rounds that alternate between the
libraries. The other is by how many megabytes 100 uploads at once raise the peak memory. The server
is a process of its own, which reads the files and forgets them. `--slow` instead sends 9 MB to a
server that takes 200 KB a second, and prints how that ended. `--json` prints one list. Libraries
that are not installed are named and left out.
"""

from __future__ import annotations

import argparse
import asyncio  # noqa: TID251 - the loop of the peers' libraries, each in a process of its own
import importlib.util
import json
import logging
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import trio

from gateway_core.http import FileSource, FormField, Multipart, open_client

MB = 1_000_000
SIZE = 20 * MB
FILES = 32
IN_FLIGHT = (1, 16)
AT_ONCE = 100
ROUNDS = 3
SLOW_SIZE = 9 * MB
SLOW_RATE = 200_000

_OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 11\r\n\r\n"
_ANSWER = _OK + b'{"ok":true}'

Sends = Callable[[], Awaitable[object]]


# -- the server


async def _read_all(stream: trio.SocketStream) -> None:
    """Read each request to its end, and answer it. A request to `/slow` is read slowly."""
    pending = b""
    with suppress(trio.BrokenResourceError):
        while True:
            while b"\r\n\r\n" not in pending:
                more = await stream.receive_some(1 << 16)
                if not more:
                    return
                pending += more
            head, _, pending = pending.partition(b"\r\n\r\n")
            slow = b"/slow" in head.split(b"\r\n", 1)[0]
            left = _length_of(head) - len(pending)
            while left > 0:
                piece = await stream.receive_some(SLOW_RATE // 10 if slow else 1 << 18)
                if not piece:
                    return
                left -= len(piece)
                if slow:
                    await trio.sleep(len(piece) / SLOW_RATE)
            pending = b""
            await stream.send_all(_ANSWER)


def _length_of(head: bytes) -> int:
    lines = head.lower().split(b"\r\n")
    return sum(int(line[15:]) for line in lines if line.startswith(b"content-length:"))


async def serve() -> None:
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, _read_all, 0, host="127.0.0.1"))
        print(listeners[0].socket.getsockname()[1], flush=True)
        await trio.to_thread.run_sync(sys.stdin.read)
        nursery.cancel_scope.cancel()


# -- the libraries, on trio and on asyncio


@asynccontextmanager
async def through_gateway_core(url: str, path: Path) -> AsyncIterator[Sends]:
    async with open_client(base_url=url, max_connections=AT_ONCE) as client:

        async def send() -> object:
            photo = FormField("photo", await FileSource.at(path), filename="photo.png")
            form = Multipart([FormField("chat_id", "1000"), photo])
            return (await client.request("POST", "/sendPhoto", body=form)).json()

        yield send


@asynccontextmanager
async def through_httpx2(url: str, path: Path) -> AsyncIterator[Sends]:
    import httpx2

    limits = httpx2.Limits(max_connections=AT_ONCE, max_keepalive_connections=AT_ONCE)
    async with httpx2.AsyncClient(limits=limits, trust_env=False, timeout=60) as client:

        async def send() -> object:
            with path.open("rb") as file:
                posted = {"files": {"photo": ("photo.png", file)}, "data": {"chat_id": "1000"}}
                return (await client.post(f"{url}/sendPhoto", **posted)).json()  # type: ignore[arg-type]  # its own overloads

        yield send


@asynccontextmanager
async def through_httpx(url: str, path: Path) -> AsyncIterator[Sends]:
    import httpx

    limits = httpx.Limits(max_connections=AT_ONCE, max_keepalive_connections=AT_ONCE)
    async with httpx.AsyncClient(limits=limits, trust_env=False, timeout=60) as client:

        async def send() -> object:
            with path.open("rb") as file:
                posted = {"files": {"photo": ("photo.png", file)}, "data": {"chat_id": "1000"}}
                return (await client.post(f"{url}/sendPhoto", **posted)).json()  # type: ignore[arg-type]  # its own overloads

        yield send


@asynccontextmanager
async def through_aiohttp(url: str, path: Path) -> AsyncIterator[Sends]:
    import aiohttp

    async with aiohttp.ClientSession() as session:

        async def send() -> object:
            with path.open("rb") as file:
                form = aiohttp.FormData({"chat_id": "1000"})
                form.add_field("photo", file, filename="photo.png")
                async with session.post(f"{url}/sendPhoto", data=form) as response:
                    return await response.json()

        yield send


ON_TRIO: dict[str, tuple[str, Any]] = {
    "gateway_core.http": ("gateway_core", through_gateway_core),
    "httpx2": ("httpx2", through_httpx2),
}
ON_ASYNCIO: dict[str, tuple[str, Any]] = {
    "httpx": ("httpx", through_httpx),
    "aiohttp": ("aiohttp", through_aiohttp),
}


def _peak() -> float:
    """The peak of the process's resident memory, in megabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MB


async def on_trio(opened: Any, url: str, path: Path, in_flight: int, files: int) -> list[float]:
    """Milliseconds of CPU per megabyte, and megabytes of memory."""
    async with opened(url, path) as send:

        async def some(count: int) -> None:
            for _ in range(count):
                await send()

        async def all_of(count: int) -> None:
            async with trio.open_nursery() as nursery:
                for _ in range(in_flight):
                    nursery.start_soon(some, count // in_flight)

        await some(1)
        peak, start = _peak(), time.process_time()
        await all_of(files)
        return _figures(start, peak, files)


async def on_asyncio(opened: Any, url: str, path: Path, in_flight: int, files: int) -> list[float]:
    async with opened(url, path) as send:

        async def some(count: int) -> None:
            for _ in range(count):
                await send()

        async def all_of(count: int) -> None:
            await asyncio.gather(*(some(count // in_flight) for _ in range(in_flight)))

        await some(1)
        peak, start = _peak(), time.process_time()
        await all_of(files)
        return _figures(start, peak, files)


def _figures(start: float, peak: float, files: int) -> list[float]:
    return [(time.process_time() - start) * 1e3 / (files * SIZE / MB), _peak() - peak]


def one(name: str, url: str, path: Path, in_flight: int) -> list[float]:
    files = max(FILES, in_flight)
    if name in ON_TRIO:
        return trio.run(on_trio, ON_TRIO[name][1], url, path, in_flight, files)
    return asyncio.run(on_asyncio(ON_ASYNCIO[name][1], url, path, in_flight, files))


async def slow(url: str) -> str:
    """How an upload of 45 seconds ends, with the timeouts that adapters have."""
    form = Multipart([FormField("photo", bytes(SLOW_SIZE), filename="photo.png")])
    async with open_client(base_url=url) as client:
        begun = trio.current_time()
        answer = await client.request("POST", "/slow", body=form)
        return f"HTTP {answer.status} after {trio.current_time() - begun:.1f} s"


def measured(name: str, url: str, path: Path, in_flight: int) -> list[float]:
    """The figures of one library, in its own process, so that no library affects another."""
    asked = [sys.executable, "-m", "bench.uploads", "--one", name, url, str(path), str(in_flight)]
    done = subprocess.run(asked, capture_output=True, text=True, check=True, cwd=_root())  # noqa: S603 - this module
    figures: list[float] = json.loads(done.stdout)
    return figures


def _root() -> Path:
    return Path(__file__).parents[1]


def rows(names: list[str], url: str, path: Path) -> list[dict[str, Any]]:
    taken: dict[tuple[str, int], list[float]] = {}
    for _ in range(ROUNDS):
        for in_flight in IN_FLIGHT:
            for name in names:
                cost, _ = measured(name, url, path, in_flight)
                taken.setdefault((name, in_flight), []).append(cost)
    return [
        {"library": name}
        | {f"cpu_ms_per_mb_at_{n}": round(median(taken[name, n]), 2) for n in IN_FLIGHT}
        | {f"peak_mb_at_{AT_ONCE}": round(measured(name, url, path, AT_ONCE)[1])}
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
    parser.add_argument("--slow", action="store_true", help="upload 9 MB at 200 KB a second")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    logging.disable(logging.INFO)
    if arguments.serve:
        trio.run(serve)
    elif arguments.one:
        name, url, path, in_flight = arguments.one
        print(json.dumps(one(name, url, Path(path), int(in_flight))))
    else:
        _beside_a_server(arguments)


def _beside_a_server(arguments: argparse.Namespace) -> None:
    asked = [sys.executable, "-m", "bench.uploads", "--serve"]
    with (
        tempfile.NamedTemporaryFile() as file,
        subprocess.Popen(  # noqa: S603 - this module
            asked, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=_root()
        ) as server,
    ):
        if server.stdout is None:
            raise AssertionError("a pipe was asked for")
        file.write(bytes(SIZE))
        file.flush()
        try:
            url = f"http://127.0.0.1:{server.stdout.readline().strip()}"
            if arguments.slow:
                print(trio.run(slow, url))
                return
            table = rows(_installed(), url, Path(file.name))
        finally:
            server.kill()
    if arguments.json:
        print(json.dumps(table))
        return
    for row in table:
        print("  ".join(f"{key} {value}" for key, value in row.items()))


if __name__ == "__main__":
    main()
