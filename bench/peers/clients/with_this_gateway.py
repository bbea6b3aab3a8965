"""This gateway with its defaults: memory as its outbox, the installed plugin of the channel."""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

import structlog
import trio

from bench.peers.measuring import Meter
from gateway_core import Gateway, Receipt, Send, Ticket, open_gateway, parse_config

PATHS = {"telegram": "", "slack": "/api", "discord": "/api/v10"}


async def deliver(job: dict[str, Any]) -> dict[str, Any]:
    url = job["url"] + PATHS[job["channel"]]
    bot = {"channel": job["channel"], "token": job["token"], "base_url": url}
    config = parse_config({"instances": {"bot": bot}, "drain_timeout": 0.0})
    receipts: dict[int, Receipt] = {}
    async with open_gateway(config) as gateway:
        meter = Meter()
        with trio.move_on_after(job["limit_s"]):
            await _all(gateway, job["messages"], receipts)
        report = meter.report()
    told = [receipts.get(number) for number in range(len(job["messages"]))]
    return {
        **report,
        "outcomes": [_outcome(receipt) for receipt in told],
        "announced": sum(receipt is not None and receipt.possible_duplicate for receipt in told),
        "errors": _errors(receipts),
    }


def _errors(receipts: dict[int, Receipt]) -> list[str]:
    failed = [receipt for receipt in receipts.values() if _outcome(receipt) == "failed"]
    return sorted({str(receipt.verdict)[:200] for receipt in failed})[:5]


async def _all(gateway: Gateway, messages: list[list[str]], receipts: dict[int, Receipt]) -> None:
    async def wait(number: int, ticket: Ticket) -> None:
        receipts[number] = await ticket.receipt()

    async with trio.open_nursery() as nursery:
        for number, (room, text) in enumerate(messages):
            send = Send(instance_id="bot", external_room_id=room, text=text)
            nursery.start_soon(wait, number, await gateway.submit(send))


def _outcome(receipt: Receipt | None) -> str:
    if receipt is None:
        return "none"
    disposition = str(receipt.disposition)
    return disposition if disposition in {"delivered", "unknown"} else "failed"


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    print(json.dumps(trio.run(deliver, json.load(sys.stdin))), flush=True)
