"""Where accepted envelopes are stored until they end: the interface.

It serves engines on other machines as well. An outbox never decides: it stores what is reported
to it, in that order, and gives it back in the next process run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, NamedTuple, Protocol, Self, TypeAlias

import attrs

from gateway_core.contract.envelopes import (
    CHANGES,
    Envelope,
    MessageRef,
    Part,
    Priority,
    Receipt,
)
from gateway_core.contract.ids import position_of
from gateway_core.deliveries.remembered import Scope
from gateway_core.ratelimits.spent import Standing
from gateway_core.scheduling.classes import CLASSES


class Stream(NamedTuple):
    """Some of an instance's entries, which are read apart from the others.

    priority  their class, as policies left it
    alone     they may overtake all others: `order="none"`, and no changes, which come in after
              the message that they change and after earlier changes of it
    """

    priority: Priority
    alone: bool


STREAMS = tuple(Stream(name, alone) for alone in (False, True) for name in CLASSES)
"""Every entry is in one of these. An engine may store its index: more are only ever added."""

ORDERED = STREAMS[: len(CLASSES)]
"""Those in which each room keeps its order, over all classes."""

ALONE = STREAMS[len(CLASSES) :]
"""Those without any order, the highest class first."""


def stream_of(envelope: Envelope, priority: Priority) -> Stream:
    """The stream of an envelope of that class."""
    return Stream(priority, envelope.order == "none" and not isinstance(envelope, CHANGES))


@attrs.frozen(kw_only=True)
class Entry:
    """What an outbox stores of an accepted envelope.

    id           sorts by acceptance among those of one process, and of no two
    plan         its parts, so that a later run cuts nowhere else
    accepted_at  POSIX time; deadline likewise
    priority     the class that a policy gave it; None: the envelope's own
    fingerprint  of its content, where it has an idempotency key
    due          POSIX time of a scheduled one, or of the message that it changes; None: it has
                 its position among the others
    trace        its trace context as a text; empty: it has none
    """

    id: str
    envelope: Envelope
    plan: tuple[Part, ...]
    accepted_at: float
    deadline: float
    priority: Priority | None = None
    fingerprint: str = ""
    due: float | None = None
    trace: str = ""

    @property
    def stream(self) -> Stream:
        """The stream that it is in."""
        return stream_of(self.envelope, self.priority or self.envelope.priority)


@attrs.frozen(kw_only=True)
class StepRecord:
    """What is known of a step of an entry, as far as it differs from a step not begun.

    serial      which step
    number      tries that began; `started`: the last of them has not ended yet
    attempts    tries that were spent; `maybe_sent`: those that may have been accepted unknown
    transforms  how often it was changed and tried again
    first_at    POSIX time of the first try of unknown outcome; 0: there was none
    not_before  POSIX time before which the platform asked not to be tried again
    outcome     how it ended; None: it has not
    """

    serial: int
    number: int = 0
    started: bool = False
    attempts: int = 0
    maybe_sent: int = 0
    transforms: int = 0
    first_at: float = 0.0
    not_before: float = 0.0
    outcome: str | None = None
    message_id: str | None = None


@attrs.frozen(kw_only=True)
class StepShape:
    """A step as planned, where it does not follow from the entry's own plan."""

    kind: str
    serial: int
    part: Part | None = None
    message_id: str | None = None
    reply: str | None = None
    extra: Any = None
    mode: str = "as_asked"


@attrs.frozen(kw_only=True)
class StoredEntry:
    """An unfinished entry as a process run finds it.

    position  its order among the unfinished; scheduled ones get it when they are due, changes of
              a message that was not there yet get another one when it is
    sequence  its order among all that the account's owners took on, ever; None: as ids sort, which
              they do where one process at a time appends
    records   of the steps that began
    shapes    all steps in order, where they were planned anew; None: as the plan has them
    """

    entry: Entry
    position: int
    sequence: int | None = None
    records: tuple[StepRecord, ...] = ()
    shapes: tuple[StepShape, ...] | None = None


@attrs.frozen(kw_only=True)
class Found:
    """What an outbox knows of an id or a key: an unfinished entry, or a receipt.

    newest    the message of that id as the last edit left it
    sequence  as a `StoredEntry` has it, of one that ended as well
    """

    envelope_id: str
    fingerprint: str = ""
    stored: StoredEntry | None = None
    receipt: Receipt | None = None
    newest: MessageRef | None = None
    sequence: int | None = None


