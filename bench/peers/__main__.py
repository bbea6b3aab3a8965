"""This gateway beside the clients that people use today, on the emulated platforms.

`python -m bench.peers` prints a row for each run, `--json` one list. Each client and each platform
is a process of its own; they talk over loopback, 20 to 80 ms away. Clients whose library the
interpreter (`--python`) does not have are named and left out.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs

from bench.peers.workload import (
    ARRIVALS,
    FAULT_MESSAGES,
    FAULTS,
    MESSAGES,
    ROOMS,
    judged,
    texts,
)
from bench.worlds import PLATFORMS

LIMIT = 150.0
"""Seconds after which a run ends, whatever has no answer yet."""

_SLACK_OF_PROCESSES = 30.0
_MEAN_TRIP = 0.050
_ROOT = Path(__file__).parents[2]


@attrs.frozen
class Client:
    """A client, the channels that it serves, and the library that it needs."""

    module: str
    channels: tuple[str, ...]
    library: str


CLIENTS = {
    "gateway": Client("with_this_gateway", ("telegram", "slack", "discord"), "gateway_core"),
    "python-telegram-bot": Client("with_python_telegram_bot", ("telegram",), "telegram"),
    "aiogram": Client("with_aiogram", ("telegram",), "aiogram"),
    "discord.py": Client("with_discord_py", ("discord",), "discord"),
    "hikari": Client("with_hikari", ("discord",), "hikari"),
    "slack_sdk": Client("with_slack_sdk", ("slack",), "slack_sdk"),
}


@attrs.frozen
class Run:
    """One client against one platform."""

    client: str
    channel: str
    arrival: str
    fault: str
    python: str

    @property
    def messages(self) -> list[tuple[int, str]]:
        count = MESSAGES if self.fault == "none" else FAULT_MESSAGES
        return texts(ROOMS, count, self.arrival)

    def row(self) -> dict[str, Any]:
        """Let it run, and judge what the platform holds by what the client was told."""
        report, held = _both_sides(self)
        messages = self.messages
        verdict = judged([text for _, text in messages], report["outcomes"], held["rooms"])
        return {
            "client": self.client,
            "channel": self.channel,
            "arrival": self.arrival,
            "fault": self.fault,
            "makespan_s": round(report["seconds"], 2),
            "bound_s": round(_bound(self.channel, [room for room, _ in messages]), 2),
            "rate_limited": held["counters"].get("rate_limited", 0),
            **verdict,
            "announced": report["announced"],
            "cpu_us_per_message": round(report["cpu_seconds"] / len(messages) * 1e6),
            "peak_rss_mb": round(report["peak_rss_mb"], 1),
        }


def _bound(channel: str, rooms: list[int]) -> float:
    counts = [rooms.count(room) for room in sorted(set(rooms))]
    return PLATFORMS[channel].bound(counts, _MEAN_TRIP)


def _both_sides(run: Run) -> tuple[dict[str, Any], dict[str, Any]]:
    """The client's report, and what the platform holds in the end."""
    platform = PLATFORMS[run.channel]
    serving = [sys.executable, "-m", "bench.peers.serving", run.channel, run.fault]
    with subprocess.Popen(  # noqa: S603 - this project's own module
        serving, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=_ROOT
    ) as server:
        if server.stdin is None or server.stdout is None:
            raise AssertionError("pipes were asked for")
        try:
            job = {
                "url": server.stdout.readline().strip(),
                "channel": run.channel,
                "token": platform.token,
                "messages": [(platform.room_id(room), text) for room, text in run.messages],
                "limit_s": LIMIT,
            }
            report = _asked(run, job)
            server.stdin.write("\n")
            server.stdin.flush()
            return report, json.loads(server.stdout.readline())
        finally:
            server.kill()


def _asked(run: Run, job: dict[str, Any]) -> dict[str, Any]:
    """The client's process, given the job."""
    python = sys.executable if run.client == "gateway" else run.python
    module = f"bench.peers.clients.{CLIENTS[run.client].module}"
    done = subprocess.run(  # noqa: S603 - this project's own module
        [python, "-m", module],
        input=json.dumps(job),
        capture_output=True,
        text=True,
        cwd=_ROOT,
        timeout=LIMIT + _SLACK_OF_PROCESSES,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{run.client} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    for error in report["errors"]:
        print(f"  {run.client}, {run.fault}: {error}", file=sys.stderr)
    return report


def _installed(client: Client, python: str) -> bool:
    asked = f"import importlib.util as u, sys; sys.exit(u.find_spec({client.library!r}) is None)"
    return subprocess.run([python, "-c", asked], check=False).returncode == 0  # noqa: S603 - ours


def _runs(arguments: argparse.Namespace) -> Iterator[Run]:
    for name, client in CLIENTS.items():
        if arguments.client not in {None, name}:
            continue
        if name != "gateway" and not _installed(client, arguments.python):
            print(f"{name} is not installed in {arguments.python}: left out", file=sys.stderr)
            continue
        for channel in client.channels:
            if arguments.channel in {None, channel}:
                yield from _of_channel(name, channel, arguments)


def _of_channel(name: str, channel: str, arguments: argparse.Namespace) -> Iterator[Run]:
    if arguments.fault in {None, "none"}:
        for arrival in ARRIVALS:
            if arguments.arrival in {None, arrival}:
                yield Run(name, channel, arrival, "none", arguments.python)
    for fault in FAULTS:
        if arguments.fault == fault or (arguments.fault is None and arguments.arrival is None):
            yield Run(name, channel, arguments.arrival or "mixed", fault, arguments.python)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.peers", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one list and nothing else")
    parser.add_argument("--client", choices=CLIENTS, help="this client alone")
    parser.add_argument("--channel", choices=sorted(PLATFORMS), help="this channel alone")
    parser.add_argument("--arrival", choices=ARRIVALS, help="this order of arrival alone")
    parser.add_argument("--fault", choices=("none", *FAULTS), help="this fault alone")
    parser.add_argument("--python", default=sys.executable, help="the peers' interpreter")
    return parser.parse_args()


def main() -> None:
    arguments = _arguments()
    rows = []
    for run in _runs(arguments):
        rows.append(run.row())
        if not arguments.json:
            print("  ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
    if arguments.json:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
