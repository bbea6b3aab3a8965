"""`gateway demo` as people run it: five of them at once, for they mostly wait for their limits.

One is let be, one logs everything and is scraped all the while, each signal stops one, and one has
three processes.
"""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from functools import partial
from http.client import HTTPException
from pathlib import Path

import attrs
import pytest
import trio
from amounts import amount
from ports import free_port, scraped
from postgres_server import programs
from prometheus_client.parser import text_string_to_metric_families
from secrecy import found_in

from gateway_core import telemetry

BOUND = 60
"""Seconds that the whole demo may take."""
ROOMS = amount("rooms of a demo on each platform")
TEXTS = 30 * ROOMS
"""Ten for each room of three platforms."""
TOKENS = ("123456789:demo-demo-demo-demo-demo", "demo-demo-demo-demo-demo", "demo.demo.demo")
OF_THE_MACHINE = re.compile(r"event='gateway\.(hook_slow|loop_stalled)'")
"""What is right to be said on a machine that is very busy."""
STOPPING = (signal.SIGINT, signal.SIGTERM)[: amount("signals that stop a demo")]
PROGRESS = re.compile(r"^ +\d+ s: telegram \d+ of \d+, ", re.MULTILINE)
"""A line each five seconds or, on a busy machine, a little later."""


@attrs.define(eq=False)
class Ran:
    """A demo: what it said, its exit code, how many seconds it took to stop, its metrics' pages."""

    out: str = ""
    err: str = ""
    code: int | None = None
    stopping: float = 0.0
    pages: list[str] = attrs.field(factory=list)


async def run(ran: Ran, *words: str, stop: signal.Signals | None = None) -> None:
    """One demo to its end; the signal comes after its first line of progress."""
    program = shutil.which("gateway", path=str(Path(sys.executable).parent))
    assert program, "the command line is installed beside Python"
    async with trio.open_nursery() as nursery:
        command = partial(trio.run_process, [program, "demo", *words], check=False)
        piped = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        process = await nursery.start(partial(command, **piped))
        nursery.start_soon(complaints, process, ran)
        async with process.stdout:  # closed by whatever ends this
            told = None
            async for some in process.stdout:
                ran.out += some.decode()
                if stop is not None and told is None and PROGRESS.search(ran.out):
                    process.send_signal(stop)
                    told = trio.current_time()
            ran.code = await process.wait()
            ran.stopping = trio.current_time() - (told or 0.0)


async def complaints(process: trio.Process, ran: Ran) -> None:
    async with process.stderr:
        async for some in process.stderr:
            ran.err += some.decode()


async def scraping(ran: Ran, port: int) -> None:
    """A page each second, once there is one, until the demo is over."""
    while ran.code is None:
        with suppress(OSError, HTTPException):  # nobody listens yet, or any more
            ran.pages.append(await trio.to_thread.run_sync(scraped, port))
        await trio.sleep(1)


async def all_at_once(demos: dict[str, Ran]) -> None:
    port, rooms = free_port(), ("--rooms", str(ROOMS))
    with trio.fail_after(BOUND + 30):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run, demos["let be"], *rooms, "--json")
            metrics = ("--metrics", f"127.0.0.1:{port}")
            nursery.start_soon(run, demos["scraped"], *rooms, "--json", "--verbose", *metrics)
            nursery.start_soon(scraping, demos["scraped"], port)
            words = ("--processes", "3", "--rooms", "1", "--json")
            nursery.start_soon(run, demos["shared"], *words)
            for number in STOPPING:
                nursery.start_soon(partial(run, demos[number.name], stop=number))


@pytest.fixture(scope="module")
def demos():
    """Five that are over."""
    ran = {name: Ran() for name in ("let be", "scraped", "shared", *(n.name for n in STOPPING))}
    trio.run(all_at_once, ran)
    return ran


