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
from gateway_core.deliveries.delivery import Flight
from gateway_core.deliveries.steps import Step
from gateway_core.engine.running_attempt import Failed, Try, within_dedup
from gateway_core.engine.workers import Worker
from gateway_core.outboxes.journal import Journal
from gateway_core.plugins.boundary import PASSING, pass_on, stopped
from gateway_core.ratelimits.bucket import SECOND
from gateway_core.scheduling.rooms import Lane
from gateway_core.scheduling.waiting_groups import settle

if TYPE_CHECKING:
    from gateway_core.engine.partition import Partition
    from gateway_core.engine.worker_pool import Workers

OUTBOX_PAUSE = SECOND
"""Nanoseconds until an attempt that the outbox could not record is offered again."""

_UNKNOWN_TO_ALL = (Reason.UNCLASSIFIED, Reason.HOOK_ERROR, Reason.HOOK_CONTRACT)


class Attempts:
    """Makes the attempts of one partition, each in the task of the worker that asks.

    count  how many have begun
    """

    def __init__(self, partition: Partition, workers: Workers) -> None:
        self._workers = workers
        self._crew = workers.crew
        self._index = partition.index
        self._clock = partition.clock
        self._journal = partition.journal
        self._watch = partition.watch
        self._lanes = partition.lanes
        self._failures = partition.failures
        self._attempt_timeout = partition.config.attempt_timeout
        self.count = 0

    async def make(self, lane: Lane, worker: Worker) -> None:
        """Make the attempt that the lane holds its tokens for, and do what follows from it."""
        flight = lane.queue[0]
        step = flight.step
        if flight.receipt is not None or step is None:
            self._void(lane)
            return
        self._workers.call_next()
        account = lane.room.account
        attempt = flight.attempt(step, lane.room.address)
        flying = Try(lane, flight, step, attempt, account.instance)
        now = lane.begun = self._clock.now()
        self._crew.begins(worker, flying, now)
        session = account.sessions.ready()
        if session is None or self._journal is not None:
            session = await self._made_ready(flying, session, worker)
            if session is None:
                return
            now = self._clock.now()
        if not _may_begin(flying, now):
            session.release()
            self._call_off(flying)
            return
        self._begin(flying, now)
        try:
            performing = account.hooks.perform(flying.instance, session.value, attempt)
            watch = self._watch
            answer = await (performing if watch is None else watch.around(flight, performing))
        except PASSING:
            raise
        except BaseException as raised:  # noqa: BLE001 - the boundary stands here
            await pass_on(raised)
            self._failed(flying, stopped(raised), self._after(flying))
        else:
            self._answered(flying, answer, self._after(flying))
        finally:
            session.release()

    async def _made_ready(
        self, flying: Try, session: OpenSession | None, worker: Worker
    ) -> OpenSession | None:
        """Open the session, and record that an attempt begins; None: it failed, and was told."""
        account = flying.lane.room.account
        try:
            session = session or await account.sessions.acquire()
        except PASSING:
            raise
        except BaseException as raised:  # noqa: BLE001 - the boundary stands here
            if flying.flight.receipt is None:
                self._unopened(flying, stopped(raised))
            else:
                self._void(flying.lane)
            return None
        if not _may_begin(flying, self._clock.now()):
            session.release()
            self._void(flying.lane)
            return None
        if self._journal is None:
            return session
        recorded = False
        try:
            recorded = await self._recorded(flying, self._journal, worker)
        finally:
            if not recorded:
                session.release()
        return session if recorded else None

    async def _recorded(self, flying: Try, journal: Journal, worker: Worker) -> bool:
        """Let the outbox know that the attempt begins; false: it cannot, so it does not begin."""
        worker.recording = True
        try:
            await journal.starting(flying.flight, flying.step)
        except OutboxError:
            worker.recording = False
            self._unrecorded(flying)
            return False
        except trio.Cancelled:
            journal.ended(flying.flight, flying.step)
            raise
        worker.recording = False
        return True

    def _unrecorded(self, flying: Try) -> None:
        """The outbox did not record the attempt: tokens back, it is offered again in a moment."""
        now = self._clock.now()
        self._workers.serving = True
        self._lanes.release(flying.lane, now, unused=True)
        flying.flight.wait_for("outbox", now)
        self._lanes.pause(flying.lane, now + OUTBOX_PAUSE)

    def _unopened(self, flying: Try, error: Exception) -> None:
        """The session did not open: nothing was sent. What nobody knows suspends the instance."""
        account = flying.lane.room.account
        verdict = account.hooks.classify_error(account.instance, flying.attempt, error)
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
        self._failures.failed(Failed(flying, verdict, self._after(flying)))

    def _begin(self, flying: Try, now: int) -> None:
        """From here on the outcome of the step may become unknown."""
        lane, flight, step = flying.lane, flying.flight, flying.step
        flight.started = step.started = True
        step.number += 1
        self.count += 1
        lane.begun = now
        if self._watch is not None:
            self._watch.began(flying, self._index, now)
        else:
            flight.wait_for("attempt", now)
        if step.maybe_sent and not within_dedup(lane.room.account, step, now):
            flight.possible_duplicate = True

    def _after(self, flying: Try) -> int:
        """The attempt is over: from here on this worker takes the next lane that starts."""
        now = self._clock.now()
        self._workers.serving = True
        self._lanes.release(flying.lane, now)
        return now

    def timed_out(self, worker: Worker, flying: Try) -> None:
        """The hook did not return in time, or its session did not open, or the outbox hung."""
        if flying.step.started:
            error = AttemptTimeout(self._attempt_timeout)
            self._failed(flying, error, self._after(flying))
        elif flying.flight.receipt is not None:
            self._void(flying.lane)
        elif worker.recording:
            self._unrecorded(flying)
        else:
            seconds = f"{self._attempt_timeout:g} s"
            lost = TransportError(f"no session within {seconds}", dispatched="no")
            self._unopened(flying, lost)

    def died(self, lane: Lane, flight: Flight, step: Step, now: int) -> None:
        """Its worker died: nobody knows what became of it."""
        lost = TransportError("the worker died during the attempt", dispatched="unknown")
        attempt = flight.attempt(step, lane.room.address)
        self._failed(Try(lane, flight, step, attempt, lane.room.account.instance), lost, now)

    def _call_off(self, flying: Try) -> None:
        """Something closed meanwhile: the attempt does not begin, its record is void."""
        if self._journal is not None:
            self._journal.ended(flying.flight, flying.step)
        self._void(flying.lane)

    def _void(self, lane: Lane) -> None:
        """The attempt does not begin: tokens back, the lane is offered again."""
        now = self._clock.now()
        self._workers.serving = True
        self._lanes.release(lane, now, unused=True)
        self._lanes.go_on(lane, now)

    def _answered(self, flying: Try, answer: Answer, now: int) -> None:
        lane, step, account = flying.lane, flying.step, flying.lane.room.account
        account.counts.answered += 1
        if self._watch is not None:
            self._watch.attempted(flying, self._index, None, now)
        if account.hooks.observes_attempts:
            report = AttemptReport(answer=answer, seconds=(now - lane.begun) / SECOND)
            account.hooks.after_attempt(account.instance, flying.attempt, report)
        flying.flight.acknowledge(step, answer)
        if self._journal is not None:
            self._journal.acknowledged(flying.flight, step)
        if answer.buckets:
            settle(account.limiter.learn(answer.buckets, now), now)
        account.worked(now)
        self._lanes.go_on(lane, now)

    def _failed(self, flying: Try, error: Exception, now: int) -> None:
        lane, account = flying.lane, flying.lane.room.account
        verdict = account.hooks.classify_error(account.instance, flying.attempt, error)
        if self._watch is not None:
            self._watch.attempted(flying, self._index, verdict, now)
        if account.hooks.observes_attempts:
            report = AttemptReport(verdict=verdict, seconds=(now - lane.begun) / SECOND)
            account.hooks.after_attempt(account.instance, flying.attempt, report)
        answered = isinstance(error, HookContractError)
        self._failures.failed(Failed(flying, verdict, now), answered=answered)


def _may_begin(flying: Try, now: int) -> bool:
    """Whether nothing closed, ended or ran out while the attempt was made ready."""
    flight = flying.flight
    if flight.receipt is not None or flight.deadline <= now:
        return False
    lane = flying.lane
    for bucket in lane.tokens or ():
        if bucket.closed_until > now:
            return False
    return all(gate.closed_until <= now for gate in lane.gates(flying.attempt.operation))
