"""The workers of one partition: tasks that make attempts, and what a death leaves behind.

This module waits: each worker is a task in the partition's nursery.
"""

from __future__ import annotations

import trio

from gateway_core.deliveries.delivery import Delivery
from gateway_core.deliveries.ending import Ending, crashed_by
from gateway_core.engine.attempts import Attempts
from gateway_core.engine.completion import Completion
from gateway_core.engine.running_attempt import RunningAttempt, doubt
from gateway_core.engine.shard import Shard
from gateway_core.engine.workers import Over, Worker, WorkQueue
from gateway_core.plugins.boundary import PASSING, place_of, stopped
from gateway_core.scheduling.rooms import Lane, lane_of
from gateway_core.telemetry import ENVELOPE_CRASHED, log_event

MOST_CRASHES = 2


class WorkerPool:
    """As many tasks as were ever at work together, none for a waiting lane.

    work      what is ready for the next worker
    attempts  what a worker does for a lane
    """

    def __init__(
        self, shard: Shard, work: WorkQueue, attempts: Attempts, completion: Completion
    ) -> None:
        self._index = shard.index
        self._clock = shard.clock
        self._journal = shard.journal
        self._privacy = shard.privacy
        self._scheduler = shard.scheduler
        self._completion = completion
        self.work = work
        self.attempts = attempts
        self.count = 0
        self.nursery: trio.Nursery | None = None
        # Invariant: the last to go idle is at the end and is woken first, as what it needs is warm.
        self._idle: dict[trio.lowlevel.Task, None] = {}
        self._called = False

    # -- tasks

    def begin(self, nursery: trio.Nursery) -> None:
        """Work in the nursery of a new life of the partition."""
        self.count, self._called = 0, False
        self.work.disband()
        self.nursery = nursery
        self._revive()

    def call_worker(self) -> None:
        """Wake one worker, or begin one; it calls the next itself before it waits.

        One more than there are attempt slots: an ending needs none, and does not wait.
        """
        if self._called:
            return
        if self._idle:
            self._called = True
            trio.lowlevel.reschedule(self._idle.popitem()[0])
        elif self.count <= self._scheduler.slots.all.capacity and self.nursery is not None:
            self._called = True
            self.count += 1
            self.nursery.start_soon(self._work)

    async def _work(self) -> None:
        """Serve one lane after the other, in a new scope after each attempt that was broken off."""
        self._called = False
        worker = self.work.join()
        while True:
            with worker.scope:
                await self._work_within(worker)
            if worker.running is not None and worker.scope.cancelled_caught:
                self._timed_out(worker, worker.running)
            worker.start_anew()

    async def _work_within(self, worker: Worker) -> None:
        work = self.work
        while True:
            while not (work.runnable or work.over):
                await self._park()
                self._called = False
            if worker.broken_off:  # the last attempt ended as its time did
                return
            if work.over:
                self._end(work.over.popleft())
                continue
            lane = work.runnable.popleft()
            try:
                await self.attempts.make(lane, worker)
            except PASSING:
                raise
            except BaseException as raised:  # noqa: BLE001 - a worker outlives its envelopes
                self._broke_off(lane, raised)
            finally:
                work.serving = False
                worker.ends()
            worker.running = None

    async def _park(self) -> None:
        task = trio.lowlevel.current_task()

        def abort(_: object) -> trio.lowlevel.Abort:
            del self._idle[task]
            return trio.lowlevel.Abort.SUCCEEDED

        self._idle[task] = None
        await trio.lowlevel.wait_task_rescheduled(abort)

    def _end(self, over: Over) -> None:
        """End the head of a lane, unless somebody did meanwhile, and let the lane go on."""
        lane, delivery, ending = over
        now, self.work.serving = self._clock.now(), True
        try:
            if delivery.receipt is None:
                self._completion.complete(delivery, ending, now)
            self._scheduler.go_on(lane, now)
        except BaseException as raised:  # noqa: BLE001 - a worker outlives its envelopes
            self._broke_off(lane, raised)
        finally:
            self.work.serving = False

    def _timed_out(self, worker: Worker, running: RunningAttempt) -> None:
        try:
            self.attempts.timed_out(worker, running)
        except BaseException as raised:  # noqa: BLE001 - a worker outlives its envelopes
            self._broke_off(running.lane, raised)
        finally:
            self.work.serving = False
            self.work.call_next()

    # -- after a death

    def _revive(self) -> None:
        """After a death: what was in flight is in doubt, everything else goes on."""
        now, work = self._clock.now(), self.work
        ready = [*work.runnable, *[over.lane for over in work.over]]
        work.runnable.clear()
        work.over.clear()
        running = self._scheduler.revive(now)  # before tokens come back: what starts by that lives
        for lane in ready:
            self._scheduler.release(lane, now, unused=True)
        for lane in running:
            self._revive_lane(lane, now)

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
        self.broke(lane.queue[0] if lane.queue else None, error, now)
        self._scheduler.go_on(lane, now)

    def broke(self, delivery: Delivery | None, raised: BaseException, now: int) -> None:
        """Something of ours broke on an envelope; twice, and it ends `crashed`."""
        ending = self.note_crash(delivery, raised)
        if delivery is not None and ending is not None:
            self._completion.complete(delivery, ending, now)

    def note_crash(self, delivery: Delivery | None, raised: BaseException) -> Ending | None:
        """Count a crash against an envelope; how it ends, if it does by that."""
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
            return None
        step, lane = delivery.step, lane_of(delivery)
        if step is not None and step.started and lane is not None:
            step.break_off()  # its attempt was made, and its outcome is lost
            doubt(lane, step, self._clock.now())
            if self._journal is not None:
                self._journal.ended(delivery, step)
        return crashed_by(delivery, error) if delivery.crash() >= MOST_CRASHES else None
