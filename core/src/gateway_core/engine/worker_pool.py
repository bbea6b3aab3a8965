"""The workers of one partition: who serves the next lane, and what a death leaves behind."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import trio

from gateway_core.deliveries.delivery import Delivery
from gateway_core.engine.attempts import Attempts
from gateway_core.engine.running_attempt import RunningAttempt, note_doubt
from gateway_core.engine.workers import AttemptClock, Worker
from gateway_core.plugins.boundary import PASSING, place_of, stopped
from gateway_core.scheduling.rooms import Lane
from gateway_core.telemetry import ENVELOPE_CRASHED, log_event

if TYPE_CHECKING:
    from gateway_core.engine.partition import Partition

MOST_CRASHES = 2


class WorkerPool:
    """Tasks that make attempts: as many as were ever at work together, none for a waiting lane.

    crew      the tasks, and who of them makes an attempt
    attempts  what a worker does for a lane
    runnable  lanes that hold their tokens, for the next worker
    """

    def __init__(self, partition: Partition) -> None:
        self._index = partition.index
        self._clock = partition.clock
        self._journal = partition.journal
        self._privacy = partition.privacy
        self._scheduler = partition.scheduler
        self._completion = partition.completion
        self.crew = AttemptClock(partition.config.attempt_timeout, partition.rearm)
        self.attempts = Attempts(partition, self)
        self.count = 0
        self.runnable: deque[Lane] = deque()
        self.nursery: trio.Nursery | None = None
        # Invariant: the last to go idle is at the end and is woken first, as what it needs is warm.
        self._idle: dict[trio.lowlevel.Task, None] = {}
        self._called = False
        # The worker at work is about to take the next lane by itself.
        self.serving = False

    # -- lanes to workers

    def begin(self, nursery: trio.Nursery) -> None:
        """Work in the nursery of a new life of the partition."""
        self.count, self._called, self.serving = 0, False, False
        self.crew.disband()
        self.nursery = nursery
        self._revive()

    def start(self, lane: Lane) -> None:
        """Hand a lane that holds its tokens to a worker: the one at work here, or another."""
        self.runnable.append(lane)
        if not self.serving:
            self._call_worker()

    def call_next(self) -> None:
        """Somebody else takes what is runnable: this worker is about to wait."""
        if self.runnable:
            self._call_worker()

    def _call_worker(self) -> None:
        """Wake one worker, or begin one; it calls the next itself before it waits."""
        if self._called:
            return
        if self._idle:
            self._called = True
            trio.lowlevel.reschedule(self._idle.popitem()[0])
        elif self.count < self._scheduler.slots.all.capacity and self.nursery is not None:
            self._called = True
            self.count += 1
            self.nursery.start_soon(self._work)

    async def _work(self) -> None:
        """Serve one lane after the other, in a new scope after each attempt that was broken off."""
        self._called = False
        worker = self.crew.join()
        while True:
            with worker.scope:
                await self._work_within(worker)
            if worker.running is not None and worker.scope.cancelled_caught:
                self._timed_out(worker, worker.running)
            worker.start_anew()

    async def _work_within(self, worker: Worker) -> None:
        while True:
            while not self.runnable:
                await self._park()
                self._called = False
            if worker.broken_off:  # the last attempt ended as its time did
                return
            lane = self.runnable.popleft()
            try:
                await self.attempts.make(lane, worker)
            except PASSING:
                raise
            except BaseException as raised:  # noqa: BLE001 - a worker outlives its envelopes
                self._broke_off(lane, raised)
            finally:
                self.serving = False
                worker.ends()
            worker.running = None

    async def _park(self) -> None:
        task = trio.lowlevel.current_task()

        def abort(_: object) -> trio.lowlevel.Abort:
            del self._idle[task]
            return trio.lowlevel.Abort.SUCCEEDED

        self._idle[task] = None
        await trio.lowlevel.wait_task_rescheduled(abort)

    def _timed_out(self, worker: Worker, running: RunningAttempt) -> None:
        try:
            self.attempts.timed_out(worker, running)
        except BaseException as raised:  # noqa: BLE001 - a worker outlives its envelopes
            self._broke_off(running.lane, raised)
        finally:
            self.serving = False
            self.call_next()

    # -- after a death

    def _revive(self) -> None:
        """After a death: what was in flight is in doubt, everything else goes on."""
        self._scheduler.stand_in = None
        now = self._clock.now()
        # Whom the old life left running: what is done for one may start others, which live.
        lanes = [lane for room in self._scheduler.rooms.values() for lane in room.lanes.values()]
        orphans = [lane for lane in lanes if lane.running]
        waiting = [lane for lane in lanes if not lane.running]
        runnable, self.runnable = self.runnable, deque()
        for lane in runnable:
            self._scheduler.release(lane, now, unused=True)
        for lane in orphans:
            self._revive_lane(lane, now)
        for lane in waiting:  # its alarm may have been the one that rang as the old life died
            if lane.timer_at is None and not lane.doubt:
                self._scheduler.look_again(lane, now)

    def _revive_lane(self, lane: Lane, now: int) -> None:
        self._scheduler.release(lane, now)
        delivery = lane.queue[0] if lane.queue else None
        step = delivery.step if delivery is not None and delivery.receipt is None else None
        if delivery is not None and step is not None and step.started:
            self.attempts.died(lane, delivery, step, now)
        else:
            self._scheduler.go_on(lane, now)

    # -- what breaks

    def _broke_off(self, lane: Lane, raised: BaseException) -> None:
        """Something broke as the lane was served: it is offered again."""
        now = self._clock.now()
        error = stopped(raised)
        self._scheduler.release(lane, now)
        self.crashed(lane.queue[0] if lane.queue else None, error, now)
        self._scheduler.go_on(lane, now)

    def crashed(self, delivery: Delivery | None, raised: BaseException, now: int) -> None:
        """Something of ours broke on an envelope; twice, and it ends `crashed`."""
        error = stopped(raised)
        log_event(
            ENVELOPE_CRASHED,
            envelope=delivery.id if delivery else None,
            instance=delivery.envelope.instance_id if delivery else None,
            partition=self._index,
            error=self._privacy.error(error),
            where=place_of(error),
        )
        if delivery is None or delivery.receipt is not None:
            return
        step, lane = delivery.step, delivery.lane
        if step is not None and step.started and lane is not None:
            step.started = False  # its try was made, and its outcome is lost
            note_doubt(lane, step, now)
            if self._journal is not None:
                self._journal.ended(delivery, step)
        delivery.crashes += 1
        if delivery.crashes >= MOST_CRASHES:
            self._completion.crashed(delivery, error, now)
