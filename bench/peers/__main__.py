"""Compares this gateway with the clients that people use today, on the emulated platforms.

`python -m bench.peers` prints a row for each run, `--json` one list; `--write` puts the tables into
docs/explanation/comparison.md. Each client and each platform is a process of its own; they talk
over loopback, with round trips of 20 to 80 ms. The clients' libraries are installed in an
environment of their own:

    python -m venv build/peers && build/peers/bin/pip install -r bench/peers/requirements.txt
    python -m bench.peers --python build/peers/bin/python

Libraries that the interpreter (`--python`) does not have are named and left out. A whole comparison
takes about half an hour. `--client`, `--channel`, `--arrival` and `--fault` choose a part of it:
for example, `--channel slack --write` measures Slack again and leaves the other tables alone.
`--rows FILE` stores each row when it is measured, so that an interrupted comparison can go on.
`--messages 60` sends fewer messages.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import attrs

from bench.peers.machine import facts
from bench.peers.platform import ROOT, bound, served
from bench.peers.tables import write
from bench.peers.workload import (
    ARRIVALS,
    FAULT_MESSAGES,
    FAULTS,
    LOOPS,
    MESSAGES,
    ROOMS,
    judged,
    texts,
)
from bench.worlds import PLATFORMS

LIMIT = 120.0
"""Seconds after which a run ends, even if some texts have no answer yet."""

PATIENCE = 40.0
"""Seconds after which a run also ends if no text has ended meanwhile."""

AT_ONCE = 3
"""How many runs with faults are concurrent: they wait for timeouts, and need no CPU figures."""

KEYS = ("client", "channel", "arrival", "fault")
"""The fields that identify a row."""

SHOWN = ("round_robin", "room_by_room", *LOOPS)
"""How texts are handed over without faults: all at once in the two extreme orders, and by loops."""

WITH_FAULTS = ("mixed", "per_room")
"""How texts are handed over with faults; there are no limits then, so no pace is needed."""

GATEWAY = "gateway"
NOT_OF_GATEWAY = {("paced", "none"), *(("per_room", fault) for fault in FAULTS)}
"""(arrival, fault) pairs without a row for this gateway, which paces and keeps order by itself."""

_SLACK_OF_PROCESSES = 30.0


@attrs.frozen
class Client:
    """A client, the channels that it serves, the module that it needs, and its HTTP library."""

    module: str
    channels: tuple[str, ...]
    needs: str
    http: str


CLIENTS = {
    GATEWAY: Client(
        "with_this_gateway", ("telegram", "slack", "discord"), "gateway_core", "gateway_core.http"
    ),
    "python-telegram-bot": Client("with_python_telegram_bot", ("telegram",), "telegram", "httpx"),
    "aiogram": Client("with_aiogram", ("telegram",), "aiogram", "aiohttp"),
    "discord.py": Client("with_discord_py", ("discord",), "discord", "aiohttp"),
    "hikari": Client("with_hikari", ("discord",), "hikari", "aiohttp"),
    "slack_sdk": Client("with_slack_sdk", ("slack",), "slack_sdk", "aiohttp"),
}


@attrs.frozen
class Run:
    """One client against one platform."""

    client: str
    channel: str
    arrival: str
    fault: str
    python: str
    most: int = MESSAGES

    @property
    def key(self) -> tuple[str, ...]:
        """The values that identify the run's row."""
        return tuple(getattr(self, name) for name in KEYS)

    @property
    def messages(self) -> list[tuple[int, str]]:
        """(room, text) pairs in the order in which they are handed over."""
        count = MESSAGES if self.fault == "none" else FAULT_MESSAGES
        return texts(ROOMS, min(count, self.most), self.arrival)

    def job(self, url: str) -> dict[str, Any]:
        """The job for the client's process."""
        platform = PLATFORMS[self.channel]
        return {
            "url": url,
            "channel": self.channel,
            "token": platform.token,
            "messages": [(platform.room_id(room), text) for room, text in self.messages],
            "way": self.arrival if self.arrival in LOOPS else "at_once",
            "limit_s": LIMIT,
            "patience_s": PATIENCE,
        }

    def row(self) -> dict[str, Any]:
        """Run the client, and compare the platform's messages with the client's outcomes."""
        with served(self.channel, self.fault) as platform:
            report = self._asked(self.job(platform.url))
            held = platform.held()
        messages = self.messages
        verdict = judged([text for _, text in messages], report["outcomes"], held["rooms"])
        cpu = report["cpu_seconds"] / len(messages) * 1e6
        row = {
            "client": self.client,
            "channel": self.channel,
            "arrival": self.arrival,
            "fault": self.fault,
            "makespan_s": round(report["seconds"], 2),
            "bound_s": round(bound(self.channel, messages, held), 2),
            "rate_limited": held["counters"].get("rate_limited", 0),
            **verdict,
            "announced": report["announced"],
            "unanswered": report["outcomes"].count("none"),
            "cpu_us_per_message": round(cpu),
            "peak_rss_mb": round(report["peak_rss_mb"], 1),
        }
        if self.fault == "none" and not row["unanswered"]:
            row["cpu_us_above_http"] = round(cpu - self._bare(held))
        return row

    def _asked(self, job: dict[str, Any]) -> dict[str, Any]:
        """The report of the client's process on this job."""
        module = f"bench.peers.clients.{CLIENTS[self.client].module}"
        report = self._process(module, job)
        for error in report["errors"]:
            print(f"  {self.client}, {self.fault}: {error}", file=sys.stderr)
        return report

    def _bare(self, held: dict[str, Any]) -> float:
        """Microseconds per message of the client's HTTP library alone, at the same pace."""
        timed = _timed(self, held["arrivals"])
        with served(self.channel, "free") as platform:
            job = {**self.job(platform.url), "timed": timed}
            report = self._process("bench.peers.bare", job, CLIENTS[self.client].http)
        return float(report["cpu_seconds"]) / len(self.messages) * 1e6

    def _process(self, module: str, job: dict[str, Any], *arguments: str) -> dict[str, Any]:
        python = sys.executable if self.client == GATEWAY else self.python
        done = subprocess.run(  # noqa: S603 - this project's own module
            [python, "-m", module, *arguments],
            input=json.dumps(job),
            capture_output=True,
            text=True,
            cwd=ROOT,
            timeout=LIMIT + _SLACK_OF_PROCESSES,
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"{self.client}, {module}: {done.returncode}\n{done.stderr[-2000:]}")
        report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return report


