"""One partition: its state, the task that rings its alarms, and its figures.

What it does with envelopes stands beside it: `arrivals` takes them into lanes, `turns` readies
the next step, `workers` make the attempts, `failures` follow from a verdict, `endings` end them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from itertools import islice
from random import Random
from typing import TYPE_CHECKING

import trio

from gateway_core.clock import Clock, nanoseconds
from gateway_core.config import GatewayConfig
from gateway_core.contract.envelopes import Envelope
from gateway_core.contract.hookspecs import Level, Pressure
from gateway_core.contract.verdicts import Verdict
from gateway_core.deliveries.delivery import Delivery
from gateway_core.deliveries.idempotency import Keys
from gateway_core.deliveries.revisions import Revisions
from gateway_core.deliveries.targets import Targets
from gateway_core.engine.completion import Completion
from gateway_core.engine.consequences import Consequences
from gateway_core.engine.enqueue import Enqueuer
from gateway_core.engine.planning import Planner
from gateway_core.engine.worker_pool import WorkerPool
from gateway_core.monitoring.statistics import PartitionStatistics
from gateway_core.outboxes.journal import Journal
from gateway_core.ratelimits.bucket import NEVER
from gateway_core.scheduling.admission import Admission
from gateway_core.scheduling.causes import causes
from gateway_core.scheduling.pressure import Gauge
from gateway_core.scheduling.scheduler import Scheduler
from gateway_core.telemetry import PRESSURE_CHANGED, log_event
from gateway_core.telemetry.privacy import Privacy

if TYPE_CHECKING:
    from gateway_core.accounts.instance_state import InstanceState
    from gateway_core.monitoring.recorder import Recorder

RECENT = 20
"""Endings by which the pace is told."""


class Partition:
    """One shard of the routing keys: its queue, its lanes, its workers.

    watch     what is told of every envelope; None: nobody listens
    deliveries   what is unfinished in memory, by envelope id
    accepted  envelopes accepted since the gateway opened
    outside   of those unfinished, kept in the outbox without a place in memory
    """

    def __init__(
        self,
        index: int,
        config: GatewayConfig,
        *,
        clock: Clock,
        rng: Random,
        journal: Journal | None,
        watch: Recorder | None,
        privacy: Privacy,
        on_pressure: Callable[[Pressure, Level], None],
        on_suspension: Callable[[InstanceState, Verdict], None],
    ) -> None:
        self.index = index
        self.config = config
        self.clock = clock
        self.journal = journal
        self.watch = watch
        self.privacy = privacy
        self._on_pressure = on_pressure
        self._alarm = trio.CancelScope()
        self._ringing = False
        self.accepted = 0
        self.spilled = 0
        self.restarts = 0
        self.deliveries: dict[str, Delivery] = {}
        self.admission = Admission(
            partition=config.partition_bound,
            instance=config.instance_share,
            room=config.room_bound,
        )
        self.gauge = Gauge(config.pressure, config.partition_bound)
        self.keys = Keys(
            most=config.idempotency_keys, window=nanoseconds(config.idempotency_window)
        )
        self.targets = Targets(self.keys, Revisions(config.history), self.deliveries)
        self.scheduler = Scheduler(slots=config.attempts_per_partition, rearm=self.rearm)
        self.completion = Completion(self)
        self.planner = Planner(self)
        self.enqueuer = Enqueuer(self)
        self.consequences = Consequences(self, rng, on_suspension)
        self.workers = WorkerPool(self)
        self.scheduler.serve(
            prepare=self.planner.prepare,
            start=self.workers.start,
            broken=self.completion.broken,
            crashed=self.workers.crashed,
        )

    # -- the task of the partition

    async def run(self) -> None:
        """Ring the alarms and serve the lanes until cancelled. What it raises kills this life."""
        async with trio.open_nursery() as nursery:
            self.workers.begin(nursery)
            try:
                await self._keep_time()
            finally:
                self.workers.nursery = None

    async def _keep_time(self) -> None:
        while True:
            now = self.clock.now()
            self.workers.crew.look(now)
            self._ringing = True  # what comes to be due meanwhile is seen afterwards
            self.scheduler.ring(now, self.completion.expire, self.enqueuer.due)
            self._ringing = False
            with trio.CancelScope(deadline=self._next_alarm()) as self._alarm:
                await _until_late(self._alarm)

    def _next_alarm(self) -> float:
        at = min(self.scheduler.next_alarm() + 1, self.workers.crew.look_at)
        return math.inf if at >= NEVER else self.clock.trio_time(at)

    def rearm(self) -> None:
        """Ring earlier: the alarm is moved, which wakes nobody."""
        if not self._ringing:
            self._alarm.deadline = self._next_alarm()

    # -- figures

    def measure(self) -> None:
        """Take the depth in; tell of a changed pressure level."""
        depth = self.admission.depth
        previous = self.gauge.update(depth)
        if previous is not None:
            pressure = self.pressure()
            log_event(
                PRESSURE_CHANGED,
                partition=self.index,
                pressure=pressure.level,
                previous=previous,
                depth=depth,
                bound=pressure.bound,
            )
            self._on_pressure(pressure, previous)

    def give_place_back(self, envelope: Envelope) -> None:
        """The place that was taken for an envelope is free: it was not accepted, or has no use."""
        self.admission.remove(envelope.instance_id, envelope.external_room_id)
        self.measure()

    @property
    def alive(self) -> bool:
        """Whether its task runs."""
        return self.workers.nursery is not None

    def estimate(self) -> float:
        """Seconds until a place is likely to free, by the pace at which the newest ended."""
        newest = reversed(self.completion.history.values())
        ends = [receipt.ended_at for receipt in islice(newest, RECENT)]
        if not ends:
            return 1.0
        return min(60.0, max(0.01, (self.clock.wall() - ends[-1]) / max(1, len(ends) - 1)))

    def pressure(self) -> Pressure:
        """How full it is."""
        return Pressure(
            partition=self.index,
            level=self.gauge.level,
            depth=self.admission.depth,
            bound=self.admission.bound,
        )

    def oldest_wait(self) -> float:
        """Seconds since the oldest unfinished envelope was accepted, or was due."""
        for delivery in self.deliveries.values():  # in the order of acceptance, mostly
            since = max(delivery.accepted_wall, delivery.envelope.not_before or 0.0)
            waited = self.clock.wall() - since
            if waited > 0:
                return waited
        return 0.0

    def causes(self) -> Counter[tuple[str, str]]:
        """Of the envelopes in memory that wait, how many do by (instance, cause)."""
        return causes(self.deliveries.values(), self.scheduler.groups, self.clock.now())

    def statistics(self, total: int) -> PartitionStatistics:
        """A snapshot; `total` envelopes were accepted by the whole gateway."""
        return PartitionStatistics(
            index=self.index,
            accepted=self.accepted,
            unfinished=len(self.deliveries) + self.spilled,
            spilled=self.spilled,
            depth=self.admission.depth,
            bound=self.admission.bound,
            waiting=self.admission.waiters,
            in_flight=self.scheduler.slots.all.in_flight,
            level=self.gauge.level,
            attempts=self.workers.attempts.count,
            rate_limited=self.consequences.rate_limited,
            restarts=self.restarts,
            share=self.accepted / total if total else 0.0,
            dispositions=dict(self.completion.dispositions),
            oldest_wait=self.oldest_wait(),
        )


async def _until_late(scope: trio.CancelScope) -> None:
    """Wait for the deadline of `scope`, and return: an exception would cost as much as an alarm."""
    task = trio.lowlevel.current_task()

    def abort(_: object) -> trio.lowlevel.Abort:
        if not scope.cancel_called:  # what is cancelled is around it
            return trio.lowlevel.Abort.SUCCEEDED
        trio.lowlevel.reschedule(task)
        return trio.lowlevel.Abort.FAILED

    await trio.lowlevel.wait_task_rescheduled(abort)
