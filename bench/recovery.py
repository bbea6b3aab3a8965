"""How fast the gateway recovers: the time that a fault costs beyond its own duration.

`python -m bench.recovery` prints a row for each case, in virtual time: the real adapters send to
the emulators through a network in memory, so that every machine gets the same figures. With
`--sockets` the same cases run on loopback, in real time, four at once, and also a few cases of kept
connections. `--json` prints one list, `--table` Markdown (with `--sockets` of both), and `--plot`
draws how the pace recovers, for docs/explanation/recovery.md. `ideal_s` is the time without the
fault plus the fault's own duration. `lost_s` is the time beyond that, which should be less than a
tenth of it, or than 2 s. `refused` are 429s of our requests; `late` are messages accepted after a
later message of their room; `announced` are possible copies that receipts announce.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import attrs
import httpx2
import structlog
import trio

from bench import recovery_sockets
from bench.peers.tables import Row, table
from bench.recovery_cases import CASES, ON_CONNECTIONS, PLOTTED, Case, Trouble, World, nothing
from bench.recovery_runs import Found, beside, run
from bench.worlds import PLATFORMS, configured
from gateway_core import Gateway, open_gateway
from gateway_core.testing import Network, open_network, run_seeded, virtual_wall

URL = "http://127.0.0.1:9"


@attrs.define(eq=False, kw_only=True)
class InMemory(World):
    """A platform in a network in memory."""

    network: Network

    def mount(self) -> None:
        self.network.mount(URL, self.app, latency=self.latency)

    def unmount(self) -> None:
        self.network.unmount(URL)

    def unname(self, *, keeps: bool) -> None:
        if not keeps:
            self.network.unname(URL)

    def stranger(self) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(transport=self.network.transport(), base_url=URL)


@asynccontextmanager
async def in_memory(channel: str, trouble: Trouble) -> AsyncIterator[tuple[World, Gateway]]:
    """A world in virtual time, and a gateway in it; the trouble begins."""
    platform = PLATFORMS[channel]
    async with open_network() as network:
        there = InMemory(platform=platform, emulator=platform.emulator(), network=network)
        there.mount()
        settings = configured(platform, URL + platform.path, drain_timeout=0.0)
        opened = open_gateway(settings, rng=Random("recovery"), wall_clock=virtual_wall)
        async with opened as gateway, trio.open_nursery() as nursery:
            nursery.start_soon(trouble, there)
            yield there, gateway
            nursery.cancel_scope.cancel()


def row(name: str, case: Case) -> Row:
    """The row of one case, in virtual time."""
    return beside(name, case, _run(case, nothing), _run(case, case.trouble))


def _run(case: Case, trouble: Trouble) -> Found:
    return run_seeded("recovery", run, case, trouble, in_memory)


def curve(case: Case) -> list[int]:
    """How many messages arrived in each second."""
    found = _run(case, case.trouble)
    counted = Counter(int(stored_at) for stored_at in found.arrivals)
    return [counted[second] for second in range(int(found.seconds) + 1)]


COLUMNS: dict[str, Callable[[Row], str]] = {
    "case": lambda row: str(row["case"]),
    "channel": lambda row: str(row["channel"]),
    "ideal, s": lambda row: f"{row['ideal_s']:.1f}",
    "took, s": lambda row: f"{row['took_s']:.1f}",
    "lost, s": lambda row: f"{round(row['lost_s'], 1) + 0.0:.1f}",
    "429s": lambda row: str(row["refused"]),
    "copies": lambda row: str(row["copies"]),
    "announced": lambda row: str(row["announced"]),
    "lost": lambda row: str(row["lost"]),
    "late": lambda row: str(row["late"]),
}
TIMES = ("ideal, s", "lost, s", "429s")
COUNTS = ("copies", "announced", "lost", "late")


def both(memory: Sequence[Row], sockets: Sequence[Row]) -> str:
    """One table: times in memory, then times over sockets; counts are sums of both."""
    of = {(row["case"], row["channel"]): row for row in memory}
    pairs = [{"memory": of.get((row["case"], row["channel"])), "sockets": row} for row in sockets]

    def time(world: str, name: str) -> Callable[[Row], str]:
        return lambda pair: "-" if pair[world] is None else COLUMNS[name](pair[world])

    def count(name: str) -> Callable[[Row], str]:
        return lambda pair: str(sum(row[name] for row in pair.values() if row is not None))

    def label(name: str) -> Callable[[Row], str]:
        return lambda pair: str(pair["sockets"][name])

    columns = {name: label(name) for name in ("case", "channel")}
    columns |= {name: time("memory", name) for name in TIMES}
    columns |= {f"sockets: {name}": time("sockets", name) for name in TIMES}
    return table(pairs, columns | {name: count(name) for name in COUNTS})


def in_virtual_time(cases: Mapping[str, Case], told: Callable[[Row], None]) -> list[Row]:
    """A row for each case; calls `told` with each row as soon as it is measured."""
    rows = []
    for name, case in cases.items():
        rows.append(row(name, case))
        told(rows[-1])
    return rows


def _print(found: Row) -> None:
    print("  ".join(f"{key} {value}" for key, value in found.items()), flush=True)


def _silent(_: Row) -> None:
    """Print nothing, since the rows are printed together later."""


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one list and nothing else")
    parser.add_argument("--table", action="store_true", help="print the rows as Markdown")
    parser.add_argument(
        "--sockets", action="store_true", help="over loopback sockets, in real time"
    )
    parser.add_argument("--case", default="", help="only cases whose name contains this")
    parser.add_argument("--plot", type=Path, help="draw how the pace recovers, into this file")
    arguments = parser.parse_args(words)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    if arguments.plot is not None:
        from bench.plots import draw_recovery  # noqa: PLC0415 - the figures need no matplotlib

        drawn = {name: curve(case)[:45] for name, case in CASES.items() if name in PLOTTED}
        draw_recovery(drawn, arguments.plot)
        return
    every = {**CASES, **ON_CONNECTIONS} if arguments.sockets else CASES
    cases = {
        name: case
        for name, case in every.items()
        if arguments.case in name or arguments.case == case.channel
    }
    tell = _silent if arguments.json or arguments.table else _print
    if arguments.sockets:
        rows = trio.run(recovery_sockets.rows, cases, tell)
    else:
        rows = in_virtual_time(cases, tell)
    if arguments.json:
        print(json.dumps(rows))
    if arguments.table and arguments.sockets:
        memory = {name: case for name, case in cases.items() if name in CASES}
        print(both(in_virtual_time(memory, tell), rows))
    elif arguments.table:
        print(table(rows, COLUMNS))


if __name__ == "__main__":
    main()
