"""Runs the workers of one partition, which make its attempts, and recovers from their errors.

This module waits: each worker is a task in the partition's nursery.
"""

from __future__ import annotations

import trio

from gateway_core.deliveries.delivery import Delivery
from gateway_core.deliveries.ending import Ending, crashed_by
from gateway_core.engine.attempts import Attempts
from gateway_core.engine.completion import Completion
from gateway_core.engine.consequences import Consequences
from gateway_core.engine.running_attempt import RunningAttempt, doubt
from gateway_core.engine.shard import Shard
from gateway_core.engine.workers import Over, Worker, WorkQueue
from gateway_core.plugins.boundary import cause_of, place_of, stopped
from gateway_core.scheduling.rooms import Lane, lane_of
from gateway_core.telemetry import ENVELOPE_CRASHED, log_event

MOST_CRASHES = 2


class WorkerPool:
    """The worker tasks: as many as ever worked at the same time. Waiting lanes need none."""

    def __init__(self, shard: Shard, completion: Completion, consequences: Consequences) -> None:
        self._shard = shard
        self._clock = shard.clock
        self._scheduler = shard.scheduler
        self._completion = completion
        self.work = WorkQueue(shard.config.attempt_timeout, shard.rearm, self.call_worker)
        self.attempts = Attempts(shard, self.work, completion, consequences)
        self.count = 0
        self.nursery: trio.Nursery | None = None
        # Invariant: the worker that went idle last is at the end. It is woken first, since its
        # memory is warm.
        self._idle: dict[trio.lowlevel.Task, None] = {}
        self._called = False

    # -- tasks

    def begin(self, nursery: trio.Nursery) -> None:
        """Work in the nursery of the partition's new task."""
        self.count, self._called = 0, False
        self.work.disband()
        self.nursery = nursery
        if self._scheduler.rooms or self._scheduler.stand_in is not None:  # not the first task
            self._revive()

    def call_worker(self) -> None:
        """Wake an idle worker, or start a new one; before that one waits, it calls the next.

        There may be one worker more than attempt slots, since ending an envelope takes no slot.
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
                self._broken_off(worker, worker.running)
            worker.start_anew()

    async def _work_within(self, worker: Worker) -> None:
        work = self.work
        while True:
            while not (work.runnable or work.over):
                await self._park()
                self._called = False
            if worker.broken_off:  # the last attempt ended just when it was broken off
                return
            if work.over:
                self._end(work.over.popleft())
                continue
            lane = work.runnable.popleft()
            try:
                await self.attempts.make(lane, worker)
            except BaseException as raised:  # noqa: BLE001 - a worker outlives its envelopes
                self.broke_off(lane, raised)
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
        """End the head of a lane, unless it has ended meanwhile, and let the lane go on."""
        lane, delivery, ending = over
        now, self.work.serving = self._clock.now(), True
        try:
            if delivery.receipt is None:
                self._completion.complete(delivery, ending, now)
            self._scheduler.go_on(lane, now)
        except BaseException as raised:  # noqa: BLE001 - a worker outlives its envelopes
            self.broke_off(lane, raised)
        finally:
            self.work.serving = False

    def _broken_off(self, worker: Worker, running: RunningAttempt) -> None:
        try:
            self.attempts.broken_off(worker, running)
        except BaseException as raised:  # noqa: BLE001 - a worker outlives its envelopes
            self.broke_off(running.lane, raised)
        finally:
            self.work.serving = False
            self.work.call_next()

    def break_off_unowned(self) -> None:
        """Break off the attempts under way whose account this process may not own any more."""
        self.work.break_off_unowned(self.attempts.is_owned)

    # -- after a death

    def _revive(self) -> None:
        """The partition's task died: attempts in flight are in doubt, everything else goes on."""
        now, work = self._clock.now(), self.work
        ready = list(work.runnable)
        work.runnable.clear()
        work.over.clear()
        running = self._scheduler.revive(now)  # first: giving tokens back starts other lanes
        for lane in ready:
            self._scheduler.release(lane, now, unused=True)
        for lane in running:
            self._revive_lane(lane, now)

    def _revive_lane(self, lane: Lane, now: int) -> None:
        self._scheduler.release(lane, now)
        self.attempts.died(lane, now)

    # -- errors of our own

    def broke_off(self, lane: Lane, raised: BaseException) -> None:
        """Offer the lane again, since an error arose while it was served.

        An attempt that had not begun has used up no token.
        """
        error, now = stopped(raised), self._clock.now()
        delivery = lane.queue[0] if lane.queue else None
        step = delivery.step if delivery is not None else None
        self._scheduler.release(lane, now, unused=step is None or not step.started)
        self.broke(delivery, error, now)
        self._scheduler.go_on(lane, now)

    def broke(self, delivery: Delivery | None, raised: BaseException, now: int) -> None:
        """Count an error of the gateway itself against an envelope; the second one ends it."""
        ending = self.note_crash(delivery, raised)
        if delivery is not None and ending is not None:
            self._completion.complete(delivery, ending, now)

    def note_crash(self, delivery: Delivery | None, raised: BaseException) -> Ending | None:
        """Count an error against an envelope; return `crashed` as its ending if it was too many."""
        error, shard = stopped(raised), self._shard
        log_event(
            ENVELOPE_CRASHED,
            envelope=delivery.id if delivery else None,
            instance=delivery.envelope.instance_id if delivery else None,
            partition=shard.index,
            error=shard.privacy.error(cause_of(error)),
            where=place_of(error),
        )
        if delivery is None or delivery.receipt is not None:
            return None
        step, lane = delivery.step, lane_of(delivery)
        if step is not None and step.started and lane is not None:
            step.break_off()  # its attempt was made, and its outcome is lost
            doubt(lane, step, self._clock.now())
            if shard.journal is not None:
                shard.journal.ended(delivery, step)
        return crashed_by(delivery, error) if delivery.crash() >= MOST_CRASHES else None