def _timed(run: Run, arrivals: dict[str, float]) -> list[tuple[float, str, str]]:
    """(seconds, room, text) of each text whose request came in."""
    begun = min(arrivals.values(), default=0.0)
    platform = PLATFORMS[run.channel]
    there = [(room, text, text.split()[0]) for room, text in run.messages]
    return [
        (arrivals[name] - begun, platform.room_id(room), text)
        for room, text, name in there
        if name in arrivals
    ]


def _installed(client: Client, python: str) -> bool:
    asked = f"import importlib.util as u, sys; sys.exit(u.find_spec({client.needs!r}) is None)"
    return subprocess.run([python, "-c", asked], check=False).returncode == 0  # noqa: S603 - ours


def _runs(arguments: argparse.Namespace) -> Iterator[Run]:
    for name, client in CLIENTS.items():
        if arguments.client not in {None, name}:
            continue
        if name != GATEWAY and not _installed(client, arguments.python):
            print(f"{name} is not installed in {arguments.python}: left out", file=sys.stderr)
            continue
        for channel in client.channels:
            if arguments.channel in {None, channel}:
                yield from _of_channel(name, channel, arguments)


def _of_channel(name: str, channel: str, arguments: argparse.Namespace) -> Iterator[Run]:
    for fault in ("none", *FAULTS):
        if arguments.fault not in {None, fault}:
            continue
        for arrival in _arrivals(fault, arguments):
            if name != GATEWAY or (arrival, fault) not in NOT_OF_GATEWAY:
                yield Run(name, channel, arrival, fault, arguments.python, arguments.messages)


def _arrivals(fault: str, arguments: argparse.Namespace) -> tuple[str, ...]:
    if arguments.arrival:
        return (arguments.arrival,) if fault == "none" or arguments.fault else ()
    return SHOWN if fault == "none" else WITH_FAULTS


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.peers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print one list and nothing else")
    parser.add_argument("--client", choices=CLIENTS, help="only this client")
    parser.add_argument("--channel", choices=sorted(PLATFORMS), help="only this channel")
    parser.add_argument(
        "--arrival", choices=(*ARRIVALS, *LOOPS), help="only this way of handing over"
    )
    parser.add_argument("--fault", choices=("none", *FAULTS), help="only this fault")
    parser.add_argument("--python", default=sys.executable, help="the Python that has the peers")
    parser.add_argument("--write", action="store_true", help="put the tables into the docs")
    parser.add_argument("--rows", type=Path, help="append each row to this file")
    parser.add_argument(
        "--messages", type=int, default=MESSAGES, help="fewer messages, for a trial"
    )
    arguments = parser.parse_args()
    if arguments.messages != MESSAGES and (arguments.write or arguments.rows):
        parser.error("--write and --rows need all messages: leave out --messages")
    return arguments


def _rows(arguments: argparse.Namespace, known: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yields the row of every run that is not known yet, when the run ends."""
    done = {tuple(row[key] for key in KEYS) for row in known}
    runs = [run for run in _runs(arguments) if run.key not in done]
    for run in runs:
        if run.fault == "none":
            yield run.row()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        going = [pool.submit(run.row) for run in runs if run.fault != "none"]
        for ended in as_completed(going):
            yield ended.result()


def _known(path: Path | None) -> list[dict[str, Any]]:
    if path is None or not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines()]


def main() -> None:
    arguments = _arguments()
    rows, measured = _known(arguments.rows), facts(arguments.python)
    for row in _rows(arguments, rows):
        row["measured"] = measured
        rows.append(row)
        if arguments.rows:
            with arguments.rows.open("a") as kept:
                kept.write(json.dumps(row) + "\n")
        if not arguments.json:
            shown = (f"{key} {value}" for key, value in row.items() if key != "measured")
            print("  ".join(shown), flush=True)
    rows.sort(key=_in_order)
    if arguments.json:
        print(json.dumps(rows))
    if arguments.write:
        write(rows)


def _in_order(row: dict[str, Any]) -> tuple[int, ...]:
    return (
        list(CLIENTS).index(row["client"]),
        CLIENTS[row["client"]].channels.index(row["channel"]),
        ("none", *FAULTS).index(row["fault"]),
        (*ARRIVALS, *LOOPS).index(row["arrival"]),
    )


if __name__ == "__main__":
    main()
