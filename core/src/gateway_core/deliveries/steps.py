"""The steps of an envelope: one operation on one platform message each. Sans-I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import attrs

from gateway_core.contract.addresses import Interaction
from gateway_core.contract.envelopes import (
    Json,
    MessageRef,
    Mode,
    Part,
    PartReceipt,
    PartRef,
    Send,
    digest_of,
)
from gateway_core.contract.fast_init import fast_init
from gateway_core.contract.files import File
from gateway_core.contract.hookspecs import Answer
from gateway_core.contract.verdicts import Verdict
from gateway_core.deliveries.step_files import StepFiles, files_of

Outcome = Literal["delivered", "deleted", "unchanged", "failed", "unknown", "not_sent"]
ARRIVED = ("delivered", "deleted", "unchanged")
MADE = ("send", "start")
"""Kinds of steps that make a message."""
REPEATED = (*MADE, "call")
"""Kinds of steps that make something new each time: a repeat may make a copy."""
NATIVE = ("draft", "start", "append", "stop")
"""Kinds of steps of a stream that its platform shows natively. A draft leaves no message."""
PASSING = ("draft", "append")
"""Kinds of steps that show a passing state; the whole text needs none of them."""
CHANGING = ("edit", "append", "stop", "delete")
"""Kinds of steps that change a message that is there."""
LONG_AGO = -(10**18)
"""Nanoseconds: no platform remembers a key for so long."""

_part_ref = fast_init(PartRef)
_part_receipt = fast_init(PartReceipt)


class Step:
    """One operation on one platform message, and its state. Its methods alone write it.

    refusals    how many of its last attempts in a row were refused by a limit
    outages     how many of its attempts found the instance out of order, as far as is known; the
                last of them at `down_at`. Before so many of these (`alone`) the instance had worked
                since the one before
    maybe_sent  how many of its attempts may have been accepted without our knowing
    doubtful    an attempt may have been accepted, and none was acknowledged since
    started     an attempt is in flight, or was when its worker died
    first_at    when the first attempt of unknown outcome began; 0: there was none. It stays known
                if an operator tries the step again, although then no attempt counts any more
    interaction  the interaction by whose reply token it is made, as long as the token is valid
    files       what it sends beside its text, or deletes with it; None: no files
    said        of an edit: the payload that its message's ref had before; None: it had none
    place       of an edit of an album: which of its part's files it changes; None: all of them
    """

    __slots__ = (
        "alone", "attempts", "doubtful", "down_at", "extra", "files", "first_at", "interaction",
        "kind", "maybe_sent", "message_id", "mode", "number", "outages", "outcome", "part", "place",
        "refusals", "reply", "said", "serial", "started", "transforms", "verdict",
    )  # fmt: skip

    def __init__(
        self,
        kind: str,
        serial: int,
        *,
        part: Part | None = None,
        message_id: str | None = None,
        reply: str | None = None,
        extra: Any = None,
        mode: Mode = "as_asked",
        files: StepFiles | None = None,
        said: Mapping[str, Json] | None = None,
        place: int | None = None,
    ) -> None:
        self.kind, self.serial, self.part, self.mode = kind, serial, part, mode
        self.message_id, self.reply, self.extra, self.files = message_id, reply, extra, files
        self.said, self.place = said, place
        self.attempts = self.refusals = self.number = self.maybe_sent = 0
        self.transforms = self.first_at = self.outages = self.down_at = self.alone = 0
        self.started = self.doubtful = False
        self.outcome: Outcome | None = None
        self.verdict: Verdict | None = None
        self.interaction: Interaction | None = None

    def begin(self) -> None:
        """An attempt begins."""
        self.started = True
        self.number += 1

    def acknowledge(self, message_id: str | None = None, *, changed: bool = True) -> None:
        """The platform accepted it, or says that the message is as it should be already."""
        self.started = False
        done: Outcome = "deleted" if self.kind == "delete" else "delivered"
        self.outcome = done if changed else "unchanged"
        if message_id is not None and self.kind not in ("delete", "draft"):
            self.message_id = message_id

    def learn(self, answer: Answer) -> None:
        """Note what the answer says about its files, and about the fields that were left out."""
        if answer.extra is not None:
            self.extra = answer.extra
        if self.files is not None:
            self.files.learn(answer)

    def break_off(self) -> None:
        """The attempt under way is over, and its outcome is not known here."""
        self.started = False

    def fail(self, verdict: Verdict, *, limited: bool) -> None:
        """An attempt failed; `limited`: a limit refused it."""
        self.verdict = verdict
        self.refusals = self.refusals + 1 if limited else 0

    def spend(self) -> None:
        """Count the attempt against the number that is allowed."""
        self.attempts += 1

    def forgive(self) -> None:
        """None of its attempts counts any more."""
        self.attempts = 0

    def meet_outage(self, now: int, worked_at: int) -> None:
        """The attempt found the instance out of order, which last worked at `worked_at`."""
        self.alone += self.outages > 0 and worked_at > self.down_at
        self.outages += 1
        self.down_at = now

    def doubt(self, begun: int, window: int, now: int, *, harmless: bool = False) -> None:
        """The outcome of the attempt that began at `begun` is unknown: it may have made a copy.

        window    nanoseconds for which the platform recognises the key of a send
        harmless  it is a call that may be repeated: the second one changes nothing
        """
        self.doubtful = True
        if self.kind in REPEATED and not harmless:
            self.maybe_sent += not (self.maybe_sent and self.deduplicated(window, now))
            # The platform may have received it when the attempt began, and remembers it since then.
            self.first_at = self.first_at or begun or -1

    def deduplicated(self, window: int, now: int) -> bool:
        """Whether the platform still knows the step's key, so that a repeat makes no copy.

        No platform knows a key for answers by a reply token.
        """
        if self.interaction is not None:
            return False
        return now - (self.first_at or now) < window

    def may_copy(self, window: int, now: int) -> bool:
        """Whether an attempt that begins now may make a second message; as in `doubt`."""
        in_doubt = self.doubtful and (self.maybe_sent > 0 or self.first_at != 0)
        return in_doubt and not self.deduplicated(window, now)

    def end(self, outcome: Outcome) -> None:
        """It is over, and no attempt follows."""
        self.outcome = outcome

    def transform(self, *, without_reply: bool = False) -> None:
        """It is changed before the next attempt."""
        self.transforms += 1
        if without_reply:
            self.reply = None

    def answer_in_room(self) -> None:
        """The reply token is no longer valid: the step goes to the room."""
        self.interaction = None

    def perhaps_begun(self) -> None:
        """A previous run may have been killed within an attempt that it had not recorded."""
        if self.kind in ("edit", "delete") and self.outcome is None:
            self.doubtful = True
            self.number += 1

    def restore(self, **known: Any) -> None:
        """Restore what was recorded: attributes by name."""
        for name, value in known.items():
            setattr(self, name, value)
        self.doubtful = bool(self.maybe_sent or self.first_at) and self.outcome is None

    def is_of_a_stream(self) -> None:
        """Its record may belong to another text of the stream, or to the send of the same message.

        So only the message's id is certain, and the message is edited, or deleted, once more. So is
        a message that was only sent, by the record: an edit may have begun without being recorded.
        """
        if self.kind == "send" and self.message_id is not None and self.interaction is None:
            self.kind = "edit"
        if self.kind == "edit" or (self.kind == "delete" and self.outcome != "deleted"):
            self.outcome = None

    def interrupt(self, verdict: Verdict, window: int, now: int, *, harmless: bool = False) -> None:
        """Its last attempt began in a previous run, with unknown outcome; arguments as in `doubt`.

        Whether a call is harmless is what the adapter of the new run says.
        """
        self.verdict = verdict
        self.attempts += 1
        if self.kind in REPEATED and not harmless:
            known = bool(window) and self.interaction is None and now - self.first_at < window
            self.maybe_sent += not (self.maybe_sent and known)
        self.doubtful = bool(self.maybe_sent) and self.outcome is None

    def goes_on_from(self, old: Step | None, *, mode: Mode, fresh: bool) -> None:
        """Take the place of a step that has not ended, with its refusals, outages and verdict.

        fresh  it spends attempts of its own: those of the old step do not count
        """
        self.mode = mode
        if old is None or old.outcome is not None:
            return
        if old.kind in MADE and old.maybe_sent:  # its message may be there: this makes another
            self.maybe_sent, self.first_at, self.doubtful = old.maybe_sent, LONG_AGO, True
        self.refusals, self.outages, self.down_at = old.refusals, old.outages, old.down_at
        self.alone, self.transforms, self.verdict = old.alone, old.transforms, old.verdict
        if not fresh:
            self.attempts = old.attempts

    def leave_out(self, following: Sequence[Step], lost: str) -> None:
        """Its files are refused, and it has nothing else: the following step gets its reply."""
        self.outcome = "unknown" if self.doubtful else "failed"
        if self.part is not None:
            self.part = attrs.evolve(self.part, degraded=(*self.part.degraded, lost))
        for step in following:
            step.reply, step.extra = step.reply or self.reply, step.extra or self.extra

    def divided(self, parts: Sequence[Part], mode: Mode, serial: int) -> list[Step]:
        """Steps for new parts: the first keeps its message and key, the later ones get new ones."""
        first = Step(self.kind, self.serial, part=parts[0], mode=mode)
        first.message_id, first.reply = self.message_id, self.reply
        first.said, first.place = self.said, self.place
        more = [Step("send", serial + i, part=p, mode=mode) for i, p in enumerate(parts[1:])]
        if self.kind == "edit" and self.extra is not None:
            first.extra = {}  # the platform's own fields move to the last part
        [first, *more][-1].extra = self.extra
        first.number, first.attempts, first.first_at = self.number, self.attempts, self.first_at
        first.maybe_sent = self.maybe_sent
        for new in more:  # an attempt that may have arrived, or an edit, had their text as well
            new.maybe_sent = self.maybe_sent or int(self.doubtful)
            new.first_at = LONG_AGO if new.maybe_sent else 0
        first.interaction = self.interaction
        for new in more:
            new.interaction = _later(self.interaction)
        for new in (first, *more):
            new.doubtful, new.transforms = self.doubtful, self.transforms
        if self.files is not None:
            self._divide_files(self.files, [first, *more])
        return [first, *more]

    def _divide_files(self, files: StepFiles, steps: Sequence[Step]) -> None:
        """Give each file to the part that names it by its place among the files of this step."""
        if not files.files:  # an edit that removes them
            steps[0].files = files
            return
        places = self._places
        for step in steps:
            part = step.part
            if part is not None and part.files:
                step.files = files_of(part, files.files)
                step.part = attrs.evolve(part, files=tuple(places[at] for at in part.files))
        if steps[0].files is not None:
            steps[0].files.held, steps[0].files.more = files.held, files.more
            steps[0].files.before = files.before

    @property
    def place_in_part(self) -> int | None:
        """Its `place`; None if its part, planned anew, is of its file alone."""
        return None if self.part is None or len(self.part.files) == 1 else self.place

    @property
    def span(self) -> tuple[int, int]:
        """Which piece of the text it shows; empty if another file of its album shows the text."""
        if (part := self.part) is None:
            return (0, 0)
        shows = self.place is None or self.place_in_part in (None, part.captioned)
        return part.span if shows else (part.span[0], part.span[0])

    @property
    def _places(self) -> tuple[int, ...]:
        """Which of the envelope's files it has, by their positions."""
        places = self.part.files if self.part is not None else ()
        if self.place is None or self.place_in_part is None:
            return places
        return (places[self.place_in_part],)

    @property
    def left_files(self) -> tuple[File, ...]:
        """The files that its message has now; if an edit certainly failed: those from before it.

        If files are refused, they were in earlier attempts of unknown outcome, too.
        """
        if self.files is None:
            return ()
        refused = self.verdict is not None and self.verdict.files_refused
        unchanged = self._changed_nothing or (refused and self.outcome not in ARRIVED)
        before = self.files.before if unchanged else None
        return self.files.standing if before is None else before

    @property
    def digest(self) -> str:
        """The digest of what is sent: the part, the platform's own fields if any, and files."""
        if self.part is None or self.kind in NATIVE:
            return ""
        if self.files is not None:
            return digest_of([self.part.digest, self.extra or None, self.files.identities])
        return sent_digest(self.part, self.extra)

    @property
    def payload(self) -> Mapping[str, Json] | None:
        """The payload that an edit of the platform's own fields must repeat; None: none or unknown.

        It is known for a message that has such fields, or had some until they were removed.
        """
        part = self.part
        if self._changed_nothing:
            return self.said
        if part is None or not part.repeated or self.extra is None or self.kind in NATIVE:
            return None
        return part.payload if self.outcome in ARRIVED else None

    @property
    def did_nothing(self) -> bool:
        """Whether it certainly failed, or was never tried."""
        undone = self.outcome not in (*ARRIVED, "unknown")
        return undone and not (self.doubtful or self.maybe_sent or self.started)

    @property
    def _changed_nothing(self) -> bool:
        """Whether it is an edit that certainly failed."""
        return self.kind == "edit" and self.did_nothing

    @property
    def is_nameless(self) -> bool:
        """Whether it made, or may have made, a message whose id nobody knows."""
        if self.kind not in MADE or self.message_id is not None:
            return False
        return self.doubtful or self.outcome in ("delivered", "unknown")

    def receipt(self, index: int) -> PartReceipt:
        """Its part of the receipt."""
        part = self.part
        return _part_receipt(
            index=index,
            outcome=self.outcome or ("unknown" if self.doubtful else "not_sent"),
            message_id=self.message_id,
            attempts=self.number,
            span=self.span,
            degraded=part.degraded if part is not None else (),
            verdict=self.verdict,
            more=self.files.more if self.files is not None else (),
            files=self._places,
        )


