"""How many bytes a message takes in PostgreSQL's tables and log: `python -m bench.sizes_shared`.

There is a row for messages that the owner accepts, one with keys (sealed), and one for messages
that another process hands over. `bytes` is what each table has for a message after it has ended,
`log` what the message added to the server's write-ahead log, without images of whole pages. A last
row opens a gateway with many idle accounts.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import trio

from bench.outbox import TEXT
from gateway_contrib.postgres import PostgresOutbox, PostgresSettings
from gateway_core import Gateway, GatewayConfig, Instance, open_gateway
from gateway_core.testing import FakeChannel, FakeSettings

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "shared"))

import postgres_server

CALLERS = 64
TABLES = """SELECT c.relname, pg_total_relation_size(c.oid) FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %s AND c.relkind = 'r'"""
CASES = {"own": (True, False), "with keys": (True, True), "handed over": (False, True)}
"""By the case's name: whether the owner accepts, and whether there are keys."""


def opened(server: Any, schema: str, accounts: int = 1, *, serve: bool = True) -> Any:
    instances = [Instance(f"bot{n}", "fake", FakeSettings()) for n in range(accounts)]
    outbox = PostgresOutbox(server.url(), PostgresSettings(schema=schema, lease=60))
    plugins = [("fake", FakeChannel())]
    config = GatewayConfig(instances=instances)
    return open_gateway(config, plugins=plugins, outbox=outbox, serve=serve)


async def sent(gateway: Gateway, first: int, messages: int, *, keys: bool) -> None:
    for n in range(first, messages, CALLERS):
        key = f"order-{n}-shipped" if keys else None
        await gateway.send("bot0", f"room {n % 100}", TEXT, key=key)


async def sizes(server: Any, name: str, messages: int) -> dict[str, Any]:
    (serve, keys), schema = CASES[name], name.replace(" ", "_")
    position = "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::float8"
    async with AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(opened(server, schema))
        if not serve:
            gateway = await stack.enter_async_context(opened(server, schema, serve=False))
        before = server.execute(position)[0][0]
        async with trio.open_nursery() as nursery:
            for n in range(CALLERS):
                nursery.start_soon(lambda n=n: sent(gateway, n, messages, keys=keys))
        log = server.execute(position)[0][0] - before
    server.execute("VACUUM")
    found = {table: round(size / messages) for table, size in server.execute(TABLES, schema)}
    return {
        "case": name,
        "log": round(log / messages),
        "bytes": {table: found[table] for table in ("history", "keys", "handed")},
    }


async def idle(server: Any, accounts: int) -> dict[str, Any]:
    before, since = resident(), time.monotonic()
    async with opened(server, "idle", accounts):
        took = time.monotonic() - since
        await trio.sleep(1)
        grown = resident() - before
    return {"accounts": accounts, "open_s": round(took, 1), "bytes_each": round(grown / accounts)}


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--messages", type=int, default=5_000)
    parser.add_argument("--accounts", type=int, default=10_000)
    asked = parser.parse_args()
    server = postgres_server.Server().start()
    try:
        for name in CASES:
            print(json.dumps(trio.run(sizes, server, name, asked.messages)), flush=True)
        print(json.dumps(trio.run(idle, server, asked.accounts)), flush=True)
    finally:
        server.remove()


if __name__ == "__main__":
    main()
