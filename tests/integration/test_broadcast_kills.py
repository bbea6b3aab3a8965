"""A broadcast in a process of its own, really killed three times: each room gets it once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest
import trio
from amounts import amount, long_run

ROOMS = 300
RUN = f"""
import os, sys, trio
from gateway_contrib.sqlite import SqliteOutbox
from gateway_core import GatewayConfig, Instance, Limit, open_gateway
from gateway_core.authors import Answer, hookimpl
from gateway_core.testing import FakeChannel, FakeSettings

class Platform(FakeChannel):
    @hookimpl
    async def send(self, attempt):
        line = f"{{attempt.room}} {{attempt.key}}\\n".encode()
        os.write(arrived, line)  # in one piece, and there whatever becomes of this process
        await trio.sleep(0.005)
        return Answer(message_id=attempt.key)

async def main(folder):
    channel = Platform(limits=lambda _room, _operation: [Limit("account", 200)])
    config = GatewayConfig(instances=[Instance("bot", "fake", FakeSettings())])
    outbox = SqliteOutbox(f"{{folder}}/outbox.db")
    async with open_gateway(config, plugins=[("fake", channel)], outbox=outbox) as gateway:
        rooms = (f"room{{n}}" for n in range({ROOMS}))
        job = await gateway.broadcast("bot", rooms, "news", key="june")
        progress = await job.wait()
        print(progress.members, progress.counts["delivered"], flush=True)

arrived = os.open(f"{{sys.argv[1]}}/arrived", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
trio.run(main, sys.argv[1])
"""


def arrived(folder: Path) -> list[list[str]]:
    """What came to the platform: the room, and the message's key."""
    path = folder / "arrived"
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


async def killed_at(folder: Path, count: int) -> None:
    """Run it until so many have arrived, and kill it."""
    command = [sys.executable, "-c", RUN, str(folder)]
    process = subprocess.Popen(command)  # noqa: ASYNC220 - it starts at once
    try:
        with trio.fail_after(60):
            while len(arrived(folder)) < count:
                assert process.poll() is None
                await trio.sleep(0.01)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()


MOMENTS = [(40, 41, 290), (1, 90, 200)][: amount("kills of a broadcast")]


@pytest.mark.parametrize("moments", MOMENTS)
async def test_killed_three_times_each_room_gets_it_once(tmp_path, moments):
    for count in moments:
        await killed_at(tmp_path, count)
    run = [sys.executable, "-c", RUN, str(tmp_path)]
    ended = await trio.run_process(run, capture_stdout=True)
    assert f"{ROOMS} {ROOMS}" == ended.stdout.decode().splitlines()[-1]
    keys = defaultdict(set)
    for room, key in arrived(tmp_path):
        keys[room].add(key)
    # One message each. That an attempt is made again, which a kill left in doubt, has its key.
    assert {f"room{n}": 1 for n in range(ROOMS)} == {room: len(of) for room, of in keys.items()}
    assert len(arrived(tmp_path)) - ROOMS <= 3 * 10


AGAIN = RUN.replace("send(self, attempt):", """send(self, attempt):
        if len(sys.argv) > 2:
            verdict = Verdict(error_class="non_retryable", reason="forbidden", dispatched="no")
            raise Failure(verdict)""").replace(
    "        progress = await job.wait()", """        if len(sys.argv) > 2:
            progress = await job.wait()
            print(await job.retry(), progress.failed, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        await trio.sleep(3)
        progress = await job.wait()""").replace(
    "import os, sys, trio", """import os, signal, sys, trio
from gateway_core.authors import Verdict
from gateway_core.testing import Failure""")  # fmt: skip
"""Refuses every room, tries again what failed, and is killed as soon as that is accepted."""


@long_run
async def test_a_retry_is_remembered_by_a_process_that_is_killed_at_once(tmp_path):
    run = [sys.executable, "-c", AGAIN, str(tmp_path)]
    killed = await trio.run_process([*run, "refusing"], capture_stdout=True, check=False)
    assert -signal.SIGKILL == killed.returncode
    assert f"{ROOMS} {ROOMS}" == killed.stdout.decode().splitlines()[-1]
    assert [] == arrived(tmp_path)
    ended = await trio.run_process(run, capture_stdout=True)
    assert f"{ROOMS} {ROOMS}" == ended.stdout.decode().splitlines()[-1]
    assert {f"room{n}" for n in range(ROOMS)} == {room for room, _ in arrived(tmp_path)}
