"""Runs one partition: connects its components, wakes its lanes in time, and gives its figures.

`enqueue` puts envelopes into lanes, `planning` plans the next step, and `long_texts` plans long
texts. `worker_pool` and `attempts` make the attempts, `consequences` carries out what a verdict
means, and `completion` ends the envelope.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from itertools import islice
from random import Random

import attrs
import trio

from gateway_core.accounts.instance_state import InstanceState
from gateway_core.clock import NEVER, SECOND
from gateway_core.contract.verdicts import Verdict
from gateway_core.deliveries.delivery import Delivery
from gateway_core.engine.completion import Completion
from gateway_core.engine.consequences import Consequences
from gateway_core.engine.enqueue import Enqueuer
from gateway_core.engine.long_texts import LongTexts
from gateway_core.engine.planning import Planner
from gateway_core.engine.shard import Shard
from gateway_core.engine.worker_pool import WorkerPool
from gateway_core.monitoring.statistics import PartitionStatistics
from gateway_core.scheduling.scheduler import PAUSE
from gateway_core.scheduling.wait_causes import causes

RECENT = 20
"""How many of the newest endings `estimate` looks at."""


@attrs.define(eq=False, repr=False, slots=False)
class Partition(Shard):
    """One shard of the routing keys: its queue, its lanes, its workers."""

    _rng: Random
    _on_suspension: Callable[[InstanceState, Verdict], None]
    restarts: int = attrs.field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self.completion = Completion(self)
        self.long_texts = LongTexts(self.scheduler, self.clock, self.config.max_parts)
        self.planner = Planner(self, self.long_texts)
        self.enqueuer = Enqueuer(self, self.completion)
        self.consequences = Consequences(
            self, self.completion, self.long_texts, self._rng, self._on_suspension
        )
        self.workers = WorkerPool(self, self.completion, self.consequences)
        self.long_texts.broke_off = self.workers.broke_off
        self.scheduler.serve(
            plan=self.planner.plan_next_step,
            start=self.workers.work.start,
            end=self.workers.work.end,
            step_aside=self.enqueuer.step_aside,
            plan_long=self.long_texts.plan,
            crashed=self.workers.note_crash,
        )

    # -- the task of the partition

    async def run(self) -> None:
        """Ring the alarm and serve the lanes until cancelled. An exception ends the task."""
        async with trio.open_nursery() as nursery:
            self.long_texts.nursery = nursery
            self.workers.begin(nursery)
            try:
                await self._keep_time()
            finally:
                self.workers.nursery = self.long_texts.nursery = None

    async def _keep_time(self) -> None:
        """Wake lanes and buckets, enqueue due deliveries, end expired ones; then sleep; repeat."""
        while True:
            now = self.clock.now()
            self.workers.work.look(now)
            self._ringing = True  # the next alarm is computed afterwards
            while (delivery := self.scheduler.ring(now)) is not None:
                if not self._done(self.enqueuer.due, delivery, now) and delivery.lane is None:
                    delivery.park_again()
                    self.scheduler.at(now + PAUSE, delivery)
            for delivery in self.scheduler.deadlines.passed(now):
                if not self._done(self.completion.expire, delivery, now):
                    self.scheduler.deadlines.add(delivery)
            self._ringing = False
            # One nanosecond later, so that everything due at that time is due on waking up.
            at = min(self.scheduler.next_alarm() + 1, self.workers.work.look_at)
            seconds = math.inf if at >= NEVER else self.clock.start + at / SECOND
            with trio.CancelScope(deadline=seconds) as self._alarm:
                await _until_late(self._alarm)

    def _done(self, act: Callable[[Delivery, int], None], delivery: Delivery, now: int) -> bool:
        """Call `act`. False: it raised an error, and the error has not ended the delivery."""
        try:
            act(delivery, now)
        except BaseException as raised:  # noqa: BLE001 - only this delivery is to blame
            self.workers.broke(delivery, raised, now)
            return delivery.receipt is not None
        return True

    # -- figures

    @property
    def alive(self) -> bool:
        """Whether the partition's task runs."""
        return self.workers.nursery is not None

    def estimate(self) -> float:
        """Seconds until a slot is likely to be free, by the pace of the newest endings."""
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
        """How many envelopes in memory wait, by (instance, cause)."""
        return causes(self.deliveries.values(), self.scheduler.groups.values(), self.clock.now())

    def statistics(self, total: int) -> PartitionStatistics:
        """A snapshot; `total`: how many envelopes the whole gateway has accepted."""
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
    """Sleep until the deadline of `scope`, and return without an exception.

    To raise and catch `trio.Cancelled` would cost as much as the rest of the alarm.
    """
    task = trio.lowlevel.current_task()

    def abort(_: object) -> trio.lowlevel.Abort:
        if not scope.cancel_called:  # an outer scope is cancelled
            return trio.lowlevel.Abort.SUCCEEDED
        trio.lowlevel.reschedule(task)
        return trio.lowlevel.Abort.FAILED

    await trio.lowlevel.wait_task_rescheduled(abort)
