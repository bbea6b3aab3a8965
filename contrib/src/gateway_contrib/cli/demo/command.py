"""The command `gateway demo`: prints the run and its result, and sets the exit code."""

from __future__ import annotations

import json as jsonlib
import logging
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import trio
from cyclopts import Parameter
from cyclopts.validators import Number
from rich.console import Console

from gateway_contrib.cli.demo.display import (
    NEXT,
    conversation,
    introduce,
    listed,
    outcome,
    remarks,
    verdict,
    watcher,
)
from gateway_contrib.cli.demo.load import CHANNELS, ROOMS_PER_CHANNEL, TEXTS_PER_ROOM
from gateway_contrib.cli.demo.run import Demo, deliver, open_demo
from gateway_contrib.cli.ending import Ended
from gateway_contrib.cli.logs import Verbose, set_up_log
from gateway_core import installed_channels


async def demo(
    *,
    json: Annotated[
        bool, Parameter(negative=(), help="Print one JSON object and nothing else.")
    ] = False,
    seed: Annotated[
        str, Parameter(help="The seed of texts, order, latencies, faults and jitter.")
    ] = "0",
    keep: Annotated[
        bool,
        Parameter(
            negative=(), help="Keep serving the platforms' pages afterwards, until interrupted."
        ),
    ] = False,
    metrics: Annotated[
        str | None,
        Parameter(help="Serve the gateway's metrics for Prometheus at this host:port."),
    ] = None,
    rooms: Annotated[
        int,
        Parameter(help="Rooms on each platform.", validator=Number(gte=1, lte=ROOMS_PER_CHANNEL)),
    ] = ROOMS_PER_CHANNEL,
    processes: Annotated[
        int,
        Parameter(
            help="How many processes share an outbox in PostgreSQL; its owner is killed half way.",
            validator=Number(gte=1, lte=9),
        ),
    ] = 1,
    verbose: Verbose = False,
) -> int:
    """Deliver 600 texts to 60 rooms of three emulated platforms, and show how each ended.

    Exit code 1 if anything was lost or late.
    """
    # The demo makes the faults itself, and their warnings would only disturb the table.
    set_up_log(verbose=verbose, level=logging.ERROR)
    console = Console(highlight=False, quiet=json)
    _check_channels()
    if processes == 1:
        good = await _alone(console, seed=seed, rooms=rooms, json=json, keep=keep, metrics=metrics)
    elif metrics is not None:
        raise Ended("--metrics cannot be combined with --processes")
    else:
        good = await _shared().demo_shared(
            console, processes=processes, seed=seed, rooms=rooms, json=json, keep=keep
        )
    return 0 if good else 1


async def _alone(
    console: Console, *, seed: str, rooms: int, json: bool, keep: bool, metrics: str | None
) -> bool:
    with TemporaryDirectory(prefix="gateway-demo-") as folder:
        async with open_demo(Path(folder), seed=seed, rooms=rooms, metrics=metrics) as running:
            _introduce(console, running, folder)
            if metrics is not None:
                console.print(f"  metrics   http://{metrics}/metrics")
            report = await deliver(running, seed=seed, watch=None if json else watcher(console))
            console.print(conversation(running))
            console.print(listed(remarks(running, report)), "", outcome(report))
            console.print(verdict(report), NEXT, sep="\n")
            if json:
                print(jsonlib.dumps(report.json(), indent=2), flush=True)
            if keep:
                console.print("The pages stay until Ctrl-C.")
                await trio.sleep_forever()
    return report.good


def _shared() -> Any:
    """The module of `--processes`, which needs the driver of an extra."""
    try:
        return import_module("gateway_contrib.cli.demo.shared.command")
    except ModuleNotFoundError as error:
        text = f"{error.name} is missing: install 'gateway-contrib[postgres]'"
        raise Ended(f"--processes: {text}") from None


def _check_channels() -> None:
    installed = {binding.channel for binding in installed_channels()}
    missing = [f"gateway-plugin-{name}" for name in CHANNELS if name not in installed]
    if missing:
        raise Ended(f"the demo needs all three channels: install {' '.join(missing)}")


def _introduce(console: Console, running: Demo, folder: str) -> None:
    rooms = len(running.rooms)
    texts = rooms * TEXTS_PER_ROOM
    console.print(
        f"{texts} texts ({texts - rooms} messages, {rooms} edits) for {rooms} rooms are handed over"
        " at once. Each platform enforces its rate limits, and sometimes fails on purpose."
    )
    introduce(console, running, folder)
