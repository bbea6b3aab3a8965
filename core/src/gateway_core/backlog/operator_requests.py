"""What operators ask of a running gateway: a retry, a discard, an erasure.

This module waits: for the outbox alone.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable

from gateway_core.clock import SECOND, Clock
from gateway_core.contract.errors import OutboxError
from gateway_core.engine.partition import Partition
from gateway_core.outboxes.interface import Kept, Outbox, Request
from gateway_core.telemetry import OUTBOX_FAILED, log_event

PAGE = 500
AGAIN = 1.0


class OperatorRequests:
    """Requests in their order, done one by one.

    end    ends an envelope outside memory
    again  takes in one that is unfinished again
    """

    def __init__(
        self,
        outbox: Outbox,
        *,
        clock: Clock,
        partition_of: Callable[[str, str], Partition],
        end: Callable[[Kept], None],
        again: Callable[[Kept], None],
    ) -> None:
        self._outbox = outbox
        self._clock = clock
        self._not_before = 0
        self._partition_of = partition_of
        self._end = end
        self._again = again
        self._requests: deque[Request] = deque()

    def add(self, request: Request) -> None:
        """One more."""
        self._requests.append(request)

    @property
    def wait(self) -> float:
        """Seconds after which to serve again, unless woken before."""
        return AGAIN if self._requests else math.inf

    async def serve(self) -> None:
        """Do what was asked. What the outbox fails at is done later, and keeps nothing waiting."""
        if not self._requests or self._clock.now() < self._not_before:
            return
        try:
            await self._serve()
        except OutboxError as error:
            log_event(OUTBOX_FAILED, error=str(error))
            self._not_before = self._clock.now() + round(AGAIN * SECOND)

    async def _serve(self) -> None:
        while self._requests:
            request = self._requests[0]
            if request.kind == "erase":
                await self._erase(request)
            elif request.kept is not None:
                {"retry": self._again, "discard": self._discard}[request.kind](request.kept)
            self._requests.popleft()

    def _discard(self, kept: Kept) -> None:
        """End one that has not started."""
        envelope = kept.entry.envelope
        partition = self._partition_of(envelope.instance_id, envelope.external_room_id)
        delivery = partition.deliveries.get(kept.entry.id)
        if delivery is not None:
            partition.completion.withdraw(delivery)
        else:
            self._end(kept)

    async def _erase(self, request: Request) -> None:
        """End what is queued of a room, then let the outbox erase all that it has of it."""
        instance_id, room, after = request.instance_id, request.room, -1
        while page := await self._outbox.page(instance_id, room=room, after=after, limit=PAGE):
            after = page[-1].position
            for kept in page:
                self._discard(kept)
        await self._withdraw_scheduled(instance_id, room)
        partition = self._partition_of(instance_id, room)
        await self._outbox.erase(request, partition.completion.forget_room(instance_id, room))

    async def _withdraw_scheduled(self, instance_id: str, room: str) -> None:
        after = (0.0, -1)
        while page := await self._outbox.scheduled(until=math.inf, after=after, limit=PAGE):
            after = (page[-1].entry.due or 0.0, page[-1].position)
            for kept in page:
                envelope = kept.entry.envelope
                if (envelope.instance_id, envelope.external_room_id) == (instance_id, room):
                    self._discard(kept)