ALL = ""
"""In the place of an instance: of all of them together."""


@attrs.frozen(kw_only=True)
class PastAttempt:
    """Attempts at one envelope that an outbox knows of, and by when they had been made.

    thread     the thread of the message; None: the room itself, or not known
    operation  `send`, `edit` or `delete`; of calls nothing is known
    at         POSIX time of the envelope's end; of one that is unfinished, of the look
    """

    instance_id: str
    room: str
    thread: str | None = None
    operation: str
    priority: Priority
    at: float
    count: int


@attrs.frozen(kw_only=True)
class Overview:
    """What an outbox holds of all accounts together, as it is opened.

    last_id     the newest id that it ever stored; empty: none
    sequence    the highest sequence or position that was ever given; None: as `last_id` sorts
    unfinished  how many entries of each instance
    classes     how many entries of each class
    scheduled   how many of them wait for their time
    """

    last_id: str = ""
    sequence: int | None = None
    unfinished: Mapping[str, int] = attrs.field(factory=dict)
    classes: Mapping[Priority, int] = attrs.field(factory=dict)
    scheduled: int = 0

    @property
    def newest(self) -> int:
        """The highest sequence or position that was ever given; -1: none."""
        last = position_of(self.last_id) if self.last_id else -1
        return last if self.sequence is None else max(last, self.sequence)


@attrs.frozen(kw_only=True)
class Recovery:
    """What the last owner of an account left of its state.

    moves     rooms that moved: to the new id
    closures  what platforms closed: operation (empty: the instance as a whole) to (POSIX time until
              when, seconds for which it was asked for)
    spent     when it was released (POSIX time), and what was spent then; None: it never was
    """

    moves: Mapping[str, str] = attrs.field(factory=dict)
    closures: Mapping[str, tuple[float, float]] = attrs.field(factory=dict)
    spent: tuple[float, Sequence[Standing]] | None = None


@attrs.frozen(kw_only=True)
class Overdue:
    """Entries whose deadline has passed, and the next deadline of any other; None: no other."""

    stored: Sequence[StoredEntry] = ()
    next: float | None = None


@attrs.frozen(kw_only=True)
class Endings:
    """Some of what ended, numbered in the order in which it was stored.

    source     which outbox it is: another one, and another file, has another name
    forgotten  the highest number of those that are remembered no more; 0: there is none
    newest     the highest number that there was; 0: nothing has ended
    ended      the next ones, by their numbers
    """

    source: str
    forgotten: int
    newest: int
    ended: Sequence[tuple[int, Receipt]] = ()


@attrs.frozen(kw_only=True)
class Request:
    """Something that another process asks of the running gateway, mostly for an operator.

    kind      `retry` (the entry in `stored` is unfinished again), `discard` (it shall end),
              `submit` (accept `envelope`), `cancel` (end the one of `envelope_id`, unless it has
              started), `erase` (end what is queued of a room, then have the outbox erase the rest),
              `accounts` (say which are out of order), or `look` (and what waits for what, of an
              instance or a room where they are named)
    number    which request it is: all but `retry` are the gateway's to answer
    envelope  with a key, so that it is one message if a process run ends before it has answered
    """

    kind: str
    number: int = 0
    instance_id: str = ""
    room: str = ""
    stored: StoredEntry | None = None
    envelope: Envelope | None = None
    envelope_id: str = ""


What: TypeAlias = str | Scope
"""An envelope's id, or the scope of an idempotency key."""


