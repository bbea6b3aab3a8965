"""Serves a platform in a process of its own, for the duration of a run."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs

from bench.peers.workload import label, name_of
from bench.worlds import PLATFORMS

MEAN_TRIP = 0.050
"""Seconds of a round trip that are assumed if a text's last request had no answer."""

ROOT = Path(__file__).parents[2]


@attrs.frozen
class Served:
    """A platform that is served at `url`."""

    url: str
    _process: subprocess.Popen[str]

    def held(self) -> dict[str, Any]:
        """The platform's content; the platform then ends.

        counters  counts of requests and refusals
        rooms     the texts of each room, in the platform's order
        trips     seconds that the last request of each text took, by the text's name
        arrivals  when that request came in, by the text's name
        """
        if self._process.stdin is None or self._process.stdout is None:
            raise AssertionError("pipes were asked for")
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        held: dict[str, Any] = json.loads(self._process.stdout.readline())
        return held


@contextmanager
def served(channel: str, fault: str) -> Iterator[Served]:
    """The emulator of `channel` on loopback; `fault` as in the workload, or `none`, or `free`."""
    serving = [sys.executable, "-m", "bench.peers.serving", channel, fault]
    with subprocess.Popen(  # noqa: S603 - this project's own module
        serving, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as server:
        if server.stdout is None:
            raise AssertionError("pipes were asked for")
        try:
            yield Served(server.stdout.readline().strip(), server)
        finally:
            server.kill()


def bound(channel: str, messages: list[tuple[int, str]], held: dict[str, Any]) -> float:
    """The shortest makespan that the pacing allows, with the round trips of this run."""
    order: dict[int, list[str]] = {room: [] for room, _ in messages}
    there = [name_of(text) for room in held["rooms"] for text in room]
    for room, number in (*there, *(name_of(text) for _, text in messages)):
        order[room].append(label(room, number))
    trips = held["trips"]
    rooms = [
        [trips.get(name, MEAN_TRIP) for name in dict.fromkeys(room)] for room in order.values()
    ]
    return PLATFORMS[channel].bound(rooms)
