"""A place in a partition for an envelope: taken, made by shedding, or waited for.

This module waits: for a place where a bound is reached.
"""

from __future__ import annotations

import trio

from gateway_core.contract.envelopes import Envelope
from gateway_core.contract.errors import GatewayClosed, Overloaded
from gateway_core.engine.partition import Partition
from gateway_core.scheduling.admission import Full, Waiter


class Slots:
    """How places are had.

    shed     bulk that has not started makes room for higher classes
    durable  the outbox keeps what finds no place: nobody waits
    """

    def __init__(self, *, shed: bool, durable: bool) -> None:
        self._shed = shed
        self._durable = durable

    def take_nowait(self, partition: Partition, envelope: Envelope) -> Full | None:
        """Take a place where there is one, or can be made; else the bound that is reached."""
        admission = partition.admission
        instance, room = envelope.instance_id, envelope.external_room_id
        full = admission.full(instance, room)
        if full is None:
            admission.add(instance, room)
            if self._durable:  # else it is accepted in the same step
                partition.measure()
            return None
        may_shed = self._shed and envelope.priority != "bulk"
        return None if may_shed and partition.completion.shed_for(instance, room) else full

    async def take(
        self, partition: Partition, envelope: Envelope, full: Full, *, wait: bool
    ) -> bool:
        """Wait for a place under the bound that is reached, or say when to come back.

        False: there is none, and the envelope stays in the outbox for now. Raises `Overloaded`,
        and `GatewayClosed` where the gateway closes meanwhile.
        """
        if self._durable:
            return False
        if not wait:
            raise _overloaded(partition, full)
        await _wait_for_room(partition, full, envelope.instance_id, envelope.external_room_id)
        return True


async def _wait_for_room(partition: Partition, full: Full, instance: str, room: str) -> None:
    admission = partition.admission
    woken = trio.Event()
    waiter = Waiter(instance, room, woken.set)
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


def _overloaded(partition: Partition, full: Full) -> Overloaded:
    return Overloaded(
        bound_of=" ".join(full.key) if len(full.key) > 1 else f"partition {partition.index}",
        pressure=partition.gauge.level,
        depth=full.depth,
        bound=full.bound,
        retry_in=partition.estimate(),
    )
