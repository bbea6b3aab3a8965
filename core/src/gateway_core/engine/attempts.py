"""Makes attempts: opens the session, records and performs the attempt, handles the result.

This module waits for the adapters' hooks and for the outbox.
"""

from __future__ import annotations

from collections.abc import Awaitable
from functools import partial

import attrs
import trio

from gateway_core.accounts.instance_state import InstanceState
from gateway_core.accounts.sessions import OpenSession
from gateway_core.clock import SECOND
from gateway_core.contract.beside.permits import MAY_WRITE, UNOWNED
from gateway_core.contract.envelopes import Attempt
from gateway_core.contract.errors import (
    AttemptTimeout,
    HookContractError,
    OutboxError,
    TransportError,
)
from gateway_core.contract.hookspecs import Answer, AttemptReport
from gateway_core.contract.instances import hidden
from gateway_core.contract.validators import words_of
from gateway_core.contract.verdicts import ErrorClass, Reason, Scope, Verdict
from gateway_core.deliveries.ending import Ending
from gateway_core.deliveries.made.attempts import next_attempt
from gateway_core.deliveries.step_files import StepFiles
from gateway_core.deliveries.steps import Step
from gateway_core.engine.completion import Completion
from gateway_core.engine.consequences import Consequences
from gateway_core.engine.running_attempt import Failed, RunningAttempt
from gateway_core.engine.shard import Shard
from gateway_core.engine.workers import Worker, WorkQueue
from gateway_core.plugins.boundary import PASSING, pass_on, stopped
from gateway_core.scheduling.rooms import Lane
from gateway_core.scheduling.waiting_groups import serve_waiters

OUTBOX_PAUSE = SECOND
"""Nanoseconds until an attempt that the outbox could not record is offered again."""

_STALE = (ErrorClass.RETRYABLE, Reason.BAD_REQUEST)
"""The error which means that the ids of earlier uploads are no longer valid."""
_UNKNOWN_TO_ALL = (Reason.UNCLASSIFIED, Reason.HOOK_ERROR, Reason.HOOK_CONTRACT)


