"""What follows from a failed attempt: the verdict is counted, decided on, and carried out.

The decision itself is `retries.decide`; each `_do_…` here carries out one kind of it, for one
partition, without waiting.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import TYPE_CHECKING

import attrs

from gateway_core.accounts.instance_state import InstanceState
from gateway_core.clock import nanoseconds
from gateway_core.contract.envelopes import Disposition, Edit, Mode, Part, Send
from gateway_core.contract.errors import HookContractError
from gateway_core.contract.hookspecs import Answer
from gateway_core.contract.verdicts import ErrorClass, Reason, Scope, Verdict
from gateway_core.deliveries.retries import Decision, decide
from gateway_core.deliveries.steps import ARRIVED
from gateway_core.engine.running_attempt import Failed, note_doubt, within_dedup
from gateway_core.monitoring.recorder import about, words
from gateway_core.ratelimits.bucket import SECOND, Bucket, slow_down
from gateway_core.scheduling.waiting_groups import serve_waiters
from gateway_core.telemetry import ATTEMPT_FAILED, CIRCUIT_OPENED, ROOM_MOVED, log_event
from gateway_core.text import Excerpt

if TYPE_CHECKING:
    from gateway_core.engine.partition import Partition

HOW = {"stricter": "stricter", "plain": "plain", "without_reply": "reply dropped"}
"""What is lost with each transform."""
OUTAGE = (Reason.UNREACHABLE, Reason.OUTCOME_UNKNOWN, Reason.PLATFORM_ERROR)


class Consequences:
    """Carries out what verdicts mean in one partition."""

    def __init__(
        self,
        partition: Partition,
        rng: Random,
        on_suspension: Callable[[InstanceState, Verdict], None],
    ) -> None:
        self._partition = partition
        self._scheduler = partition.scheduler
        self._completion = partition.completion
        self._settings = partition.config.retries
        self._quarantine = nanoseconds(partition.config.retries.quarantine)
        self._rng = rng
        self._on_suspension = on_suspension
        self.rate_limited = 0

    def failed(self, failed: Failed, *, answered: bool = False) -> None:
        """Take the verdict in and do what follows.

        answered  the platform said yes, and the hook's answer alone was of the wrong type
        """
        delivery, step, account = failed.delivery, failed.step, failed.account
        step.started = False
        account.counts.fail(failed.verdict)
        if delivery.receipt is not None:  # it was given up while the attempt was in flight
            self._scheduler.go_on(failed.lane, failed.now)
            return
        step.verdict = delivery.verdict = failed.verdict
        if answered:
            step.outcome = "delivered"
            self._completion.finish(delivery, Disposition.CRASHED, failed.verdict, failed.now)
            self._scheduler.go_on(failed.lane, failed.now)
            return
        if failed.verdict.buckets:
            serve_waiters(account.limiter.learn(failed.verdict.buckets, failed.now), failed.now)
        self._count(failed)
        decision = decide(
            failed.verdict,
            step,
            settings=self._settings,
            repeat_safe=self._repeat_safe(failed),
            give_up_unknown=delivery.envelope.on_unknown == "give_up",
            left=(delivery.deadline - failed.now) / SECOND,
            rng=self._rng,
        )
        if decision.kind != "acknowledged":
            self._log(failed, decision)
        self._foresee(failed)
        self._DO[decision.kind](self, failed, decision)
        journal = self._partition.journal
        if journal is not None and delivery.receipt is None and step.outcome not in ARRIVED:
            journal.ended(delivery, step, decision.wait)

    def _log(self, failed: Failed, decision: Decision) -> None:
        verdict = failed.verdict
        log_event(
            ATTEMPT_FAILED,
            **about(failed.delivery, self._partition.index),
            operation=failed.attempt.operation,
            attempt=failed.attempt.number,
            reason=str(verdict.reason),
            scope=str(verdict.scope),
            raw=words(self._partition.privacy, failed.delivery, verdict),
            then=decision.kind,
            wait=round(decision.wait, 3),
        )

    def _log_move(self, failed: Failed, moved_to: str) -> None:
        instance_id, partition = failed.account.instance.id, self._partition
        log_event(
            ROOM_MOVED,
            envelope=failed.delivery.id,
            instance=instance_id,
            partition=partition.index,
            room=partition.privacy.room(instance_id, moved_to),
            attempt=failed.step.number,
        )

    def _foresee(self, failed: Failed) -> None:
        """Count a refusal by a limit: foreseen, where what it drew on was closed as it came."""
        if failed.verdict.reason is not Reason.RATE_LIMITED:
            return
        lane, operation, counts = failed.lane, failed.attempt.operation, failed.account.counts
        drawn = lane.asked.get(lane.asked_as(operation), ())
        gates = (failed.account.gate, *drawn, *lane.gates(operation))
        if any(gate.closed_until > failed.now for gate in gates):
            counts.foreseen += 1
        else:
            counts.unforeseen += 1

    def _count(self, failed: Failed) -> None:
        """Count the try: a 429 spends none; an unknown outcome may have made a copy.

        One that only found out that the instance is down still spends none either, if nothing was
        sent; and its lane goes behind the others, so that the next to find out is another.
        """
        verdict, step, account = failed.verdict, failed.step, failed.account
        self.rate_limited += verdict.reason is Reason.RATE_LIMITED
        step.refusals = step.refusals + 1 if failed.limited else 0
        retryable = verdict.error_class is ErrorClass.RETRYABLE
        changes = verdict.transform is not None or verdict.reason is Reason.ROOM_MOVED
        down = retryable and verdict.scope is Scope.INSTANCE and verdict.reason in OUTAGE
        vain = down and account.open and verdict.dispatched == "no"
        if retryable and not changes and not failed.limited and not vain:
            step.attempts += 1
        if verdict.dispatched == "unknown":
            safe = step.kind == "call" and self._repeat_safe(failed)
            note_doubt(failed.lane, step, failed.now, self._quarantine, harmless=safe)
        if down:
            if account.open:
                failed.lane.since = 0
            if account.failed(failed.now):
                log_event(CIRCUIT_OPENED, instance=account.instance.id)
        elif verdict.error_class is not ErrorClass.FATAL:
            account.worked(failed.now)

    def _repeat_safe(self, failed: Failed) -> bool:
        step, account = failed.step, failed.account
        if step.kind in ("edit", "delete"):
            return True
        if step.kind == "call":
            return failed.attempt.method in account.hooks.traits.repeat_safe_calls
        return within_dedup(account, step, failed.now)

    # -- one method for each kind of decision

    def _do_acknowledged(self, failed: Failed, _: Decision) -> None:
        step = failed.step
        failed.delivery.acknowledge(step, Answer(message_id=step.message_id))
        if failed.verdict.reason is Reason.NOT_MODIFIED:
            step.outcome = "unchanged"
        journal = self._partition.journal
        if journal is not None:
            journal.acknowledged(failed.delivery, step)
        self._scheduler.go_on(failed.lane, failed.now)

    def _do_retry(self, failed: Failed, decision: Decision) -> None:
        failed.delivery.wait_for("retry", failed.now)
        self._scheduler.pause(failed.lane, failed.now + nanoseconds(decision.wait))

    def _do_closed(self, failed: Failed, decision: Decision) -> None:
        """What the 429 names is closed; the lane waits with the others."""
        lane, now = failed.lane, failed.now
        wide = failed.verdict.scope in (Scope.INSTANCE, Scope.OPERATION)
        failed.delivery.wait_for("account limit" if wide else "room limit", now)
        if self._close(failed, decision.wait) and decision.patience <= decision.wait:
            self._scheduler.go_on(lane, now)
        else:
            self._scheduler.pause(lane, now + nanoseconds(max(decision.wait, decision.patience)))

    def _close(self, failed: Failed, wait: float) -> bool:
        """Close what a 429 names, slow down what allowed it; whether anything is closed now."""
        lane, now, scope = failed.lane, failed.now, failed.verdict.scope
        operation = failed.attempt.operation
        drawn = lane.asked.get(lane.asked_as(operation), ())
        gates = failed.account.close(scope, lane, operation, now + nanoseconds(wait), now)
        self._keep_closure(failed, gates, wait)
        # Several rooms limited at once are the account's limit, whatever each verdict says.
        wide = scope in (Scope.INSTANCE, Scope.OPERATION) or failed.account.gate in gates
        told = None if failed.verdict.retry_after is None else now + nanoseconds(wait)
        slowed = [bucket for bucket in drawn if bucket.shared == wide]
        slow_down(slowed, told)
        serve_waiters(
            [*gates, *slowed], now
        )  # one of them may be free now: a refusal took no token
        return bool(gates) or any(bucket.closed_until > now for bucket in drawn)

    def _keep_closure(self, failed: Failed, gates: Sequence[Bucket], wait: float) -> None:
        """For the next life: what more than this delivery must keep to."""
        journal, account = self._partition.journal, failed.account
        if journal is None:
            return
        if account.gate in gates:
            journal.closed(account.instance.id, "", wait)
        elif failed.verdict.scope is Scope.OPERATION:
            journal.closed(account.instance.id, failed.attempt.operation, wait)

    def _do_recover(self, failed: Failed, decision: Decision) -> None:
        failed.delivery.wait_for("outcome unknown", failed.now)
        failed.account.in_doubt(failed.lane, failed.now + nanoseconds(decision.wait))

    def _do_transform(self, failed: Failed, _: Decision) -> None:
        """Drop the reply, or plan the refused part anew from its span of the source text."""
        delivery, step, transform = failed.delivery, failed.step, failed.verdict.transform
        step.transforms += 1
        delivery.transforms += (str(transform),)
        if self._partition.watch is not None:
            self._partition.watch.transformed(delivery, HOW[str(transform)])
        if transform == "without_reply":
            step.reply = None
            delivery.degradations += ("reply dropped",)
            if self._partition.journal is not None:
                self._partition.journal.planned(delivery)
        else:
            self._replan_or_end(failed, "plain" if transform == "plain" else "stricter")
        self._scheduler.go_on(failed.lane, failed.now)

    def _replan_or_end(self, failed: Failed, mode: Mode) -> None:
        delivery, step = failed.delivery, failed.step
        try:
            parts = self._replanned(failed, mode)
        except HookContractError as error:
            self._completion.broken(delivery, error, failed.now)
            return
        if not parts or delivery.steps is None:
            step.outcome = "failed"
            self._completion.finish(delivery, Disposition.REJECTED, failed.verdict, failed.now)
            return
        delivery.replace(step, parts, mode)
        delivery.degradations += (mode,)
        if self._partition.journal is not None:
            self._partition.journal.planned(delivery)

    def _replanned(self, failed: Failed, mode: Mode) -> tuple[Part, ...]:
        """The refused part's text as new parts; their spans are those of the whole text."""
        envelope, part = failed.delivery.envelope, failed.step.part
        if part is None or not isinstance(envelope, Send | Edit):
            return ()
        start, end = part.span
        text = envelope.text[start:end]
        if envelope.format == "markdown" and mode == "stricter":
            text = Excerpt(envelope.text, start, end)
        piece = attrs.evolve(envelope, text=text)
        parts = failed.account.hooks.chunk(failed.account.instance, piece, mode)

        def within(place: int) -> int:
            return min(start + place, end)

        return tuple(attrs.evolve(p, span=(within(p.span[0]), within(p.span[1]))) for p in parts)

    def _do_moved(self, failed: Failed, _: Decision) -> None:
        """The room has a new address: the lane goes on there under its old routing key."""
        room, account, new = failed.lane.room, failed.account, failed.verdict.moved_to
        assert new is not None  # noqa: S101 - the decision saw it
        failed.step.transforms += 1
        failed.delivery.moved_to = new
        if room.address != new:
            account.moved(room.address, new)
            account.moved(room.id, new)
            room.address = new
            for lane in room.lanes.values():
                lane.forget_limits()
            self._log_move(failed, new)
            account.hooks.room_moved(account.instance, room.id, new)
            if self._partition.journal is not None:
                self._partition.journal.moved(account.instance.id, room.id, new)
        self._scheduler.go_on(failed.lane, failed.now)

    def _do_suspend(self, failed: Failed, _: Decision) -> None:
        """The instance is out of order, unless a fresh secret mends it.

        Where its settings were replaced meanwhile, nothing is known of the new ones.
        """
        failed.delivery.wait_for("suspension", failed.now)
        account, begun = failed.account, failed.lane.begun
        replaced = failed.running.instance is not account.instance
        if not replaced and not account.ask_credentials(failed.verdict, begun, failed.now):
            self._on_suspension(account, failed.verdict)
        self._scheduler.go_on(failed.lane, failed.now)

    def _do_unknown(self, failed: Failed, decision: Decision) -> None:
        """Nobody knows, and it is not tried again: after the quarantine, on with what follows."""
        failed.step.outcome = "unknown"
        self._completion.finish_if_over(failed.delivery, failed.now)
        self._scheduler.pause(failed.lane, failed.now + nanoseconds(decision.wait))

    def _do_end(self, failed: Failed, decision: Decision) -> None:
        assert decision.disposition is not None  # noqa: S101 - an end names one
        failed.step.outcome = "unknown" if failed.step.doubtful else "failed"
        if failed.limited:  # it cannot wait so long, but those behind it must
            self._close(failed, decision.wait)
        self._completion.finish(failed.delivery, decision.disposition, failed.verdict, failed.now)
        if decision.disposition is Disposition.REJECTED:
            self._end_backlog(failed)
        if failed.lane.quiet > failed.now:
            self._scheduler.pause(failed.lane, failed.lane.quiet)
        else:
            self._scheduler.go_on(failed.lane, failed.now)

    def _end_backlog(self, failed: Failed) -> None:
        """What waits behind a room or thread that is gone ends with the same reason."""
        scope, targets = failed.verdict.scope, self._partition.targets
        if scope not in (Scope.ROOM, Scope.THREAD):
            return
        waiting = [f for lane in failed.lane.room.lanes.values() for f in lane.queue]
        for delivery in waiting:
            if delivery.receipt is not None or delivery.started:
                continue
            if scope is Scope.ROOM or targets.thread(delivery, failed.now) == failed.attempt.thread:
                self._completion.end(delivery, Disposition.REJECTED, failed.verdict, failed.now)

    _DO: Mapping[str, Callable[[Consequences, Failed, Decision], None]] = {
        "acknowledged": _do_acknowledged,
        "retry": _do_retry,
        "closed": _do_closed,
        "recover": _do_recover,
        "transform": _do_transform,
        "moved": _do_moved,
        "suspend": _do_suspend,
        "unknown": _do_unknown,
        "end": _do_end,
    }
