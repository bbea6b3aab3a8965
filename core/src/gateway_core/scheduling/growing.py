"""Plans what a stream does next: show its newest state, wait for its pace, or complete itself.

This module only plans, and records the plan. `ratelimits.interims` says when a stream may show its
text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import attrs

from gateway_core.clock import NEVER
from gateway_core.contract.envelopes import Disposition, Envelope, Part, Send
from gateway_core.contract.errors import HookContractError, Problem
from gateway_core.contract.verdicts import ErrorClass, Reason, Verdict
from gateway_core.deliveries.delivery import Delivery
from gateway_core.deliveries.ending import (
    Ending,
    Later,
    LongText,
    MadePlan,
    Planned,
    broken_by,
)
from gateway_core.deliveries.growing.growth import PEEK, Growth
from gateway_core.deliveries.growing.native import Native
from gateway_core.deliveries.steps import NATIVE, Step
from gateway_core.ratelimits import interims
from gateway_core.ratelimits.interims import Drawn
from gateway_core.scheduling.natively.appending import plan_appended
from gateway_core.scheduling.natively.choice import choose
from gateway_core.scheduling.rooms import Lane

HIDDEN = 5_000_000_000
"""Nanoseconds until a stream that may show nothing, as other streams owe too much, looks again."""
CUT = "cut: it needs more messages than allowed"


class PlansOfLongTexts(Protocol):
    """The planner of long texts beside the event loop, as far as this module uses it."""

    def is_long(self, envelope: Envelope) -> bool: ...  # noqa: D102 - as `LongTexts` says
    def made_for(self, delivery: Delivery) -> MadePlan | None: ...  # noqa: D102 - likewise


class GrowingPlanner:
    """Plans for the streams of one partition.

    most       how many messages one stream may become
    long       plans the long texts of streams
    recording  called with a delivery whose steps no longer follow from what an outbox knows
    """

    def __init__(
        self, most: int, long: PlansOfLongTexts, recording: Callable[[Delivery], None] | None
    ) -> None:
        self._most, self._long, self._recording = most, long, recording

    def plan(self, delivery: Delivery, growth: Growth, lane: Lane, now: int) -> Planned:
        """The operation of the stream's next step, or why there is none now."""
        planned = self._plan(delivery, growth, lane, now)
        if growth.fault is None:
            return planned
        if isinstance(growth.fault, HookContractError):
            return broken_by(growth.fault)
        return Ending(Disposition.REJECTED, _refused(growth.fault.problems))

    def _plan(self, delivery: Delivery, growth: Growth, lane: Lane, now: int) -> Planned:
        """Plan the next step; `plan` replaces the result if a policy failed on the text."""
        steps = delivery.steps or ()
        if growth.state == "deleted" and delivery.steps is None:
            return Ending(Disposition.CANCELLED)
        if any(each.outcome == "unknown" for each in steps):
            return Ending(Disposition.UNKNOWN)
        step = delivery.step if delivery.steps is not None else None
        if step is not None and any(map(_may_be_there, steps)):
            return step.kind  # nothing else takes its place; what precedes it was planned with it
        if not growth.decided:
            choose(delivery, growth, lane, now)
        if growth.native is not None:
            planned = self._natively(delivery, growth, growth.native, lane, now)
            if planned is not None:
                return planned
        return self._by_messages(delivery, growth, lane, now)

    def _natively(
        self, delivery: Delivery, growth: Growth, native: Native, lane: Lane, now: int
    ) -> Planned | None:
        """Plan the next step of an appended message; None: it has drafts, or goes by edits now."""
        if not native.is_draft:
            return plan_appended(delivery, growth, native, lane, now, self._recording)
        if not growth.is_open:
            growth.show_by_edits()
        elif (
            growth.planned >= 0 and delivery.step is None and now >= growth.shown_at + native.repeat
        ):
            growth.repeat()
        return None

    def _by_messages(self, delivery: Delivery, growth: Growth, lane: Lane, now: int) -> Planned:
        """Plan the next step of a message that is sent and edited, or sent after its drafts."""
        steps = delivery.steps or ()
        nameless = any(each.is_nameless and each.outcome is not None for each in steps)
        if growth.is_open and (growth.muted or growth.stopped or nameless):
            # Nobody can edit that message (its text is posted anew), or its reader has stopped it.
            return Later(NEVER)
        step = delivery.step if delivery.steps is not None else None
        held = now
        if growth.is_open:
            held = max(growth.rests_until, self._held(delivery, growth, lane, now))
        passing = step is None or step is growth.tail or step.kind in NATIVE
        passing = passing or (growth.elsewhere and growth.planned < 0)  # of a previous run's text
        if passing or not growth.is_open:
            if held > now and growth.unplanned < PEEK:
                return self._later(growth, held, now)
            if growth.planned != growth.number:
                instead = self._replan(delivery, growth, lane)
                if instead is not None:
                    return instead
            step = delivery.next_step()
        if step is None:
            if growth.native is not None:  # a draft is seen for a while only
                again = growth.shown_at + growth.native.repeat
                return Later(again if again > now else now + growth.native.repeat, wakes=True)
            return Later(NEVER) if growth.is_open else Ending(delivery.disposition())
        return self._next(growth, step, lane, held, now)

    def _next(self, growth: Growth, step: Step, lane: Lane, held: int, now: int) -> Planned:
        """The operation of the step, unless it shows a passing state before its turn."""
        passing = growth.is_open and step is growth.tail
        growth.stands(interim=passing and step.kind in ("edit", "draft"))
        if passing and held > now:
            return self._later(growth, held, now)
        if passing and not growth.granted:
            growth.go(now)
            interims.went(
                growth, interims.drawn(lane.buckets(growth.operation(step.kind), now)), now
            )
            if step.kind == "send":  # it owes its edit from now on: other streams may ask meanwhile
                edits = lane.buckets(growth.operation("edit"), now)
                interims.owes(growth, interims.drawn(edits))
        return step.kind

    def _later(self, growth: Growth, at: int, now: int) -> Later:
        growth.waits()
        return Later(now + HIDDEN if at >= NEVER else at)

    def _held(self, delivery: Delivery, growth: Growth, lane: Lane, now: int) -> int:
        """Note what the stream owes its windows; return when it may show its newest state.

        `now` or an earlier time means at once.
        """
        if growth.native is not None:
            return self._held_draft(delivery, growth, growth.native, lane, now)
        edits = interims.drawn(lane.buckets(growth.operation("edit"), now))
        sends = interims.drawn(lane.buckets(growth.operation("send"), now))
        steps = delivery.steps or ()
        standing = sum(step.message_id is not None for step in steps)
        due = [s.kind for s in steps if s.outcome is None and s is not growth.tail]
        shown = standing > 0 or growth.granted or delivery.started
        owed = _owed(
            edits,
            due.count("edit") + (shown and growth.shows_its_end),
            sends,
            due.count("send") + (not standing or not growth.shows_its_end),
        )
        if standing > 1:  # a long text: its next part is completed, posted and owes an edit
            for bucket in set(edits).intersection(sends):
                owed[bucket] += 2
        interims.stand(growth, owed, wanting=growth.planned != growth.number)
        if not standing:  # its first message is posted, and owes its edit from then on
            later = _owed(edits, 1, sends, 0)
            paced = not growth.granted and not delivery.started  # a refused attempt had its turn
            return interims.earliest(growth, sends, later, now, paced=paced)
        return interims.earliest(growth, edits, owed, now, paced=not growth.granted)

    def _held_draft(
        self, delivery: Delivery, growth: Growth, native: Native, lane: Lane, now: int
    ) -> int:
        """Do as `_held` does for a draft, which is none of the messages that are owed."""
        drafts = interims.drawn(lane.buckets("draft", now))
        due = [s.kind for s in delivery.steps or () if s.outcome is None and s is not growth.tail]
        sends = interims.drawn(lane.buckets("send", now))
        owed = dict.fromkeys(drafts, 0) | dict.fromkeys(sends, due.count("send") + 1)
        interims.stand(growth, owed, wanting=growth.planned != growth.number)
        paced = not growth.granted
        return max(native.held_until, interims.turn(growth, drafts, now, paced=paced))

    def _replan(self, delivery: Delivery, growth: Growth, lane: Lane) -> Ending | LongText | None:
        """Plan the steps from the newest state; return what happens instead, if anything.

        A long text is planned beside the event loop, and shown even if more was written meanwhile.
        So a text that never stops growing is seen to grow.
        """
        made, grown = self._made_for(delivery, growth), growth.newest
        if made is not None:
            grown = made.text.grown or grown
        plan = self._plan_of(delivery, growth, lane, made)
        if isinstance(plan, Ending | LongText):
            return plan
        growth.plan_from(grown)
        if plan is None:
            return None
        if growth.state != "deleted" and (growth.native is None or len(plan) > self._most):
            plan = self._within(delivery, growth, plan, len(delivery.steps or ()))
        before = delivery.steps or []
        if growth.native is not None:
            steps = self._with_draft(growth, before, plan)
        else:
            extra = growth.extra if growth.state != "deleted" else None
            steps = growth.steps_of(before, plan, extra)
            open_end = growth.is_open and bool(plan) and growth.shows_its_end
            growth.show(steps[len(plan) - 1] if open_end else None)
        delivery.grow(steps)
        shape = [(s.kind, s.serial, s.message_id) for s in steps if s.kind != "draft"]
        if self._recording is not None and growth.is_new_to_outbox(shape):
            self._recording(delivery)
        return None

    def _made_for(self, delivery: Delivery, growth: Growth) -> MadePlan | None:
        """The plan just made for a long text, unless it can no longer be shown."""
        made = self._long.made_for(delivery)
        grown = None if made is None else made.text.grown
        if made is None or grown is None or grown.state != growth.state:
            return None
        return made if made.text.mode == growth.mode else None

    def _plan_of(
        self, delivery: Delivery, growth: Growth, lane: Lane, made: MadePlan | None
    ) -> Sequence[Part] | Ending | LongText | None:
        """The parts of the newest state, or of the `made` plan; None: there is nothing to show."""
        if growth.state == "deleted":
            return ()
        try:
            plan = self._asked(delivery, growth, lane) if made is None else made.parts
        except HookContractError as error:
            return broken_by(error)
        if plan is None or plan:
            return plan
        return Ending(Disposition.REJECTED, delivery.verdict)

    def _asked(
        self, delivery: Delivery, growth: Growth, lane: Lane
    ) -> Sequence[Part] | Ending | LongText | None:
        """Ask the channel for the parts of the newest state. Raises `HookContractError`."""
        text, envelope, account = growth.showing(), delivery.envelope, lane.room.account
        if not text.strip():
            return None
        assert isinstance(envelope, Send)  # noqa: S101 - only sends grow
        shown = attrs.evolve(envelope, text=text)
        problems = account.hooks.validate(account.instance, shown)
        if problems and growth.is_open:  # later text may mend it
            return None
        if problems:
            return Ending(Disposition.REJECTED, _refused(problems))
        if self._long.is_long(shown):
            return LongText(shown, growth.mode, growth.newest)
        return account.hooks.chunk(account.instance, shown, growth.mode, self._most)

    def _with_draft(
        self, growth: Growth, before: Sequence[Step], plan: Sequence[Part]
    ) -> list[Step]:
        """Steps for the parts that are whole, and a draft of the last one."""
        messages = [step for step in before if step.kind != "draft"]
        growth.attempts += sum(step.number for step in before if step.kind == "draft")
        steps = growth.steps_of(messages, plan[:-1], None)
        draft = growth.draft(plan[-1])
        growth.show(draft)
        return [*steps, draft]

    def _within(
        self, delivery: Delivery, growth: Growth, plan: Sequence[Part], standing: int
    ) -> Sequence[Part]:
        """The parts to show: without an open text's unfinished end, if that would cost others.

        The first part is shown as it grows. A later part is posted when it is whole, or earlier if
        the windows have enough tokens for another edit that is owed.
        """
        if len(plan) > self._most:
            plan = plan[: self._most]
            if not growth.is_open and CUT not in delivery.degradations:
                delivery.lose(CUT)
        shows_its_end = True
        if growth.is_open and standing < len(plan) > 1:
            shows_its_end = all(pace.is_roomy for pace in growth.paces)
        growth.show_its_end(shown=shows_its_end)
        return plan if shows_its_end else plan[:-1]


def _may_be_there(step: Step) -> bool:
    """Whether it sends a message that may be there already, without our knowing."""
    return step.kind == "send" and step.doubtful and step.outcome is None


def _refused(problems: Sequence[Problem]) -> Verdict | None:
    """The verdict for a plugin's problems with the whole text; None: there are none."""
    if not problems:
        return None
    return Verdict(
        error_class=ErrorClass.NON_RETRYABLE,
        reason=Reason.BAD_REQUEST,
        dispatched="no",
        raw="; ".join(map(str, problems)),
    )


def _owed(edits: Iterable[Drawn], edit: int, sends: Iterable[Drawn], send: int) -> dict[Drawn, int]:
    """Attempts owed: so many edits and so many sends, by the windows that they draw on."""
    owed = dict.fromkeys(sends, send)
    for bucket in edits:
        owed[bucket] = owed.get(bucket, 0) + edit
    return owed
