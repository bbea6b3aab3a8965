"""Gateways in processes of their own on one outbox: stopped by SIGTERM, replaced, refused."""

import json
import signal
import sys
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio

from gateway_contrib.sqlite.operators.operating import Operator

PROGRAM = """
import json, signal, sys
import trio
from gateway_core import GatewayConfig, Instance, OutboxError, Send, open_gateway
from gateway_core.testing import FakeChannel, FakeSettings

async def main(url, messages, latency, drain):
    channel = FakeChannel(latency=latency)
    instance = Instance("bot", "fake", FakeSettings())
    config = GatewayConfig(instances=[instance], outbox=url, drain_timeout=drain)
    with trio.open_signal_receiver(signal.SIGTERM) as signals:
        async with open_gateway(config, plugins=[("fake", channel)]) as gateway:
            for n in range(messages):
                room = f"room{n % 3}"
                await gateway.submit(Send(instance_id="bot", external_room_id=room, text=str(n)))
            print("ready", flush=True)
            async for _ in signals:
                break
    texts = {room: channel.texts(room) for room in ("room0", "room1", "room2")}
    print(json.dumps({"texts": texts, "ended": gateway.statistics().dispositions}), flush=True)

try:
    trio.run(main, sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4]))
except OutboxError as error:
    print(error, flush=True)
    sys.exit(3)
"""


class Process:
    """A gateway that runs until it is told to stop."""

    def __init__(self, process):
        self.process = process
        self._lines = b""

    async def line(self):
        while b"\n" not in self._lines:
            more = await self.process.stdout.receive_some()
            assert more, "it ended without a word"
            self._lines += more
        line, _, self._lines = self._lines.partition(b"\n")
        return line.decode()

    async def ready(self):
        while await self.line() != "ready":
            pass

    async def stop(self):
        """Send SIGTERM; what it says at the end."""
        self.process.send_signal(signal.SIGTERM)
        while not (line := await self.line()).startswith("{"):
            pass
        assert 0 == await self.process.wait()
        return json.loads(line)


@asynccontextmanager
async def running(url, *, messages=0, latency=0.0, drain=10.0):
    command = [sys.executable, "-c", PROGRAM, url, str(messages), str(latency), str(drain)]
    async with trio.open_nursery() as nursery:
        run = partial(trio.run_process, command, stdout=-1, check=False)
        process = await nursery.start(run)
        with trio.fail_after(300):
            yield Process(process)
        nursery.cancel_scope.cancel()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "outbox.db"


def unfinished(path):
    with Operator(path) as operator:
        return sum(operator.stats()["unfinished"].values())


async def test_sigterm_gives_what_was_accepted_its_drain(path):
    """Nothing is left, and nothing is sent twice."""
    async with running(f"sqlite://{path}", messages=9, latency=0.1) as gateway:
        await gateway.ready()
        said = await gateway.stop()
    assert {"delivered": 9} == said["ended"]
    assert {f"room{n}": [str(n), str(n + 3), str(n + 6)] for n in range(3)} == said["texts"]
    assert 0 == unfinished(path)


async def test_a_replacement_waits_for_the_drain_and_goes_on_where_it_ended(path):
    """A rolling deploy: the new process starts first, the old one is told to stop later."""
    url = f"sqlite://{path}?owner_wait=200"
    async with running(url, messages=30, latency=2.0, drain=0.5) as old:
        await old.ready()
        async with running(url, drain=60.0) as new:
            with trio.move_on_after(0.5) as patience:
                await new.ready()
            assert patience.cancelled_caught
            first = (await old.stop())["texts"]
            await new.ready()
            with trio.fail_after(120):
                while unfinished(path):  # noqa: ASYNC110 - another process has no event
                    await trio.sleep(0.05)
            second = (await new.stop())["texts"]
    for n, room in enumerate(("room0", "room1", "room2")):
        assert len(first[room]) < 10
        both = list(dict.fromkeys(first[room] + second[room]))
        assert [str(i) for i in range(n, 30, 3)] == both


async def test_a_second_gateway_is_refused_and_told_which_process_has_it(path):
    async with running(f"sqlite://{path}") as first:
        await first.ready()
        async with running(f"sqlite://{path}") as second:
            assert f"is owned by process {first.process.pid} on " in await second.line()
            assert 3 == await second.process.wait()
        await first.stop()
