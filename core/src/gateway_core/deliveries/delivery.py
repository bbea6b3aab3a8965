"""An accepted envelope on its way: its steps, what is known of each, and its receipt. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from gateway_core.contract.envelopes import (
    Attempt,
    Call,
    Delete,
    Disposition,
    Edit,
    Envelope,
    MessageRef,
    Mode,
    Part,
    Receipt,
)
from gateway_core.contract.fast_init import fast_init
from gateway_core.contract.hookspecs import Answer
from gateway_core.contract.verdicts import Verdict
from gateway_core.deliveries.steps import Step, carried, standing
from gateway_core.deliveries.waits import NONE, SHORTEST_WAIT, summed

if TYPE_CHECKING:
    from gateway_core.monitoring.spans import Trace
    from gateway_core.scheduling.rooms import Lane
    from gateway_core.scheduling.waiting_groups import Mark, WaitingGroup

NO_WAIT = ("attempt", "")
"""What a wait ends with: an attempt is under way, or it is all over."""
LONG_AGO = -(10**18)
"""Nanoseconds: no platform remembers a key for so long."""

_attempt = fast_init(Attempt)
_message_ref = fast_init(MessageRef)
_receipt = fast_init(Receipt)


class Delivery:
    """An accepted envelope until it ends. Its identity is `id`; times are engine nanoseconds.

    target   of an edit or delete that has begun: the message as it stood then
    cause    what it waits for, `since` when; `mark`: how its group had waited by then
    waits    nanoseconds by cause since its last attempt, where it is `observed`
    trace    its trace in this life; `parent`: as a text, that of an earlier life
    changes  of an edit or delete: the identity of its message
    due      POSIX time before which it has no place: its own, or that of the message it changes
    """

    __slots__ = (
        "__weakref__", "accepted_at", "accepted_wall", "callbacks", "cause", "changes", "crashes",
        "cut", "deadline", "degradations", "due", "envelope", "id", "joined", "kept", "lane",
        "mark", "moved_to", "observed", "parent", "parked", "plan", "position",
        "possible_duplicate", "priority", "receipt", "result", "revision", "scope", "since",
        "started", "steps", "target", "trace", "transforms", "verdict", "waits",
    )  # fmt: skip

    def __init__(self, id: str, envelope: Envelope, plan: Sequence[Part]) -> None:  # noqa: A002 - its name everywhere
        self.id = id
        self.envelope = envelope
        self.plan: Sequence[Part] = plan
        self.priority = envelope.priority
        self.accepted_at = 0
        self.accepted_wall = 0.0
        self.due: float | None = None
        self.deadline = 0
        self.lane: Lane | None = None
        self.steps: list[Step] | None = None
        self.position = 0
        self.started = False
        self.parked = False
        self.crashes = 0
        self.cut = False
        self.joined = 0
        self.kept = False
        self.cause = "queue"
        self.since = 0
        self.observed = False
        self.mark: Mark | None = None
        self.waits = NONE
        self.verdict: Verdict | None = None
        self.possible_duplicate = False
        self.degradations: tuple[str, ...] = ()
        self.transforms: tuple[str, ...] = ()
        self.moved_to: str | None = None
        self.revision = 0
        self.target: MessageRef | None = None
        self.changes = ""
        self.result: Any = None
        self.scope: Any = None
        self.trace: Trace | None = None
        self.parent = ""
        self.receipt: Receipt | None = None
        self.callbacks: list[Callable[[], None]] | None = None

    @property
    def step(self) -> Step | None:
        """The step whose turn it is; None when there is none left."""
        steps = self.steps
        if steps is None:
            return None
        while self.position < len(steps) and steps[self.position].outcome is not None:
            self.position += 1
        return steps[self.position] if self.position < len(steps) else None

    @property
    def left_in_doubt(self) -> bool:
        """Whether it ended, and nobody knows what became of one of its tries."""
        parts = self.receipt.parts if self.receipt is not None else ()
        return any(part.outcome == "unknown" for part in parts)

    @property
    def thread_id(self) -> str | None:
        """The envelope's thread; of a change by key, the thread of the message found."""
        return self.envelope.thread_id if self.target is None else self.target.thread_id

    def wait_for(self, cause: str, now: int) -> None:
        """From now on it waits for `cause`, or an `attempt` is under way."""
        if cause == self.cause:
            return
        if self.observed and self.cause != "attempt":
            waited = now - self.since
            if waited >= SHORTEST_WAIT or self.waits or (waited and cause not in NO_WAIT):
                self._note(waited, now)
        self.cause, self.since, self.mark = cause, now, None

    def wait_in(self, group: WaitingGroup, now: int) -> None:
        """From now on it waits for whatever `group` waits for."""
        if self.observed and (self.mark is None or self.mark.group is not group):
            self._note(now - self.since, now)
            self.since, self.mark = now, group.mark(now)

    def _note(self, waited: int, now: int) -> None:
        mark = self.mark
        causes = {self.cause: waited} if mark is None else mark.group.split(waited, mark, now)
        self.waits = summed(self.waits, causes)

    def attempt(self, step: Step, room: str) -> Attempt:
        """The step's next try, as the adapter gets it, one more than those that began."""
        envelope = self.envelope
        call = envelope if isinstance(envelope, Call) else None
        return _attempt(
            operation=envelope.operation if call else step.kind,
            envelope_id=self.id,
            instance_id=envelope.instance_id,
            room=room,
            thread=self.thread_id,
            reply=step.reply,
            part=step.part,
            extra=step.extra,
            message_id=step.message_id,
            method=call.method if call else None,
            arguments=call.arguments if call else {},
            number=step.number + 1,
            key=f"{self.id}.{step.serial}",
            mode=step.mode,
        )

    def perhaps_begun(self) -> None:
        """The life before may have been killed as the change's steps were tried.

        No edit or deletion is recorded before it begins, since it is safe to repeat, and what is
        done is written down a moment later. So it may be there, and what it deletes may be gone.
        """
        for step in self.steps or () if self.cut else ():
            if step.kind in ("edit", "delete") and step.outcome is None:
                step.doubtful = True
                step.number += 1

    def acknowledge(self, step: Step, answer: Answer) -> None:
        """The platform said yes to `step`."""
        step.started = False
        step.outcome = "deleted" if step.kind == "delete" else "delivered"
        if answer.message_id is not None and step.kind != "delete":
            step.message_id = answer.message_id
        if step.kind == "call":
            self.result = answer.result

    def replace(self, step: Step, parts: Sequence[Part], mode: Mode) -> None:
        """Put new parts where a refused one was: the first keeps its message, key and tries."""
        assert self.steps is not None  # noqa: S101 - one of them is `step`
        serial = max(s.serial for s in self.steps) + 1
        first = Step(step.kind, step.serial, part=parts[0], message_id=step.message_id)
        steps = [first, *(Step("send", serial + i, part=p) for i, p in enumerate(parts[1:]))]
        if step.kind == "edit" and step.extra is not None:
            first.extra = {}  # what stood on the message goes on to the last part
        first.reply, steps[-1].extra = step.reply, step.extra
        first.number, first.attempts = step.number, step.attempts
        first.maybe_sent, first.first_at = step.maybe_sent, step.first_at
        first.doubtful = step.doubtful
        for new in steps[1:]:  # what may have arrived of the old one had their text as well
            new.maybe_sent, new.doubtful = step.maybe_sent, step.doubtful
            new.first_at = LONG_AGO if step.maybe_sent else 0
        for new in steps:
            new.mode, new.transforms = mode, step.transforms
        if step.kind == "edit" and step.doubtful and len(parts) > 1:
            self.possible_duplicate = True  # the old text may land late, beside what is appended
        at = self.steps.index(step)
        self.steps[at : at + 1] = steps

    def disposition(self) -> Disposition:
        """How an envelope ends that has no step left."""
        outcomes = [step.outcome for step in self.steps or ()]
        if "unknown" in outcomes:
            return Disposition.UNKNOWN
        return Disposition.DELIVERED

    def end(
        self, disposition: Disposition, *, verdict: Verdict | None, ended_wall: float
    ) -> Receipt:
        """Write the receipt; a delivery ends once."""
        assert self.receipt is None, self.id  # noqa: S101 - invariant: one disposition
        envelope = self.envelope
        steps = self.steps
        if steps is None:
            steps = [Step("send", i, part=part) for i, part in enumerate(self.plan)]
        self.receipt = _receipt(
            envelope_id=self.id,
            instance_id=envelope.instance_id,
            external_room_id=envelope.external_room_id,
            disposition=disposition,
            parts=tuple([step.receipt(i) for i, step in enumerate(steps)]),
            ref=self.ref(),
            attempts=sum([step.number for step in steps]),
            verdict=verdict if verdict is not None else self.verdict,
            possible_duplicate=self.possible_duplicate,
            degradations=self.degradations,
            transforms=self.transforms,
            moved_to=self.moved_to,
            accepted_at=self.accepted_wall,
            ended_at=ended_wall,
            result=self.result,
        )
        return self.receipt

    def _origin(self) -> str:
        """The envelope that made the message: this one, or that of the message changed."""
        if self.target is not None:
            return self.target.envelope_id
        if not isinstance(self.envelope, Edit | Delete):
            return self.id
        target = self.envelope.target
        return target.envelope_id if isinstance(target, MessageRef) else self.id

    def ref(self) -> MessageRef | None:
        """A ref to what stands in the room now; None where nothing does."""
        envelope = self.envelope
        if isinstance(envelope, Call) or envelope.operation == "delete":
            return None
        parts = standing(self.steps or ())
        if not parts:
            return None
        return _message_ref(
            instance_id=envelope.instance_id,
            external_room_id=envelope.external_room_id,
            envelope_id=self._origin(),
            thread_id=self.thread_id,
            parts=parts,
            revision=self.revision,
            extra=carried(self.steps or ()),
        )
