"""Bugs put into the engine on purpose: the simulation must notice each of them, and soon.

A harness that finds nothing is usually blind. Each bug is of the kind that tired programmers make:
a forgotten line, a comparison the wrong way round, a broken rule.
"""

# ruff: noqa: ARG005 - the bugs have the signatures of what they replace

from __future__ import annotations

from typing import Any

import attrs
import pytest
import structlog
from amounts import one_of_three
from simulated.bugs import Bugs

from gateway_core import Disposition
from gateway_core.accounts import health, sessions
from gateway_core.authors import TransportError
from gateway_core.backlog import loader
from gateway_core.backoff import Backoff
from gateway_core.clock import NEVER, SECOND
from gateway_core.deliveries import idempotency, targets
from gateway_core.deliveries.ending import Ending, expired
from gateway_core.deliveries.made import receipts
from gateway_core.engine import (
    attempts,
    completion,
    consequences,
    planning,
    running_attempt,
    shard,
    worker_pool,
    workers,
)
from gateway_core.plugins import defaults
from gateway_core.ratelimits import bucket, circuit, limit_kinds, refusals
from gateway_core.scheduling import admission, deadlines, pressure, rooms, scheduler
from gateway_core.scheduling.classes import BULK
from gateway_core.submission import draft, durable

MOST_SEEDS = 150

bug = BUGS = Bugs()


# -- waking up, tokens, lanes


@bug("which is free|did not end|runs for ever|never|afterwards|nothing will")
def a_wake_up_is_lost(patch):
    """A token that is given back wakes no lane."""

    def release(self: Any, lane: Any, now: int, *, unused: bool = False) -> None:
        tokens, lane.tokens = lane.tokens, None
        for token in tokens or ():
            token.give_back() if unused else token.release(now)

    patch.setattr(scheduler.Scheduler, "release", release)


@bug("runs for ever|did not end|which is free|afterwards|outlives")
def a_token_is_not_given_back(patch):
    """An attempt that does not take place keeps its tokens."""
    patch.setattr(bucket.Bucket, "give_back", lambda self: None)


@bug("calls at once")
def slots_are_without_number(patch):
    """The bound on an instance's attempts in flight is ignored."""
    whole = rooms.Lane.buckets

    def buckets(self: Any, operation: str, now: int) -> Any:
        bound = self.room.account.limits.attempts
        return [b for b in whole(self, operation, now) if b is not bound]

    patch.setattr(rooms.Lane, "buckets", buckets)


@bug("overtakes|between the parts", seen=9)
def parts_are_interleaved(patch):
    """After each step the lane's next envelope has its turn."""
    whole = scheduler.Scheduler.go_on

    def go_on(self: Any, lane: Any, now: int) -> None:
        if len(lane.queue) > 1:
            lane.queue.rotate(-1)
        whole(self, lane, now)

    patch.setattr(scheduler.Scheduler, "go_on", go_on)


@bug("overtakes|between the parts|waits for what has ended", seen=39)
def a_retry_goes_to_the_end(patch):
    """A failed envelope is queued after later ones."""
    whole = scheduler.Scheduler.pause

    def pause(self: Any, lane: Any, until: int) -> None:
        lane.queue.rotate(-1)
        whole(self, lane, until)

    patch.setattr(scheduler.Scheduler, "pause", pause)


@bug("forgotten|sleeps on|did not end|outlives|never|afterwards")
def a_paused_lane_is_dropped(patch):
    """No alarm wakes the lane."""

    def pause(self: Any, lane: Any, until: int) -> None:
        lane.running = False
        self._leave(lane)
        lane.timer_at = until

    patch.setattr(scheduler.Scheduler, "pause", pause)


@bug("requests as too many|within the wait", seen=12)
def pacing_counts_from_the_request(patch):
    """The bucket counts from the request's begin, and not from its answer."""

    def release(self: Any, now: int, took: int = 0) -> None:
        self.in_flight -= 1
        self.spent.append(now + self.per - round(0.5 * SECOND))

    patch.setattr(limit_kinds.WindowBucket, "release", release)


@bug("within the wait|suspended|held", seen=42)
def closures_are_not_looked_at_again(patch):
    """An attempt is made even if a closure came after it took its tokens."""

    def may_begin(running: Any, now: int) -> bool:
        return running.delivery.receipt is None and running.delivery.deadline > now

    patch.setattr(attempts, "_may_begin", may_begin)