class Outbox(Protocol):
    """Stores accepted envelopes. Entered by the gateway before anything else, left last.

    requested  called on trio's thread with what operators ask; set by the gateway
    keys_for   seconds for which keys of ended envelopes are remembered; likewise

    lost           called on trio's thread with an account that another process owns from now on;
                   likewise. Nothing of it begins here then, what is under way is in doubt, and
                   `recover` is called until the account is had again
    next_position  gives a position after all others; likewise. What the gateway that owns an
                   account appends has the position that follows from its id. What another process
                   appended has none until the owner's `page` comes to it: it gets this one then,
                   as its `position` and its `sequence`, in the order in which it arrived

    Plain methods never wait and never raise: what they record may be written later, but in
    order: what a later awaited call wrote is never there without it. Async ones may raise
    `OutboxError`; then what they asked has not happened.
    """

    requested: Callable[[Request], None] | None
    lost: Callable[[str], None] | None
    next_position: Callable[[], int] | None
    keys_for: float

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    async def overview(self) -> Overview:
        """What previous runs left. Called once, before anything is appended."""
        ...

    async def recover(self, instance_id: str) -> Recovery:
        """Own the account from now on; the state in which its last owner left it.

        Called before anything of it is attempted, and again after each `release`. For `ALL`: of
        what instances share. An embedded outbox is owned whole, from its opening on. Raises
        `OutboxError` that names the present owner.
        """
        ...

    async def attempts(
        self, *, since: float, instance_id: str | None = None, limit: int = 1000
    ) -> Sequence[PastAttempt]:
        """What is known of attempts since that POSIX time: of the newest, in their order.

        Of one instance, or of all. A killed process run told nobody what it had spent.
        """
        ...

    async def page(
        self,
        instance_id: str,
        *,
        room: str | None = None,
        streams: Sequence[Stream] = STREAMS,
        after: int = -1,
        limit: int = 1000,
    ) -> Sequence[StoredEntry]:
        """The next unfinished of an instance, or of one of its rooms, by their positions.

        Of the `streams` alone: reading one costs the same however many entries the others have.

        There may be fewer than `limit`, as an engine thinks fit; none: there are no more.

        Scheduled ones are not among them until they have `entered`.
        """
        ...

    async def scheduled(
        self, *, until: float, after: tuple[float, int] = (0.0, -1), limit: int = 1000
    ) -> Sequence[StoredEntry]:
        """Scheduled entries due by `until` (POSIX time), by (due, position)."""
        ...

    async def overdue(
        self, *, until: float, after: tuple[float, int] = (0.0, -1), limit: int = 1000
    ) -> Overdue:
        """Unfinished entries whose deadline is at `until` or before, by (deadline, sequence)."""
        ...

    async def find(self, what: What) -> Found | None:
        """What is known of an id or a key; None: nothing (any more).

        By an id, it says what edits made of the envelope's message as well. An end that was
        reported before is known.
        """
        ...

    async def endings(self, *, after: int, limit: int = 1000) -> Endings:
        """What ended after that number, also in former process runs; all that was told before.

        A number is given once an end can no longer be lost, and never to another one: whoever has
        stored it misses nothing that comes after it. An envelope that an operator has tried again
        gets another when it ends again; those that were erased are left out.
        """
        ...

    def answered(self, request: Request, answer: str) -> None:
        """It was carried out: stored with what a `discard` ended, or later, and never before."""

    async def erase(self, request: Request, in_flight: int) -> None:
        """Take all of a room out: payloads, history, keys, moves. The last step of a request."""

    async def append(self, entry: Entry, on_stored: Callable[[], None]) -> None:
        """Store the entry. The caller learns that it is accepted after this returns.

        `on_stored` is called before this returns, and in the order of the appends.
        Always a checkpoint: others have their turn before it returns.
        Raises `OutboxError`: the entry is not stored and the envelope is refused.
        """

    def withdraw(self, envelope_id: str) -> None:
        """The caller was cancelled during its append: forget the entry."""

    def entered(self, envelope_id: str, position: int) -> None:
        """It has this position now.

        A scheduled entry's time has come, or a change's message; or it takes the place of an older
        one, which ends.
        """

    def replanned(self, envelope_id: str, shapes: Sequence[StepShape]) -> None:
        """The entry has these steps from now on."""

    async def attempt_started(self, envelope_id: str, record: StepRecord) -> None:
        """Record that a try begins whose outcome may become unknown."""

    def attempt_ended(self, envelope_id: str, record: StepRecord) -> None:
        """The try failed, or did not begin after all."""

    def acknowledged(self, envelope_id: str, record: StepRecord) -> None:
        """The step has its outcome."""

    def finished(self, receipt: Receipt) -> None:
        """The envelope ended. Its key is remembered, or free (`frees_its_key`)."""

    def moved(self, instance_id: str, room: str, moved_to: str) -> None:
        """A room has a new id."""

    def release(self, instance_id: str, at: float, standings: Sequence[Standing]) -> None:
        """The account is another's from that POSIX time on, and this is spent of its limits."""

    def closed(self, instance_id: str, operation: str, until: float, wait: float) -> None:
        """The platform wants no such operation (empty: none at all) until then, for `wait` s."""
