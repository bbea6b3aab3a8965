"""Says for operators what the unfinished envelopes wait for, as memory alone knows it.

This module waits, but for nothing: so many are looked at that the others have their turn between.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import trio

from gateway_core.engine.instance_registry import InstanceRegistry
from gateway_core.engine.partition import Partition
from gateway_core.scheduling.wait_causes import cause_now

MOST = 1_000
"""Envelopes of each partition whose causes are told: those that were accepted first."""
AT_ONCE = 1_000
"""Envelopes that are looked at between two turns of the other tasks: under a millisecond."""


async def waits(
    registry: InstanceRegistry, partitions: Sequence[Partition], instance_id: str, room: str
) -> str:
    """JSON: each account's trouble (empty: none), and by its id what an envelope waits for.

    instance_id, room  only the envelopes of these; empty: of any
    """
    accounts = {name: account.health.trouble for name, account in registry.serving.items()}
    causes: dict[str, str] = {}
    for partition in partitions:
        found = 0
        for number, delivery in enumerate(list(partition.deliveries.values())):
            if number % AT_ONCE == 0:
                await trio.lowlevel.checkpoint()
            envelope = delivery.envelope
            if (
                delivery.receipt is None
                and instance_id in ("", envelope.instance_id)
                and room in ("", envelope.external_room_id)
            ):
                causes[delivery.id] = cause_now(delivery)
                found += 1
                if found == MOST:
                    break
    return json.dumps({"accounts": accounts, "envelopes": causes})
