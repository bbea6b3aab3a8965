"""A delivery: an accepted envelope on its way, its steps, and its receipt. Sans-I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs

from gateway_core.contract.envelopes import (
    Disposition,
    Envelope,
    MessageRef,
    Mode,
    Part,
    Priority,
    Receipt,
    Send,
)
from gateway_core.contract.errors import GatewayClosed, GatewayError
from gateway_core.contract.fast_init import fast_init
from gateway_core.contract.hookspecs import Answer, Level
from gateway_core.contract.ids import sequence_of
from gateway_core.contract.verdicts import Verdict
from gateway_core.deliveries.growing.growth import BROKEN_OFF, Growth
from gateway_core.deliveries.step_files import FILES_REFUSED
from gateway_core.deliveries.steps import (
    ARRIVED,
    Step,
    made_besides,
    send_steps,
)
from gateway_core.deliveries.waits import NONE, SharedWait, WaitClock

IN_ROOM = "answered in the room"
"""The degradation of an answer whose interaction's token had ended."""

_ANOTHERS = fast_init(Receipt)(
    envelope_id="", instance_id="", external_room_id="", disposition=Disposition.UNKNOWN
)
"""Stands for the receipt of a delivery that another process goes on with. Nobody sees it."""


class Delivery:
    """An accepted envelope until it ends. Its methods alone write it; times are nanoseconds.

    priority     its class, as policies left it
    scope        where its idempotency key is unique; None: it has no key
    accepted_at  POSIX time of acceptance
    pressure     how full its partition was when it was accepted, or came back from the outbox
    due          POSIX time before which it is not sent: its own, that of the message which it
                 changes, or the end of its delay
    delayed      a policy delays it, or an earlier delivery of its room does
    traceparent  its trace context as a text; empty: it has none
    steps        None until they are planned
    started      an attempt has begun, so that nobody can withdraw it any more
    parked       it waits outside its lane, for its time or for the message that it changes
    restored     a previous process run accepted it
    stored       a durable outbox has it for the next run, or for another owner of its account
    position     its order among waiting deliveries; it changes when its time or its message comes
    sequence     its order among all envelopes accepted for its account; it never changes.
                 `given_sequence`: what the outbox says about it; None: as ids sort
    cause        what it waits for; `attempt` while one is under way; empty: it has ended
    called       a caller waits, or waited, for its end
    joined       how many callers have waited for its end, except those that gave up before it
    lane         the lane that it stands in; only the scheduler knows the type
    growth       of a stream: its growing text; None: it is no stream
    member       it is a member of a group
    message      of an edit or delete: the identity of its message
    target       the message that it concerns, as the message stood when the envelope began
    successor    the delivery that stands for it here, since another process owns its account; None:
                 none does

    `possible_duplicate`: an attempt of its own may have made a copy.
    """

    __slots__ = (
        "__weakref__", "_clock", "_next_step", "_on_end", "_position", "accepted_at", "called",
        "cause", "crashes", "deadline", "degradations", "delayed", "due", "envelope",
        "given_sequence", "growth", "id", "joined", "lane", "member", "message", "moved_to",
        "parked", "plan",
        "possible_duplicate", "pressure", "priority", "receipt", "restored", "result", "revision",
        "scope", "started",
        "steps", "stored", "successor", "target", "traceparent", "transforms", "verdict",
    )  # fmt: skip

    def __init__(
        self,
        id: str,  # noqa: A002 - its name everywhere
        envelope: Envelope,
        plan: Sequence[Part],
        *,
        accepted_at: float = 0.0,
        deadline: int = 0,
        due: float | None = None,
        scope: Any = None,
        priority: Priority | None = None,
        since: int = 0,
        observed: bool = False,
        pressure: Level = "nominal",
        traceparent: str = "",
        restored: bool = False,
        sequence: int | None = None,
        growth: Growth | None = None,
        member: bool = False,
    ) -> None:
        self.id, self.envelope, self.plan = id, envelope, plan
        self.accepted_at, self.deadline, self.due = accepted_at, deadline, due
        self.scope, self.traceparent, self.restored = scope, traceparent, restored
        self.priority = priority or envelope.priority
        self.pressure = pressure
        self.cause = "queue"
        self._clock = WaitClock(since) if observed else None
        self.lane: object | None = None
        self.steps: list[Step] | None = None
        self._next_step = 0
        self._position: int | None = None
        self.given_sequence, self.growth, self.member = sequence, growth, member
        self.started = self.parked = self.stored = self.called = self.delayed = False
        self.crashes = self.joined = self.revision = 0
        self.verdict: Verdict | None = None
        self.possible_duplicate = False
        self.degradations: tuple[str, ...] = ()
        self.transforms: tuple[str, ...] = ()
        self.moved_to: str | None = None
        self.message = ""
        self.target: MessageRef | None = None
        self.result: Any = None
        self.receipt: Receipt | None = None
        self.successor: Delivery | None = None
        self._on_end: dict[Callable[[], None], None] | None = None

    @property
    def sequence(self) -> int:
        """Its order among all envelopes accepted for its account: as ids sort, if not given."""
        return sequence_of(self.id, self.given_sequence)

    @property
    def position(self) -> int:
        """Its order among the deliveries that wait."""
        return self.sequence if self._position is None else self._position

    @property
    def step(self) -> Step | None:
        """The next step; None when there is none left, or none is planned."""
        for step in (self.steps or ())[self._next_step :]:
            if step.outcome is None:
                return step
        return None

    @property
    def is_over(self) -> bool:
        """Whether no step is left, and no more steps will be planned."""
        growth = self.growth
        return self.step is None and (growth is None or growth.is_complete)

    @property
    def left_in_doubt(self) -> bool:
        """Whether it ended with an attempt of unknown outcome."""
        receipt = self.receipt
        return receipt is not None and any(part.outcome == "unknown" for part in receipt.parts)

    @property
    def thread_id(self) -> str | None:
        """The envelope's thread; of a change by key, the thread of the message found."""
        return self.envelope.thread_id if self.target is None else self.target.thread_id

    # -- into a lane, and out again

    def returns(self, pressure: Level) -> None:
        """It came back from the outbox, which does not know the pressure of its acceptance."""
        self.pressure = pressure

    def stand_in(self, lane: object | None) -> None:
        """It stands in this lane from now on; None: in none."""
        self.lane = lane

    def wait_for(self, cause: str, now: int) -> None:
        """From now on it waits for `cause`, or an `attempt` is under way."""
        if cause != self.cause:
            if self._clock is not None:
                self._clock.turn(self.cause, cause, now)
            self.cause = cause

    def wait_in(self, group: SharedWait, now: int) -> None:
        """From now on it waits for whatever `group` waits for."""
        if self._clock is not None:
            self._clock.join(self.cause, group, now)

    def take_waits(self) -> Mapping[str, int]:
        """Its long waits since the last call, by cause, in nanoseconds; empty if unobserved."""
        return NONE if self._clock is None else self._clock.take()

    def park(self, cause: str, now: int) -> None:
        """It waits outside its lane, for its time (`schedule`) or its message (`target`)."""
        self.parked = True
        self.wait_for(cause, now)

    def park_again(self) -> None:
        """Letting it into its lane failed: it waits for the same once more."""
        self.parked = True

    def unpark(self, now: int) -> None:
        """What it waited for has come."""
        self.parked = False
        self.wait_for("queue", now)

    def reclass(self, priority: Priority) -> None:
        """A policy gives it another class."""
        self.priority = priority

    def has_its_place(self) -> None:
        """Its time has come: it is neither scheduled nor delayed any more."""
        self.due, self.delayed = None, False

    def delay(self, until: float) -> None:
        """It is not sent before that POSIX time."""
        self.due, self.delayed = until, True

    def has_position(self, position: int) -> None:
        """It has this position from now on."""
        self._position = position

    def store(self) -> None:
        """The gateway ends, and a durable outbox has the delivery: wake everybody who waits."""
        self.stored = True
        self.notify()

    def trace(self, traceparent: str) -> None:
        """Set its trace context, for whoever goes on with the delivery."""
        self.traceparent = traceparent

    # -- its steps

    def plan_anew(self, plan: Sequence[Part]) -> None:
        """Replace an edit's plan by one that includes the files of its message."""
        self.plan = plan

    def follow(self, steps: list[Step]) -> Step | None:
        """Take these steps; return the next one."""
        self.steps = steps
        self._perhaps_begun()
        return self.next_step()

    def grows_on(self, growth: Growth) -> None:
        """It is a stream that a previous run accepted; `growth` is its text."""
        self.growth = growth
        for step in self.steps or ():
            step.is_of_a_stream()

    @property
    def stands(self) -> bool:
        """Whether a message of it is in the room, or a draft that its message will follow."""
        if self.started and self.growth is not None and self.growth.native is not None:
            return True
        steps = [step for step in self.steps or () if step.kind != "draft"]
        return any(step.message_id is not None or step.outcome in ARRIVED for step in steps)

    def grow(self, steps: list[Step]) -> Step | None:
        """Its text has grown: take these steps; return the next one."""
        self.steps, self._next_step = steps, 0
        return self.next_step()

    def ends_by(self, deadline: int) -> None:
        """Set its deadline, which counts from the end of its stream, or of its delay."""
        self.deadline = deadline

    def lose(self, what: str) -> None:
        """Note what is lost of the look that was asked for."""
        self.degradations += (what,)

    def next_step(self) -> Step | None:
        """The next step, for which a send or a call makes its steps first; None: there is none."""
        if self.steps is None:
            if isinstance(self.envelope, Send):
                self.steps = send_steps(self.envelope, self.plan)
            elif self.envelope.target is None:
                self.steps = [Step("call", 0)]
        for step in (self.steps or ())[self._next_step :]:
            if step.outcome is None:
                return step
            self._next_step += 1
        return None

    def changes(self, message: str) -> None:
        """Note the identity of the message that it changes."""
        self.message = message

    def found(self, target: MessageRef) -> None:
        """Note the message that it concerns, as the message stands when the delivery begins."""
        self.target, self.revision = target, target.revision + 1

    def _perhaps_begun(self) -> None:
        """A previous run may have been killed during a change: it recorded only finished steps."""
        for step in self.steps or () if self.restored else ():
            step.perhaps_begun()

    def recall(self, steps: list[Step] | None, **known: Any) -> None:
        """Restore what a previous process run had done: its steps, and attributes by name."""
        self.steps = steps
        for name, value in known.items():
            setattr(self, name, value)
        self._perhaps_begun()

    def begin(self, step: Step, now: int, *, copy: bool) -> None:
        """An attempt begins; `copy`: the message may be there already, and this may be a copy."""
        self.started = True
        step.begin()
        self.wait_for("attempt", now)
        if copy:
            self.possible_duplicate = True

    def may_be_there(self) -> None:
        """What it sends stands in the room already, or may: from another delivery, or its own."""
        self.possible_duplicate = True

    def acknowledge(self, step: Step, answer: Answer, *, changed: bool = True) -> bool:
        """The platform accepted `step`; return whether that was the last one."""
        step.acknowledge(answer.message_id, changed=changed)
        step.learn(answer)
        if step.kind == "call":
            self.result = answer.result
            if answer.more and self.steps is not None:
                self.steps += made_besides(step, answer.more)
        if self.growth is not None:
            self.growth.acknowledged(step)
        return self.next_step() is None and (self.growth is None or self.growth.is_complete)

    def fail(self, step: Step, verdict: Verdict, *, limited: bool) -> None:
        """The attempt of `step` failed; if the delivery ended meanwhile, nothing follows."""
        step.break_off()
        if self.receipt is None:
            self.verdict = verdict
            step.fail(verdict, limited=limited)

    def crash(self) -> int:
        """Count an error of the gateway itself on this delivery; return how many there were."""
        self.crashes += 1
        return self.crashes

    def move(self, room: str) -> None:
        """Its room has this new id."""
        self.moved_to = room

    def transform(self, step: Step, how: str, lost: str = "") -> None:
        """A refused step is changed before it is tried again; `lost`: what that costs."""
        step.transform(without_reply=how == "without_reply")
        self.transforms += (how,)
        if lost:
            self.degradations += (lost,)

    def answer_in_room(self) -> None:
        """The reply token is no longer valid: the remaining steps go to the room."""
        for step in self.steps or ():
            step.answer_in_room()
        if self.growth is not None:
            self.growth.answer_in_room()
        if isinstance(self.envelope, Send):  # its readers see a difference
            self.transforms += ("to_room",)
            self.degradations += (IN_ROOM,)

    def replace(self, step: Step, parts: Sequence[Part], mode: Mode) -> None:
        """Put new parts where a refused one was."""
        assert self.steps is not None  # noqa: S101 - one of them is `step`
        if step.kind == "edit" and step.doubtful and len(parts) > 1:
            self.possible_duplicate = True  # the old text may land late, beside what is appended
        told = step.part.degraded if step.part is not None else ()
        refused = tuple(words for words in told if words.startswith(FILES_REFUSED))
        if refused:  # the next process run knows of that by the parts alone
            parts = [attrs.evolve(part, degraded=(*part.degraded, *refused)) for part in parts]
        at, serial = self.steps.index(step), max(s.serial for s in self.steps) + 1
        self.steps[at : at + 1] = step.divided(parts, mode, serial)
        self.degradations += (mode,)

    def may_lose_files(self, step: Step) -> bool:
        """Whether its text is to be sent alone if the files of that step are refused."""
        envelope = self.envelope
        if step.files is None or step.kind != "send" or not isinstance(envelope, Send):
            return False
        return envelope.on_file_error == "send_text" and bool(envelope.text.strip())

    def lose_files(self, step: Step, parts: Sequence[Part], lost: str) -> None:
        """The platform refused the files of the step; `parts`: its text without them, if any."""
        assert self.steps is not None  # noqa: S101 - one of them is `step`
        told = [attrs.evolve(part, degraded=(*part.degraded, lost)) for part in parts]
        at, serial = self.steps.index(step), max(s.serial for s in self.steps) + 1
        if told:
            self.steps[at : at + 1] = step.divided(told, step.mode, serial)
        else:
            step.leave_out(self.steps[at + 1 : at + 2], lost)
        self.transforms += ("without_files",)
        self.lose(lost)

    @property
    def has_content(self) -> bool:
        """Whether some of it has arrived, or is still to be sent."""
        return any(s.outcome is None or s.outcome in ARRIVED for s in self.steps or ())

    # -- who waits for its end

    def hold(self) -> None:
        """Count somebody who waits for ever: the holder of a ticket, or a detached caller."""
        self.joined += 1

    def is_awaited(self) -> None:
        """A caller waits for its end, in another process."""
        self.called = True

    @property
    def holders(self) -> int:
        """How many of those who wait will wait for ever."""
        return max(0, self.joined - len(self._on_end or ()))

    def join(self, callback: Callable[[], None]) -> None:
        """One more caller waits for its end, and is called then."""
        self.called = True
        self.joined += 1
        self.on_end(callback)

    def leave(self, callback: Callable[[], None]) -> None:
        """A caller gives up before the end."""
        self.joined -= 1
        self.forget(callback)

    def on_end(self, callback: Callable[[], None]) -> None:
        """Call `callback` once the delivery ends, or is stored for the next run."""
        self._on_end = self._on_end or {}
        self._on_end[callback] = None

    def forget(self, callback: Callable[[], None]) -> None:
        """Do not call `callback` after all."""
        if self._on_end is not None:
            self._on_end.pop(callback, None)

    def notify(self) -> None:
        """Call everybody who waits for its end."""
        callbacks, self._on_end = self._on_end, None
        for callback in callbacks or ():
            callback()

    # -- its end

    def disposition(self) -> Disposition:
        """How the envelope ends if no step is left."""
        if self.growth is not None and self.growth.state == "deleted":
            return Disposition.UNKNOWN if self.growth.nameless else Disposition.CANCELLED
        for step in self.steps or ():
            if step.outcome == "unknown":
                return Disposition.UNKNOWN
        return Disposition.DELIVERED

    def pass_to_another(self) -> None:
        """Another process owns its account, and goes on with it: here it is over, with no receipt.

        Callers that wait are woken later, by `notify`, once every component knows this.
        """
        self.receipt, self.stored = _ANOTHERS, True

    def goes_on_as(self, successor: Delivery) -> None:
        """From now on, `successor` stands for it here."""
        self.successor = successor

    @property
    def is_elsewhere(self) -> bool:
        """Whether it stands for an envelope that another process delivers."""
        return False

    @property
    def newest(self) -> Delivery:
        """The delivery that stands for it here now: the last of its successors, or itself."""
        newest = self
        while newest.successor is not None:
            newest = newest.successor
        return newest

    def replay(self, receipt: Receipt) -> None:
        """It stands for an envelope that ended before, with this receipt."""
        self.receipt = receipt

    @property
    def why_no_receipt(self) -> GatewayError:
        """The exception for callers that waited for the receipt."""
        return GatewayClosed("the outbox stores the envelope for its next owner", kept=True)

    def has_grown(self) -> None:
        """Before a stream ends: put its whole text into the envelope, and note what was lost."""
        growth = self.growth
        if growth is None:
            return
        if growth.nameless:
            self.possible_duplicate = True
        if growth.given_whole and growth.state != "deleted":
            self.degradations += (growth.given_whole,)
        if growth.state == "broken off":
            self.degradations += (BROKEN_OFF,)
        if isinstance(self.envelope, Send) and growth.text.strip():
            self.envelope = attrs.evolve(self.envelope, text=growth.text)

    def end(self, receipt: Receipt) -> None:
        """It ends with this receipt, and ends once."""
        assert self.receipt is None, self.id  # noqa: S101 - invariant: one disposition
        self.receipt = receipt
