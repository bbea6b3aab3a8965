"""Restarts a partition whose task died, gives up after too many restarts, and drains at the end.

It also ends attempts when the lease of a shared outbox ends.

This module waits: it is the boundary between a partition's tasks and the gateway.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from random import Random

import attrs
import trio

from gateway_core.backoff import Backoff
from gateway_core.contract.errors import PartitionFailed
from gateway_core.engine.partition import Partition
from gateway_core.outboxes.tenure import Tenure
from gateway_core.plugins.boundary import cause_of, place_of, stopped
from gateway_core.telemetry import PARTITION_RESTARTED, log_event

MOST_RESTARTS = 30
WITHIN = 60.0
BACKOFF = Backoff(base=0.01, cap=1.0, jitter=0.2)
GOES_ON = 1.0
"""Seconds in which a closing gateway with a durable outbox still begins attempts that can begin
at once."""
LOOK = 0.02
"""Seconds between two checks for attempts in flight."""
LAPSED = 0.25
"""Seconds until the next check if the lease of a shared outbox has run out."""
SOONEST = 0.001
"""Seconds until the next check at least, since the lease's clock is not trio's."""


@attrs.define(eq=False)
class Supervisor:
    """Restarts partitions; one per gateway, since it counts the deaths of all partitions."""

    _partitions: Sequence[Partition]
    _rng: Random
    _deaths: deque[float] = attrs.field(factory=deque)

    async def keep(self, partition: Partition) -> None:
        """Run the partition, and restart it. Raises `PartitionFailed` after too many restarts."""
        while True:
            error: Exception | None = None
            try:
                await partition.run()
            except BaseException as raised:  # noqa: BLE001 - the boundary stands here
                error = stopped(raised)
            partition.restarts += 1
            delay = self._died(partition, error)
            alive = [p.scheduler for p in self._partitions if p is not partition and p.alive]
            if alive:  # a living partition rings for the shared buckets meanwhile
                partition.scheduler.hand_over(alive[0])
            await trio.sleep(delay)

    def _died(self, partition: Partition, error: Exception | None) -> float:
        """Count the death; return the seconds until the restart."""
        now = trio.current_time()
        self._deaths.append(now)
        while self._deaths and now - self._deaths[0] > WITHIN:
            self._deaths.popleft()
        count = len(self._deaths)
        cause, where = None if error is None else cause_of(error), place_of(error)
        said = "cancelled" if cause is None else partition.privacy.error(cause)
        log_event(
            PARTITION_RESTARTED,
            partition=partition.index,
            restarts=count,
            error=said,
            where=where,
        )
        if count > MOST_RESTARTS:
            text = f"{count} restarts of partitions within {WITHIN:g} s"
            last = f"the last of partition {partition.index} after {said} ({where})"
            raise PartitionFailed(f"{text}, {last}") from cause
        return BACKOFF.delay(count, rng=self._rng)


async def end_with_lease(partitions: Sequence[Partition], tenure: Callable[[], Tenure]) -> None:
    """Break off the attempts under way whenever the lease of a shared outbox has run out.

    Another process may own their accounts from then on, and send to their rooms. Runs until
    cancelled.
    """
    while True:
        left = tenure().lease
        await trio.sleep(max(SOONEST, left) if left else LAPSED)
        for partition in partitions:
            partition.workers.break_off_unowned()


async def drain(partitions: Sequence[Partition], grace: float) -> None:
    """Let all envelopes in memory end, within `grace` seconds.

    Those that policies delay, and those that are due later than that, end at once.
    """
    drained = trio.Event()
    for partition in partitions:
        partition.completion.end_delayed(partition.clock.wall() + grace)

    def look() -> None:
        if not any(partition.deliveries for partition in partitions):
            drained.set()

    for partition in partitions:
        partition.completion.on_empty = look
    look()
    with trio.move_on_after(grace):
        await drained.wait()


async def drain_in_flight(
    partitions: Sequence[Partition], grace: float, rests: Callable[[], None]
) -> None:
    """Wait only for attempts under way, at most `grace` seconds: the outbox stores the rest.

    rests  called once no attempt begins any more, if some are under way then

    For a moment, attempts that can begin at once still begin, so that a short program gets its
    messages out. Envelopes that wait for a limit, a retry, an account or their time go on in the
    next process run.
    """
    work = [partition.workers.work for partition in partitions]
    with trio.move_on_after(grace):
        with trio.move_on_after(GOES_ON):
            while any(queue.is_busy for queue in work):  # noqa: ASYNC110 - attempts pay for no event
                await trio.sleep(LOOK)
        for queue in work:
            queue.rest()
        if any(queue.is_performing for queue in work):
            rests()
        while any(queue.is_performing for queue in work):  # noqa: ASYNC110 - likewise
            await trio.sleep(LOOK)
