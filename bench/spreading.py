"""How long 600 messages take with accounts spread over one, two and four processes, and the 429s.

Each of 12 accounts has a limit of its own, so no number of processes is faster than this limit.
Every process accepts messages for every account. In the middle one process joins, and one leaves.
The 429s that a platform would have given are counted over all processes, by the starts of attempts.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import structlog
import trio

from gateway_contrib.postgres import PostgresOutbox, PostgresSettings
from gateway_core import GatewayConfig, Instance, open_gateway
from gateway_core.authors import Attempt, Limit
from gateway_core.testing import FakeChannel, FakeSettings

ROOT = Path(__file__).parents[1]
ACCOUNTS = tuple(f"bot{number}" for number in range(12))
ROOMS, MESSAGES = 60, 600
COUNT, PER = 5, 1.0
"""An account's limit: at most `COUNT` attempts in any `PER` seconds."""
BOUND = (MESSAGES / len(ACCOUNTS) - COUNT) / COUNT * PER
"""The least seconds that an account's messages take."""
PATIENCE = 120.0


def now() -> float:
    return time.clock_gettime(time.CLOCK_MONOTONIC)


def say(*words: object) -> None:
    print(*words, f"{now():.6f}", flush=True)


# -- one process


async def member(url: str, number: int, processes: int) -> None:
    """Own some accounts; on the word `go`, submit this process's share of the rooms' messages."""

    async def script(attempt: Attempt) -> None:
        say("sent", attempt.instance_id, attempt.room)

    limit = Limit("account", count=COUNT, per=PER, pace="window")
    channel = FakeChannel(script=script, limits=lambda _room, _operation: (limit,))
    config = GatewayConfig(instances=[Instance(name, "fake", FakeSettings()) for name in ACCOUNTS])
    outbox = PostgresOutbox(url, PostgresSettings(accounts="spread"))
    async with open_gateway(config, plugins=[("fake", channel)], outbox=outbox) as gateway:
        say("opened")
        while (word := await trio.to_thread.run_sync(sys.stdin.readline)) == "go\n":
            rooms = range(number, ROOMS, processes)
            for message in range(MESSAGES // ROOMS):
                for room in rooms:
                    account = ACCOUNTS[room % len(ACCOUNTS)]
                    await gateway.enqueue(account, f"room {room}", f"{room}.{message}")
            say("accepted")
        del word


# -- all processes


@attrs.define(eq=False)
class Run:
    """The processes on one database, and their reports."""

    url: str
    sent: list[tuple[float, str, str, int]] = attrs.field(factory=list)
    opened: int = 0
    processes: list[trio.Process] = attrs.field(factory=list)

    async def begin(self, nursery: trio.Nursery, processes: int) -> None:
        number = len(self.processes)
        asked = ["--url", self.url, "--number", str(number), "--processes", str(processes)]
        process = await trio.lowlevel.open_process(
            [sys.executable, "-m", "bench.spreading", *asked],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=ROOT,
        )  # fmt: skip
        self.processes.append(process)
        nursery.start_soon(self._listen, process, number)

    async def _listen(self, process: trio.Process, number: int) -> None:
        rest = b""
        stdout: Any = process.stdout
        async for some in stdout:
            *lines, rest = (rest + some).split(b"\n")
            for line in lines:
                word, *said = line.decode().rsplit(" ", 1)[0].split(" ", 2)
                at = float(line.decode().rsplit(" ", 1)[1])
                if word == "sent":
                    self.sent.append((at, said[0], said[1], number))
                self.opened += word == "opened"

    async def say(self, process: trio.Process, word: str) -> None:
        stdin: Any = process.stdin
        await stdin.send_all(f"{word}\n".encode())

    async def until(self, count: int) -> None:
        while len(self.sent) < count:  # noqa: ASYNC110 - another process's doing
            await trio.sleep(0.02)

    async def run(self, processes: int, *, moves: bool) -> float:
        """The seconds from the word `go` to the last attempt."""
        with trio.fail_after(PATIENCE):
            async with trio.open_nursery() as nursery:
                for _ in range(processes):
                    await self.begin(nursery, processes)
                while self.opened < processes:  # noqa: ASYNC110 - likewise
                    await trio.sleep(0.02)
                await trio.sleep(2)  # each has its share
                begun = now()
                for process in self.processes:
                    await self.say(process, "go")
                if moves:
                    await self.until(MESSAGES // 4)
                    await self.begin(nursery, processes)
                    await self.until(MESSAGES // 2)
                    await self.say(self.processes[0], "leave")
                await self.until(MESSAGES)
                await trio.sleep(1)
                for process in self.processes:
                    if process.returncode is None:
                        await self.say(process, "leave")
        return max(at for at, *_ in self.sent) - begun

    @property
    def refused(self) -> int:
        """Attempts that a platform with a window of that limit would have refused."""
        count, by_account = 0, defaultdict(list)
        for at, account, _, _ in sorted(self.sent):
            times = by_account[account]
            times[:] = [each for each in times if at - each < PER]
            count += len(times) >= COUNT
            times.append(at)
        return count


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.spreading", description=__doc__)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    parser.add_argument("--number", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--processes", type=int, default=1, help=argparse.SUPPRESS)
    asked = parser.parse_args(argv)
    if asked.url:
        structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
        trio.run(member, asked.url, asked.number, asked.processes)
        return
    sys.path.insert(0, str(ROOT / "tests" / "shared"))
    from postgres_server import Server  # noqa: PLC0415 - of the tests, which begin it as this does

    print(
        f"{MESSAGES} messages to {ROOMS} rooms of {len(ACCOUNTS)} accounts; {BOUND:.1f} s at least"
    )
    print("processes  one joins, one leaves  seconds  of the bound  refused  attempts")
    for processes, moves in ((1, False), (2, False), (4, False), (2, True), (4, True)):
        server = Server(safe=True).start()
        try:
            run = Run(server.url())
            seconds = trio.run(lambda: run.run(processes, moves=moves))  # noqa: B023 - run at once
        finally:
            server.end()
            server.remove()
        print(
            f"{processes:9}  {'yes' if moves else 'no':>22}  {seconds:7.2f}"
            f"  {seconds / BOUND:12.2f}  {run.refused:7}  {len(run.sent):8}",
            flush=True,
        )


if __name__ == "__main__":
    main()
