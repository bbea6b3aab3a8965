"""A slot in a partition for an envelope: taken, made by shedding, or waited for.

This module waits: for a slot where a bound is reached.
"""

from __future__ import annotations

import trio

from gateway_core.contract.envelopes import Envelope
from gateway_core.contract.errors import GatewayClosed, Overloaded
from gateway_core.engine.partition import Partition
from gateway_core.scheduling.admission import Full, Waiter
from gateway_core.scheduling.classes import CLASSES


def take_slot_nowait(partition: Partition, envelope: Envelope, *, shed: bool) -> Full | None:
    """Take a slot if there is one, or one can be freed; else the bound that is reached.

    shed  bulk that has not started may be ended for higher classes
    """
    admission = partition.admission
    instance, room = envelope.instance_id, envelope.external_room_id
    full = admission.full(instance, room)
    if full is None:
        admission.add(instance, room)
        return None
    may_shed = shed and not CLASSES[envelope.priority].may_be_shed
    return None if may_shed and partition.completion.shed_for(instance, room) else full


async def wait_for_slot(
    partition: Partition, envelope: Envelope, full: Full, *, wait: bool
) -> None:
    """Wait for a slot under the bound that is reached, or raise `Overloaded` if not `wait`.

    Raises `GatewayClosed` if the gateway closes meanwhile.
    """
    if not wait:
        raise Overloaded(
            bound_of=" ".join(full.key) if len(full.key) > 1 else f"partition {partition.index}",
            pressure=partition.gauge.level,
            depth=full.depth,
            bound=full.bound,
            retry_in=partition.estimate(),
        )
    admission = partition.admission
    woken = trio.Event()
    waiter = Waiter(envelope.instance_id, envelope.external_room_id, woken.set)
    admission.wait(waiter, full)
    try:
        await woken.wait()
    except trio.Cancelled:
        admission.give_up(waiter)
        partition.measure()
        raise
    if not waiter.granted:
        raise GatewayClosed
    if admission.closed:
        admission.give_up(waiter)
        raise GatewayClosed
