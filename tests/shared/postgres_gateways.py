"""A gateway in a process of its own on an outbox in PostgreSQL; it obeys commands line by line.

`own` opens a gateway that delivers, on a platform in memory; `share` one that owns some accounts;
`hand over` one that delivers nothing. Then `enqueue KEY` answers with the envelope's id, and
`send KEY` with how it ended. `hold` stops all sending, `resume` ends that, and `texts` prints the
texts that have arrived.
"""

import json
import sys

import trio

from gateway_contrib.postgres import PostgresOutbox, PostgresSettings
from gateway_core import GatewayConfig, Instance, open_gateway
from gateway_core.testing import FakeChannel, FakeSettings


def say(word):
    print(word, flush=True)  # noqa: T201 - whoever began this process reads it


async def main(url, schema, lease, role):
    channel = FakeChannel()
    accounts = "spread" if role == "share" else "whole"
    settings = PostgresSettings(schema=schema, lease=float(lease), accounts=accounts)
    outbox = PostgresOutbox(url, settings)
    config = GatewayConfig(instances=[Instance("bot", "fake", FakeSettings())])
    serve = role != "hand over"
    async with open_gateway(
        config, plugins=[("fake", channel)], outbox=outbox, serve=serve
    ) as gateway:
        say("open")
        while line := (await trio.to_thread.run_sync(sys.stdin.readline)).strip():
            word, _, key = line.partition(" ")
            if word == "enqueue":
                say((await gateway.enqueue("bot", "room", key, key=key)).id)
            elif word == "send":
                say((await gateway.send("bot", "room", key, key=key)).disposition)
            elif word == "hold":
                gateway.suspend("bot", "held by hand")
                say("held")
            elif word == "resume":
                gateway.resume("bot")
                say("goes on")
            else:
                say(json.dumps(channel.texts("room")))


if __name__ == "__main__":
    trio.run(main, *sys.argv[1:])