def sent_digest(part: Part, extra: Any) -> str:
    """The digest of a part together with the platform's own fields on it."""
    return digest_of([part.digest, extra]) if extra else part.digest


def carried(steps: Sequence[Step], changed: MessageRef | None) -> Mapping[str, Json] | None:
    """The platform's own fields that the last part has, or shall have.

    changed  the message that the steps change, as it stood before: it keeps its fields if the last
             part's step did nothing. None: they make a new message
    """
    last = _last_of(steps)
    if last is None:
        return None
    if changed is not None and last.did_nothing:
        return changed.extra or None
    return last.extra or None


def _last_of(steps: Sequence[Step]) -> Step | None:
    """The step of the last message that shall stand; None: all are deletions."""
    for step in reversed(steps):
        if step.kind != "delete":
            return step
    return None


def standing(steps: Sequence[Step], changed: MessageRef | None) -> tuple[PartRef, ...]:
    """The platform messages that stand after these steps; a digest only where it is certain.

    changed  the message that the steps change, as it stood before: what is fixed of it stays so.
             None: they make a new message
    """
    parts: list[PartRef] = []
    spare: list[PartRef] = []
    fixed = {part.message_id for part in changed.parts if part.fixed} if changed else ()
    album = -1  # where the last one stands in `parts`
    last = _last_of(steps)
    for step in steps:
        name = step.message_id
        if name is None:
            continue
        files, more = ((), ()) if step.files is None else (step.left_files, step.files.more)
        if step.place:
            whole = parts[album]
            parts[album] = attrs.evolve(
                whole, digest="", files=(*whole.files, *files), more=(*whole.more, name)
            )
        elif step.kind != "delete":
            album = len(parts) if step.place == 0 else album
            digest = step.digest if step.outcome in ARRIVED else ""
            made_fixed = step.part.fixed if step.part is not None else _is_besides(step)
            payload = step.payload if step is last else None
            parts.append(
                _part_ref(
                    message_id=name,
                    digest=digest,
                    files=files,
                    more=more,
                    fixed=made_fixed or name in fixed,
                    payload=payload,
                )
            )
        elif step.outcome != "deleted":
            spare.append(_part_ref(message_id=name, files=files, more=more, fixed=name in fixed))
    return tuple(parts + spare[::-1] if spare else parts)


