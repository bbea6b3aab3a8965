"""What a file costs through each adapter, compared with the clients that people use today.

`python -m bench.files` sends 1,000 files of 1 MB to each emulated platform, to eight rooms at once.
It prints two figures of the client's process: milliseconds of CPU for a file, and the most memory.
`--files` sends fewer files, and `--bytes` files of another size. `--rounds` repeats the run, and
prints the least of each figure.

All clients have the same job: a path for each message, one after the other in a room, each awaited
before the next. Each client and each platform is a process of its own, and a client's process
imports only what its job needs. The time counts user and kernel, in all threads, without the start
of the process and without the first file of each room. The memory is the peak of the whole process,
including the interpreter and imports. All clients are installed in one environment
(`make build/peers/.installed`), whose interpreter `--python` names.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import trio

from bench.peers.serving import WITHOUT_LIMITS
from bench.worlds import PLATFORMS
from gateway_contrib.emulators.serve import serve
from gateway_contrib.emulators.slack import SlackLimits

ROOT = Path(__file__).parents[1]
MB = 1_000_000
ROOMS = 8
CLIENTS = {
    "telegram": ("gateway", "python-telegram-bot", "aiogram"),
    "slack": ("gateway", "slack_sdk"),
    "discord": ("gateway", "discord.py"),
}


async def serving(channel: str) -> None:
    """Serve the platform until standard input ends. No client asks for files that it forgot."""
    platform, limits = PLATFORMS[channel], WITHOUT_LIMITS[channel]
    if channel == "slack":
        limits = SlackLimits(posts=(1_000_000, 1.0), tiers={}, share_seconds=0.1)
    emulator = platform.emulator(limits=limits)
    async with trio.open_nursery() as nursery:
        url = await nursery.start(partial(serve, emulator.app))
        if channel == "slack":
            emulator.files_url = url
        print(url, flush=True)
        await trio.to_thread.run_sync(sys.stdin.read)
        nursery.cancel_scope.cancel()


@contextmanager
def served(channel: str) -> Iterator[str]:
    asked = [sys.executable, "-m", "bench.files", "--serve", channel]
    with subprocess.Popen(  # noqa: S603 - this module
        asked, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as server:
        if server.stdout is None:
            raise AssertionError("a pipe was asked for")
        try:
            yield server.stdout.readline().strip()
        finally:
            server.kill()


def measured(client: str, channel: str, rooms: Mapping[str, Sequence[str]], python: str) -> Any:
    """(milliseconds of CPU for a file, megabytes of memory), measured in a process of its own."""
    module = "files_with_this_gateway" if client == "gateway" else "files"
    with served(channel) as url:
        job = {"url": url, "channel": channel, "library": client, "rooms": rooms}
        done = subprocess.run(  # noqa: S603 - this project's own modules
            [python, "-m", f"bench.peers.clients.{module}"],
            input=json.dumps({**job, "token": PLATFORMS[channel].token}),
            capture_output=True,
            text=True,
            cwd=ROOT,
            check=False,
        )
    if done.returncode:
        raise SystemExit(f"{client}: {done.stderr[-2000:]}")
    report = json.loads(done.stdout.splitlines()[-1])
    counted = sum(len(paths) - 1 for paths in rooms.values())
    return report["cpu_seconds"] / counted * 1e3, report["peak_rss_mb"] * (1 << 20) / MB


def made(folder: Path, count: int, size: int) -> list[str]:
    """`count` different files: for bytes that a platform has already, a client would send an id."""
    paths = [str(folder / f"report-{number}.bin") for number in range(count)]
    for path in paths:
        Path(path).write_bytes(os.urandom(size))
    return paths


def rows(arguments: argparse.Namespace, paths: Sequence[str]) -> Iterator[dict[str, Any]]:
    for channel, clients in CLIENTS.items():
        platform = PLATFORMS[channel]
        rooms = {platform.room_id(room): paths[room::ROOMS] for room in range(ROOMS)}
        figures: dict[str, list[Any]] = {client: [] for client in clients}
        for _ in range(arguments.rounds):
            for client, found in figures.items():
                found.append(measured(client, channel, rooms, arguments.python))
        for client, found in figures.items():
            cpu, peak = (min(each) for each in zip(*found, strict=True))
            yield {
                "channel": channel,
                "client": client,
                "cpu_ms_per_file": round(cpu, 2),
                "peak_mb": round(peak),
            }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--bytes", type=int, default=MB)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument(
        "--python", default="build/peers/bin/python", help="the Python that has the peers"
    )
    parser.add_argument("--json", action="store_true", help="print one list and nothing else")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        trio.run(serving, arguments.serve)
    else:
        with tempfile.TemporaryDirectory() as folder:
            found = []
            for row in rows(arguments, made(Path(folder), arguments.files, arguments.bytes)):
                found.append(row)
                if not arguments.json:
                    print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
        if arguments.json:
            print(json.dumps(found))


if __name__ == "__main__":
    main()
