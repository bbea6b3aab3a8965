"""Says for operators what is out of order and what envelopes wait for, as memory alone knows it.

This module waits, but for nothing: so many are looked at that the others have their turn between.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import trio

from gateway_core.engine.instances.instance_registry import InstanceRegistry
from gateway_core.engine.partition import Partition
from gateway_core.outboxes.records import Request
from gateway_core.scheduling.wait_causes import cause_now

MOST = 1_000
"""Envelopes of each partition whose causes are told: those that were accepted first."""
AT_ONCE = 1_000
"""Envelopes that are looked at between two turns of the other tasks: under a millisecond."""


async def waits(
    registry: InstanceRegistry, partitions: Sequence[Partition], request: Request
) -> str:
    """The answer to a `look` or to `accounts`, as JSON.

    accounts   each account's trouble; empty: none
    why        of each that is suspended, the refusal's reason and words
    envelopes  of a `look`: by its id, what an envelope of its instance and room waits for
    """
    accounts = {name: account.health for name, account in registry.serving.items()}
    answer = {
        "accounts": {name: health.trouble for name, health in accounts.items()},
        "why": {
            name: f"{health.suspended.reason}: {health.suspended.raw}"
            for name, health in accounts.items()
            if health.suspended is not None
        },
        "envelopes": await _causes(partitions, request) if request.kind == "look" else {},
    }
    return json.dumps(answer)


async def _causes(partitions: Sequence[Partition], request: Request) -> dict[str, str]:
    """Of the request's instance and room, or of any where they are empty."""
    causes: dict[str, str] = {}
    for partition in partitions:
        found = 0
        for number, delivery in enumerate(list(partition.deliveries.values())):
            if number % AT_ONCE == 0:
                await trio.lowlevel.checkpoint()
            envelope = delivery.envelope
            if (
                delivery.receipt is None
                and request.instance_id in ("", envelope.instance_id)
                and request.room in ("", envelope.external_room_id)
            ):
                causes[delivery.id] = cause_now(delivery)
                found += 1
                if found == MOST:
                    break
    return causes