def test_the_demo_delivers_everything_in_time_and_prints_one_object(demos):
    ran = demos["let be"]
    said = [line for line in ran.err.splitlines() if not OF_THE_MACHINE.search(line)]
    assert (0, []) == (ran.code, said)
    report = json.loads(ran.out)
    total = report["total"]
    assert (TEXTS, TEXTS, 0, 0) == tuple(
        total[k] for k in ("accepted", "delivered", "lost", "late")
    )
    foreseen = (
        "each platform injects one, which an attempt meets or not, and pacing foresees the rest"
    )
    assert 0 < total["rate_limited"] <= 3, foreseen
    assert 0 == report["channels"]["discord"]["duplicated"]
    assert total["bound_s"] < total["makespan_s"] < BOUND


def test_the_owner_of_a_shared_outbox_is_killed_and_nothing_is_lost(demos):
    """The next one goes on after 1.1 leases, and what may be there twice was announced."""
    if programs() is None:
        pytest.skip("not tried: there is no PostgreSQL server here (Debian's `postgresql`)")
    ran = demos["shared"]
    assert (0, "") == (ran.code, ran.err)
    report = json.loads(ran.out)
    total = report["total"]
    assert (30, 30, 0, 0) == tuple(total[k] for k in ("accepted", "delivered", "lost", "late"))
    assert total["copied"] <= total["announced"]  # of a text in several messages several may be
    assert 0 == report["channels"]["discord"]["duplicated"]
    # 1.1 leases are waited from the last renewal, which is a while before the kill.
    assert report["lease_s"] / 2 < report["takeover_s"] < BOUND


@pytest.mark.parametrize("number", STOPPING)
def test_a_demo_that_is_stopped_ends_soon_and_says_so_in_one_line(demos, number):
    ran = demos[number.name]
    assert PROGRESS.search(ran.out)
    assert (128 + number, f"gateway: stopped by {number.name}\n") == (ran.code, ran.err)
    assert ran.stopping < 30


def test_a_whole_demo_tells_no_secret(demos):
    """At debug level, with its metrics scraped all the while."""
    ran = demos["scraped"]
    report = json.loads(ran.out)
    assert TEXTS == sum(row["accepted"] for row in report["channels"].values())
    assert TEXTS <= ran.err.count("gateway.envelope_accepted")
    assert "gateway.attempt_failed" in ran.err
    assert ran.pages
    for text in (ran.out, ran.err, *ran.pages):
        assert [] == found_in(text, TOKENS)


def total(family, **labels):
    return sum(
        sample.value
        for sample in family.samples
        if sample.name.endswith("_total") and labels.items() <= sample.labels.items()
    )


def test_the_demo_is_scraped_in_prometheus_own_format(demos):
    pages = [page for page in demos["scraped"].pages if "gateway_partition_depth" in page]
    assert pages, "a closed gateway has no partitions, but may be scraped until the demo ends"
    families = {f.name: f for f in text_string_to_metric_families(pages[-1])}
    delivered = total(families["gateway_envelopes_ended"], gateway_disposition="delivered")
    accepted = total(families["gateway_envelopes_accepted"])
    assert 30 <= delivered <= total(families["gateway_envelopes_ended"]) <= accepted <= TEXTS
    assert {"telegram", "slack", "discord"} == {
        sample.labels["messaging_system"]
        for sample in families["gateway_envelopes_accepted"].samples
    }
    partitions = {
        s.labels["gateway_partition"] for s in families["gateway_partition_depth"].samples
    }
    assert {str(n) for n in range(8)} == partitions
    durations = families["messaging_client_operation_duration_seconds"]
    assert "histogram" == durations.type
    bounds = {float(s.labels["le"]) for s in durations.samples if s.name.endswith("_bucket")}
    assert {*telemetry.ATTEMPT_DURATION.bounds, float("inf")} == bounds
    service = families["target_info"].samples[0].labels["service_name"]
    assert "gateway" == service
