"""A process that submits under load to an outbox in PostgreSQL, and reports the outcomes.

It only hands over, or owns the outbox, or stands by until it owns it. It prints `open`, waits for a
line, and submits. For each message it prints `accepted` or `refused`, and `sent` when its platform
has the message; after its last message it prints `done`. Each report is a line of JSON.
"""

import json
import sys
from functools import partial

import trio

from gateway_contrib.postgres import PostgresOutbox, PostgresSettings
from gateway_core import GatewayConfig, Instance, OutboxError, RetrySettings, open_gateway
from gateway_core.testing import FakeChannel, FakeSettings

ROOMS = 4
"""Rooms of each process; a room's messages are submitted one after the other."""
TAKES = 0.01
"""Seconds that an attempt takes, so that a room's messages wait for each other."""


def say(*words):
    print(json.dumps(words), flush=True)  # noqa: T201 - whoever began this process reads it


async def sends(attempt):
    await trio.sleep(TAKES)
    say("sent", attempt.room, int(attempt.part.payload["text"]))


async def submit(gateway, room, count):
    for n in range(count):
        try:
            await gateway.enqueue("bot", room, f"{n}")
        except OutboxError as error:
            say("refused", room, n, str(error))
            await trio.sleep(0.1)
        else:
            say("accepted", room, n)
            await trio.sleep(TAKES / 2)


async def main(url, lease, role, name, count):
    outbox = PostgresOutbox(url, PostgresSettings(lease=float(lease)))
    config = GatewayConfig(
        instances=[Instance("bot", "fake", FakeSettings())],
        retries=RetrySettings(quarantine=0.2, arrival=5.0, base=0.05, attempts=1000),
    )
    plugins = [("fake", FakeChannel(script=sends))]
    opened = partial(open_gateway, config, plugins=plugins, outbox=outbox)
    async with opened(serve=role == "own") as gateway:
        say("open")
        await trio.to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True)
        async with trio.open_nursery() as nursery:
            for n in range(ROOMS):
                nursery.start_soon(submit, gateway, f"{name}{n}", int(count))
        say("done")
        await trio.to_thread.run_sync(sys.stdin.read, abandon_on_cancel=True)


if __name__ == "__main__":
    trio.run(main, *sys.argv[1:])
