"""Reports to a durable outbox what happens to deliveries; waits only when an attempt starts.

An outbox that does not survive the process has no journal: nobody would read it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs

from gateway_core.clock import SECOND, Clock
from gateway_core.contract.envelopes import Disposition, Receipt
from gateway_core.contract.errors import OutboxError
from gateway_core.contract.ids import Ids
from gateway_core.deliveries.delivery import Delivery
from gateway_core.deliveries.steps import ARRIVED, REPEATED, Step
from gateway_core.outboxes.interface import Outbox
from gateway_core.outboxes.records import StepRecord, StepShape
from gateway_core.plugins.boundary import cause_of, place_of
from gateway_core.ratelimits.spent import Standing
from gateway_core.telemetry import OUTBOX_BROKE, log_event


def report(method: Callable[..., None], *told: Any) -> None:
    """Call a plain method of an outbox; such a method must not raise.

    If it raises nevertheless, in an engine with a mistake, that is logged and stops nothing:
    otherwise a caller that waits for what is reported here would wait for ever.
    """
    try:
        method(*told)
    except Exception as raised:  # noqa: BLE001 - the boundary stands here
        log_event(
            OUTBOX_BROKE,
            method=getattr(method, "__name__", str(method)),
            error=type(cause_of(raised)).__name__,
            where=place_of(raised),
        )


class Journal:
    """Keeps a durable outbox up to date about the deliveries of one gateway.

    newest   the last position that was given after acceptance
    arrival  seconds after its begin within which an attempt may arrive if this process is lost;
             the next owner of a shared outbox waits for it
    """

    def __init__(self, outbox: Outbox, clock: Clock, ids: Ids, arrival: float = 0.0) -> None:
        self._outbox = outbox
        self._clock = clock
        self._ids = ids
        self._arrival = arrival if hasattr(outbox, "tenure") else 0.0
        self._under_way: dict[str, tuple[str, StepRecord]] = {}
        self.newest = -1
        self.on_finished: Callable[[], None] = lambda: None

    async def starting(self, delivery: Delivery, step: Step, now: int) -> None:
        """An attempt is about to begin. Waits for the outbox if its outcome could become unknown.

        Raises `OutboxError`: then the attempt must not begin.
        """
        if step.kind not in REPEATED:
            return
        first = step.first_at or now or 1
        record = self._record(step, now, number=step.number + 1, started=True, first_at=first)
        if step.doubtful and step.first_at and not step.maybe_sent:
            # It is tried again, which counts no earlier attempt, but one may have arrived.
            record = attrs.evolve(record, maybe_sent=1)
        if self._arrival:
            self._under_way[delivery.id] = delivery.envelope.instance_id, record
            record = attrs.evolve(record, not_before=self._clock.wall() + self._arrival)
        await self._outbox.attempt_started(delivery.id, record)

    def cut_off(self) -> None:
        """Note the attempts that the process cuts off as it ends in order: some may have arrived.

        The next owner waits for them no longer than this process would have.
        """
        for envelope_id, (instance_id, record) in self._under_way.items():
            if self._outbox.covers(instance_id):
                report(self._outbox.attempt_ended, envelope_id, record)
        self._under_way.clear()

    async def caught_up(self) -> bool:
        """Wait until the outbox has stored all reports; false: it cannot, or says not when."""
        flush = getattr(self._outbox, "flush", None)
        if flush is None:
            return False
        try:
            await flush()
        except OutboxError:  # logged by the outbox, which goes on trying
            return False
        return True

    def covers(self, instance_id: str) -> bool:
        """Whether this process certainly owns the account at this moment."""
        return self._outbox.covers(instance_id)

    def ended(self, delivery: Delivery, step: Step, wait: float = 0.0) -> None:
        """An attempt failed, or did not begin; the step then waits for `wait` seconds."""
        if step.kind == "draft":
            return  # a draft leaves nothing
        self._under_way.pop(delivery.id, None)
        until = self._clock.wall() + wait if wait > 0 else 0.0
        record = self._record(step, self._clock.now(), first_at=step.first_at, not_before=until)
        report(self._outbox.attempt_ended, delivery.id, record)

    def acknowledged(self, delivery: Delivery, step: Step) -> None:
        """The platform accepted the step; if a message has one step, its end records that."""
        self._under_way.pop(delivery.id, None)
        if step.kind != "draft" and (len(delivery.steps or ()) > 1 or delivery.growth is not None):
            record = self._record(step, self._clock.now(), first_at=step.first_at)
            report(self._outbox.acknowledged, delivery.id, record)

    def planned(self, delivery: Delivery) -> None:
        """Store the delivery's steps, since they do not follow from its plan alone."""
        steps = [step for step in delivery.steps or () if step.kind != "draft"]
        report(self._outbox.replanned, delivery.id, [_shape(step) for step in steps])
        for step in steps:
            if step.number or step.maybe_sent or step.outcome is not None:
                self.ended(delivery, step)

    def grew(self, delivery: Delivery) -> None:
        """The delivery's text has grown."""
        growth = delivery.growth
        if growth is not None:
            report(self._outbox.grew, delivery.id, growth.text, growth.stored_as)

    def postponed(self, delivery: Delivery) -> None:
        """A policy delays the delivery."""
        left = (delivery.deadline - self._clock.now()) / SECOND
        deadline = self._clock.wall() + left
        report(self._outbox.postponed, delivery.id, delivery.due or 0.0, deadline)

    def entered(self, delivery: Delivery) -> None:
        """What the delivery waited for has come: it gets a position after all others."""
        delivery.has_position(self.entered_id(delivery.id))

    def replaced(self, old: Delivery, new: Delivery) -> None:
        """`new` has the position of `old`, which ends."""
        new.has_position(old.position)
        report(self._outbox.entered, new.id, old.position)

    def entered_id(self, envelope_id: str) -> int:
        """Give the envelope a position after all others; returns it."""
        self.newest = self.next_position()
        report(self._outbox.entered, envelope_id, self.newest)
        return self.newest

    def goes_on_after(self, last_id: str, position: int | None) -> None:
        """Let ids and positions from now on come after these, which another owner has given."""
        self._ids.go_on_after(last_id, position)

    def draw_ids_from(self, slot: int) -> None:
        """Draw ids from this slot of 128: other processes draw ids at the same time from theirs."""
        self._ids.draw_from(slot)

    def next_position(self) -> int:
        """The position after all that were ever given."""
        return self._ids.next_position(self._clock.wall())

    def finished(self, delivery: Delivery, receipt: Receipt) -> None:
        """The envelope ended. A later retry is to know the steps that arrived, or may have."""
        self._under_way.pop(delivery.id, None)
        if receipt.disposition is not Disposition.DELIVERED:
            for step in delivery.steps or ():
                if step.doubtful or step.outcome in ARRIVED:
                    self.ended(delivery, step)
        report(self._outbox.finished, receipt)
        self.on_finished()

    def closed(self, instance_id: str, operation: str, wait: float) -> None:
        """The platform wants no such operation (empty: none at all) for `wait` seconds."""
        report(self._outbox.closed, instance_id, operation, self._clock.wall() + wait, wait)

    def release(self, instance_id: str, standings: Sequence[Standing]) -> None:
        """Give the account up now; `standings`: what is spent of its limits."""
        report(self._outbox.release, instance_id, self._clock.wall(), standings)

    def moved(self, instance_id: str, room: str, moved_to: str) -> None:
        """A room has a new id."""
        report(self._outbox.moved, instance_id, room, moved_to)

    def _record(
        self,
        step: Step,
        now: int,
        *,
        first_at: int,
        number: int | None = None,
        started: bool = False,
        not_before: float = 0.0,
    ) -> StepRecord:
        first = 0.0
        if first_at:
            first = self._clock.wall() - (now - first_at) / SECOND
        return StepRecord(
            serial=step.serial,
            number=step.number if number is None else number,
            started=started,
            attempts=step.attempts,
            maybe_sent=step.maybe_sent,
            transforms=step.transforms,
            first_at=first,
            not_before=not_before,
            outcome=step.outcome,
            message_id=step.message_id,
            more=() if step.files is None else step.files.more,
            files=() if step.files is None else step.files.ids,
        )


def _shape(step: Step) -> StepShape:
    files = step.files
    return StepShape(
        files=None if files is None else files.files,
        held=files is not None and files.held,
        more=() if files is None else files.more,
        before=None if files is None else files.before,
        said=step.said,
        place=step.place,
        kind=step.kind,
        serial=step.serial,
        part=step.part,
        message_id=step.message_id,
        reply=step.reply,
        extra=step.extra,
        mode=step.mode,
    )
