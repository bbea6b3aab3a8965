"""One attempt: made ready, recorded, begun, and what follows from its answer or its failure.

This module waits, for the adapters' hooks. Every method does one decision of `lanes`, `limits`
or `retries`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import trio

from gateway_core.accounts.sessions import OpenSession
from gateway_core.contract.errors import (
    AttemptTimeout,
    HookContractError,
    OutboxError,
    TransportError,
)
from gateway_core.contract.hookspecs import Answer, AttemptReport
from gateway_core.contract.instances import hidden
from gateway_core.contract.verdicts import ErrorClass, Reason, Scope, Verdict
from gateway_core.deliveries.delivery import Delivery
from gateway_core.deliveries.steps import Step
from gateway_core.engine.running_attempt import Failed, RunningAttempt, within_dedup
from gateway_core.engine.workers import Worker
from gateway_core.outboxes.journal import Journal
from gateway_core.plugins.boundary import PASSING, pass_on, stopped
from gateway_core.ratelimits.bucket import SECOND
from gateway_core.scheduling.rooms import Lane
from gateway_core.scheduling.waiting_groups import serve_waiters

if TYPE_CHECKING:
    from gateway_core.engine.partition import Partition
    from gateway_core.engine.worker_pool import WorkerPool

OUTBOX_PAUSE = SECOND
"""Nanoseconds until an attempt that the outbox could not record is offered again."""

_UNKNOWN_TO_ALL = (Reason.UNCLASSIFIED, Reason.HOOK_ERROR, Reason.HOOK_CONTRACT)


class Attempts:
    """Makes the attempts of one partition, each in the task of the worker that asks.

    count  how many have begun
    """

    def __init__(self, partition: Partition, workers: WorkerPool) -> None:
        self._workers = workers
        self._crew = workers.crew
        self._index = partition.index
        self._clock = partition.clock
        self._journal = partition.journal
        self._recorder = partition.watch
        self._scheduler = partition.scheduler
        self._consequences = partition.consequences
        self._attempt_timeout = partition.config.attempt_timeout
        self.count = 0

    async def make(self, lane: Lane, worker: Worker) -> None:
        """Make the attempt that the lane holds its tokens for, and do what follows from it."""
        delivery = lane.queue[0]
        step = delivery.step
        if delivery.receipt is not None or step is None:
            self._void(lane)
            return
        self._workers.call_next()
        account = lane.room.account
        attempt = delivery.attempt(step, lane.room.address)
        running = RunningAttempt(lane, delivery, step, attempt, account.instance)
        now = lane.begun = self._clock.now()
        self._crew.begins(worker, running, now)
        session = account.sessions.ready()
        if session is None or self._journal is not None:
            session = await self._made_ready(running, session, worker)
            if session is None:
                return
            now = self._clock.now()
        if not _may_begin(running, now):
            session.release()
            self._call_off(running)
            return
        self._begin(running, now)
        try:
            performing = account.hooks.perform(running.instance, session.value, attempt)
            watch = self._recorder
            answer = await (performing if watch is None else watch.around(delivery, performing))
        except PASSING:
            raise
        except BaseException as raised:  # noqa: BLE001 - the boundary stands here
            await pass_on(raised)
            self._failed(running, stopped(raised), self._after(running))
        else:
            self._answered(running, answer, self._after(running))
        finally:
            session.release()

    async def _made_ready(
        self, running: RunningAttempt, session: OpenSession | None, worker: Worker
    ) -> OpenSession | None:
        """Open the session, and record that an attempt begins; None: it failed, and was told."""
        account = running.lane.room.account
        try:
            session = session or await account.sessions.acquire()
        except PASSING:
            raise
        except BaseException as raised:  # noqa: BLE001 - the boundary stands here
            if running.delivery.receipt is None:
                self._unopened(running, stopped(raised))
            else:
                self._void(running.lane)
            return None
        if not _may_begin(running, self._clock.now()):
            session.release()
            self._void(running.lane)
            return None
        if self._journal is None:
            return session
        recorded = False
        try:
            recorded = await self._recorded(running, self._journal, worker)
        finally:
            if not recorded:
                session.release()
        return session if recorded else None

    async def _recorded(self, running: RunningAttempt, journal: Journal, worker: Worker) -> bool:
        """Let the outbox know that the attempt begins; false: it cannot, so it does not begin."""
        worker.recording = True
        try:
            await journal.starting(running.delivery, running.step)
        except OutboxError:
            worker.recording = False
            self._unrecorded(running)
            return False
        except trio.Cancelled:
            journal.ended(running.delivery, running.step)
            raise
        worker.recording = False
        return True

    def _unrecorded(self, running: RunningAttempt) -> None:
        """The outbox did not record the attempt: tokens back, it is offered again in a moment."""
        now = self._clock.now()
        self._workers.serving = True
        self._scheduler.release(running.lane, now, unused=True)
        running.delivery.wait_for("outbox", now)
        self._scheduler.pause(running.lane, now + OUTBOX_PAUSE)

    def _unopened(self, running: RunningAttempt, error: Exception) -> None:
        """The session did not open: nothing was sent. What nobody knows suspends the instance."""
        account = running.lane.room.account
        verdict = account.hooks.classify_error(account.instance, running.attempt, error)
        if verdict.reason in _UNKNOWN_TO_ALL:
            said = hidden(f"{type(error).__name__}: {error}", account.instance)
            raw = f"its session does not open: {said}"
            verdict = Verdict(
                error_class=ErrorClass.FATAL,
                reason=Reason.HOOK_ERROR,
                scope=Scope.INSTANCE,
                raw=raw,
            )
        verdict = attrs.evolve(verdict, dispatched="no")
        self._consequences.failed(Failed(running, verdict, self._after(running)))

    def _begin(self, running: RunningAttempt, now: int) -> None:
        """From here on the outcome of the step may become unknown."""
        lane, delivery, step = running.lane, running.delivery, running.step
        delivery.started = step.started = True
        step.number += 1
        self.count += 1
        lane.begun = now
        if self._recorder is not None:
            self._recorder.began(running, self._index, now)
        else:
            delivery.wait_for("attempt", now)
        if step.maybe_sent and not within_dedup(lane.room.account, step, now):
            delivery.possible_duplicate = True

    def _after(self, running: RunningAttempt) -> int:
        """The attempt is over: from here on this worker takes the next lane that starts."""
        now = self._clock.now()
        self._workers.serving = True
        self._scheduler.release(running.lane, now)
        return now

    def timed_out(self, worker: Worker, running: RunningAttempt) -> None:
        """The hook did not return in time, or its session did not open, or the outbox hung."""
        if running.step.started:
            error = AttemptTimeout(self._attempt_timeout)
            self._failed(running, error, self._after(running))
        elif running.delivery.receipt is not None:
            self._void(running.lane)
        elif worker.recording:
            self._unrecorded(running)
        else:
            seconds = f"{self._attempt_timeout:g} s"
            lost = TransportError(f"no session within {seconds}", dispatched="no")
            self._unopened(running, lost)

    def died(self, lane: Lane, delivery: Delivery, step: Step, now: int) -> None:
        """Its worker died: nobody knows what became of it."""
        lost = TransportError("the worker died during the attempt", dispatched="unknown")
        attempt = delivery.attempt(step, lane.room.address)
        self._failed(
            RunningAttempt(lane, delivery, step, attempt, lane.room.account.instance), lost, now
        )

    def _call_off(self, running: RunningAttempt) -> None:
        """Something closed meanwhile: the attempt does not begin, its record is void."""
        if self._journal is not None:
            self._journal.ended(running.delivery, running.step)
        self._void(running.lane)

    def _void(self, lane: Lane) -> None:
        """The attempt does not begin: tokens back, the lane is offered again."""
        now = self._clock.now()
        self._workers.serving = True
        self._scheduler.release(lane, now, unused=True)
        self._scheduler.go_on(lane, now)

    def _answered(self, running: RunningAttempt, answer: Answer, now: int) -> None:
        lane, step, account = running.lane, running.step, running.lane.room.account
        account.counts.answered += 1
        if self._recorder is not None:
            self._recorder.attempted(running, self._index, None, now)
        if account.hooks.observes_attempts:
            report = AttemptReport(answer=answer, seconds=(now - lane.begun) / SECOND)
            account.hooks.after_attempt(account.instance, running.attempt, report)
        running.delivery.acknowledge(step, answer)
        if self._journal is not None:
            self._journal.acknowledged(running.delivery, step)
        if answer.buckets:
            serve_waiters(account.limiter.learn(answer.buckets, now), now)
        account.worked(now)
        self._scheduler.go_on(lane, now)

    def _failed(self, running: RunningAttempt, error: Exception, now: int) -> None:
        lane, account = running.lane, running.lane.room.account
        verdict = account.hooks.classify_error(account.instance, running.attempt, error)
        if self._recorder is not None:
            self._recorder.attempted(running, self._index, verdict, now)
        if account.hooks.observes_attempts:
            report = AttemptReport(verdict=verdict, seconds=(now - lane.begun) / SECOND)
            account.hooks.after_attempt(account.instance, running.attempt, report)
        answered = isinstance(error, HookContractError)
        self._consequences.failed(Failed(running, verdict, now), answered=answered)


def _may_begin(running: RunningAttempt, now: int) -> bool:
    """Whether nothing closed, ended or ran out while the attempt was made ready."""
    delivery = running.delivery
    if delivery.receipt is not None or delivery.deadline <= now:
        return False
    lane = running.lane
    for bucket in lane.tokens or ():
        if bucket.closed_until > now:
            return False
    return all(gate.closed_until <= now for gate in lane.gates(running.attempt.operation))
