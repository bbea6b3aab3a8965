"""One partition: the task that rings its alarms, the parts that it is made of, and its figures.

What it does with envelopes stands beside it: `enqueue` brings them into lanes, `planning` plans
the next step, `worker_pool` and `attempts` make the attempts, `consequences` follow from a
verdict, `completion` ends them. Each gets the `shard` that the partition is.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from itertools import islice
from random import Random

import trio

from gateway_core.accounts.instance_state import InstanceState
from gateway_core.clock import NEVER, SECOND, Clock
from gateway_core.config import GatewayConfig
from gateway_core.contract.hookspecs import Level, Pressure
from gateway_core.contract.verdicts import Verdict
from gateway_core.deliveries.delivery import Delivery
from gateway_core.engine.attempts import Attempts
from gateway_core.engine.completion import Completion
from gateway_core.engine.consequences import Consequences
from gateway_core.engine.enqueue import Enqueuer
from gateway_core.engine.planning import Planner
from gateway_core.engine.shard import Shard
from gateway_core.engine.worker_pool import WorkerPool
from gateway_core.engine.workers import WorkQueue
from gateway_core.monitoring.observer import Observer
from gateway_core.monitoring.statistics import PartitionStatistics
from gateway_core.outboxes.journal import Journal
from gateway_core.scheduling.causes import causes
from gateway_core.scheduling.scheduler import PAUSE
from gateway_core.telemetry.privacy import Privacy

RECENT = 20
"""Endings by which the pace is estimated."""


class Partition(Shard):
    """One shard of the routing keys: its queue, its lanes, its workers."""

    def __init__(
        self,
        index: int,
        config: GatewayConfig,
        *,
        clock: Clock,
        rng: Random,
        journal: Journal | None,
        observer: Observer,
        privacy: Privacy,
        on_pressure: Callable[[Pressure, Level], None],
        on_suspension: Callable[[InstanceState, Verdict], None],
    ) -> None:
        self._alarm = trio.CancelScope()
        self._ringing = False
        self.restarts = 0
        super().__init__(
            index,
            config,
            clock=clock,
            journal=journal,
            observer=observer,
            privacy=privacy,
            rearm=self._rearm,
            on_pressure=on_pressure,
        )
        self.completion = Completion(self)
        self.planner = Planner(self)
        self.enqueuer = Enqueuer(self, self.completion)
        self.consequences = Consequences(self, self.completion, rng, on_suspension)
        self._work = WorkQueue(config.attempt_timeout, self._rearm, self._call_worker)
        attempts = Attempts(self, self._work, self.completion, self.consequences)
        self.workers = WorkerPool(self, self._work, attempts, self.completion)
        self.scheduler.serve(
            plan=self.planner.plan_next_step,
            start=self._work.start,
            end=self._work.end,
            step_aside=self.enqueuer.step_aside,
            crashed=self.workers.note_crash,
        )

    def _call_worker(self) -> None:
        self.workers.call_worker()

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
            self._work.look(now)
            self._ringing = True  # what comes to be due meanwhile is seen afterwards
            self._ring(now)
            self._ringing = False
            with trio.CancelScope(deadline=self._next_alarm()) as self._alarm:
                await _until_late(self._alarm)

    def _ring(self, now: int) -> None:
        """Wake lanes and buckets, let parked deliveries in, expire the late."""
        while (delivery := self.scheduler.ring(now)) is not None:
            self._let_in(delivery, now)
        deadlines = self.scheduler.deadlines
        for delivery in deadlines.passed(now):
            try:
                self.completion.expire(delivery, now)
            except BaseException as raised:  # noqa: BLE001 - it is this one's, and no other's
                self.workers.broke(delivery, raised, now)
                if delivery.receipt is None:
                    deadlines.add(delivery)

    def _let_in(self, delivery: Delivery, now: int) -> None:
        """A delivery's time has come; where that breaks, it comes again."""
        try:
            self.enqueuer.due(delivery, now)
        except BaseException as raised:  # noqa: BLE001 - it is this one's, and no other's
            self.workers.broke(delivery, raised, now)
            if delivery.receipt is None and delivery.lane is None:
                delivery.park_again()
                self.scheduler.at(now + PAUSE, delivery)

    def _next_alarm(self) -> float:
        """On trio's clock, in seconds; a nanosecond late, so that what is due then has its time."""
        at = min(self.scheduler.next_alarm() + 1, self._work.look_at)
        return math.inf if at >= NEVER else self.clock.start + at / SECOND

    def _rearm(self, at: int) -> None:
        """Ring at that time at the latest: the alarm is moved, which wakes nobody."""
        if not self._ringing and at < NEVER:
            soon = self.clock.start + (at + 1) / SECOND
            self._alarm.deadline = min(self._alarm.deadline, soon)

    # -- figures

    @property
    def alive(self) -> bool:
        """Whether its task runs."""
        return self.workers.nursery is not None

    def estimate(self) -> float:
        """Seconds until a slot is likely to be free, by the pace at which the newest ended."""
        newest = reversed(self.completion.history.values())
        ends = [receipt.ended_at for receipt in islice(newest, RECENT)]
        if not ends:
            return 1.0
        return min(60.0, max(0.01, (self.clock.wall() - ends[-1]) / max(1, len(ends) - 1)))

    def oldest_wait(self) -> float:
        """Seconds since the oldest unfinished envelope was accepted, or was due."""
        for delivery in self.deliveries.values():  # in the order of acceptance, mostly
            since = max(delivery.accepted_at, delivery.envelope.not_before or 0.0)
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
