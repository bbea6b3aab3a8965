"""Takes a slot for an envelope in a partition or the outbox, makes one by shedding, or waits.

This module waits for a slot if a bound is reached, until the envelope's deadline.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import trio

from gateway_core.backlog.capacity import Capacity
from gateway_core.clock import SECOND, Clock
from gateway_core.contract.errors import DeadlinePassed, GatewayClosed, Overloaded
from gateway_core.engine.partition import Partition
from gateway_core.scheduling.admission import Full
from gateway_core.scheduling.classes import BULK
from gateway_core.scheduling.slot_queue import Waiter
from gateway_core.submission.draft import Draft, Drafting

THE_OUTBOX = "the outbox"


class Slots(Protocol):
    """Something with bounds, at which callers wait for slots."""

    closed: bool

    def give_up(self, waiter: Waiter, now: int) -> None: ...  # noqa: D102 - as `Admission` says


def take_slot_nowait(
    partition: Partition, instance_id: str, room: str, rank: int, *, shed: bool
) -> Full | None:
    """Take a slot, and return None; if there is no slot, return the bound that is reached.

    shed  if all classes together have reached a bound, end a bulk envelope that has not started,
          for a higher class
    """
    admission = partition.admission
    if shed and rank != BULK:
        full = admission.full(instance_id, room, rank)
        if full is not None or partition.completion.shed_for(instance_id, room, rank):
            return full
    return admission.take(instance_id, room, rank)


async def wait_in_outbox(
    capacity: Capacity, draft: Draft, drafting: Drafting, *, wait: bool
) -> None:
    """Wait until the draft holds a slot in the outbox, or raise `Overloaded` if not `wait`.

    Raises what `wait_for_slot` raises.
    """
    if not wait:
        raise Overloaded(
            bound_of=THE_OUTBOX,
            pressure="saturated",
            depth=capacity.depth_for(draft.rank),
            bound=drafting.config.outbox_capacity,
            retry_in=draft.partition.estimate(),
        )
    drafting.check_open()  # nobody wakes a waiter after the gateway has closed
    draft.waits_from(drafting.clock.now())

    def queued(wake: Callable[[], None]) -> Waiter:
        envelope, now = draft.envelope, drafting.clock.now()
        waiter = Waiter(envelope.instance_id, envelope.external_room_id, wake, draft.rank, now)
        capacity.wait(waiter)
        return waiter

    until = drafting.deadline_of(draft, drafting.clock.now())
    await wait_for_slot(capacity, queued, drafting.clock, until, THE_OUTBOX)


async def wait_for_slot(
    slots: Slots,
    waiter: Callable[[Callable[[], None]], Waiter],
    clock: Clock,
    until: int,
    bound_of: str,
) -> None:
    """Wait for a slot at a bound that is reached.

    waiter  queues a waiter, given the function that wakes it
    until   the envelope's deadline, in engine nanoseconds

    Raises `DeadlinePassed` at `until`, and `GatewayClosed` if the gateway closes meanwhile.
    """
    woken = trio.Event()
    waiting, begun = waiter(woken.set), trio.current_time()
    with trio.CancelScope(deadline=clock.start + until / SECOND) as scope:
        try:
            await woken.wait()
        except trio.Cancelled:
            slots.give_up(waiting, clock.now())
            raise
    if scope.cancelled_caught:
        raise DeadlinePassed(bound_of=bound_of, waited=trio.current_time() - begun)
    if not waiting.granted:
        raise GatewayClosed
    if slots.closed:
        slots.give_up(waiting, clock.now())
        raise GatewayClosed
