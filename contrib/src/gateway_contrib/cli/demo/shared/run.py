"""Runs the demo over several processes: starts them, kills the owner, and reports the outcome."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import attrs
import trio

from gateway_contrib.cli.demo.load import TEXTS_PER_ROOM
from gateway_contrib.cli.demo.platforms import write_configuration
from gateway_contrib.cli.demo.report import Report
from gateway_contrib.cli.demo.run import Stage
from gateway_contrib.cli.demo.shared.cluster import Cluster
from gateway_contrib.cli.demo.tally import Tally
from gateway_contrib.cli.ending import Ended
from gateway_core import load_config, open_gateway

LEASE = 5
"""Seconds that the owner may be silent before another process takes over: the least allowed."""
KILLED_AT = 1 / 3
"""The share of texts that have ended when the owner is killed."""


@attrs.define(eq=False)
class Process:
    """One of the demo's processes, numbered from 1."""

    number: int
    process: trio.Process
    owned_at: float | None = None
    handed: bool = False
    killed: bool = False

    @property
    def owns(self) -> bool:
        """Whether the process has reported that it owns the outbox, and was not killed."""
        return self.owned_at is not None and not self.killed


@attrs.define(eq=False)
class Shared:
    """A demo under way. Times are trio's clock.

    wanted  how many texts are to be handed over
    ended   ids of the envelopes that have ended
    told    called with a sentence about each event
    """

    stage: Stage
    tally: Tally
    wanted: int
    told: Callable[[str], None]
    started: float = attrs.field(factory=trio.current_time)
    processes: list[Process] = attrs.field(factory=list)
    ended: set[str] = attrs.field(factory=set)
    killed: Process | None = None
    killed_at: float = 0.0
    next: Process | None = None
    _news: trio.Event = attrs.field(factory=trio.Event)

    @property
    def accepted(self) -> int:
        """How many texts the processes have reported as accepted, and so stored in the database."""
        return sum(tally.accepted for tally in self.tally.channels.values())

    @property
    def takeover(self) -> float:
        """Seconds from the kill until the next process owned the outbox; 0: none does yet."""
        owned_at = self.next.owned_at if self.next is not None else None
        return 0.0 if owned_at is None else owned_at - self.killed_at

    def report(self) -> Report:
        """The outcome so far."""
        return self.stage.compared(self.tally, self.started)

    def note(self, words: str) -> None:
        """Report an event with its time."""
        self.told(f"{trio.current_time() - self.started:4.0f} s: {words}")

    # -- reports of the processes

    async def listen(self, one: Process) -> None:
        """Read the process's reports until it ends. Raises `Ended` unless it was killed."""
        rest = b""
        assert one.process.stdout is not None  # noqa: S101 - a pipe
        async for some in one.process.stdout:
            *lines, rest = (rest + some).split(b"\n")
            for line in lines:
                self._heard(one, *line.decode().split())
        if not one.killed:
            raise Ended(f"process {one.number} of the demo ended by itself", 1)

    def _heard(self, one: Process, word: str, *rest: str) -> None:
        if word == "accepted":
            self.tally.of(rest[0]).accepted += 1
        elif word == "handed":
            one.handed = True
        elif word == "owns":
            one.owned_at = trio.current_time()
            after = ""
            if self.killed is not None and self.next is None:
                self.next = one
                after = f", {self.takeover:.1f} s after the kill"
            self.note(f"process {one.number} owns the outbox{after}")
        self._tell()

    # -- the course of the demo

    async def follow(self, file: Path) -> None:
        """Count ended envelopes, as any application that follows endings can."""
        async with open_gateway(load_config(file), serve=False) as gateway:
            async for ended in gateway.endings():
                receipt = ended.receipt
                if receipt.envelope_id not in self.ended:
                    self.ended.add(receipt.envelope_id)
                    self.tally.ended(receipt)
                    self._tell()

    async def kill_the_owner(self) -> None:
        """Kill the owner once all texts are handed over, and a third of them have ended."""
        await self._until(
            lambda: (
                all(one.handed for one in self.processes)
                and len(self.ended) >= self.accepted * KILLED_AT
                and any(one.owns for one in self.processes)
            )
        )
        one = next(one for one in self.processes if one.owns)
        one.killed, self.killed, self.killed_at = True, one, trio.current_time()
        one.process.kill()
        self.note(f"process {one.number}, which owned the outbox, is killed (kill -9)")

    async def end(self) -> None:
        """Wait until another process owns the outbox, and all accepted texts have ended."""
        await self._until(lambda: self.next is not None and len(self.ended) == self.accepted)

    async def _until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            await self._news.wait()

    def _tell(self) -> None:
        self._news.set()
        self._news = trio.Event()


@asynccontextmanager
async def begun(
    stage: Stage,
    folder: Path,
    cluster: Cluster,
    *,
    seed: str,
    rooms: int,
    processes: int,
    told: Callable[[str], None],
) -> AsyncIterator[Shared]:
    """Starts the processes for the block; they end with it."""
    url = cluster.url(lease=LEASE)
    file = write_configuration(folder, stage.platforms, stage.addresses, outbox=url)
    shared = Shared(stage, Tally(), len(stage.rooms) * TEXTS_PER_ROOM, told)
    words = ["--seed", seed, "--rooms", f"{rooms}", "--processes", f"{processes}"]
    begin = partial(
        trio.lowlevel.open_process,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    module = "gateway_contrib.cli.demo.shared.member"
    async with trio.open_nursery() as nursery:
        try:
            for number in range(1, processes + 1):
                command = [sys.executable, "-m", module, str(file), *words, "--number", f"{number}"]
                shared.processes.append(Process(number, await begin(command)))
                nursery.start_soon(shared.listen, shared.processes[-1])
            nursery.start_soon(shared.follow, file)
            yield shared
            nursery.cancel_scope.cancel()
        finally:
            for one in shared.processes:
                one.killed = True
                one.process.kill()


async def deliver(shared: Shared) -> Report:
    """Kill the owner in the middle, wait until all texts have ended, and check what arrived."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(shared.kill_the_owner)
        await shared.end()
        nursery.cancel_scope.cancel()
    return shared.report()
