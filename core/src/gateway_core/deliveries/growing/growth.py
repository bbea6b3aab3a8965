"""Holds the growing text of a stream, and makes the steps for its newest state. Sans-I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from gateway_core.clock import NEVER
from gateway_core.contract.addresses import Interaction
from gateway_core.contract.envelopes import ANSWER, REVISE, Json, Mode, Part
from gateway_core.contract.errors import HookContractError, Invalid
from gateway_core.contract.verdicts import Reason
from gateway_core.deliveries.growing.native import Native, is_plain_stop
from gateway_core.deliveries.growing.rewritten import Rewrite, Rewritten
from gateway_core.deliveries.steps import ARRIVED, MADE, Step, answering
from gateway_core.text import healed

State = Literal["open", "finished", "broken off", "deleted"]

_FINAL = 1 << 40
"""From this number on, an outbox stores texts that are whole; the number says how they ended."""
_ENDED: tuple[State, ...] = ("finished", "broken off", "deleted")
BROKEN_OFF = "broken off: its program left it before its text was whole"
"""What a receipt says about such a stream."""
BY_REPLY = "shown only when it was whole: its reply token takes no edits"
"""What a receipt says about an answer to an interaction that could not be shown as it grew."""
UNEDITED = "shown only when it was whole: its channel has no edits"
"""What a receipt says about such a stream."""
NOT_EDITED = "posted anew: its message took no edit"
"""What a receipt says about a stream whose first message still stands beside the new one."""
PEEK = 500
"""Characters after which a growing text is planned anew although it may not be shown yet: another
part of it may be whole."""


class Grown(NamedTuple):
    """One state of a stream: its number, how many characters it has, whether more may come."""

    number: int
    written: int
    state: State


def _nobody() -> None:
    """Do nothing: the default of `Growth.wake`."""


class Growth:
    """The text of a stream so far. Its methods alone write it; times are nanoseconds.

    written     all that was written; `text`: what policies made of it, which is shown
    fault       why a policy failed on it: no later state may be shown
    number      the number of its state; `planned`: that of the state from which steps were planned
    state       open; or why it grows no more
    mode        how its parts are planned, which a refusal of its formatting changes
    attempts    how many were made at steps that other steps have replaced
    shows_its_end  while it is open, the unfinished end of its text is shown as well
    tail        the step that shows the unfinished end of the text; None: no step does
    interim     its next step shows a passing state, and ranks below all else
    granted     its pace allows the next step
    shown_at    when its pace last allowed a step
    look_at     when it is looked at again; None: once it grows, or at `alarm`, if that is not None
    paces       the windows that it draws on, with what it still has to do there
    wake        called when there is something new to show, or a reason to look again
    muted       no passing state is shown: the platform takes none, or no edit by the reply token
    given_whole  why it is shown only when it is whole; empty: it is shown as it grows
    reply       the message that its first part answers
    stopped     the platform's user stopped it
    nameless    nobody knows the id of one of its messages, which therefore stays as it is
    elsewhere   another process writes it
    rests_until  no passing state is shown until then, since the last one could not be shown
    native      how its platform shows it natively; None: by edits. `decided`: this is settled
    """

    __slots__ = (
        "_extra", "_interaction", "_markdown", "_planned_from", "_recorded", "_rewritten",
        "_serial", "_status", "alarm", "attempts", "decided", "elsewhere", "given_whole", "granted",
        "interim",
        "look_at", "mode", "muted", "nameless", "native", "number", "paces", "planned",
        "posted_anew", "reply", "rests_until", "shown_at", "shows_its_end", "state", "stopped",
        "tail", "transforms", "wake", "written",
    )  # fmt: skip

    def __init__(
        self,
        text: str = "",
        *,
        reply: str | None = None,
        extra: Mapping[str, Json] | None = None,
        markdown: bool = True,
        interaction: Interaction | None = None,
        elsewhere: bool = False,
    ) -> None:
        self.elsewhere = elsewhere
        self.written, self.reply, self._extra, self._markdown = text, reply, extra, markdown
        self._rewritten: Rewritten | None = None
        self._interaction: Interaction | None = None
        self._status = ""
        self.number, self.planned, self._planned_from = 0, -1, len(text)
        self.state: State = "open"
        self.mode: Mode = "as_asked"
        self.attempts = self.transforms = self._serial = 0
        self.tail: Step | None = None
        self.interim = self.granted = self.posted_anew = self.stopped = False
        self.muted = self.nameless = False
        self.given_whole = ""
        self.shown_at = self.rests_until = 0
        self.look_at: int | None = None
        self.alarm: int | None = None
        self.native: Native | None = None
        self.decided = False
        self.paces: Any = ()
        self.shows_its_end = True
        self._recorded: object = None
        self.wake: Callable[[], None] = _nobody
        if interaction is not None:
            self.answers(interaction)

    @classmethod
    def restored(
        cls,
        text: str,
        stored_as: int,
        mark: str,
        *,
        reply: str | None,
        extra: Mapping[str, Json] | None,
        interaction: Interaction | None,
        markdown: bool = True,
        elsewhere: bool = False,
    ) -> Growth:
        """The growth of a previous process run's stream; `stored_as`: the number of its last text.

        A stream that another process writes goes on. Any other one has no writer any more.
        """
        growth = cls(
            text,
            reply=reply,
            extra=extra,
            markdown=markdown,
            interaction=interaction,
            elsewhere=elsewhere,
        )
        if elsewhere and stored_as < _FINAL:
            growth.number = stored_as
        elif stored_as < _FINAL:
            growth.break_off(mark)
        else:
            growth._end(_ENDED[min(stored_as - _FINAL, len(_ENDED) - 1)])
        return growth

    @property
    def stored_as(self) -> int:
        """The number under which an outbox stores its text: the highest is the newest."""
        return self.number if self.state == "open" else _FINAL + _ENDED.index(self.state)

    def woken_by(self, wake: Callable[[], None]) -> None:
        """Call this when there is something new to show, or a reason to look again."""
        self.wake = wake

    # -- what policies make of it

    def rewritten_by(self, rewrite: Rewrite, text: str) -> None:
        """Policies change each state before it is shown; `text` is what they made of the first."""
        self._rewritten = Rewritten(rewrite, text, self._extra)

    @property
    def fault(self) -> HookContractError | Invalid | None:
        """Why a policy failed on a state of it; None: none has."""
        return None if self._rewritten is None else self._rewritten.fault

    @property
    def text(self) -> str:
        """The whole text so far, as it is shown."""
        if self._rewritten is None:
            return self.written
        return self._rewritten.of(self.written, self._extra)[0]

    @property
    def extra(self) -> Mapping[str, Json] | None:
        """The platform's own fields, as they are shown; None: none."""
        if self._rewritten is None:
            return self._extra
        return self._rewritten.of(self.written, self._extra)[1]

    @property
    def as_said(self) -> tuple[str, Mapping[str, Json] | None]:
        """Text and platform's own fields as they were given, before policies."""
        return self.written, self._extra

    @property
    def below(self) -> str:
        """What stands below its text until more comes; empty: nothing."""
        return self._status

    @property
    def is_rewritten(self) -> bool:
        """Whether policies change each state of it."""
        return self._rewritten is not None

    @property
    def unplanned(self) -> int:
        """How many characters were written since its steps were planned."""
        return len(self.written) - self._planned_from

    @property
    def is_open(self) -> bool:
        """Whether more may come."""
        return self.state == "open"

    @property
    def is_complete(self) -> bool:
        """Whether its steps are planned from the last state that there will be."""
        return self.state != "open" and self.planned == self.number

    # -- what is said

    def write(self, text: str) -> None:
        """Append to the text."""
        self._becomes(self.written + text)

    def replace(self, text: str) -> None:
        """Begin anew with this text."""
        self._becomes(text)

    def status(self, text: str) -> None:
        """Show this below the text until more comes; the whole text never has it."""
        if self.is_open and text != self._status:
            self._status = text
            self._changed()

    def _becomes(self, text: str) -> None:
        if self.is_open and text != self.written:
            self.written = text
            self._changed()

    def _changed(self) -> None:
        self.number += 1
        if self.look_at is None or abs(self.unplanned) >= PEEK:
            self.wake()

    def finish(self, text: str | None = None, extra: Mapping[str, Json] | None = None) -> None:
        """It is whole; `text` and `extra`, if given, replace what there was."""
        if self.is_open:
            self.written = self.written if text is None else text
            self._extra = self._extra if extra is None else extra
            self._end("finished")

    def break_off(self, mark: str) -> None:
        """Nobody finishes it: end it, with `mark` at the end of its text."""
        if self.is_open:
            self.written = self.written.rstrip() + mark
            self._end("broken off")

    def rest(self) -> None:
        """Show no passing state until its writer reports: newer ones may have been shown already.

        A stream that nobody writes any more has no passing state.
        """
        self.rests_until = NEVER

    def goes_on(self) -> None:
        """Its writer reported: passing states may be shown again."""
        if self.rests_until == NEVER:
            self.rests_until = 0
            self.wake()

    def ends_as(self, state: str, text: str, extra: Mapping[str, Json] | None) -> None:
        """End it as it ended in the process that writes it, with the text from there."""
        ends: dict[str, State] = {each: each for each in _ENDED}
        if self.is_open:
            self.written = text
            self._extra = self._extra if extra is None else extra
            self._end(ends.get(state, "finished"))

    def delete(self) -> None:
        """End it, and delete what was shown of it."""
        if self.is_open:
            self._end("deleted")

    def _end(self, state: State) -> None:
        """It grows no more; if its text is empty in the end, its messages are deleted."""
        self.state, self._status = (state if self.written.strip() else "deleted"), ""
        self.number += 1
        self.interim = False
        self.wake()

    def has_something(self) -> bool:
        """Whether there is something to show."""
        return bool(self.written.strip() or self._status)

    def showing(self) -> str:
        """The text that its newest state shows."""
        if not self.is_open:
            return self.text
        text = healed(self.written) if self._markdown else self.written.rstrip()
        text = "\n\n".join(filter(None, (text, self._status)))
        return text if self._rewritten is None else self._rewritten.of(text, self._extra)[0]

    # -- its steps

    @property
    def newest(self) -> Grown:
        """Its newest state."""
        return Grown(self.number, len(self.written), self.state)

    def plan_from_here(self) -> None:
        """Its steps are planned from the newest state."""
        self.plan_from(self.newest)

    def plan_from(self, grown: Grown) -> None:
        """Its steps are planned from this state, whatever was written since."""
        self.planned, self._planned_from = grown.number, grown.written

    def plan_again(self, mode: Mode) -> None:
        """A part was refused as it was planned: all of it is planned anew."""
        self.mode, self.planned = mode, -1
        self.transforms += 1

    def show(self, tail: Step | None) -> None:
        """The step shows the unfinished end of an open text; None: none does."""
        self.tail = tail

    def show_its_end(self, *, shown: bool) -> None:
        """Whether the unfinished end is shown as well."""
        self.shows_its_end = shown

    def is_new_to_outbox(self, shape: object) -> bool:
        """Whether its steps differ from those recorded last; from now on they count as recorded."""
        new, self._recorded = shape != self._recorded, shape
        return new

    def answers(self, interaction: Interaction) -> None:
        """Its messages answer this interaction by its reply token.

        If no answer can be edited by the token, it is shown only when it is whole.
        """
        self._interaction = interaction
        if not interaction.edits:
            self.show_whole(BY_REPLY)

    def show_whole(self, why: str) -> None:
        """Show it only when it is whole; `why` is what its receipt says."""
        self.muted, self.given_whole = True, why

    def operation(self, kind: str) -> str:
        """The operation for which its limits are asked."""
        if self._interaction is None:
            return kind
        return REVISE if kind == "edit" else ANSWER

    def answer_in_room(self) -> None:
        """The reply token is no longer valid: its messages go to the room."""
        self._interaction = None

    def stop(self) -> None:
        """There is no use in writing more of it."""
        self.stopped = True

    def drop_reply(self) -> None:
        """The message that it answers is gone."""
        self.reply = None

    def drop(self, step: Step, until: int, *, mute: bool) -> None:
        """A passing state could not be shown: try the next one at `until`, as if it were the first.

        The whole text does not wait for that.

        mute  there is no next one: only the whole text is shown
        """
        self.planned, self.granted, self.rests_until = -1, False, until
        self.muted = mute
        step.forgive()

    def look_again(self, at: int | None, alarm: int | None = None) -> None:
        """It is looked at again at `at`; None: once it grows, or at the time of the alarm."""
        self.look_at, self.alarm = at, alarm

    def is_due(self, now: int) -> bool:
        """Whether its time to be looked at has come."""
        at = self.alarm if self.look_at is None else self.look_at
        return at is not None and at <= now

    # -- how it is shown

    def decide(self, native: Native | None) -> None:
        """Settle how it is shown: natively, or by edits (None)."""
        self.native, self.decided = native, True

    def show_by_edits(self) -> None:
        """It is shown by edits from now on, and its steps are planned anew."""
        self.native = None
        self._plan_anew()

    def acknowledged(self, step: Step) -> None:
        """The platform accepted the step."""
        if self.native is not None and step.kind in ("start", "append", "stop"):
            self.native.arrived()

    def refused(self, step: Step, reason: Reason) -> None:
        """A step that would have shown it natively was refused for good."""
        native, over = self.native, reason in (Reason.STOPPED, Reason.STREAM_ENDED)
        self.stopped = self.stopped or reason is Reason.STOPPED
        if native is None or step.message_id is None or over or is_plain_stop(step):
            self.show_by_edits()
        else:
            native.end()
            self._plan_anew()

    def _plan_anew(self) -> None:
        self.planned, self.tail, self.granted = -1, None, False

    def repeat(self) -> None:
        """Show again what is shown already, or could not be shown."""
        self.planned, self.granted = -1, False

    def stands(self, *, interim: bool) -> None:
        """Whether its next step shows a passing state."""
        self.interim = interim

    def waits(self) -> None:
        """The step that its pace allowed was not taken."""
        self.granted = False

    def go(self, now: int) -> None:
        """Its pace lets it show a state."""
        self.granted, self.shown_at = True, now

    def began(self) -> None:
        """The attempt that its pace allowed has begun."""
        self.granted = False

    def steps_of(
        self, steps: Sequence[Step], plan: Sequence[Part], extra: Mapping[str, Json] | None
    ) -> list[Step]:
        """The steps that turn its messages into the plan: edit, send, delete.

        extra  the platform's own fields on the last part; None: as they are
        """
        standing = [s for s in steps if s.message_id is not None and s.kind != "delete"]
        gone = [s for s in steps if s.kind == "delete" and s.outcome is None]
        unsent = [s for s in steps if s.kind in MADE and s.message_id is None]
        there = {s.digest: s for s in unsent if s.outcome in ARRIVED}  # nobody knows their ids
        unsent = [s for s in unsent if s.outcome not in ARRIVED]
        fresh = not self.is_open  # the whole text has attempts of its own
        self._serial = max([self._serial, *(s.serial + 1 for s in steps)])
        new: list[Step] = []
        last = len(plan) - 1
        for index, part in enumerate(plan):
            carried = extra if index == last else None
            if index >= len(standing):
                reply = self.reply if index == 0 else None
                step = Step(
                    "send", self._next_serial(), part=part, extra=carried or None, reply=reply
                )
                if step.digest in there:
                    step = there.pop(step.digest)
                else:
                    old = unsent.pop(0) if unsent else None
                    step.goes_on_from(old, mode=self.mode, fresh=fresh)
            else:
                old = standing[index]
                step = _changed(old, part, carried, is_last=index == last)
                if step is not old:
                    step.goes_on_from(old, mode=self.mode, fresh=fresh)
            new.append(step)
        self.nameless = self.nameless or bool(there)
        left = [
            Step("delete", s.serial, message_id=s.message_id) for s in standing[len(plan) :][::-1]
        ]
        if self._interaction is not None:
            answering(new, self._interaction)
        stay = set(map(id, new))
        self.attempts += sum(s.number for s in steps if id(s) not in stay and s not in gone)
        return [*new, *left, *gone]

    def draft(self, part: Part) -> Step:
        """The step that shows the unfinished end as a draft, with the serial of its message."""
        step = Step("draft", self._serial, part=part)
        step.goes_on_from(self.tail, mode=self.mode, fresh=False)
        return step

    def grown(self, old: Step | None, kind: str, text: str, span: tuple[int, int]) -> Step:
        """The step that starts its message with a piece of text, adds one to it, or stops it."""
        part = Part(payload={"text": text}, span=span)
        if old is None:
            step = Step(kind, self._next_serial(), part=part, reply=self.reply)
        else:
            step = Step(kind, old.serial, part=part, message_id=old.message_id, reply=old.reply)
            self.attempts += old.number
        step.goes_on_from(old, mode=self.mode, fresh=kind == "stop")
        return step

    def has_numbered(self, serials: Iterable[int]) -> None:
        """A previous run had steps of these numbers: no other message is sent under one of them."""
        self._serial = max([self._serial, *(serial + 1 for serial in serials)])

    def left_nameless(self) -> None:
        """A previous run posted a message whose id nobody knows, and which therefore stays."""
        self.nameless = True

    def _next_serial(self) -> int:
        self._serial += 1
        return self._serial - 1

    def vanished(self, steps: Sequence[Step], gone: Step) -> list[Step]:
        """A step's message is gone: it is posted anew, and the messages after it are deleted."""
        self.posted_anew = True
        self.planned, self.tail, self.granted = -1, None, False
        at = steps.index(gone)
        self.attempts += sum(s.number for s in steps[at:])
        self._serial = max([self._serial, *(s.serial + 1 for s in steps)])
        after = [s for s in steps[at + 1 :] if s.message_id is not None]
        return [
            *steps[:at],
            *(Step("delete", s.serial, message_id=s.message_id) for s in reversed(after)),
        ]


def _changed(old: Step, part: Part, extra: Mapping[str, Json] | None, *, is_last: bool) -> Step:
    """The step for a message that stands: the old one, if the message is as it should be."""
    carried = extra
    if carried is None and is_last:
        carried = old.extra
    elif old.extra and not is_last:
        carried = {}  # its fields move to the last part
    step = Step("edit", old.serial, part=part, extra=carried, message_id=old.message_id)
    if old.outcome in ARRIVED and old.digest == step.digest:
        return old
    return step
