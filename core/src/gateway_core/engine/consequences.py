"""Handles a failed attempt: counts its verdict, and carries out the decision that follows.

`retries.decide` makes the decision, `refusals.refuse` says what a refusal by a limit changes. Each
`_do_…` here carries out one kind of decision without waiting.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from random import Random

from gateway_core.accounts.health import Health
from gateway_core.accounts.instance_state import InstanceState
from gateway_core.clock import SECOND
from gateway_core.contract.envelopes import Disposition, Mode, Send
from gateway_core.contract.errors import HookContractError
from gateway_core.contract.hookspecs import Answer
from gateway_core.contract.verdicts import ErrorClass, Reason, Scope, Verdict
from gateway_core.deliveries.delivery import IN_ROOM, Delivery
from gateway_core.deliveries.ending import Ending, LongText, MadeParts, broken_by
from gateway_core.deliveries.growing.growth import NOT_EDITED, Growth
from gateway_core.deliveries.made.pieces import in_whole, piece_of
from gateway_core.deliveries.retries import Decision, decide
from gateway_core.deliveries.step_files import FILES_REFUSED
from gateway_core.deliveries.steps import ARRIVED, NATIVE, PASSING, Step
from gateway_core.engine.completion import Completion
from gateway_core.engine.long_texts import LongTexts
from gateway_core.engine.running_attempt import Failed, doubt
from gateway_core.engine.shard import Shard
from gateway_core.monitoring.log_fields import about, words
from gateway_core.ratelimits.refusals import WIDE, RefusedAttempt, refuse
from gateway_core.ratelimits.trial import LONGEST_BELIEVED
from gateway_core.scheduling.waiting_groups import serve_waiters
from gateway_core.telemetry import ATTEMPT_FAILED, CIRCUIT_OPENED, ROOM_MOVED, log_event

HOW = {"stricter": "stricter", "plain": "plain", "without_reply": "reply dropped"}
"""The loss that each transform causes."""
POSTED_ANEW = "posted anew: its message was gone"
ACKNOWLEDGED = Decision("acknowledged")
CLOSING = ("closed", "end")
"""Kinds of decisions that close the limit which a refusal names."""
OUTAGE = (Reason.UNREACHABLE, Reason.OUTCOME_UNKNOWN, Reason.PLATFORM_ERROR)


class Consequences:
    """Carries out what verdicts mean in one partition."""

    def __init__(
        self,
        shard: Shard,
        completion: Completion,
        long_texts: LongTexts,
        rng: Random,
        on_suspension: Callable[[InstanceState, Verdict], None],
    ) -> None:
        self._shard = shard
        self._scheduler = shard.scheduler
        self._completion = completion
        self._long_texts = long_texts
        self._rng = rng
        self._on_suspension = on_suspension
        self.rate_limited = 0

    def failed(self, failed: Failed, *, answered: bool = False) -> None:
        """Count the verdict, and act on it; `answered`: the hook's answer had the wrong type."""
        delivery, step, verdict = failed.delivery, failed.step, failed.verdict
        delivery.fail(step, verdict, limited=failed.limited)
        failed.account.counts.fail(self._shard.index, delivery.pressure, verdict)
        if delivery.receipt is not None:  # it was given up while the attempt was in flight
            self._scheduler.go_on(failed.lane, failed.now)
            return
        if answered:  # the platform answered, so the instance works, whatever the hook returned
            if not failed.account.health.steady:
                failed.account.health.worked(failed.now)
            step.acknowledge()
            self._completion.complete(delivery, Ending(Disposition.CRASHED, verdict), failed.now)
            self._scheduler.go_on(failed.lane, failed.now)
            return
        repeat_safe = verdict.dispatched == "unknown" and failed.is_repeat_safe()
        outage = self._count(failed, harmless=verdict.dispatched == "no" or repeat_safe)
        if failed.found_gone:
            self._do_acknowledged(failed, ACKNOWLEDGED)
            return
        decision = decide(
            verdict,
            step,
            settings=self._shard.config.retries,
            repeat_safe=repeat_safe,
            outage=outage,
            give_up_unknown=delivery.envelope.on_unknown == "give_up",
            text_alone=delivery.may_lose_files(step),
            left=(delivery.deadline - failed.now) / SECOND,
            rng=self._rng,
        )
        if decision.kind != "acknowledged":
            self._log(failed, decision)
        if failed.limited and decision.kind not in CLOSING:
            self._refuse(failed, None)
        self._DO[decision.kind](self, failed, decision)
        journal = self._shard.journal
        if journal is not None and delivery.receipt is None and step.outcome not in ARRIVED:
            wide = decision.kind in CLOSING and verdict.scope in WIDE
            journal.ended(delivery, step, _believed(decision.wait) if wide else decision.wait)

    def _count(self, failed: Failed, *, harmless: bool) -> bool:
        """Count the attempt. True: the step spends no attempt, since the instance is out of order.

        A 429 spends no attempt either. An unknown outcome spends one, as it may have made a copy,
        unless a repeat is safe. The instance is out of order if it is unreachable, if its circuit
        is open, or if nothing has worked since the step's last failure. While the circuit is open,
        the lane goes to the end of the line, so that another lane tries next.
        """
        verdict, step, health = failed.verdict, failed.step, failed.account.health
        self.rate_limited += verdict.reason is Reason.RATE_LIMITED
        retryable = verdict.error_class is ErrorClass.RETRYABLE
        changes = verdict.transform is not None or verdict.reason is Reason.ROOM_MOVED
        down = retryable and verdict.scope is Scope.INSTANCE and verdict.reason in OUTAGE
        vain = down and harmless and _is_out_of_order(step, verdict, health)
        if down:
            # A stream goes on with another text, which may pass, so that it does not wait longer.
            alone = failed.delivery.growth is None
            step.meet_outage(failed.now, health.worked_at if alone else -1)
        if retryable and not changes and not failed.limited and not vain:
            step.spend()
        if verdict.dispatched == "unknown":
            safe = step.kind == "call" and failed.is_repeat_safe()
            quarantine = round(self._shard.config.retries.quarantine * SECOND)
            quarantine *= step.kind != "draft"  # a draft leaves no message
            doubt(failed.lane, step, failed.now, quarantine, harmless=safe)
        if down:
            if health.open:
                failed.lane.since = 0
            if health.failed(verdict, failed.now):
                log_event(CIRCUIT_OPENED, instance=failed.account.instance.id)
        elif verdict.error_class is not ErrorClass.FATAL and not health.steady:
            health.worked(failed.now)
        if verdict.reason is not Reason.RATE_LIMITED and verdict.buckets:
            learned = failed.account.limits.registry.learn(verdict.buckets, failed.now)
            serve_waiters(learned, failed.now)
        elif verdict.reason is Reason.RATE_LIMITED and not failed.limited:
            self._refuse(failed, None)
        return vain

    def _refuse(self, failed: Failed, wait: float | None) -> bool:
        """Close, slow down and learn the limits that a refusal names; whether any is closed."""
        account, lane, now = failed.account, failed.lane, failed.now
        refused = RefusedAttempt(
            operation=failed.attempt.operation,
            room_id=lane.room.id,
            thread=lane.thread,
            gates=lane.room,
            begun=lane.begun,
            drawn=lane.asked.get(lane.asked_as(failed.attempt.operation), []),
            names_limits=account.hooks.traits.names_limits,
        )
        refusal = refuse(account.limits, refused, failed.verdict, wait, now)
        account.counts.limit(foreseen=refusal.foreseen)
        if refusal.durable is not None and wait is not None and self._shard.journal is not None:
            self._shard.journal.closed(account.instance.id, refusal.durable, _believed(wait))
        serve_waiters(refusal.changed, now)
        return refusal.closed

    # -- one method for each kind of decision

    def _do_acknowledged(self, failed: Failed, _: Decision) -> None:
        delivery, step = failed.delivery, failed.step
        changed = failed.verdict.reason is not Reason.NOT_MODIFIED
        delivery.acknowledge(step, Answer(message_id=step.message_id), changed=changed)
        if self._shard.journal is not None:
            self._shard.journal.acknowledged(delivery, step)
        self._completion.complete_if_over(delivery, failed.now)
        self._scheduler.go_on(failed.lane, failed.now)

    def _do_retry(self, failed: Failed, decision: Decision) -> None:
        if self._holds_passing(failed, decision.wait):
            return
        failed.delivery.wait_for("retry", failed.now)
        self._scheduler.pause(failed.lane, failed.now + round(decision.wait * SECOND))

    def _do_closed(self, failed: Failed, decision: Decision) -> None:
        """Close the limit that the 429 names; the lane waits with the others."""
        lane, now = failed.lane, failed.now
        wide = failed.verdict.scope in WIDE
        failed.delivery.wait_for("account limit" if wide else "room limit", now)
        closed = self._refuse(failed, decision.wait)
        if self._holds_passing(failed, max(decision.wait, decision.patience)):
            return
        growth = failed.delivery.growth
        if growth is not None and failed.step.kind == "start":
            growth.show_by_edits()  # it does not wait until a native stream may start again
            self._scheduler.go_on(lane, now)
            return
        # In a trial, every refusal may come from the account's limit, and the account is tried
        # ever more rarely anyway.
        patient = decision.patience > decision.wait and failed.account.limits.trial is None
        if closed and not patient:
            self._scheduler.go_on(lane, now)
        else:
            wait = max(decision.wait, decision.patience)
            self._scheduler.pause(lane, now + round(wait * SECOND))

    def _holds_passing(self, failed: Failed, wait: float) -> bool:
        """Hold back the passing states of a stream shown natively for `wait` seconds.

        The stream's end does not wait. False: the failed step shows no such state.
        """
        growth = failed.delivery.growth
        if growth is None or growth.native is None or failed.step.kind not in PASSING:
            return False
        growth.native.hold(failed.now + round(wait * SECOND))
        growth.repeat()
        self._scheduler.go_on(failed.lane, failed.now)
        return True

    def _do_recover(self, failed: Failed, decision: Decision) -> None:
        cause = "outcome unknown" if failed.step.doubtful else "retry"
        failed.delivery.wait_for(cause, failed.now)
        not_before = failed.now + round(decision.wait * SECOND)
        at_last = failed.now + round(decision.patience * SECOND) if decision.patience else None
        self._scheduler.wait_until_it_works(failed.lane, not_before, at_last)

    def _do_transform(self, failed: Failed, _: Decision) -> None:
        """Drop the reply, or plan the refused part anew from its span of the source text."""
        delivery, step, how = failed.delivery, failed.step, str(failed.verdict.transform)
        if how == "to_room":
            self._answer_in_room(failed)
            return
        if delivery.growth is not None and step.kind in ("start", "append", "stop"):
            self._go_on_otherwise(failed, delivery.growth)  # its source has no other form
            self._scheduler.go_on(failed.lane, failed.now)
            return
        self._shard.observer.transformed(delivery, HOW[how])
        growth = delivery.growth
        if how == "without_reply":
            delivery.transform(step, how, HOW[how])
            if growth is not None:
                growth.drop_reply()
        elif growth is not None:
            delivery.transform(step, how, "plain" if how == "plain" else "stricter")
            growth.plan_again("plain" if how == "plain" else "stricter")
        else:
            delivery.transform(step, how)
            self._plan_again(failed, "plain" if how == "plain" else "stricter", self._replaced)
            return
        if self._shard.journal is not None and delivery.receipt is None:
            self._shard.journal.planned(delivery)
        self._scheduler.go_on(failed.lane, failed.now)

    def _do_without_files(self, failed: Failed, _: Decision) -> None:
        """Send the refused part's text without the files; a part without text is left out."""
        self._plan_again(failed, failed.step.mode, self._gone_alone, without_files=True)

    def _gone_alone(self, failed: Failed, _: Mode, plan: MadeParts, now: int) -> None:
        """Go on with the text as planned without files, unless the delivery has ended."""
        delivery, step, verdict = failed.delivery, failed.step, failed.verdict
        if isinstance(plan, HookContractError):
            self._end_broken(delivery, plan, now)
        elif delivery.receipt is None:
            self._shard.observer.transformed(delivery, FILES_REFUSED)
            lost = f"{FILES_REFUSED}: {verdict.raw or verdict.reason}"
            delivery.lose_files(step, in_whole(plan, step), lost)
            if not delivery.has_content:
                self._completion.complete(delivery, Ending(Disposition.REJECTED, verdict), now)
            elif self._shard.journal is not None:
                self._shard.journal.planned(delivery)
            self._completion.complete_if_over(delivery, now)
        self._scheduler.go_on(failed.lane, now)

    def _answer_in_room(self, failed: Failed) -> None:
        """Answer in the room, since the platform does not know the reply token any more.

        An ephemeral answer is for one person alone, so it ends `rejected` instead.
        """
        delivery, step = failed.delivery, failed.step
        if isinstance(delivery.envelope, Send) and delivery.envelope.ephemeral:
            step.end("failed")
            ending = Ending(Disposition.REJECTED, failed.verdict)
            self._completion.complete(delivery, ending, failed.now)
        else:
            self._shard.observer.transformed(delivery, IN_ROOM)
            step.transform()
            delivery.answer_in_room()
        self._scheduler.go_on(failed.lane, failed.now)

    def _plan_again(
        self,
        failed: Failed,
        mode: Mode,
        then: Callable[[Failed, Mode, MadeParts, int], None],
        *,
        without_files: bool = False,
    ) -> None:
        """Plan the refused part's text anew; `then` goes on with its lane.

        A long text is planned in a worker thread. An excerpt counts as long as the text around it.
        """
        piece = piece_of(failed.delivery, failed.step, mode, without_files=without_files)
        if piece is None:
            then(failed, mode, (), failed.now)
        elif self._long_texts.is_long(piece):
            text = LongText(piece, mode)
            self._long_texts.plan_again(failed.lane, text, partial(then, failed, mode))
        else:
            plan: MadeParts
            try:
                plan = failed.account.hooks.chunk(failed.account.instance, piece, mode)
            except HookContractError as error:
                plan = error
            then(failed, mode, plan, failed.now)

    def _replaced(self, failed: Failed, mode: Mode, plan: MadeParts, now: int) -> None:
        """Put the new parts in place of the refused part, unless the delivery has ended."""
        delivery, step = failed.delivery, failed.step
        if isinstance(plan, HookContractError):
            self._end_broken(delivery, plan, now)
        elif plan and delivery.receipt is None:
            delivery.replace(step, in_whole(plan, step), mode)
            if self._shard.journal is not None:
                self._shard.journal.planned(delivery)
        elif delivery.receipt is None:
            step.end("failed")
            ending = Ending(Disposition.REJECTED, failed.verdict)
            self._completion.complete(delivery, ending, now)
        self._scheduler.go_on(failed.lane, now)

    def _end_broken(self, delivery: Delivery, error: HookContractError, now: int) -> None:
        if delivery.receipt is None:
            self._completion.complete(delivery, broken_by(error), now)

    def _do_moved(self, failed: Failed, _: Decision) -> None:
        """The room has a new address: the lane goes on there under its old routing key."""
        room, account, new = failed.lane.room, failed.account, failed.verdict.moved_to
        assert new is not None  # noqa: S101 - the decision saw it
        failed.step.transform()
        failed.delivery.move(new)
        if room.address != new:
            account.move(room.address, new)
            account.move(room.id, new)
            room.move(new)
            log_event(
                ROOM_MOVED,
                **about(failed.delivery, self._shard.index),
                room=self._shard.privacy.room(account.instance.id, new),
                attempt=failed.step.number,
            )
            account.hooks.room_moved(account.instance, room.id, new)
            if self._shard.journal is not None:
                self._shard.journal.moved(account.instance.id, room.id, new)
        self._scheduler.go_on(failed.lane, failed.now)

    def _do_suspend(self, failed: Failed, _: Decision) -> None:
        """Suspend the instance, unless it may get a fresh secret, or has other settings now."""
        failed.delivery.wait_for("suspension", failed.now)
        account = failed.account
        if failed.instance is account.instance and not account.health.ask_credentials(
            failed.verdict, failed.lane.begun, failed.now
        ):
            self._on_suspension(account, failed.verdict)
        self._scheduler.go_on(failed.lane, failed.now)

    def _do_unknown(self, failed: Failed, decision: Decision) -> None:
        """The outcome stays unknown: the next part follows after the quarantine."""
        failed.step.end("unknown")
        self._completion.complete_if_over(failed.delivery, failed.now)
        self._scheduler.pause(failed.lane, failed.now + round(decision.wait * SECOND))

    def _do_end(self, failed: Failed, decision: Decision) -> None:
        assert decision.disposition is not None  # noqa: S101 - an end names one
        ending = Ending(decision.disposition, failed.verdict)
        if failed.delivery.growth is not None and self._goes_on(failed, decision):
            self._scheduler.go_on(failed.lane, failed.now)
            return
        failed.step.end("unknown" if failed.step.doubtful else "failed")
        if failed.limited:  # its deadline is too near to wait, but later envelopes must wait
            self._refuse(failed, decision.wait)
        self._completion.complete(failed.delivery, ending, failed.now)
        if decision.disposition is Disposition.REJECTED:
            self._end_backlog(failed, ending)
        self._scheduler.go_on_quietly(failed.lane, failed.now)

    def _goes_on(  # noqa: PLR0911 - a decision table, one return a row
        self, failed: Failed, decision: Decision
    ) -> bool:
        """Whether a stream goes on after its step failed: the whole text always gets its attempts.

        A passing state that fails is dropped; after a refused one, no further one is shown. If the
        message is gone, or cannot be edited, the whole text is posted anew, once.
        """
        delivery, step, growth = failed.delivery, failed.step, failed.delivery.growth
        gone = failed.verdict.reason is Reason.MESSAGE_GONE
        if growth is not None and step.kind in NATIVE and growth.native is not None:
            late = step.kind == "stop" and decision.disposition is Disposition.EXPIRED
            return not late and self._go_on_otherwise(failed, growth)
        if growth is None or step.kind != "edit" or growth.state == "deleted":
            return False
        refused = decision.disposition in (Disposition.REJECTED, Disposition.FATAL)
        if refused and failed.verdict.scope not in (Scope.MESSAGE, Scope.OPERATION):
            return False
        if growth.is_open and not gone:
            if not refused and decision.disposition is not Disposition.EXHAUSTED:
                return False
            rest = self._shard.config.retries.cap
            growth.drop(step, failed.now + round(rest * SECOND), mute=refused)
            return True
        if refused and not growth.posted_anew:
            self._post_anew(failed, growth, POSTED_ANEW if gone else NOT_EDITED)
            if self._shard.journal is not None:
                self._shard.journal.planned(delivery)
            return True
        return False

    def _go_on_otherwise(self, failed: Failed, growth: Growth) -> bool:
        """Let a stream go on, in the end by edits, since a step that showed it natively failed."""
        delivery, step, reason = failed.delivery, failed.step, failed.verdict.reason
        if reason is Reason.MESSAGE_GONE and step.message_id is not None:
            growth.show_by_edits()
            self._post_anew(failed, growth, POSTED_ANEW)
        else:
            growth.refused(step, reason)
        if self._shard.journal is not None:
            self._shard.journal.planned(delivery)
        return True

    def _post_anew(self, failed: Failed, growth: Growth, why: str) -> None:
        """Post a stream's text in a new message. One that took no edit stands beside it.

        So may one in a room that has moved: it is gone from the new room alone.
        """
        delivery = failed.delivery
        delivery.grow(growth.vanished(delivery.steps or (), failed.step))
        delivery.lose(why)
        if why == NOT_EDITED or failed.attempt.room != delivery.envelope.external_room_id:
            delivery.may_be_there()

    def _end_backlog(self, failed: Failed, ending: Ending) -> None:
        """End, for the same reason, the envelopes that wait in a room or thread that is gone."""
        scope, targets = failed.verdict.scope, self._shard.targets
        if scope not in (Scope.ROOM, Scope.THREAD):
            return
        for delivery in [d for lane in failed.lane.room.lanes.values() for d in lane.queue]:
            if delivery.receipt is not None or delivery.started:
                continue
            thread = targets.thread(delivery, failed.now) if scope is Scope.THREAD else None
            if scope is Scope.ROOM or thread == failed.attempt.thread:
                self._completion.complete_waiting(delivery, ending, failed.now)

    _DO: Mapping[str, Callable[[Consequences, Failed, Decision], None]] = {
        "acknowledged": _do_acknowledged,
        "retry": _do_retry,
        "closed": _do_closed,
        "recover": _do_recover,
        "transform": _do_transform,
        "without_files": _do_without_files,
        "moved": _do_moved,
        "suspend": _do_suspend,
        "unknown": _do_unknown,
        "end": _do_end,
    }

    def _log(self, failed: Failed, decision: Decision) -> None:
        verdict, delivery, attempt = failed.verdict, failed.delivery, failed.attempt
        wait = decision.wait
        if decision.kind == "closed" and failed.account.limits.trial is None:
            wait = max(wait, decision.patience)
        log_event(
            ATTEMPT_FAILED,
            **about(delivery, self._shard.index),
            room=self._shard.privacy.room_of(delivery.envelope),
            operation=attempt.operation,
            attempt=attempt.number,
            reason=verdict.reason.value,
            scope=verdict.scope.value,
            raw=words(self._shard.privacy, delivery, verdict, attempt.room, attempt.part),
            then=decision.kind,
            wait=round(wait, 3),
        )


def _believed(wait: float) -> float:
    """The part of `wait` seconds for which a closure of more than a room is believed."""
    return min(wait, LONGEST_BELIEVED / SECOND)


def _is_out_of_order(step: Step, verdict: Verdict, health: Health) -> bool:
    """Whether the instance is out of order, so that the failure says nothing about the step.

    If probes succeed all the same, it may be the step's own failure.
    """
    if verdict.reason is Reason.UNREACHABLE:
        return True
    if health.refuted:
        return False
    return health.open or (step.outages > 0 and health.worked_at <= step.down_at)
