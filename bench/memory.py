"""Measures the bytes, in memory or on disk, of one thing of each kind that a setting bounds.

`python -m bench.memory` prints a row for each kind; `--table` prints the table of
docs/how-to/tune.md. By default there may be at most so many of each kind as the row says.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import tracemalloc
from collections.abc import Awaitable, Callable, Mapping
from contextlib import closing
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import apsw
import attrs
import structlog

from bench.peers.tables import table
from gateway_contrib.sqlite import SqliteOutbox, SqliteSettings
from gateway_core import (
    Disposition,
    Gateway,
    GatewayConfig,
    Limit,
    MessageRef,
    PartReceipt,
    PartRef,
    Receipt,
    Send,
)
from gateway_core.authors import Answer, Attempt
from gateway_core.clock import SECOND
from gateway_core.contract.ids import Ids
from gateway_core.deliveries.delivery import Delivery
from gateway_core.deliveries.idempotency import Keys
from gateway_core.ratelimits.registry import BucketRegistry
from gateway_core.testing import FakeChannel, open_test_gateway, run_seeded, virtual_wall

MANY = 5_000
TEXT = (
    "A message of a hundred characters, as a bot writes it into a room of its own, number {:06d}."
)
DAY = 86_400 * SECOND
EPOCH = 1_700_000_000.0
DEFAULTS = GatewayConfig()


class Forgetful(FakeChannel):
    """A platform that remembers nothing, so that its own memory is not measured."""

    def __init__(self) -> None:
        super().__init__(script=self._forget)

    async def _forget(self, _: Attempt) -> Answer:
        self.made.clear()
        self._count += 1
        return Answer(message_id=str(self._count))


@attrs.frozen(kw_only=True)
class Kind:
    """A kind of thing that is remembered.

    setting  the setting that bounds how many there are
    most     how many there are at most, by default
    where    `memory` or `disk`
    """

    name: str
    setting: str
    most: int
    where: str
    measure: Callable[[], float]


def each(fill: Callable[[Gateway, int], Awaitable[Any]], **settings: Any) -> float:
    """Bytes of memory for each thing that `fill` makes."""

    async def main() -> float:
        async with open_test_gateway(
            Forgetful(), partition_count=1, drain_timeout=0.0, **settings
        ) as gateway:
            await fill(gateway, 1_000)
            gc.collect()
            tracemalloc.start()
            await fill(gateway, MANY)
            gc.collect()
            taken = tracemalloc.get_traced_memory()[0]
            tracemalloc.stop()
        return taken / MANY

    return run_seeded("memory", main)


def _outbox(folder: Path) -> SqliteOutbox:
    return SqliteOutbox(
        folder / "outbox.db",
        SqliteSettings(in_thread=False, synchronous="NORMAL"),
        wall_clock=virtual_wall,
    )


async def _sent(gateway: Gateway, many: int, *, keyed: bool = True) -> None:
    for number in range(many):
        key = f"deploy-{many}-{number:08d}" if keyed else None
        await gateway.send("bot", f"room {number % 100}", TEXT.format(number), key=key)


async def _queued(gateway: Gateway, many: int) -> None:
    gateway.suspend("bot")
    for number in range(many):
        await gateway.submit(
            Send(instance_id="bot", external_room_id=f"room {number}", text=TEXT.format(number))
        )


def _keys(*, stored: bool) -> float:
    """Bytes of memory for the key of a delivered message of one part."""
    keys = Keys(most=8 * MANY, window=DAY, newest=0, stored=stored)
    ids = Ids(Random("memory"))
    gc.collect()
    tracemalloc.start()
    for number in range(MANY):
        _end_one(keys, ids, number)
    gc.collect()
    taken = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return taken / MANY


def _end_one(keys: Keys, ids: Ids, number: int) -> None:
    room, key, digest = f"room {number % 100}", f"deploy-{number:08d}", f"{number:032x}"
    send = Send(instance_id="bot", external_room_id=room, text="x", key=key)
    delivery = Delivery(ids.next(EPOCH + number), send, ())
    scope = ("bot", room, "send", key)
    keys.begin(scope, delivery, digest, number)
    receipt = Receipt(
        envelope_id=delivery.id,
        instance_id="bot",
        external_room_id=room,
        disposition=Disposition.DELIVERED,
        parts=(PartReceipt(index=0, outcome="delivered", message_id=f"{number}", attempts=1),),
        ref=MessageRef(
            instance_id="bot",
            external_room_id=room,
            envelope_id=delivery.id,
            parts=(PartRef(message_id=f"{number}", digest=digest),),
        ),
        attempts=1,
        accepted_at=EPOCH + number,
        ended_at=EPOCH + number + 1,
    )
    keys.end(scope, receipt, number)


def _history() -> float:
    def fill(gateway: Gateway, many: int) -> Awaitable[None]:
        return _sent(gateway, many, keyed=False)

    return each(fill, history=10 * MANY)


def _unfinished() -> float:
    return each(_queued, partition_bound=10 * MANY, instance_bound=10 * MANY)


def _buckets() -> float:
    """Bytes of memory for a room's two buckets, as in Telegram's groups, one of them refused."""
    registry = BucketRegistry()
    gc.collect()
    tracemalloc.start()
    for number in range(MANY):
        room = f"-100{number:08d}"
        limits = [
            Limit(f"chat:{room}", 1, 1.0, of="room"),
            Limit(f"group:{room}", 20, 60.0, "window", of="room"),
        ]
        for bucket in registry.buckets(limits, number):
            bucket.take(number)
            bucket.release(number)
            bucket.users -= 1
            bucket.close(SECOND)
    taken = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return taken / MANY


def _moves() -> float:
    async def fill(gateway: Gateway, many: int) -> None:
        account = gateway._registry.account("bot")  # noqa: SLF001 - nothing else can fill it
        for number in range(many):
            account.addresses[f"-{number:09d}"] = f"-100{number:09d}"

    return each(fill)


def _on_disk(*, unfinished: bool) -> float:
    """Bytes of the outbox's file for each message that has ended, or that is unfinished."""

    async def main() -> float:
        with TemporaryDirectory() as folder:
            async with open_test_gateway(
                Forgetful(),
                outbox=_outbox(Path(folder)),
                partition_count=1,
                drain_timeout=0.0,
            ) as gateway:
                await (_queued if unfinished else _sent)(gateway, MANY)
            with closing(apsw.Connection(str(Path(folder) / "outbox.db"))) as file:
                pages, free, size = (
                    int(file.execute(f"PRAGMA {name}").get)
                    for name in ("page_count", "freelist_count", "page_size")
                )
            return (pages - free) * size / MANY

    return run_seeded("memory", main)