@bug("within the wait")
def a_refusal_closes_nothing(patch):
    """A 429 makes only its own envelope wait."""
    patch.setattr(refusals, "_close", lambda *given: [])


# -- deadlines, endings


@bug("deadline|within the wait")
def deadlines_are_ignored(patch):
    whole = planning.Planner.plan_next_step

    def plan_next_step(self: Any, delivery: Any, *given: Any) -> Any:
        before, delivery.deadline = delivery.deadline, NEVER
        try:
            return whole(self, delivery, *given)
        finally:
            delivery.deadline = before

    def complete_if_over(self: Any, delivery: Any, now: int) -> None:
        if delivery.step is None and delivery.receipt is None:
            self.complete(delivery, Ending(delivery.disposition()), now)

    patch.setattr(deadlines.Deadlines, "add", lambda self, delivery: None)
    patch.setattr(attempts, "_may_begin", lambda running, now: running.delivery.receipt is None)
    patch.setattr(planning.Planner, "plan_next_step", plan_next_step)
    patch.setattr(completion.Completion, "complete_if_over", complete_if_over)


@bug("ended during its call|ended twice|after its end|fell")
def an_attempt_is_ended_by_its_deadline(patch):
    """A delivery under way is ended, too; nobody gets its answer."""

    def expire(self: Any, delivery: Any, now: int) -> None:
        self.complete_waiting(delivery, expired(delivery), now)

    patch.setattr(completion.Completion, "expire", expire)


@bug("counted|ended twice")
def an_end_is_told_twice(patch):
    whole = completion.Completion.complete

    def complete(self: Any, delivery: Any, *given: Any) -> Any:
        receipt = whole(self, delivery, *given)
        room_of = self._scheduler.room_of
        account = room_of(delivery.envelope).account if self._deliveries else None
        if account is not None and delivery.envelope.priority == "bulk":
            account.hooks.after_disposition(delivery.envelope, receipt)
        return receipt

    patch.setattr(completion.Completion, "complete", complete)


@bug("after its end", seen=15)
def what_ended_meanwhile_is_sent(patch):
    """The envelope was cancelled while its session opened."""

    def may_begin(running: Any, now: int) -> bool:
        return all(token.closed_until <= now for token in running.lane.tokens or ())

    patch.setattr(attempts, "_may_begin", may_begin)


@bug("though its caller is gone|was cancelled")
def a_cancelled_caller_leaves_its_envelope(patch):
    patch.setattr(completion.Completion, "withdraw", lambda self, delivery: False)


@bug("nobody ends what is over|runs for ever|did not end|outlives|never")
def what_is_over_is_handed_to_nobody(patch):
    """The head of a lane must end, and no worker hears of it."""

    def end(self: Any, *given: Any) -> None:
        self.over.append(workers.Over(*given))

    patch.setattr(workers.WorkQueue, "end", end)


@bug("runs for ever|did not end|outlives|never|afterwards")
def a_lane_ends_with_its_head(patch):
    """A worker ends the head of the lane, and the lane does not go on."""

    def end(self: Any, over: Any) -> None:
        if over.delivery.receipt is None:
            self._completion.complete(over.delivery, over.ending, self._clock.now())

    patch.setattr(worker_pool.WorkerPool, "_end", end)


# -- unknown outcomes


@bug("is sent again|stands", seen=13)
def unknown_is_tried_again_without_asking(patch):
    patch.setattr(running_attempt.Failed, "is_repeat_safe", lambda self: True)


@bug("is sent again|stands [0-9] times", seen=29)
def one_copy_too_many(patch):
    whole = consequences.decide

    def decide(verdict: Any, step: Any, *, settings: Any, **given: Any) -> Any:
        most = settings.max_ambiguous + 1
        settings = attrs.evolve(settings, attempts=max(most, settings.attempts), max_ambiguous=most)
        return whole(verdict, step, settings=settings, **given)

    patch.setattr(planning.Planner, "_may_repeat", lambda self, *given: True)
    patch.setattr(consequences, "decide", decide)


