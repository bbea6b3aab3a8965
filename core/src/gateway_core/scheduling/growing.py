"""Plans what a stream does next: show its newest state, wait for its pace, or complete itself.

It only plans, and records the plan. What it may show when, `ratelimits.interims` says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import attrs

from gateway_core.clock import NEVER
from gateway_core.contract.envelopes import Disposition, Part, Send
from gateway_core.contract.errors import HookContractError
from gateway_core.deliveries.delivery import Delivery
from gateway_core.deliveries.ending import Ending, Later, Planned, broken_by
from gateway_core.deliveries.growth import PEEK, Growth
from gateway_core.deliveries.steps import Step
from gateway_core.ratelimits import interims
from gateway_core.ratelimits.interims import Drawn
from gateway_core.scheduling.rooms import Lane

HIDDEN = 5_000_000_000
"""Nanoseconds after which a stream that may show nothing, as others owe too much, looks again."""
CUT = "cut: it needs more messages than allowed"


class GrowingPlanner:
    """Plans for the streams of one partition.

    most       messages that one of them may become
    recording  called with one whose steps no longer follow from what an outbox knows
    """

    def __init__(self, most: int, recording: Callable[[Delivery], None] | None) -> None:
        self._most, self._recording = most, recording

    def plan(  # noqa: PLR0911 - a decision table, one return a row
        self, delivery: Delivery, growth: Growth, lane: Lane, now: int
    ) -> Planned:
        """The operation of its next step, or why there is none now."""
        steps = delivery.steps or ()
        if growth.state == "deleted" and delivery.steps is None:
            return Ending(Disposition.CANCELLED)
        if any(each.outcome == "unknown" for each in steps):
            return Ending(Disposition.UNKNOWN)
        step = delivery.step if delivery.steps is not None else None
        if step is not None and step.kind == "send" and step.doubtful:
            return step.kind  # it may be there already: nothing else takes its place
        if growth.is_open and any(each.is_nameless for each in steps):
            return Later(NEVER)  # nobody can edit that message: the whole text is posted anew
        held = now
        if growth.is_open:
            held = max(growth.rests_until, self._held(delivery, growth, lane, now))
        if step is None or step is growth.tail or not growth.is_open:
            if held > now and len(growth.text) - len(growth.planned_text) < PEEK:
                return self._later(growth, held, now)
            if growth.planned != growth.number and (ending := self._replan(delivery, growth, lane)):
                return ending
            step = delivery.next_step()
        if step is None:
            return Later(NEVER) if growth.is_open else Ending(delivery.disposition())
        return self._next(growth, step, lane, held, now)

    def _next(self, growth: Growth, step: Step, lane: Lane, held: int, now: int) -> Planned:
        """The operation of the step, unless it shows a passing state before its turn."""
        passing = growth.is_open and step is growth.tail
        growth.stands(interim=passing and step.kind == "edit")
        if passing and held > now:
            return self._later(growth, held, now)
        if passing and not growth.granted:
            growth.go(now)
            interims.went(growth, interims.drawn(lane.buckets(step.kind, now)), now)
            if step.kind == "send":  # it owes its edit from now on: others may ask meanwhile
                interims.owes(growth, interims.drawn(lane.buckets("edit", now)))
        return step.kind

    def _later(self, growth: Growth, at: int, now: int) -> Later:
        growth.waits()
        return Later(now + HIDDEN if at >= NEVER else at)

    def _held(self, delivery: Delivery, growth: Growth, lane: Lane, now: int) -> int:
        """When it may show its newest state: `now` or before, at once; it stands in its windows."""
        edits = interims.drawn(lane.buckets("edit", now))
        sends = interims.drawn(lane.buckets("send", now))
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
        if standing > 1:  # a long one: its next part is completed, posted and owes its own edit
            for bucket in set(edits).intersection(sends):
                owed[bucket] += 2
        interims.stand(growth, owed, wanting=growth.planned != growth.number)
        if not standing:  # its first message is posted, and owes its edit from then on
            later = _owed(edits, 1, sends, 0)
            paced = not growth.granted and not delivery.started  # what was refused had its turn
            return interims.earliest(growth, sends, later, now, paced=paced)
        return interims.earliest(growth, edits, owed, now, paced=not growth.granted)

    def _replan(self, delivery: Delivery, growth: Growth, lane: Lane) -> Ending | None:
        """Plan its steps from the newest state; its end, if a hook fails on it."""
        if growth.state == "deleted":
            plan: Sequence[Part] = ()
            growth.plan_from("")
        else:
            text = growth.showing()
            if not text.strip():
                growth.plan_from(text)
                return None
            envelope = delivery.envelope
            assert isinstance(envelope, Send)  # noqa: S101 - only sends grow
            account, shown = lane.room.account, attrs.evolve(envelope, text=text)
            try:
                plan = account.hooks.chunk(account.instance, shown, growth.mode)
            except HookContractError as error:
                return broken_by(error)
            if not plan:
                return Ending(Disposition.REJECTED, delivery.verdict)
            growth.plan_from(text)
            plan = self._within(delivery, growth, plan, len(delivery.steps or ()))
        before = delivery.steps or []
        extra = growth.extra if growth.state != "deleted" else None
        steps = growth.steps_of(before, plan, extra)
        delivery.grow(steps)
        open_end = growth.is_open and bool(plan) and growth.shows_its_end
        growth.show(steps[len(plan) - 1] if open_end else None)
        shape = [(s.kind, s.serial, s.message_id) for s in steps]
        if self._recording is not None and growth.is_new_to_outbox(shape):
            self._recording(delivery)
        return None

    def _within(
        self, delivery: Delivery, growth: Growth, plan: Sequence[Part], standing: int
    ) -> Sequence[Part]:
        """The parts to show: of an open text not its unfinished end, where that would cost others.

        Its first part is shown as it grows. A later one is posted when it is whole, unless there is
        room for another edit that is owed.
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


def _owed(edits: Iterable[Drawn], edit: int, sends: Iterable[Drawn], send: int) -> dict[Drawn, int]:
    """So many edits and so many sends, by the windows that they draw on."""
    owed = dict.fromkeys(sends, send)
    for bucket in edits:
        owed[bucket] = owed.get(bucket, 0) + edit
    return owed