def send_steps(envelope: Send, plan: Sequence[Part]) -> list[Step]:
    """One step for each part: the reply on the first, the platform's own fields on the last."""
    steps = [Step("send", index, part=part) for index, part in enumerate(plan)]
    if envelope.files:
        for step, part in zip(steps, plan, strict=True):
            step.files = files_of(part, envelope.files)
    if steps:
        steps[0].reply, steps[-1].extra = envelope.reply_to, envelope.extra or None
        if envelope.interaction is not None:
            answering(steps, envelope.interaction)
    return steps


def made_besides(call: Step, names: Sequence[str]) -> list[Step]:
    """One step, already delivered, for each further message that a call made."""
    steps = [Step("call", call.serial + n, message_id=name) for n, name in enumerate(names, 1)]
    for step in steps:
        step.end("delivered")
    return steps


def _is_besides(step: Step) -> bool:
    """Whether it is a further message of a call: an edit has one text, and would delete it."""
    return step.kind == "call" and step.serial > 0


def answering(steps: Sequence[Step], interaction: Interaction) -> None:
    """Let the steps answer by the reply token; only the first is the interaction's answer 0."""
    for step in steps:
        if step.kind == "send":
            step.interaction = interaction if step.serial == 0 else _later(interaction)
        elif step.kind == "edit":
            step.interaction = interaction


def _later(interaction: Interaction | None) -> Interaction | None:
    """The interaction for a part that is not the first: its answer is not 0."""
    if interaction is None or interaction.answer:
        return interaction
    return attrs.evolve(interaction, answer=1)