@bug("after it was in doubt|waits for what has ended", seen=15)
def the_quarantine_ends_with_its_envelope(patch):
    """The room's next envelope goes at once, though the one before may still arrive."""
    whole = consequences.doubt

    def doubt(lane: Any, step: Any, now: int, _: int = 0, **given: Any) -> None:
        whole(lane, step, now, 0, **given)

    patch.setattr(consequences, "doubt", doubt)


@bug("after it was in doubt|nobody said so|stands [0-9] times|is sent again|is there", seen=13)
def a_death_forgets_what_was_in_flight(patch):
    def revive(self: Any, lane: Any, now: int) -> None:
        self._scheduler.release(lane, now)
        if lane.queue and lane.queue[0].step is not None:
            lane.queue[0].step.started = False
        self._scheduler.go_on(lane, now)

    patch.setattr(worker_pool.WorkerPool, "_revive_lane", revive)


@bug("nobody said so", seen=13)
def a_possible_copy_is_not_announced(patch):
    whole = attempts.Attempts._begin

    def begin(self: Any, running: Any, *given: Any) -> Any:
        performing = whole(self, running, *given)
        running.delivery.possible_duplicate = False
        return performing

    patch.setattr(attempts.Attempts, "_begin", begin)


@bug("of #[0-9]+ (Send|Edit) .*, and nobody said so", seen=38)
def a_copy_beyond_a_change_is_not_announced(patch):
    """The receipt of an edit or a deletion reports only its own attempts."""
    patch.setattr(receipts, "_leaves_copies", lambda delivery: False)


@bug("is there|key was freed", seen=9)
def doubt_is_called_failure(patch):
    """The receipt says that nothing was sent, though nobody knows that."""
    whole = completion.Completion.complete

    def complete(self: Any, delivery: Any, *given: Any) -> Any:
        for step in delivery.steps or ():
            step.doubtful = False
            step.outcome = "failed" if step.outcome == "unknown" else step.outcome
        return whole(self, delivery, *given)

    patch.setattr(completion.Completion, "complete", complete)


@bug("repeats step|is recorded after|is called|begins after|is there", seen=11)
def a_bad_answer_is_sent_again(patch):
    """The hook returned nonsense after it had sent; this counts as not sent."""
    whole = consequences.Consequences.failed

    def failed(self: Any, what: Any, *, answered: bool = False) -> None:
        if answered:
            lost = TransportError("no answer that could be read", dispatched="no")
            what = attrs.evolve(what, verdict=defaults.transport_verdict(lost))
        whole(self, what)

    patch.setattr(consequences.Consequences, "failed", failed)


# -- retries, 429s


@bug("exhausted after")
def a_refusal_spends_a_try(patch):
    """A 429 counts like a failure."""
    whole = consequences.Consequences._count

    def count(self: Any, failed: Any, **given: Any) -> Any:
        counted = whole(self, failed, **given)
        failed.step.attempts += failed.limited
        return counted

    def decide(verdict: Any, step: Any, *, settings: Any, **given: Any) -> Any:
        limited = verdict.reason == "rate_limited"
        if limited and step.attempts >= settings.attempts:
            return consequences.Decision("end", verdict.retry_after or 0.0, Disposition.EXHAUSTED)
        return real(verdict, step, settings=settings, **given)

    real = consequences.decide
    patch.setattr(consequences, "decide", decide)
    patch.setattr(consequences.Consequences, "_count", count)


# -- admission, keys, classes


@bug("places taken|has room|nobody waits at|did not end|not conserved", seen=12)
def a_place_leaks(patch):
    """A caller that gives up waiting keeps the slot that it was given meanwhile."""

    def give_up(self: Any, waiter: Any, now: int) -> None:
        for queue in self._waiting.values():
            if waiter in queue:
                queue.remove(waiter)

    patch.setattr(admission.Admission, "give_up", give_up)


@bug("has room|callers are never done|nothing will")
def a_free_place_is_handed_to_nobody(patch):
    patch.setattr(admission.Admission, "_hand_on", lambda self, key, now: None)


@bug("holds [0-9]+ of")
def a_bound_is_not_kept(patch):
    patch.setattr(admission.Admission, "_reached", lambda self, *given: None)
    patch.setattr(admission.Admission, "take", admission.Admission.add)


