"""One partition: performs what the pure parts decide. Its workers call the adapters' hooks.

This is the one module that is longer than most: it is the list of what is *done*, and every
method does one decision of `retries`, `lanes` or `limits`.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

import attrs
import trio

from gateway_core.admission import Admission
from gateway_core.boundary import PASSING, stopped
from gateway_core.clock import Clock, nanoseconds
from gateway_core.config import GatewayConfig
from gateway_core.envelopes import (
    Call,
    Delete,
    Disposition,
    Edit,
    Receipt,
    Send,
)
from gateway_core.errors import AttemptTimeout, HookContractError, OutboxError, TransportError
from gateway_core.failures import Failed, Failures, Try, note_doubt, within_dedup
from gateway_core.flights import Flight, Step, send_steps
from gateway_core.hookspecs import Answer, AttemptReport, Level, Pressure
from gateway_core.idempotency import Keys
from gateway_core.journal import Journal
from gateway_core.lanes import Hold, Lane, Lanes, Room, settle
from gateway_core.limits import NEVER, SECOND
from gateway_core.pressure import Gauge
from gateway_core.revisions import Revisions
from gateway_core.sessions import OpenSession
from gateway_core.shedding import Sheddable
from gateway_core.statistics import PartitionStatistics
from gateway_core.targets import Targets
from gateway_core.telemetry import (
    ENVELOPE_CRASHED,
    ENVELOPE_SHED,
    PRESSURE_CHANGED,
    log,
)
from gateway_core.verdicts import ErrorClass, Reason, Scope, Verdict

if TYPE_CHECKING:
    from gateway_core.accounts import Account

MOST_CRASHES = 2
OUTBOX_PAUSE = SECOND
"""Nanoseconds until an attempt that the outbox could not record is offered again."""


_UNKNOWN_TO_ALL = (Reason.UNCLASSIFIED, Reason.HOOK_ERROR, Reason.HOOK_CONTRACT)


class Partition:
    """One shard of the routing keys: its queue, its lanes, its workers."""

    def __init__(
        self,
        index: int,
        config: GatewayConfig,
        *,
        clock: Clock,
        rng: Random,
        journal: Journal | None,
        on_pressure: Callable[[Pressure, Level], None],
        on_suspension: Callable[[Account, Verdict], None],
    ) -> None:
        self.index = index
        self.config = config
        self._clock = clock
        self.journal = journal
        self._on_pressure = on_pressure
        self._attempt_timeout = config.attempt_timeout
        self.admission = Admission(
            partition=config.partition_bound,
            instance=config.instance_share,
            room=config.room_bound,
        )
        self.gauge = Gauge(config.pressure, config.partition_bound)
        self.lanes = Lanes(
            slots=config.attempts_per_partition,
            prepare=self._prepare,
            start=self._start,
            rearm=self._rearm,
            broken=self.broken,
        )
        self.keys = Keys(
            most=config.idempotency_keys, window=nanoseconds(config.idempotency_window)
        )
        self.flights: dict[str, Flight] = {}
        self.targets = Targets(self.keys, Revisions(config.history), self.flights)
        self.failures = Failures(self, rng, on_suspension)
        self.history: OrderedDict[str, Receipt] = OrderedDict()
        self._sheddable = Sheddable()
        self.accepted = 0
        self.outside = 0
        self.attempts = 0
        self.restarts = 0
        self.dispositions: Counter[Disposition] = Counter()
        self._runnable: deque[Lane] = deque()
        self._idle = trio.lowlevel.ParkingLot()
        self._workers = 0
        self._serving = False
        self._called = False
        self._alarm = trio.Event()
        self._nursery: trio.Nursery | None = None
        self.empty: Callable[[], None] = lambda: None
        self.freed: Callable[[Flight], None] = lambda _flight: None

    # -- the task of the partition

    async def run(self) -> None:
        """Ring the alarms and serve the lanes until cancelled. What it raises kills this life."""
        self._workers, self._called, self._serving = 0, False, False
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            self._revive()
            try:
                await self._keep_time()
            finally:
                self._nursery = None

    async def _keep_time(self) -> None:
        while True:
            self.lanes.ring(self._clock.now(), self._expire, self._due)
            self._alarm = trio.Event()
            at = self.lanes.next_alarm()
            if at >= NEVER:
                await self._alarm.wait()
                continue
            with trio.CancelScope(deadline=self._clock.trio_time(at + 1)):
                await self._alarm.wait()

    def _rearm(self) -> None:
        self._alarm.set()

    def _revive(self) -> None:
        """After a death: what was in flight is in doubt, everything else goes on."""
        self.lanes.stand_in = None
        now = self._clock.now()
        # Whom the old life left running: what is done for one may start others, which live.
        lanes = [lane for room in self.lanes.rooms.values() for lane in room.lanes.values()]
        orphans = [lane for lane in lanes if lane.running]
        waiting = [lane for lane in lanes if not lane.running]
        runnable, self._runnable = self._runnable, deque()
        for lane in runnable:
            self.lanes.release(lane, now, unused=True)
        for lane in orphans:
            self._revive_lane(lane, now)
        for lane in waiting:  # its alarm may have been the one that rang as the old life died
            if lane.timer_at is None and not lane.doubt:
                self.lanes.look_again(lane, now)

    def _revive_lane(self, lane: Lane, now: int) -> None:
        self.lanes.release(lane, now)
        flight = lane.queue[0] if lane.queue else None
        step = flight.step if flight is not None and flight.receipt is None else None
        if flight is not None and step is not None and step.started:
            lost = TransportError("the worker died during the attempt", dispatched="unknown")
            attempt = flight.attempt(step, lane.room.address)
            self._failed(Try(lane, flight, step, attempt, lane.room.account.instance), lost, now)
        else:
            self.lanes.go_on(lane, now)

    def _start(self, lane: Lane) -> None:
        """Hand a lane that holds its tokens to a worker: the one at work here, or another."""
        self._runnable.append(lane)
        if not self._serving:
            self._call_worker()

    def _call_worker(self) -> None:
        """Wake one worker, or begin one; it calls the next itself before it waits."""
        if self._called:
            return
        if self._idle:
            self._called = True
            self._idle.unpark()
        elif self._workers < self.lanes.capacity and self._nursery is not None:
            self._called = True
            self._workers += 1
            self._nursery.start_soon(self._work)

    async def _work(self) -> None:
        """Serve one lane after the other. The scope's deadline is that of the present attempt."""
        self._called = False
        while True:
            flown: list[Try] = []
            with trio.CancelScope() as scope:
                await self._work_within(scope, flown)
            if flown and scope.cancelled_caught:
                self._guarded(flown[0].lane, self._timed_out, flown[0])

    async def _work_within(self, scope: trio.CancelScope, flown: list[Try]) -> None:
        while True:
            while not self._runnable:
                await self._idle.park()
                self._called = False
            if scope.cancel_called:  # an old attempt's deadline passed while the worker was idle
                return
            lane = self._runnable.popleft()
            try:
                await self._serve(lane, scope, flown)
            except PASSING:
                raise
            except BaseException as raised:  # noqa: BLE001 - a worker outlives its envelopes
                self._crashed(lane, stopped(raised))
            finally:
                self._serving = False
            flown.clear()

    def _guarded(self, lane: Lane, do: Callable[[Try], None], flown: Try) -> None:
        try:
            do(flown)
        except BaseException as raised:  # noqa: BLE001 - a worker outlives its envelopes
            self._crashed(lane, stopped(raised))

    # -- one attempt

    async def _serve(self, lane: Lane, scope: trio.CancelScope, flown: list[Try]) -> None:
        """Make the attempt that the lane holds its tokens for, and do what follows from it."""
        flight = lane.queue[0]
        step = flight.step
        if flight.receipt is not None or step is None:
            self._void(lane)
            return
        if self._runnable:
            self._call_worker()
        account = lane.room.account
        attempt = flight.attempt(step, lane.room.address)
        flying = Try(lane, flight, step, attempt, account.instance)
        flown.append(flying)
        lane.begun = self._clock.now()
        scope.deadline = trio.current_time() + self._attempt_timeout
        session = account.sessions.ready()
        if session is None or self.journal is not None:
            session = await self._made_ready(flying, session)
            if session is None:
                return
        now = self._clock.now()
        if not _may_begin(flying, now):
            session.release()
            self._call_off(flying)
            return
        self._begin(flying, now)
        try:
            answer = await account.hooks.perform(flying.instance, session.value, attempt)
        except PASSING:
            raise
        except BaseException as raised:  # noqa: BLE001 - the boundary stands here
            self._failed(flying, stopped(raised), self._after(flying))
        else:
            self._answered(flying, answer, self._after(flying))
        finally:
            session.release()

    async def _made_ready(self, flying: Try, session: OpenSession | None) -> OpenSession | None:
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
        if self.journal is None:
            return session
        recorded = False
        try:
            recorded = await self._recorded(flying, self.journal)
        finally:
            if not recorded:
                session.release()
        return session if recorded else None

    async def _recorded(self, flying: Try, journal: Journal) -> bool:
        """Let the outbox know that the attempt begins; false: it cannot, so it does not begin."""
        lane = flying.lane
        try:
            await journal.starting(flying.flight, flying.step)
        except OutboxError:
            now = self._clock.now()
            self._serving = True
            self.lanes.release(lane, now, unused=True)
            flying.flight.cause = "outbox"
            self.lanes.pause(lane, now + OUTBOX_PAUSE)
            return False
        except trio.Cancelled:
            journal.ended(flying.flight, flying.step)
            raise
        return True

    def _unopened(self, flying: Try, error: Exception) -> None:
        """The session did not open: nothing was sent. What nobody knows suspends the instance."""
        account = flying.lane.room.account
        verdict = account.hooks.classify_error(account.instance, flying.attempt, error)
        if verdict.reason in _UNKNOWN_TO_ALL:
            raw = f"its session does not open: {type(error).__name__}: {error}"
            verdict = Verdict(
                error_class=ErrorClass.FATAL,
                reason=Reason.HOOK_ERROR,
                scope=Scope.INSTANCE,
                raw=raw,
            )
        verdict = attrs.evolve(verdict, dispatched="no")
        self.failures.failed(Failed(flying, verdict, self._after(flying)))

    def _begin(self, flying: Try, now: int) -> None:
        """From here on the outcome of the step may become unknown."""
        lane, flight, step = flying.lane, flying.flight, flying.step
        flight.started = step.started = True
        step.number += 1
        self.attempts += 1
        lane.begun = now
        if step.maybe_sent and not within_dedup(lane.room.account, step, now):
            flight.possible_duplicate = True

    def _after(self, flying: Try) -> int:
        """The attempt is over: from here on this worker takes the next lane that starts."""
        now = self._clock.now()
        self._serving = True
        self.lanes.release(flying.lane, now)
        return now

    def _timed_out(self, flying: Try) -> None:
        """The hook did not return in time, or its session did not open."""
        try:
            if flying.step.started:
                error = AttemptTimeout(self._attempt_timeout)
                self._failed(flying, error, self._after(flying))
            elif flying.flight.receipt is not None:
                self._void(flying.lane)
            else:
                seconds = f"{self._attempt_timeout:g} s"
                lost = TransportError(f"no session within {seconds}", dispatched="no")
                self._unopened(flying, lost)
        finally:
            self._serving = False
            if self._runnable:
                self._call_worker()

    def _call_off(self, flying: Try) -> None:
        """Something closed meanwhile: the attempt does not begin, its record is void."""
        if self.journal is not None:
            self.journal.ended(flying.flight, flying.step)
        self._void(flying.lane)

    def _void(self, lane: Lane) -> None:
        """The attempt does not begin: tokens back, the lane is offered again."""
        now = self._clock.now()
        self._serving = True
        self.lanes.release(lane, now, unused=True)
        self.lanes.go_on(lane, now)

    def _answered(self, flying: Try, answer: Answer, now: int) -> None:
        lane, step, account = flying.lane, flying.step, flying.lane.room.account
        if account.hooks.observes_attempts:
            report = AttemptReport(answer=answer, seconds=(now - lane.begun) / SECOND)
            account.hooks.after_attempt(account.instance, flying.attempt, report)
        flying.flight.acknowledge(step, answer)
        if self.journal is not None:
            self.journal.acknowledged(flying.flight, step)
        if answer.buckets:
            settle(account.limiter.learn(answer.buckets, now), now)
        account.worked(now)
        self.lanes.go_on(lane, now)

    def _failed(self, flying: Try, error: Exception, now: int) -> None:
        lane, account = flying.lane, flying.lane.room.account
        verdict = account.hooks.classify_error(account.instance, flying.attempt, error)
        if account.hooks.observes_attempts:
            report = AttemptReport(verdict=verdict, seconds=(now - lane.begun) / SECOND)
            account.hooks.after_attempt(account.instance, flying.attempt, report)
        answered = isinstance(error, HookContractError)
        self.failures.failed(Failed(flying, verdict, now), answered=answered)

    def end_all(self, account: Account, verdict: Verdict) -> None:
        """The instance is out of order, and configured to end what waits for it."""
        now = self._clock.now()
        for flight in list(self.flights.values()):
            step = flight.step
            mine = flight.envelope.instance_id == account.instance.id
            if mine and flight.receipt is None and not (step is not None and step.started):
                self.end(flight, Disposition.FATAL, verdict, now)

    def broken(self, flight: Flight, error: HookContractError, now: int) -> None:
        """A pure hook failed on this envelope: it ends, naming plugin and hook."""
        verdict = Verdict(
            error_class=ErrorClass.NON_RETRYABLE, reason=Reason.HOOK_CONTRACT, raw=str(error)
        )
        self.finish(flight, Disposition.CRASHED, verdict, now)

    def _crashed(self, lane: Lane, error: Exception) -> None:
        """Something of ours broke on this envelope; twice, and it ends `crashed`."""
        now = self._clock.now()
        flight = lane.queue[0] if lane.queue else None
        log.error(
            ENVELOPE_CRASHED,
            envelope=flight.id if flight else None,
            partition=self.index,
            error=f"{type(error).__name__}: {error}",
            exc_info=error,
        )
        self.lanes.release(lane, now)
        if flight is not None and flight.receipt is None:
            step = flight.step
            if step is not None and step.started:  # its try was made, and its outcome is lost
                step.started = False
                note_doubt(lane, step, now)
                if self.journal is not None:
                    self.journal.ended(flight, step)
            flight.crashes += 1
            if flight.crashes >= MOST_CRASHES:
                self._end_crashed(flight, error, now)
        self.lanes.go_on(lane, now)

    def _end_crashed(self, flight: Flight, error: Exception, now: int) -> None:
        step = flight.step
        doubtful = step is not None and step.doubtful
        verdict = Verdict(
            error_class=ErrorClass.NON_RETRYABLE,
            reason=Reason.CRASHED,
            dispatched="unknown" if doubtful else "no",
            raw=f"{type(error).__name__}: {error}",
        )
        self.finish(flight, Disposition.CRASHED, verdict, now)

    # -- flights in

    def accept(self, flight: Flight, account: Account, *, shed: bool = False) -> None:
        """Take an envelope in. Its place was counted before; from here on it is accepted.

        shed  a policy voted so: it ends at once
        """
        now = self._clock.now()
        envelope = flight.envelope
        self.accepted += 1
        self.flights[flight.id] = flight
        room = self.lanes.room(account, envelope.external_room_id)
        room.unfinished += 1
        flight.accepted_at = now
        if shed:
            self.finish(flight, Disposition.SHED, None, now)
            return
        self.lanes.expires(flight)
        if self.config.shed and flight.priority == "bulk":
            self._sheddable.add(flight)
        if isinstance(envelope, Edit):
            older = self.targets.overtaken(flight, envelope, now)
            if older is not None:
                self.end(older, Disposition.SUPERSEDED, None, now)
        self.measure()
        if envelope.not_before is not None and envelope.not_before > flight.accepted_wall:
            flight.parked, flight.cause = True, "schedule"
            wait = envelope.not_before - flight.accepted_wall
            self.lanes.at(now + nanoseconds(min(wait, 1e9)), flight)
            return
        self._enter(flight, room, now)

    def resume(self, flight: Flight, account: Account, print_: str, hold: float = 0.0) -> None:
        """Take in a flight that was accepted and counted before, and has its place.

        print_  its fingerprint, where it has a key
        hold    seconds for which the platform asked to be left alone
        """
        now = self._clock.now()
        envelope = flight.envelope
        self.flights[flight.id] = flight
        room = self.lanes.room(account, envelope.external_room_id)
        room.unfinished += 1
        flight.accepted_at = now
        if flight.scope is not None and self.keys.find(flight.scope, now) is None:
            self.keys.begin(flight.scope, flight, print_, now)
        self.lanes.expires(flight)
        if isinstance(envelope, Edit):
            self.targets.overtaken(flight, envelope, now)
        self.measure()
        wait = (envelope.not_before or 0.0) - self._clock.wall()
        if wait > 0 and not flight.started:
            flight.parked, flight.cause = True, "schedule"
            self.lanes.at(now + nanoseconds(min(wait, 1e9)), flight)
            return
        self._enter(flight, room, now, hold=self._held(flight, account, hold, now))

    def _held(self, flight: Flight, account: Account, hold: float, now: int) -> Hold | None:
        """Why a resumed flight must not start at once: an unknown outcome, or the platform."""
        step = flight.step
        if step is not None and step.maybe_sent and step.verdict is not None:
            quarantine = self.config.retries.quarantine
            if step.kind in ("send", "call") and not within_dedup(account, step, now):
                return Hold(now + nanoseconds(max(hold, quarantine)), doubt=True)
        return Hold(now + nanoseconds(hold), doubt=False) if hold > 0 else None

    def _enter(self, flight: Flight, room: Room, now: int, *, hold: Hold | None = None) -> None:
        envelope = flight.envelope
        independent = room.account.hooks.traits.independent_threads
        thread = self.targets.thread(envelope, now) if independent else None
        key = f"{flight.id} alone" if envelope.order == "none" else thread
        self.lanes.push(flight, room, key, thread, now, hold=hold)

    def _due(self, flight: Flight, now: int) -> None:
        """A scheduled flight's time has come: it enters its lane."""
        if flight.receipt is None and flight.parked:
            if self.journal is not None and flight.cause == "schedule":
                self.journal.entered(flight)
            flight.parked, flight.cause = False, "queue"
            room = self._room_of(flight)
            self._enter(flight, room, now)

    def _room_of(self, flight: Flight) -> Room:
        envelope = flight.envelope
        return self.lanes.rooms[envelope.instance_id, envelope.external_room_id]

    # -- steps, when a flight's turn has come

    def _prepare(self, flight: Flight, now: int) -> str | None:
        """Ready a flight at the head of its lane; the operation of its next step, if any."""
        if self.finish_if_over(flight, now):
            return None
        if self.config.when_suspended == "end" and self._suspended(flight) is not None:
            self.finish(flight, Disposition.FATAL, self._suspended(flight), now)
            return None
        if flight.steps is None and not self._plan_steps(flight, now):
            return None
        step = flight.step
        if step is None:  # an edit that changes nothing
            self.finish(flight, flight.disposition(), None, now)
            return None
        if step.maybe_sent and not self._may_repeat(flight, step, now):
            step.outcome = "unknown"
            return self._prepare(flight, now)
        return _operation(flight, step)

    def finish_if_over(self, flight: Flight, now: int) -> bool:
        """End it where no step is left, or its deadline has passed; whether that was so."""
        if flight.steps is not None and flight.step is None:
            self.finish(flight, flight.disposition(), None, now)
        elif flight.deadline <= now:
            self.finish(flight, Disposition.EXPIRED, _expired(flight), now)
        else:
            return False
        return True

    def _suspended(self, flight: Flight) -> Verdict | None:
        return self._room_of(flight).account.suspended

    def _may_repeat(self, flight: Flight, step: Step, now: int) -> bool:
        """The platform's memory of the key may have ended while the retry waited."""
        lane = flight.lane
        if lane is None or step.kind not in ("send", "call"):
            return True
        traits = lane.room.account.hooks.traits
        envelope = flight.envelope
        if isinstance(envelope, Call) and envelope.method in traits.repeat_safe_calls:
            return True
        if step.kind == "send" and within_dedup(lane.room.account, step, now):
            return True
        return (
            flight.envelope.on_unknown == "retry"
            and step.maybe_sent < self.config.retries.max_ambiguous
        )

    def _plan_steps(self, flight: Flight, now: int) -> bool:
        envelope = flight.envelope
        if isinstance(envelope, Send):
            flight.steps = send_steps(envelope, flight.plan)
        elif isinstance(envelope, Call):
            flight.steps = [Step("call", 0)]
        else:
            return self._plan_change(flight, envelope, now)
        return True

    def _plan_change(self, flight: Flight, envelope: Edit | Delete, now: int) -> bool:
        """Steps of an edit or delete, against what stands in the room now."""
        before = self.targets.before(flight, envelope, now)
        if before is not None:
            self._step_aside(flight, before)
            return False
        flight.steps = self.targets.steps(flight, envelope, now)
        if flight.steps is None:
            self.finish(flight, Disposition.REJECTED, NO_TARGET, now)
            return False
        if self.journal is not None:
            self.journal.planned(flight)
        return True

    def _step_aside(self, flight: Flight, before: Flight) -> None:
        """Leave the lane until the message that it changes can be changed; then enter anew."""
        lane, flight.lane = flight.lane, None
        flight.parked, flight.cause = True, "target"
        if lane is not None and lane.queue and lane.queue[0] is flight:
            lane.queue.popleft()
        callbacks = before.callbacks = before.callbacks or []
        callbacks.append(lambda: self._due(flight, self._clock.now()))

    # -- flights out

    def finish(
        self, flight: Flight, disposition: Disposition, verdict: Verdict | None, now: int
    ) -> Receipt:
        """End an envelope: exactly once, counted, remembered, told."""
        receipt = self._ended(flight, disposition, verdict, now)
        envelope = flight.envelope
        del self.flights[flight.id]
        if self.config.shed:
            self._sheddable.discard(flight)
        self.lanes.ended()
        room = self._room_of(flight)
        room.unfinished -= 1
        self.admission.remove(envelope.instance_id, envelope.external_room_id)
        self.measure()
        callbacks, flight.callbacks = flight.callbacks, None
        for callback in callbacks or ():
            callback()
        if room.account.hooks.observes_dispositions:
            room.account.hooks.after_disposition(envelope, receipt)
        if not room.lanes and not room.unfinished:
            self.lanes.tidy(room, now)
        if self.journal is not None:
            self.freed(flight)
        if not self.flights:
            self.empty()
        return receipt

    def finish_outside(self, flight: Flight, account: Account, disposition: Disposition) -> Receipt:
        """End one that was accepted, and counted, and never took a place in memory."""
        verdict = _expired(flight) if disposition is Disposition.EXPIRED else None
        receipt = self._ended(flight, disposition, verdict, self._clock.now())
        callbacks, flight.callbacks = flight.callbacks, None
        for callback in callbacks or ():
            callback()
        if account.hooks.observes_dispositions:
            account.hooks.after_disposition(flight.envelope, receipt)
        self.freed(flight)
        return receipt

    def _ended(
        self, flight: Flight, disposition: Disposition, verdict: Verdict | None, now: int
    ) -> Receipt:
        """Write the receipt; count it, remember it, let the outbox have it."""
        receipt = flight.end(disposition, verdict=verdict, ended_wall=self._clock.wall())
        self.dispositions[disposition] += 1
        if disposition is Disposition.SHED:
            log.info(ENVELOPE_SHED, envelope=flight.id, partition=self.index)
        self._remember(flight, receipt, now)
        if self.journal is not None:
            self.journal.finished(receipt)
        return receipt

    def _remember(self, flight: Flight, receipt: Receipt, now: int) -> None:
        envelope = flight.envelope
        self.history[receipt.envelope_id] = receipt
        if len(self.history) > self.config.history:
            self.history.popitem(last=False)
        if flight.scope is not None:
            self.keys.end(flight.scope, receipt, now)
        if isinstance(envelope, Send):
            self.targets.sent(receipt)
        elif not isinstance(envelope, Call):
            self.targets.changed(flight, envelope, receipt, now)

    def end(
        self, flight: Flight, disposition: Disposition, verdict: Verdict | None, now: int
    ) -> Receipt:
        """End a flight that waits, and let its lane go on without it."""
        receipt = self.finish(flight, disposition, verdict, now)
        lane = flight.lane
        if lane is not None and lane.queue:
            if lane.queue[0] is flight:
                self.lanes.look_again(lane, now)
            else:
                self.lanes.drop_ended(lane)
        return receipt

    def _expire(self, flight: Flight, now: int) -> None:
        """The deadline passed. An attempt in flight is not disturbed; it looks itself."""
        lane = flight.lane
        if lane is not None and lane.running and lane.queue and lane.queue[0] is flight:
            return
        self.end(flight, Disposition.EXPIRED, _expired(flight), now)

    def withdraw(self, flight: Flight) -> bool:
        """End it `cancelled` if it has not started; false if it has."""
        if flight.receipt is not None or flight.started:
            return False
        now = self._clock.now()
        self.end(flight, Disposition.CANCELLED, None, now)
        return True

    def forget_room(self, instance_id: str, room_id: str) -> int:
        """Forget what ended in a room; how many of it are under way still."""
        for name, receipt in list(self.history.items()):
            if (receipt.instance_id, receipt.external_room_id) == (instance_id, room_id):
                del self.history[name]
        self.keys.forget_room(instance_id, room_id)
        return sum(
            (f.envelope.instance_id, f.envelope.external_room_id) == (instance_id, room_id)
            for f in self.flights.values()
        )

    def give_up(self, flight: Flight) -> Receipt:
        """End it now: in doubt where it may have arrived, else cancelled.

        Whoever gives up several begins with the newest, so that no lane goes on meanwhile.
        """
        if flight.receipt is not None:  # the end of another one ended it
            return flight.receipt
        now = self._clock.now()
        step = flight.step
        if step is not None and (step.started or step.doubtful):
            step.outcome = "unknown"
            receipt = self.finish(flight, Disposition.UNKNOWN, None, now)
        else:
            receipt = self.end(flight, Disposition.CANCELLED, None, now)
        return receipt

    def keep(self) -> None:
        """The gateway ends, and a durable outbox keeps what is unfinished."""
        for flight in self.flights.values():
            flight.kept = True
            callbacks, flight.callbacks = flight.callbacks, None
            for callback in callbacks or ():
                callback()

    def abandon(self) -> None:
        """The gateway ends: what is unfinished ends now, in doubt where it was in flight."""
        for flight in reversed(list(self.flights.values())):
            self.give_up(flight)

    def shed_for(self, instance_id: str, room_id: str) -> bool:
        """Take a place of a higher class by ending the newest bulk that is in its way.

        The place passes from one to the other: nobody who waits can take it. False: there is
        no bulk whose end would help, and none ends.
        """
        victim = self._sheddable.newest(self.admission.narrowest(instance_id, room_id))
        if victim is None:
            return False
        self.admission.add(instance_id, room_id)
        self.end(victim, Disposition.SHED, None, self._clock.now())
        return True

    # -- figures

    def measure(self) -> None:
        """Take the depth in; tell of a changed pressure level."""
        depth = self.admission.depth
        previous = self.gauge.update(depth)
        if previous is not None:
            pressure = self.pressure()
            log.info(
                PRESSURE_CHANGED,
                partition=self.index,
                level=pressure.level,
                previous=previous,
                depth=depth,
                bound=pressure.bound,
            )
            self._on_pressure(pressure, previous)

    @property
    def alive(self) -> bool:
        """Whether its task runs."""
        return self._nursery is not None

    def estimate(self) -> float:
        """Seconds until a place is likely to free, from the pace of the last minute or so."""
        ended = sum(self.dispositions.values())
        uptime = self._clock.now() / SECOND
        if not ended or uptime <= 0:
            return 1.0
        return min(60.0, max(0.01, uptime / ended))

    def pressure(self) -> Pressure:
        """How full it is."""
        return Pressure(
            partition=self.index,
            level=self.gauge.level,
            depth=self.admission.depth,
            bound=self.admission.bound,
        )

    def statistics(self, total: int) -> PartitionStatistics:
        """A snapshot; `total` envelopes were accepted by the whole gateway."""
        return PartitionStatistics(
            index=self.index,
            accepted=self.accepted,
            unfinished=len(self.flights) + self.outside,
            outside=self.outside,
            depth=self.admission.depth,
            bound=self.admission.bound,
            waiting=self.admission.waiters,
            in_flight=self.lanes.attempt_slots.in_flight,
            level=self.gauge.level,
            attempts=self.attempts,
            rate_limited=self.failures.rate_limited,
            restarts=self.restarts,
            share=self.accepted / total if total else 0.0,
            dispositions=dict(self.dispositions),
        )


def _may_begin(flying: Try, now: int) -> bool:
    """Whether nothing closed, ended or ran out while the attempt was made ready."""
    flight = flying.flight
    if flight.receipt is not None or flight.deadline <= now:
        return False
    lane = flying.lane
    shut = (*(lane.tokens or ()), *lane.gates(flying.attempt.operation))
    return all(bucket.closed_until <= now for bucket in shut)


def _operation(flight: Flight, step: Step) -> str:
    return flight.envelope.operation if step.kind == "call" else step.kind


def _expired(flight: Flight) -> Verdict:
    if flight.verdict is not None:
        return flight.verdict
    return Verdict(
        error_class=ErrorClass.NON_RETRYABLE,
        reason=Reason.EXPIRED,
        raw=f"its deadline passed while it waited ({flight.cause})",
    )


NO_TARGET = Verdict(
    error_class=ErrorClass.NON_RETRYABLE,
    reason=Reason.MESSAGE_GONE,
    raw="the message to change was deleted, never arrived, or is not known any more",
)
