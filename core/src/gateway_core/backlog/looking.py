"""Says for operators which accounts do not work and what envelopes wait for, from memory alone.

This module waits for nothing: it only lets other tasks run while it looks at many envelopes.
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
"""Envelopes of each partition whose causes are reported: those that were accepted first."""
AT_ONCE = 1_000
"""Envelopes that are looked at before other tasks run again: under a millisecond of work."""


async def waits(
    registry: InstanceRegistry, partitions: Sequence[Partition], request: Request
) -> str:
    """The answer to a `look` or an `accounts` request, as JSON.

    accounts   each account's trouble, or `failing`; empty: none
    why        for each account in trouble, the reason and words of the refusal or newest failure
    envelopes  for a `look`: what each envelope of the request's instance and room waits for, by id
    """
    accounts = {name: account.health for name, account in registry.serving.items()}
    answer = {
        "accounts": {
            name: "failing" if health.is_failing else health.trouble
            for name, health in accounts.items()
        },
        "why": {
            name: f"{why.reason}: {why.raw}"
            for name, health in accounts.items()
            if (why := health.why) is not None
        },
        "envelopes": await _causes(partitions, request) if request.kind == "look" else {},
    }
    return json.dumps(answer)


async def _causes(partitions: Sequence[Partition], request: Request) -> dict[str, str]:
    """The wait causes in the request's instance and room; an empty name stands for any."""
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