@bug("was refused with|stays outside", seen=12)
def all_classes_share_the_bounds(patch):
    """Bulk envelopes inside keep urgent ones out."""
    real = admission.Admission._reached

    def reached(self: Any, instance_id: str, room_id: str, rank: int) -> Any:
        return real(self, instance_id, room_id, BULK)

    def take(self: Any, instance_id: str, room_id: str, rank: int) -> Any:
        full = self.full(instance_id, room_id, rank)
        if full is None:
            self.add(instance_id, room_id, rank)
        return full

    patch.setattr(admission.Admission, "_reached", reached)
    patch.setattr(admission.Admission, "take", take)


@bug("stays outside|outlives|did not end", seen=142)
def what_stands_alone_is_paged_after_all_else(patch):
    real = loader.Loader.next_page

    async def next_page(self: Any, account: Any, cursor: Any) -> bool:
        alone = cursor.streams[0].alone and self._capacity.unfinished > 1
        return False if alone else await real(self, account, cursor)

    patch.setattr(loader.Loader, "next_page", next_page)


@bug("after its deadline|outlives", seen=33)
def time_counts_from_acceptance(patch):
    """An envelope that waited at the door gets its whole time again."""
    real = draft.Drafting.deliver

    def deliver(self: Any, waited: Any, *given: Any) -> Any:
        waited.called = None
        return real(self, waited, *given)

    patch.setattr(draft.Drafting, "deliver", deliver)


@bug("was taken by|key was freed|stands")
def a_key_is_forgotten(patch):
    patch.setattr(idempotency.Keys, "begin", lambda self, *given: None)


@bug("another payload|conflicts with its equal|leads elsewhere")
def any_payload_fits_a_key(patch):
    """All fingerprints are equal."""
    patch.setattr(draft, "fingerprint", lambda envelope: "the same")


@bug("key was freed|stands", seen=15)
def a_key_is_freed_too_early(patch):
    """Every envelope that ends without delivering everything frees its key."""
    patch.setattr(idempotency, "frees_its_key", lambda receipt: not receipt.delivered)


@bug("pressure")
def pressure_is_told_all_the_time(patch):
    def measure(self: Any) -> None:
        previous = self.gauge.level
        self.gauge.update(self.admission.depth)
        self._on_pressure(self.pressure(), previous)

    patch.setattr(shard.Shard, "measure", measure)


@bug("after a call|ended during its call", seen=15)
def an_edit_under_way_is_superseded(patch):
    whole = targets.Targets.overtaken

    def overtaken(self: Any, delivery: Any, now: int) -> Any:
        before = dict(self._edits)
        whole(self, delivery, now)
        older = before.get(delivery.message)
        return older if older is not None and older.receipt is None else None

    patch.setattr(targets.Targets, "overtaken", overtaken)


@bug("places taken|did not end|afterwards|has room|nothing will|never", seen=11)
def a_refused_append_keeps_its_place(patch):
    """The disk is full: the caller gets an error, but the slot stays taken."""
    patch.setattr(durable.DurableWay, "_take_back", lambda self, *given, **named: None)


# -- instances, deaths, sessions


@bug("on a suspended instance|is held|stays suspended|is sent again", seen=21)
def a_suspended_instance_goes_on(patch):
    def shut(self: Any, now: int) -> None:
        self._probe_if_needed()

    patch.setattr(health.Health, "_shut", shut)


@bug("nobody looks after")
def nobody_looks_after_an_instance(patch):
    patch.setattr(health.Health, "_probe_if_needed", lambda self: None)


@bug("shut for no reason|did not end|afterwards|which is free|outlives", seen=13)
def a_circuit_never_closes(patch):
    def close(self: Any, now: int) -> None:
        self.open = False
        self._limits.gate.closed_until = NEVER

    patch.setattr(health.Health, "_close_circuit", close)


@bug("runs for ever|did not end", seen=8)
def a_death_leaves_its_lanes_running(patch):
    patch.setattr(worker_pool.WorkerPool, "_revive", lambda self: None)


@bug("runs for ever|ended exhausted|did not end|ends exhausted|outlives|afterwards", seen=20)
def a_session_that_hangs_is_kept(patch):
    """All attempts go on waiting for the session that never opens."""
    whole = sessions.OpenSession.__init__

    def init(self: Any, hooks: Any, instance: Any, idle: float, opening: float) -> None:
        whole(self, hooks, instance, idle, opening * 1e6)

    patch.setattr(sessions.OpenSession, "__init__", init)