EIGHT = DEFAULTS.partition_count
KINDS = (
    Kind(
        name="an unfinished envelope in a room of its own, without its text",
        setting="`partition_bound`",
        most=EIGHT * DEFAULTS.partition_bound,
        where="memory",
        measure=_unfinished,
    ),
    Kind(
        name="a receipt and a sent message's ref",
        setting="`history`",
        most=EIGHT * DEFAULTS.history,
        where="memory",
        measure=_history,
    ),
    Kind(
        name="an ended key, without an outbox",
        setting="`idempotency_keys`",
        most=EIGHT * DEFAULTS.idempotency_keys,
        where="memory",
        measure=lambda: _keys(stored=False),
    ),
    Kind(
        name="an ended key, with a durable outbox",
        setting="`idempotency_keys`",
        most=EIGHT * DEFAULTS.idempotency_keys,
        where="memory",
        measure=lambda: _keys(stored=True),
    ),
    Kind(
        name="a room's limits, until an hour after its last message",
        setting="rooms written to within an hour",
        most=10_000,
        where="memory",
        measure=_buckets,
    ),
    Kind(
        name="a room that moved",
        setting="the last 10,000 of each account",
        most=10_000,
        where="memory",
        measure=_moves,
    ),
    Kind(
        name="an unfinished envelope with a text of 90 characters",
        setting="`outbox_capacity`",
        most=DEFAULTS.outbox_capacity,
        where="disk",
        measure=lambda: _on_disk(unfinished=True),
    ),
    Kind(
        name="an ended envelope with a key",
        setting="`history_for`, if a week brings this many envelopes",
        most=1_000_000,
        where="disk",
        measure=lambda: _on_disk(unfinished=False),
    ),
)

COLUMNS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "what": lambda row: row["name"],
    "where": lambda row: row["where"],
    "limited by": lambda row: row["setting"],
    "bytes each": lambda row: f"{row['bytes']:,.0f}",
    "at most": lambda row: f"{row['most']:,}",
    "MB": lambda row: f"{row['bytes'] * row['most'] / 1e6:,.0f}",
}


def row(kind: Kind) -> Mapping[str, Any]:
    """The row of one kind."""
    return {
        "name": kind.name,
        "where": kind.where,
        "setting": kind.setting,
        "most": kind.most,
        "bytes": kind.measure(),
    }


def main() -> None:
    """Print the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--table", action="store_true")
    given = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    rows = [row(kind) for kind in KINDS]
    print(json.dumps(rows) if given.json else table(rows, COLUMNS))


if __name__ == "__main__":
    main()
