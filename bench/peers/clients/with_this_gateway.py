"""Sends with this gateway and its defaults: an outbox in memory, the channel's installed plugin."""

from __future__ import annotations

import json
import logging
import sys
from typing import Any, TypeAlias

import structlog
import trio

from bench.peers.measuring import Meter
from gateway_core import Gateway, Receipt, Send, Ticket, open_gateway, parse_config

Messages: TypeAlias = list[list[str]]
Receipts: TypeAlias = dict[int, Receipt]

PATHS = {"telegram": "", "slack": "/api", "discord": "/api/v10"}


async def deliver(job: dict[str, Any]) -> dict[str, Any]:
    url = job["url"] + PATHS[job["channel"]]
    bot = {"channel": job["channel"], "token": job["token"], "base_url": url}
    config = parse_config({"instances": {"bot": bot}, "drain_timeout": 0.0})
    receipts: Receipts = {}
    async with open_gateway(config) as gateway:
        meter = Meter()
        with trio.move_on_after(job["limit_s"]):
            await _WAYS[job["way"]](gateway, job["messages"], receipts)
        report = meter.report()
    told = [receipts.get(number) for number in range(len(job["messages"]))]
    return {
        **report,
        "outcomes": [_outcome(receipt) for receipt in told],
        "announced": sum(receipt is not None and receipt.possible_duplicate for receipt in told),
        "errors": _errors(receipts),
    }


def _errors(receipts: Receipts) -> list[str]:
    failed = [receipt for receipt in receipts.values() if _outcome(receipt) == "failed"]
    return sorted({str(receipt.verdict)[:200] for receipt in failed})[:5]


async def _at_once(gateway: Gateway, messages: Messages, receipts: Receipts) -> None:
    async def wait(number: int, ticket: Ticket) -> None:
        receipts[number] = await ticket.receipt()

    async with trio.open_nursery() as nursery:
        for number, (room, text) in enumerate(messages):
            nursery.start_soon(wait, number, await gateway.submit(_send(room, text)))


async def _per_room(gateway: Gateway, messages: Messages, receipts: Receipts) -> None:
    rooms: dict[str, list[tuple[int, str]]] = {}
    for number, (room, text) in enumerate(messages):
        rooms.setdefault(room, []).append((number, text))

    async def one_by_one(room: str) -> None:
        for number, text in rooms[room]:
            ticket = await gateway.submit(_send(room, text))
            receipts[number] = await ticket.receipt()

    async with trio.open_nursery() as nursery:
        for room in rooms:
            nursery.start_soon(one_by_one, room)


_WAYS = {"at_once": _at_once, "per_room": _per_room}


def _send(room: str, text: str) -> Send:
    return Send(instance_id="bot", external_room_id=room, text=text)


def _outcome(receipt: Receipt | None) -> str:
    if receipt is None:
        return "none"
    disposition = str(receipt.disposition)
    return disposition if disposition in {"delivered", "unknown"} else "failed"


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    print(json.dumps(trio.run(deliver, json.load(sys.stdin))), flush=True)