class Attempts:
    """Makes the attempts of one partition; `count`: how many have begun."""

    def __init__(
        self, shard: Shard, work: WorkQueue, completion: Completion, consequences: Consequences
    ) -> None:
        self._work = work
        self._index = shard.index
        self._clock = shard.clock
        self._journal = shard.journal
        self._observer = shard.observer
        self._scheduler = shard.scheduler
        self._completion = completion
        self._consequences = consequences
        self._files = shard.files
        self._attempt_timeout = shard.config.attempt_timeout
        self.count = 0

    async def make(self, lane: Lane, worker: Worker) -> None:
        """Make the attempt for which the lane holds tokens, and handle its result."""
        self._work.call_next()
        delivery, account = lane.queue[0], lane.room.account
        planned = next_attempt(delivery, lane.room.address)
        if planned is not None and planned[0].files is not None:
            planned = self._with_known(*planned, worker)
        if planned is None:
            self._void(lane)
            return
        step, attempt = planned
        running = RunningAttempt(lane, delivery, step, attempt, account.instance)
        now = lane.begun = self._clock.now()
        self._work.begins(worker, running, now)
        session = account.sessions.usable
        if session is not None:
            session.users += 1
        if session is None or self._journal is not None:
            session = await self._made_ready(running, session, worker, now)
            if session is None:
                return
            now = self._clock.now()
        if self._is_held_back(running, session, now):
            return
        self._look_as_it_writes(account)
        try:
            performing = self._begin(running, session, now)
            try:
                answer = await performing
            except PASSING:
                raise
            except BaseException as raised:  # noqa: BLE001 - the boundary stands here
                await pass_on(raised)
                self._failed(running, stopped(raised), self._after(lane))
            else:
                self._answered(running, answer, self._after(lane))
        finally:
            session.release()

    def _look_as_it_writes(self, account: InstanceState) -> None:
        """Have the connection check, before the first byte, that the account is still owned.

        Each worker has a context of its own, and its next attempt sets the check anew.
        """
        if self._journal is not None:
            MAY_WRITE.set(partial(self.is_owned, account))

    def is_owned(self, account: InstanceState) -> bool:
        """Whether this process certainly owns the account, and has owned it all the time."""
        journal = self._journal
        return journal is None or (not account.lost and journal.covers(account.instance.id))

    def _with_known(
        self, step: Step, attempt: Attempt, worker: Worker
    ) -> tuple[Step, Attempt] | None:
        """The attempt with its files; None: ids of earlier uploads are no longer known."""
        files = step.files
        if files is None or (files.named and not self._files.are_known(attempt.instance_id, files)):
            return None  # as an upload, the attempt needs other tokens
        return step, self._with_files(attempt, files, worker)

    def _with_files(self, attempt: Attempt, files: StepFiles, worker: Worker) -> Attempt:
        """The attempt with its step's files; while bytes move, it does not take too long."""

        def moved() -> None:
            self._work.moved(worker, self._clock.now())

        return self._files.attach(attempt, files, moved)

    async def _made_ready(
        self, running: RunningAttempt, session: OpenSession | None, worker: Worker, now: int
    ) -> OpenSession | None:
        """Open the session, and record that the attempt begins; None: it does not begin.

        A session that opens slowly keeps no envelope beyond its deadline.
        """
        delivery, step = running.delivery, running.step
        if session is None:
            with trio.move_on_after(max(0.0, (delivery.deadline - now) / SECOND)):
                try:
                    session = await running.lane.room.account.sessions.acquire()
                except BaseException as raised:  # noqa: BLE001 - the boundary stands here
                    self._unopened(running, stopped(raised))
                    return None
            if session is None:
                self._void(running.lane)
                return None
            now = self._clock.now()
        if not _may_begin(running, now):
            session.release()
            self._void(running.lane)
            return None
        if self._journal is None:
            return session
        worker.recording = True
        try:
            await self._journal.starting(delivery, step, now)
        except BaseException as raised:
            session.release()
            if isinstance(raised, trio.Cancelled):
                self._journal.ended(delivery, step)
                raise
            worker.recording = False
            if not isinstance(raised, OutboxError):
                raise
            self._unrecorded(running)
            return None
        worker.recording = False
        return session

    def _is_held_back(self, running: RunningAttempt, session: OpenSession, now: int) -> bool:
        """Whether the attempt may not begin any more; if so, take back what was prepared."""
        journal, void = self._journal, self._work.resting or not _may_begin(running, now)
        if not void and (journal is None or self.is_owned(running.lane.room.account)):
            return False
        session.release()
        if journal is not None:
            journal.ended(running.delivery, running.step)
        if void:
            self._void(running.lane)
        else:
            self._unrecorded(running)
        return True

    def _unrecorded(self, running: RunningAttempt) -> None:
        """The outbox did not record the attempt: give its tokens back, and let the lane wait."""
        now = self._clock.now()
        self._work.serving = True
        self._scheduler.release(running.lane, now, unused=True)
        running.delivery.wait_for("outbox", now)
        self._scheduler.pause(running.lane, now + OUTBOX_PAUSE)

    def _unopened(self, running: RunningAttempt, error: Exception) -> None:
        """The session did not open: nothing was sent. An unknown error suspends the instance."""
        if running.delivery.receipt is not None:
            self._void(running.lane)
            return
        account = running.lane.room.account
        verdict = account.hooks.classify_error(account.instance, running.attempt, error)
        if verdict.reason in _UNKNOWN_TO_ALL:
            said = hidden(words_of(error), account.instance)
            broken = isinstance(error, HookContractError)
            verdict = Verdict(
                error_class=ErrorClass.FATAL,
                reason=Reason.HOOK_CONTRACT if broken else Reason.HOOK_ERROR,
                scope=Scope.INSTANCE,
                raw=f"the session did not open: {said}",
            )
        verdict = attrs.evolve(verdict, dispatched="no")
        now = self._after(running.lane, unused=True)
        self._consequences.failed(Failed(*running, verdict, now))

    def _void(self, lane: Lane) -> None:
        """The attempt does not begin: give its tokens back, and offer the lane again."""
        now = self._clock.now()
        self._work.serving = True
        self._scheduler.release(lane, now, unused=True)
        self._scheduler.go_on(lane, now)

    def _begin(self, running: RunningAttempt, session: OpenSession, now: int) -> Awaitable[Answer]:
        """Begin the attempt: from here on, the outcome of the step may become unknown."""
        lane, delivery, step, attempt, instance = running
        account = lane.room.account
        hooks = account.hooks
        copy = step.doubtful and step.may_copy(hooks.deduplicates_for, now)
        delivery.begin(step, now, copy=copy)
        if delivery.growth is not None:
            delivery.growth.began()
        self.count += 1
        lane.begun = now
        performing = hooks.perform(instance, session.value, attempt)
        return self._observer.attempting(delivery, step, account, self._index, now, performing)

    def _after(self, lane: Lane, *, unused: bool = False) -> int:
        """The attempt is over: release its tokens. This worker takes the next lane that starts.

        unused  the attempt never began, so that it used up no token
        """
        now = self._clock.now()
        self._work.serving = True
        self._scheduler.release(lane, now, unused=unused)
        return now

    def _answered(self, running: RunningAttempt, answer: Answer, now: int) -> None:
        lane, delivery, step, attempt, _ = running
        account = lane.room.account
        account.counts.answer(self._index, delivery.pressure)
        self._observer.attempted(delivery, step, account, self._index, None, lane.begun, now)
        if "after_attempt" in account.hooks.served:
            report = AttemptReport(answer=answer, seconds=(now - lane.begun) / SECOND)
            account.hooks.after_attempt(account.instance, attempt, report)
        if step.files is not None:
            self._files.learn(account.instance.id, step.files, answer)
        over = delivery.acknowledge(step, answer)
        if self._journal is not None and delivery.receipt is None:
            self._journal.acknowledged(delivery, step)
        if account.typing and attempt.method is None:
            shown = account.typing.get((lane.room.id, delivery.thread_id))
            if shown is not None:
                shown.answered()
        if answer.buckets:
            serve_waiters(account.limits.registry.learn(answer.buckets, now), now)
        if not account.health.steady:
            account.health.worked(now)
        if account.limits.trial is not None:
            serve_waiters(account.limits.answered(lane.begun), now)
        if over and delivery.receipt is None:
            self._completion.complete(delivery, Ending(delivery.disposition()), now)
        self._scheduler.go_on(lane, now)

    def _failed(self, running: RunningAttempt, error: Exception, now: int) -> None:
        lane, delivery, step, attempt, _ = running
        account = lane.room.account
        lost = None if step.files is None else step.files.verdict
        verdict = lost or account.hooks.classify_error(account.instance, attempt, error)
        account.hooks.failed(account.instance, attempt, error, verdict)
        if attempt.files and (verdict.error_class, verdict.reason) == _STALE:
            self._files.forget(attempt)
        self._observer.attempted(delivery, step, account, self._index, verdict, lane.begun, now)
        if "after_attempt" in account.hooks.served:
            report = AttemptReport(verdict=verdict, seconds=(now - lane.begun) / SECOND)
            account.hooks.after_attempt(account.instance, attempt, report)
        answered = isinstance(error, HookContractError)
        self._consequences.failed(Failed(*running, verdict, now), answered=answered)

    def broken_off(self, worker: Worker, running: RunningAttempt) -> None:
        """The attempt was broken off: it took too long, or its account may be another process's.

        It may have taken too long in the hook, in opening the session, or in the outbox.
        """
        if running.step.started:
            error: TransportError = AttemptTimeout(self._attempt_timeout)
            if worker.unowned:
                error = TransportError(UNOWNED, dispatched="unknown")
            self._failed(running, error, self._after(running.lane))
        elif worker.recording and running.delivery.receipt is None:
            self._unrecorded(running)
        else:
            text = f"the session did not open within {self._attempt_timeout:g} s"
            self._unopened(running, TransportError(text, dispatched="no"))

    def died(self, lane: Lane, now: int) -> None:
        """The lane's worker died: the outcome of its attempt is unknown, if there was one."""
        room, delivery = lane.room, lane.queue[0]
        planned = next_attempt(delivery, room.address)
        if planned is None or not planned[0].started:
            self._scheduler.go_on(lane, now)
            return
        step, following = planned
        attempt = attrs.evolve(following, number=step.number)
        running = RunningAttempt(lane, delivery, step, attempt, room.account.instance)
        error = TransportError("the worker died during the attempt", dispatched="unknown")
        self._failed(running, error, now)


def _may_begin(running: RunningAttempt, now: int) -> bool:
    """Whether no limit closed, and the delivery did not end or expire, during preparation."""
    delivery = running.delivery
    if delivery.receipt is not None or delivery.deadline <= now:
        return False
    lane = running.lane
    for bucket in lane.tokens or ():
        if bucket.closed_until > now:
            return False
    own, gates = lane.room.account.limits, lane.room
    if not (own.operations or own.trial or gates.gate is not None or gates.thread_gates):
        return True
    closures = own.gates(gates, lane.thread, running.attempt.operation)
    return all(gate.closed_until <= now for gate in closures)
