"""How long a process takes to own many accounts in PostgreSQL: `python -m bench.claims`.

The outbox is owned as a whole, or its accounts are spread, with this as the only process. The
process takes one account after the other, or several at once. All cases run on the same server, one
by one. A row has seconds, and seconds of this process's CPU.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from pathlib import Path
from typing import Any

import structlog
import trio

from gateway_contrib.postgres import PostgresOutbox, PostgresSettings
from gateway_core import GatewayConfig, Instance, open_gateway
from gateway_core.testing import FakeChannel, FakeSettings

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "shared"))

import postgres_server


class OneByOne(PostgresOutbox):
    """An outbox that takes one account after the other."""

    recover_many: Any = None


async def claimed(server: Any, accounts: str, count: int, kind: type[PostgresOutbox]) -> Any:
    """Open a gateway, and wait until it owns all accounts."""
    schema = f"claims_{accounts}_{kind.__name__.lower()}"
    settings = PostgresSettings(schema=schema, accounts=accounts, lease=60)
    names = [f"bot{n}" for n in range(count)]
    config = GatewayConfig(instances=[Instance(name, "fake", FakeSettings()) for name in names])
    began, cpu = time.perf_counter(), time.process_time()
    plugins = [("fake", FakeChannel())]
    outbox = kind(server.url(), settings)
    async with open_gateway(config, plugins=plugins, outbox=outbox) as gateway:
        pager: Any = gateway._pager  # noqa: SLF001 - whether all are had, nobody tells
        while pager.accounts.others:  # noqa: ASYNC110 - likewise
            await trio.sleep(0.01)
        took, used = time.perf_counter() - began, time.process_time() - cpu
    return {
        "accounts": f"{count} {accounts}",
        "how": "one by one" if kind is OneByOne else "several at once",
        "seconds": round(took, 2),
        "cpu_s": round(used, 2),
    }


def main() -> None:
    """Print a row for each case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=10_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    server = postgres_server.Server(safe=True).start()
    try:
        for accounts in ("whole", "spread"):
            for kind in (OneByOne, PostgresOutbox):
                row = trio.run(claimed, server, accounts, options.accounts, kind)
                told = json.dumps(row) if options.json else "  ".join(map(str, row.values()))
                print(told, flush=True)
    finally:
        server.remove()


if __name__ == "__main__":
    main()
