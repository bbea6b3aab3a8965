"""One member of an outbox in PostgreSQL, a process that `bench.crashes --outbox postgresql` kills.

It stands by until it owns the outbox, or owns some of the accounts while other members own the
others. It submits messages of several parts, one after the other. Each line that it prints ends
with the time on a clock that all processes of the machine share.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from random import Random
from typing import Any

import structlog
import trio

from bench.crashing import ROOMS, channel_of, instances, text_of
from gateway_contrib.postgres import PostgresOutbox, PostgresSettings
from gateway_core import Gateway, GatewayConfig, OutboxError, RetrySettings, Send, open_gateway

PAUSE = 0.1
"""The most seconds between two messages; also the seconds after a refused message."""
SPREAD_PAUSE = 1.0
"""The most seconds between two messages of a process if every process submits."""
WAITING = 60
"""The most messages that may wait, so few that they end while a process owns the outbox briefly."""


def now() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def say(*words: object) -> None:
    print(*words, f"{now():.6f}", flush=True)


class Told(PostgresOutbox):
    """The outbox, which prints each thing that it does."""

    async def recover(self, instance_id: str) -> Any:
        found = await super().recover(instance_id)
        if instance_id:  # otherwise it is the state that all accounts share
            self._say_owned(instance_id)
        return found

    async def recover_many(self, instance_ids: Any, *, since: float, limit: int) -> Any:
        found = await super().recover_many(instance_ids, since=since, limit=limit)
        for instance_id, *_ in found:
            self._say_owned(instance_id)
        return found

    def _say_owned(self, instance_id: str) -> None:
        """Print that this process owns the account, with the owner's number (0 if not spread)."""
        owned = {} if self._spread is None else self._spread._owned  # noqa: SLF001 - nobody else is told of it
        say("owns", instance_id, owned.get(instance_id, 0))

    async def append(self, entry: Any, on_stored: Any) -> None:
        number, _, _ = entry.envelope.text[1:].partition("w")
        say("appends", number, entry.id)
        await super().append(entry, on_stored)

    async def attempt_started(self, envelope_id: str, record: Any) -> None:
        await super().attempt_started(envelope_id, record)
        say("tries", envelope_id)


async def submit(
    gateway: Gateway, accounts: list[str], name: str, number: int, pause: float
) -> None:
    """Submit one message after the other until cancelled."""
    rng = Random(name)
    while True:
        instance = rng.choice(accounts)
        envelope = Send(
            instance_id=instance, external_room_id=rng.choice(ROOMS[channel_of(instance)]),
            text=text_of(number), key=f"m{number}",
        )  # fmt: skip
        while gateway.statistics().stored > WAITING:  # noqa: ASYNC110 - it has no event
            await trio.sleep(PAUSE)
        say("submits", number)
        try:
            ticket = await gateway.submit(envelope)
        except OutboxError:
            await trio.sleep(PAUSE)
        else:
            say("accepted", number, ticket.id)
            await trio.sleep(rng.random() * pause)
        number += 1


async def main(asked: argparse.Namespace) -> None:
    addresses = {
        name: f"{address}/of/{asked.name}" for name, address in json.loads(asked.addresses).items()
    }
    config = GatewayConfig(
        instances=instances(addresses),
        retries=RetrySettings(quarantine=0.2, arrival=5.0, base=0.05, attempts=1000),
    )
    settings = PostgresSettings(lease=asked.lease, accounts=asked.accounts)
    outbox = Told(asked.url, settings)
    pause = SPREAD_PAUSE if outbox.spreads else PAUSE
    with trio.open_signal_receiver(signal.SIGUSR1) as enough:
        async with open_gateway(config, outbox=outbox) as gateway, trio.open_nursery() as nursery:
            nursery.start_soon(submit, gateway, list(addresses), asked.name, asked.first, pause)
            await anext(enough)
            nursery.cancel_scope.cancel()
            with trio.CancelScope(shield=True):  # it sends the rest until it is killed
                await trio.sleep_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    for name in ("url", "addresses", "name"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--first", type=int, required=True)
    parser.add_argument("--lease", type=float, required=True)
    parser.add_argument("--accounts", choices=["whole", "spread"], default="whole")
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    trio.run(main, parser.parse_args())
