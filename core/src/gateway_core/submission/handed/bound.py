"""Keeps a process that hands envelopes over to the bound of the outbox. Waits: for the outbox."""

from __future__ import annotations

import math
from contextlib import suppress

import trio

from gateway_core.backlog.capacity import Capacity
from gateway_core.contract.errors import OutboxError
from gateway_core.outboxes.handover import Handover
from gateway_core.submission.draft import Draft, Drafting
from gateway_core.submission.slots import wait_in_outbox

EACH = 1.0
"""Seconds, at least, between two looks at what the owners count."""
LASTS = 2.0
"""Seconds for which a look may refuse envelopes."""


class Bound:
    """Lets an envelope be handed over only while the owners count less than `outbox_capacity`.

    What no owner has taken yet is not counted.

    capacity  counts what owners count; in a process that owns accounts, the bound of these
    """

    def __init__(self, handover: Handover, drafting: Drafting) -> None:
        self._handover, self._drafting = handover, drafting
        self.capacity = Capacity(drafting.config.outbox_capacity, lambda: None)
        self._used = trio.Event()
        self._looking = trio.Lock()
        self._known_until = math.inf  # nothing is looked at before `run`

    async def take(self, draft: Draft, *, wait: bool) -> None:
        """Hold a slot until `let_go`. Raises what `wait_in_outbox` raises."""
        self._used.set()
        if self.capacity.take(draft.rank):
            return
        if trio.current_time() > self._known_until:  # what was counted long ago refuses nothing
            async with self._looking:
                if trio.current_time() > self._known_until:
                    await self._look()
            if self.capacity.take(draft.rank):
                return
        await wait_in_outbox(self.capacity, draft, self._drafting, wait=wait)

    def let_go(self, draft: Draft) -> None:
        """Give the draft's slot back, since an owner counts the envelope once it has taken it."""
        self.capacity.let_go(draft.rank, self._drafting.clock.now())

    async def run(self) -> None:
        """Look what the owners count while envelopes are handed over, until cancelled."""
        while True:
            await self._used.wait()
            if not self.capacity.awaited:
                self._used = trio.Event()
            await self._look()
            await trio.sleep(EACH)

    async def _look(self) -> None:
        with suppress(OutboxError):  # handing over fails as well, and says so
            counted = await self._handover.unfinished()
            self.capacity.count_beside(counted, self._drafting.clock.now())
        self._known_until = trio.current_time() + LASTS
