"""What it costs a healthy account if a middlebox forgets connections, over loopback sockets.

`python -m bench.recovery_connections` prints a row for each channel and case: the seconds lost
compared with the run without the fault, the seconds lost by messages that were not in doubt, 429s,
connections, requests that reached no server, messages whose receipts announce a possible copy,
copies, and messages that did not arrive.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import attrs
import structlog
import trio

from bench.middlebox import Middlebox, between
from bench.worlds import PLATFORMS, Platform, configured, emulated
from gateway_core import Gateway, Receipt, open_gateway

ROOMS = 64
QUIET = 1.5
"""Seconds for which all connections are idle before they are forgotten."""


@attrs.frozen(kw_only=True)
class Case:
    """The messages that are sent, and the fault meanwhile.

    answer  the answer to requests on forgotten connections
    once    whether each connection is forgotten after its first answer
    midst   seconds after the second volley at which all are forgotten; None: just before the volley
    volley  how many messages the second volley has
    """

    name: str
    answer: str = "reset"
    once: bool = False
    forgets: bool = True
    midst: float | None = None
    volley: int = ROOMS


CASES = (
    Case(name="64 idle ones forgotten, resets"),
    Case(name="64 idle ones forgotten, silence", answer="silence"),
    Case(name="forgotten amid traffic, resets", midst=1.0, volley=3 * ROOMS),
    Case(name="reset at every second request", once=True, forgets=False, volley=200),
)


@attrs.frozen(kw_only=True)
class Row:
    """The figures of one run."""

    seconds: float
    others: float
    refused: int
    connections: int
    lost: int
    announced: int
    copies: int
    missing: int


@attrs.frozen
class Sent:
    """A receipt, and the seconds from the beginning of the volley until it came."""

    receipt: Receipt
    seconds: float


async def _volley(gateway: Gateway, platform: Platform, first: int, count: int) -> list[Sent]:
    """Send `count` messages, to all rooms in turn."""
    began = trio.current_time()
    sent: list[Sent] = []

    async def send(number: int) -> None:
        room = platform.room_id(number % ROOMS)
        receipt = await gateway.send("bot", room, f"message {number}", ttl=600, raises=False)
        sent.append(Sent(receipt, trio.current_time() - began))

    async with trio.open_nursery() as nursery:
        for number in range(first, first + count):
            nursery.start_soon(send, number)
    return sent


@asynccontextmanager
async def _world(platform: Platform, case: Case | None) -> Any:
    fields = {} if case is None else {"answer": case.answer, "once": case.once}
    async with (
        emulated(platform) as (emulator, url),
        between(url.removesuffix(platform.path), **fields) as (box, front),
    ):
        config = configured(platform, front + platform.path)
        async with open_gateway(config) as gateway:
            yield emulator, box, gateway


async def run(platform: Platform, case: Case, *, fault: bool) -> Row:
    """One run of the case, with its fault or without."""
    async with (
        _world(platform, case if fault else None) as (emulator, box, gateway),
        trio.open_nursery() as nursery,
    ):
        before = await _volley(gateway, platform, 0, ROOMS)
        await trio.sleep(QUIET)
        if fault and case.forgets:
            nursery.start_soon(_forget, box, case.midst)
        after = await _volley(gateway, platform, ROOMS, case.volley)
    return _row(emulator, box, [*before, *after], after, ROOMS + case.volley)


async def _forget(box: Middlebox, midst: float | None) -> None:
    if midst is not None:
        await trio.sleep(midst)
    box.forget()


def _row(
    emulator: Any, box: Middlebox, sent: Sequence[Sent], after: Sequence[Sent], count: int
) -> Row:
    texts = [
        message.text for room in emulator.rooms.names() for message in emulator.rooms.all(room)
    ]
    plain = [one.seconds for one in after if not one.receipt.possible_duplicate]
    return Row(
        seconds=max(one.seconds for one in after),
        others=max(plain, default=0.0),
        refused=emulator.counters["rate_limited"],
        connections=box.opened,
        lost=box.lost,
        announced=sum(one.receipt.possible_duplicate for one in sent),
        copies=len(texts) - len(set(texts)),
        missing=count - len(set(texts)),
    )


async def rows(cases: Sequence[Case] = CASES) -> dict[tuple[str, str], tuple[Row, Row]]:
    """Each case on each channel, without and with its fault; a case's runs are concurrent."""
    found: dict[tuple[str, str], list[Row | None]] = {}

    async def one(platform: Platform, case: Case, *, fault: bool) -> None:
        pair = found.setdefault((platform.channel, case.name), [None, None])
        pair[fault] = await run(platform, case, fault=fault)

    for case in cases:
        async with trio.open_nursery() as nursery:
            for platform in PLATFORMS.values():
                for fault in (False, True):
                    nursery.start_soon(partial(one, platform, case, fault=fault))
    return {key: (pair[0], pair[1]) for key, pair in found.items()}  # type: ignore[misc]  # both ran


def main() -> None:
    """Print the table."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    head = ("channel", "case", "ideal", "lost", "others", "429s", "conns", "vain", "announced")
    print(("{:9} {:32}" + " {:>9}" * 9).format(*head, "copies", "missing"))
    for (channel, name), (ideal, row) in sorted(trio.run(rows).items()):
        figures = (ideal.seconds, row.seconds - ideal.seconds, row.others - ideal.seconds)
        print(
            f"{channel:9} {name:32}"
            + "".join(f" {seconds:8.1f}s" for seconds in figures)
            + f" {row.refused:9} {row.connections:9} {row.lost:9} {row.announced:9}"
            + f" {row.copies:9} {row.missing:9}",
            flush=True,
        )


if __name__ == "__main__":
    main()
