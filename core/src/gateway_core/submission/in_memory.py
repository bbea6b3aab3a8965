"""Accepts an envelope where there is no outbox: once it has a slot in memory.

This module waits: for a slot where a bound is reached.
"""

from __future__ import annotations

from gateway_core.submission.draft import Draft, Drafting
from gateway_core.submission.slots import take_slot_nowait, wait_for_slot
from gateway_core.submission.tickets import Ticket


class InMemoryWay:
    """Accepts envelopes into memory alone."""

    def __init__(self, drafting: Drafting) -> None:
        self._drafting = drafting
        self._shed = drafting.config.shed

    async def accept(self, draft: Draft, *, wait: bool) -> Ticket:
        """Accept it, join the one that has its key, or raise why not."""
        drafting, partition = self._drafting, draft.partition
        if (known := drafting.known(draft)) is not None:
            return drafting.joined(draft, known)
        full = take_slot_nowait(partition, draft.envelope, shed=self._shed)
        if full is not None:
            await wait_for_slot(partition, draft.envelope, full, wait=wait)
            if (known := drafting.known(draft)) is not None:  # used during the wait
                partition.free_slot(draft.envelope)
                return drafting.joined(draft, known)
            drafting.look_up_account(draft, slot=True)
        now = drafting.clock.now()
        delivery, _ = drafting.deliver(draft, now)
        try:
            vote = drafting.vote(draft, delivery)
        except BaseException:  # one that stops the program leaves no trace
            if delivery.scope is not None:
                partition.keys.forget(delivery.scope)
            partition.free_slot(draft.envelope)
            raise
        if vote is not None and vote != "shed":
            drafting.give_class(delivery, vote)
        drafting.observer.admitted(delivery, draft.account, partition.index, draft.begun)
        partition.enqueuer.accept(delivery, draft.account, now, shed=vote == "shed")
        return Ticket(delivery)