@bug("a secret was seen")
def a_token_is_logged(patch):
    whole = consequences.Consequences._log

    def log(self: Any, failed: Any, decision: Any) -> None:
        settings = failed.account.instance.settings
        structlog.get_logger("gateway").info("gateway.refused", token=settings.token.reveal())
        whole(self, failed, decision)

    patch.setattr(consequences.Consequences, "_log", log)


# -- changes of messages, what is closed, what is left


@bug("ended before its message was sent", seen=15)
def an_edit_does_not_wait_for_its_message(patch):
    patch.setattr(targets.Targets, "origin", lambda self, delivery, now: None)


@bug("changes what|does not stand|still stands|is recorded after|out of order", seen=50)
def two_changes_of_a_message_are_under_way(patch):
    """The change that has begun is forgotten."""
    whole = targets.Targets.before

    def before(self: Any, delivery: Any, change: Any, now: int) -> Any:
        self._begun.clear()
        return whole(self, delivery, change, now)

    patch.setattr(targets.Targets, "before", before)


@bug("is newer", seen=15)
def an_edit_that_was_overtaken_goes_out(patch):
    whole = targets.Targets.overtaken

    def overtaken(self: Any, *given: Any) -> None:
        whole(self, *given)

    patch.setattr(targets.Targets, "overtaken", overtaken)


@bug("still stands beside", seen=12)
def what_is_too_much_of_a_message_stays(patch):
    """An edit makes the message shorter, and nobody deletes the rest."""
    whole = targets.edit_steps

    def edit_steps(*given: Any, **named: Any) -> Any:
        return [step for step in whole(*given, **named) if step.kind != "delete"]

    patch.setattr(targets, "edit_steps", edit_steps)


@bug("only a room was named")
def a_refusal_of_a_room_closes_the_account(patch):
    whole = refusals._close

    def close(limits: Any, refused: Any, scope: Any, until: int, now: int) -> Any:
        return [*whole(limits, refused, scope, until, now), limits.close(until, now)]

    patch.setattr(refusals, "_close", close)


@bug("any more at")
def a_level_is_left_where_it_began(patch):
    """Without hysteresis, the level comes and goes with each envelope."""
    whole = pressure.Gauge._edge

    def edge(self: Any, index: int, *, falling: bool = False) -> int:
        return whole(self, index)

    patch.setattr(pressure.Gauge, "_edge", edge)


@bug("waits for what has ended|which is free|did not end|outlives|afterwards|is forgotten with")
def a_lane_is_not_told_that_its_head_ended(patch):
    patch.setattr(scheduler.Scheduler, "_look_again", lambda self, lane, now: None)


@bug("somebody waits for it|callers are never done|nothing will", seen=54)
def who_waits_for_a_place_does_not_hear_of_the_close(patch):
    def close(self: Any) -> None:
        self.closed = True
        self._waiting = {}

    patch.setattr(admission.Admission, "close", close)


@bug("is probed again", seen=33)
def an_instance_is_probed_all_the_time(patch):
    often = Backoff(base=0.01, cap=0.01)
    patch.setattr(circuit.CircuitSettings, "backoff", property(lambda self: often))


@bug("sessions that nobody uses")
def a_session_stays_in_use(patch):
    patch.setattr(sessions.OpenSession, "release", lambda self: None)


@bug("ended for room_moved", seen=8)
def a_room_that_moved_is_looked_for_where_it_was(patch):
    """The lane goes on at the old address until the platform has reported the move too often."""
    whole = consequences.Consequences._do_moved

    def moved(self: Any, failed: Any, decision: Any) -> None:
        room = failed.lane.room
        before = room.address
        go_on, self._scheduler.go_on = self._scheduler.go_on, lambda *_: None
        whole(self, failed, decision)
        self._scheduler.go_on = go_on
        room.address = before
        go_on(failed.lane, failed.now)

    patch.setattr(consequences.Consequences, "_do_moved", moved)
    table = consequences.Consequences._DO
    patch.setattr(consequences.Consequences, "_DO", {**table, "moved": moved})


# -- each of them is found


@pytest.mark.parametrize("name", one_of_three(BUGS))
def test_the_simulation_finds_it(name, monkeypatch):
    BUGS[name].expect_found(monkeypatch, range(MOST_SEEDS), MOST_SEEDS)


def test_there_are_at_least_twelve():
    assert len(BUGS) >= 12
