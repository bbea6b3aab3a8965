"""Accepts an envelope without an outbox, once it has a slot in memory.

This module waits for a slot if a bound is reached.
"""

from __future__ import annotations

from collections.abc import Callable

from gateway_core.contract.errors import Overloaded
from gateway_core.deliveries.delivery import Delivery
from gateway_core.scheduling.admission import Full
from gateway_core.scheduling.slot_queue import Waiter
from gateway_core.submission.draft import Draft, Drafting
from gateway_core.submission.slots import take_slot_nowait, wait_for_slot
from gateway_core.submission.tickets import Ticket


class InMemoryWay:
    """Accepts envelopes into memory alone."""

    def __init__(self, drafting: Drafting) -> None:
        self._drafting = drafting
        self._shed = drafting.config.shed

    def handed_for(self, _instance_id: str) -> None:
        """Return None: this process accepts for every account."""

    async def accept(self, draft: Draft, *, wait: bool) -> Ticket:
        """Accept the draft, join the envelope that has its key, or raise the reason why not."""
        drafting, partition, envelope = self._drafting, draft.partition, draft.envelope
        if draft.scope is not None and (known := drafting.known(draft)) is not None:
            return drafting.joined(draft, known)
        drafting.vote(draft)
        instance, room, rank = envelope.instance_id, envelope.external_room_id, draft.rank
        if draft.ending is not None:  # it ends at once, and waits for no slot
            partition.admission.add(instance, room, rank)
        elif full := take_slot_nowait(partition, instance, room, rank, shed=self._shed):
            await self._wait(draft, full, wait=wait)
            if (known := drafting.known(draft)) is not None:  # its key was used during the wait
                drafting.free_slot(draft)
                return drafting.joined(draft, known)
            drafting.look_up_account(draft, slot=True)
        return Ticket(self._accepted(draft))

    def accept_member(self, draft: Draft) -> Delivery:
        """Accept a group's member, even if there is no slot: the feed has looked for one.

        Policies vote on a member as on any other envelope.
        """
        self._drafting.vote(draft)
        envelope = draft.envelope
        draft.partition.admission.add(envelope.instance_id, envelope.external_room_id, draft.rank)
        return self._accepted(draft)

    def _accepted(self, draft: Draft) -> Delivery:
        drafting, partition = self._drafting, draft.partition
        now = drafting.clock.now()
        delivery, _ = drafting.deliver(draft, now)
        drafting.observer.admitted(delivery, draft.account, partition.index, draft.begun)
        partition.enqueuer.accept(delivery, draft.account, now, draft.ending)
        return delivery

    async def _wait(self, draft: Draft, full: Full, *, wait: bool) -> None:
        """Wait for a slot under the bound that is reached, or raise `Overloaded` if not `wait`."""
        partition, clock, envelope = draft.partition, self._drafting.clock, draft.envelope
        bound_of = " ".join(full.key) if len(full.key) > 1 else f"partition {partition.index}"
        if not wait:
            raise Overloaded(
                bound_of=bound_of,
                pressure=partition.gauge.level,
                depth=full.depth,
                bound=full.bound,
                retry_in=partition.estimate(),
            )
        called = draft.waits_from(clock.now())

        def queued(wake: Callable[[], None]) -> Waiter:
            place = envelope.instance_id, envelope.external_room_id
            waiter = Waiter(*place, wake, draft.rank, called)
            partition.admission.wait(waiter, full)
            return waiter

        try:
            until = self._drafting.deadline_of(draft, clock.now())
            await wait_for_slot(partition.admission, queued, clock, until, bound_of)
        finally:
            partition.measure()
