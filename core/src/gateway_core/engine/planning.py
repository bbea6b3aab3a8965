"""Plans what the delivery at the head of a lane does next: an operation, an end, or a wait.

It only plans, and records the plan. Nothing ends here, and nothing is reported.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import attrs

from gateway_core.contract.addresses import Interaction
from gateway_core.contract.envelopes import CHANGES, Disposition, Edit, Envelope, Send
from gateway_core.contract.errors import HookContractError, Invalid
from gateway_core.contract.files import File
from gateway_core.contract.verdicts import ErrorClass, Reason, Verdict
from gateway_core.deliveries.delivery import Delivery
from gateway_core.deliveries.ending import (
    Aside,
    Ending,
    Later,
    LongText,
    Planned,
    broken_by,
    expired,
    unsupported,
)
from gateway_core.deliveries.growing.growth import Growth
from gateway_core.deliveries.made.attempts import BY_TOKEN_OF, step_operation
from gateway_core.deliveries.step_files import StepFiles, left_out
from gateway_core.deliveries.steps import MADE, Step
from gateway_core.deliveries.targets import Fields
from gateway_core.engine.long_texts import LongTexts
from gateway_core.engine.running_attempt import is_repeat_safe
from gateway_core.engine.shard import Shard
from gateway_core.plugins.buttons import as_planned, fields_with
from gateway_core.scheduling.growing import GrowingPlanner
from gateway_core.scheduling.rooms import Lane

NO_TARGET = Verdict(
    error_class=ErrorClass.NON_RETRYABLE,
    reason=Reason.MESSAGE_GONE,
    raw="the target message was deleted, never arrived, got no id, or is not known any more",
)
TOKEN_ENDED = Verdict(
    error_class=ErrorClass.NON_RETRYABLE,
    reason=Reason.EXPIRED,
    raw="the interaction's reply token has ended: nothing can be shown to its user alone",
)


class Planner:
    """Plans for the deliveries of one partition."""

    def __init__(self, shard: Shard, long_texts: LongTexts) -> None:
        self._long_texts = long_texts
        self._files = shard.files
        self._journal = shard.journal
        self._clock = shard.clock
        self._targets = shard.targets
        self._retries = shard.config.retries
        self._most = shard.config.max_parts
        self._growing: GrowingPlanner | None = None  # made with the first stream
        self._end_suspended = shard.config.when_suspended == "end"

    def plan_next_step(  # noqa: PLR0911 - a decision table, one return a row
        self, delivery: Delivery, lane: Lane, now: int
    ) -> Planned:
        """The operation of the delivery's next step, or the reason why there is none."""
        if delivery.growth is not None:
            return self._plan_growing(delivery, delivery.growth, lane, now)
        step = delivery.next_step()
        if step is None and delivery.steps is not None:
            return Ending(delivery.disposition())
        if delivery.deadline <= now:
            return expired(delivery, lane.room.account.health.waited_for(delivery.cause))
        if self._end_suspended and lane.room.account.health.suspended is not None:
            return Ending(Disposition.FATAL, lane.room.account.health.suspended)
        envelope = delivery.envelope
        if envelope.target is not None and (step is None or delivery.restored):
            ready = self._ready(delivery, envelope, step, lane, now)
            if ready is not None and not isinstance(ready, Step):
                return ready
            step = ready
        if step is None:  # an edit that changes nothing
            return Ending(delivery.disposition())
        if step.maybe_sent and not self._may_repeat(delivery, step, lane, now):
            step.end("unknown")
            return self.plan_next_step(delivery, lane, now)
        if step.interaction is not None:
            return self._answering(delivery, step, step.interaction)
        plain = envelope.operation if step.kind == "call" else step.kind
        return plain if step.files is None else self._with_files(delivery, step, step.files, lane)

    def _with_files(self, delivery: Delivery, step: Step, files: StepFiles, lane: Lane) -> str:
        """The operation of a step with files; files that the account knows need no upload."""
        if step.kind == "send" and lane.room.account.hooks.traits.sends_known_files:
            files.named = self._files.are_known(delivery.envelope.instance_id, files)
        return step_operation(delivery, step)

    def _plan_growing(self, delivery: Delivery, growth: Growth, lane: Lane, now: int) -> Planned:
        """The same as `plan_next_step`, for a stream."""
        step = delivery.step
        if step is None and delivery.is_over:
            return Ending(delivery.disposition())
        health = lane.room.account.health
        if delivery.deadline <= now:
            return expired(delivery, health.waited_for(delivery.cause))
        if self._end_suspended and health.suspended is not None:
            return Ending(Disposition.FATAL, health.suspended)
        if step is not None and step.kind in MADE and step.maybe_sent:
            if not self._may_repeat(delivery, step, lane, now):
                step.end("unknown")
            elif step.kind == "send":
                return self._as_answer(delivery, step.kind)  # nothing else takes its place
        if self._growing is None:
            recording = None if self._journal is None else self._journal.planned
            self._growing = GrowingPlanner(self._most, self._long_texts, recording)
        planned = self._growing.plan(delivery, growth, lane, now)
        if self._journal is not None and isinstance(planned, Later) and not delivery.stands:
            self._journal.entered(delivery)  # later deliveries of its lane may begin now
        return self._as_answer(delivery, planned)

    def _as_answer(self, delivery: Delivery, planned: Planned) -> Planned:
        """`planned`; by the reply token, if the stream's next step answers an interaction."""
        step = delivery.step
        if not isinstance(planned, str) or planned not in BY_TOKEN_OF:
            return planned
        if step is None or step.interaction is None:
            return planned
        return self._answering(delivery, step, step.interaction)

    def _answering(self, delivery: Delivery, step: Step, interaction: Interaction) -> Planned:
        """Answer by the reply token as long as it lives; afterwards in the room, for all to see."""
        if interaction.ends is None or self._clock.wall() < interaction.ends:
            return BY_TOKEN_OF[step.kind]
        if isinstance(delivery.envelope, Send) and delivery.envelope.ephemeral:
            return Ending(Disposition.REJECTED, TOKEN_ENDED)
        delivery.answer_in_room()
        return step.kind

    def _may_repeat(self, delivery: Delivery, step: Step, lane: Lane, now: int) -> bool:
        """Whether to repeat a step that may have arrived: much may have changed while it waited."""
        if step.attempts >= self._retries.attempts:
            return False
        if is_repeat_safe(step, delivery, lane.room.account.hooks, now):
            return True
        retry = delivery.envelope.on_unknown == "retry"
        return retry and step.maybe_sent < self._retries.max_ambiguous

    def _ready(
        self, delivery: Delivery, envelope: Envelope, step: Step | None, lane: Lane, now: int
    ) -> Step | Planned | None:
        """The next step of an envelope that concerns a message, or why there is none.

        An edit or a delete begins only when no other one is changing the same message.
        """
        if not isinstance(envelope, CHANGES):
            return step or self._call_about(delivery, now)
        if step is not None and self._targets.has_begun(delivery):
            return step
        before = self._targets.before(delivery, envelope, now)
        if before is not None:
            return Aside(before)
        if step is not None:
            self._targets.resumed(delivery, now)
            return step
        steps = self._targets.steps(
            delivery, envelope, now, partial(self._plan_with, delivery, lane),
            partial(_fields_with, lane),
        )  # fmt: skip
        if steps is None or isinstance(steps, (Ending, LongText)):
            return steps or Ending(Disposition.REJECTED, NO_TARGET)
        first = delivery.follow(steps)
        if self._journal is not None:
            self._journal.planned(delivery)
        return first

    def _plan_with(
        self, delivery: Delivery, lane: Lane, edit: Edit, files: Sequence[File]
    ) -> Ending | LongText | None:
        """Plan an edit together with its message's files; None: done, else why it is not.

        A long text is planned in a worker thread first.
        """
        account, made = lane.room.account, self._long_texts.made_for(delivery)
        try:
            edit = as_planned(account.hooks, account.instance, edit)
            if problems := account.hooks.validate(account.instance, edit):
                return unsupported(str(Invalid(problems)))
            edit = attrs.evolve(edit, files=tuple(files))
            if made is not None and made.text.envelope == edit:
                plan = made.parts
            elif self._long_texts.is_long(edit):
                return LongText(edit, "as_asked")
            else:
                plan = account.hooks.chunk(account.instance, edit, "as_asked", self._most)
        except HookContractError as error:
            return broken_by(error)
        except Invalid as error:
            return unsupported(str(error))
        fault = left_out(plan, edit)
        if len(plan) > self._most:
            most = f"at most {self._most} (`max_parts`)"
            fault = f"its text needs {len(plan)} messages beside its files, {most}"
        if fault is not None:
            return unsupported(f"files: {fault}")
        delivery.plan_anew(plan)
        return None

    def _call_about(self, delivery: Delivery, now: int) -> Step | Planned:
        """The step of a call about a message that was sent by now, or why there is none."""
        origin = self._targets.origin(delivery, now)
        if origin is not None:
            return Aside(origin)
        steps = self._targets.call_steps(delivery, now)
        if steps is None:
            return Ending(Disposition.REJECTED, NO_TARGET)
        delivery.follow(steps)
        if self._journal is not None:
            self._journal.planned(delivery)
        return steps[0]


def _fields_with(lane: Lane, edit: Edit, fields: Fields) -> Fields | Ending:
    """The platform's own fields with the edit's buttons, or why its message cannot have them."""
    account = lane.room.account
    try:
        return fields_with(account.hooks, account.instance, edit.buttons or (), fields)
    except HookContractError as error:
        return broken_by(error)
    except Invalid as error:
        return unsupported(str(error))
