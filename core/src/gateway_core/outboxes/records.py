"""The records that an outbox stores and gives back, as values."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import attrs

from gateway_core.contract.envelopes import (
    Disposition,
    Envelope,
    Json,
    MessageRef,
    Part,
    Priority,
    Receipt,
    Send,
)
from gateway_core.contract.errors import OutboxError
from gateway_core.contract.files import File
from gateway_core.deliveries.idempotency import scope_of
from gateway_core.deliveries.remembered import Scope
from gateway_core.ratelimits.spent import Standing
from gateway_core.scheduling.classes import CLASSES


class Stream(NamedTuple):
    """Some of an instance's entries, which are read separately from the others.

    priority  their class, after policies have voted
    alone     they may overtake all others: they have `order="none"` and do not change a message.
              Changes enter memory after their message and after earlier changes of it
    """

    priority: Priority
    alone: bool


STREAMS = tuple(Stream(name, alone) for alone in (False, True) for name in CLASSES)
"""Every entry is in one of these. An engine may store an index: streams are only ever appended."""

ORDERED = STREAMS[: len(CLASSES)]
"""The streams in which each room keeps its order, over all classes."""

ALONE = STREAMS[len(CLASSES) :]
"""The streams without any order, the highest class first."""


def stream_of(envelope: Envelope, priority: Priority) -> Stream:
    """The stream of an envelope of that class."""
    return Stream(priority, envelope.order == "none" and envelope.target is None)


OWN_KEY = "handed:"
"""Before a new id: the key that a process which hands over gives to a group without one."""
_OWN_KEY = re.compile(f"{OWN_KEY}[0-9a-f]{{30}}")


class OutboxForbidden(OutboxError):
    """The process may not do that with the outbox until somebody grants it."""


class RequestWithdrawn(OutboxError):
    """The request that an entry answers was withdrawn or answered already, so it is not stored."""


@attrs.frozen(kw_only=True)
class Entry:
    """An accepted envelope as an outbox stores it.

    id           sorts by acceptance among the ids of one process, but not of several processes
    asked_room   the room that its caller named, if a policy moved it to another room; its key
                 belongs to that room. None: its own room
    plan         its parts, so that a later run splits the text in the same places
    accepted_at  POSIX time; deadline likewise
    priority     the class that a policy gave it; None: the envelope's own
    fingerprint  the fingerprint of its content, if it has an idempotency key
    due          POSIX time of a scheduled entry, or of the message that it changes; None: it has
                 its position among the others
    trace        its trace context as a text; empty: it has none
    member       the id of its group and its number there, from 0 on; None: it is not in a group
    files        digests of the stored bytes that it needs
    voted        policies have voted on it; False: its account's owner calls them when it takes the
                 entry on
    sequence     its position and sequence, if another process gave it its id; None: its id says
                 both
    request      the number of the request by which another process handed it over. The entry is
                 stored together with the answer. If the request was withdrawn or answered already,
                 the engine raises `RequestWithdrawn` and stores nothing
    after        the number of the request that its room asked before and that may be under way; 0:
                 none. While that one is not answered, neither by this entry's batch nor before, the
                 engine raises `OutboxError` and stores nothing
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
    voted: bool = True
    member: tuple[str, int] | None = None
    files: tuple[str, ...] = ()
    asked_room: str | None = None
    sequence: int | None = None
    request: int | None = None
    after: int = 0

    @property
    def scope(self) -> Scope | None:
        """Where its key is unique; None: it has none."""
        return scope_of(self.envelope, self.asked_room)

    @property
    def stream(self) -> Stream:
        """The stream that it is in."""
        return stream_of(self.envelope, self.priority or self.envelope.priority)


@attrs.frozen(kw_only=True)
class StepRecord:
    """What is known about a step of an entry that has begun.

    serial      which step
    number      attempts that began; `started`: the last of them has not ended yet
    attempts    attempts that count; `maybe_sent`: those with an unknown outcome
    transforms  how often it was changed and tried again
    first_at    POSIX time of the first attempt with an unknown outcome; 0: none. It is kept if an
                operator retries the step
    not_before  POSIX time before which the platform wants no further attempt; of an attempt that
                began in a shared outbox, the time until which it may arrive if its owner is lost
    outcome     how it ended; None: it has not
    more        ids of further messages that it made, beside `message_id`
    files       the platform's ids of the files that it sent
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
    more: tuple[str, ...] = ()
    files: tuple[str, ...] = ()

    def anew(self) -> StepRecord:
        """The step as not begun, except that it may have arrived, for an operator's retry."""
        first_at = self.first_at if self.maybe_sent else 0.0
        not_before = 0.0 if self.started else self.not_before
        return attrs.evolve(
            self, started=False, attempts=0, maybe_sent=0, first_at=first_at,
            not_before=not_before, outcome=None,
        )  # fmt: skip


@attrs.frozen(kw_only=True)
class StepShape:
    """A step as planned, if it does not follow from the entry's own plan.

    files  its files; None: none. `held`: the message has them already, and `more` has the ids of
           its further messages
    before, said  of an edit: the files and the payload that its message had before; None: not known
    place  of an edit of an album: which of the part's files; None: all of them
    """

    kind: str
    serial: int
    part: Part | None = None
    message_id: str | None = None
    reply: str | None = None
    extra: Any = None
    mode: str = "as_asked"
    files: tuple[File, ...] | None = None
    held: bool = False
    more: tuple[str, ...] = ()
    before: tuple[File, ...] | None = None
    said: Mapping[str, Json] | None = None
    place: int | None = None


@attrs.frozen(kw_only=True)
class StoredEntry:
    """An unfinished entry as a process run finds it.

    position  its order among unfinished entries. Scheduled entries get it when they are due;
              changes of a message that was not there yet get a new one when it is
    sequence  its order among all entries that the account's owners ever took on; None: the order of
              ids, which is enough if one process at a time appends
    records   the records of the steps that began
    shapes    all steps in order, if they were planned again; None: as in the plan
    grown     the number and the text of its newest state, if it grew since it was accepted
    """

    entry: Entry
    position: int
    sequence: int | None = None
    records: tuple[StepRecord, ...] = ()
    shapes: tuple[StepShape, ...] | None = None
    grown: tuple[int, str] | None = None


@attrs.frozen(kw_only=True)
class Member:
    """A member of a group.

    room        where its message goes
    envelope    its own envelope; None: it sends the group's template
    asked_room  as an `Entry` has it
    """

    room: str
    envelope: Envelope | None = None
    asked_room: str | None = None


@attrs.frozen(kw_only=True)
class Group:
    """Messages that are accepted together; each becomes an entry when its turn comes.

    id           as an envelope's: 30 hexadecimal digits, unique among groups and entries, which
                 sort by acceptance
    template     the envelope that members without one of their own send, each to its own room
    plan         the template's parts
    accepted_at  POSIX time; deadline likewise
    priority     the class that a policy gave it; None: the template's
    fingerprint  the fingerprint of its content, if it has an idempotency key
    due          POSIX time before which no member has its turn; None: they have it at once
    trace        its trace context as a text; empty: it has none
    size         how many members it has
    files        digests of the stored bytes that its members need
    """

    id: str
    instance_id: str
    template: Send
    plan: tuple[Part, ...]
    accepted_at: float
    deadline: float
    priority: Priority | None = None
    fingerprint: str = ""
    due: float | None = None
    trace: str = ""
    size: int
    files: tuple[str, ...] = ()

    @property
    def key(self) -> str | None:
        """The key that its caller gave it; None: its caller gave it none."""
        key = self.template.key
        return None if key is None or _OWN_KEY.fullmatch(key) else key

    @property
    def scope(self) -> Scope | None:
        """The scope of its key, which is the template's: groups of the account. None: no key."""
        key = self.template.key
        return None if key is None else (self.instance_id, "", "group", key)

    def envelope_of(self, member: Member) -> Envelope:
        """The envelope that the member sends: its own, or the template in its room."""
        if member.envelope is not None:
            return member.envelope
        return attrs.evolve(self.template, external_room_id=member.room)


@attrs.frozen(kw_only=True)
class GroupState:
    """How far a group is.

    taken      how many of its members have become entries
    counts     how many members ended in each disposition; members that were cancelled before their
               turn or erased before their end count as cancelled
    paused     whether its members are paused
    cancelled  whether members without a turn get none any more
    retrying   whether some failed members are about to be tried again
    """

    group: Group
    taken: int = 0
    counts: Mapping[Disposition, int] = attrs.field(factory=dict)
    paused: bool = False
    cancelled: bool = False
    retrying: bool = False

    @property
    def ended(self) -> bool:
        """Whether all of its members have ended, and none of them is to be tried again."""
        return sum(self.counts.values()) == self.group.size and not self.retrying


@attrs.frozen(kw_only=True)
class Found:
    """What an outbox knows about an id or a key: an unfinished entry, a receipt, or a group.

    newest    the message of that id as the last edit left it
    sequence  as a `StoredEntry` has it; known for an ended envelope as well
    """

    envelope_id: str
    fingerprint: str = ""
    stored: StoredEntry | None = None
    receipt: Receipt | None = None
    newest: MessageRef | None = None
    sequence: int | None = None
    group: GroupState | None = None


ALL = ""
"""Instead of an instance's id: all instances together."""


@attrs.frozen(kw_only=True)
class PastAttempt:
    """Attempts at one envelope that an outbox knows of, and by when they had been made.

    thread     the thread of the message; None: the room itself, or not known
    operation  `send`, `edit` or `delete`; of calls nothing is known
    at         POSIX time of the envelope's end; for an unfinished envelope, of the look
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
    """Totals over all accounts when an outbox is opened.

    last_id     the newest id that it ever stored, of an entry or of a group; empty: none
    sequence    the highest sequence or position ever given; None: `last_id` says it
    unfinished  how many entries of each instance
    classes     how many entries of each class
    scheduled   how many of them wait for their time
    groups      instances that have groups which have not ended
    """

    last_id: str = ""
    sequence: int | None = None
    unfinished: Mapping[str, int] = attrs.field(factory=dict)
    classes: Mapping[Priority, int] = attrs.field(factory=dict)
    scheduled: int = 0
    groups: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class Suspension:
    """An account sends nothing until an operator resumes it.

    why    the reason, for people
    by     who asked for it; empty: not known
    since  POSIX time
    """

    why: str
    by: str = ""
    since: float


@attrs.frozen(kw_only=True)
class Recovery:
    """The state in which an account's last owner left it.

    moves      rooms that moved, with their new ids
    closures   operations that the platform closed (empty: the whole instance), each with (POSIX
               time of its end, seconds that the platform asked for)
    spent      POSIX time at which it was released, and what was spent then; None: it never was
               released
    last_id    the newest id that another owner has assigned meanwhile; empty: none
    sequence   the highest position that another owner has assigned meanwhile; envelopes that are
               accepted from now on come after both
    stored     for accounts that are spread over processes, what the outbox holds of the account
               now; None: the overview had it
    suspended  the operator's suspension, as `store_suspension` has it; None: there is none
    """

    moves: Mapping[str, str] = attrs.field(factory=dict)
    closures: Mapping[str, tuple[float, float]] = attrs.field(factory=dict)
    spent: tuple[float, Sequence[Standing]] | None = None
    last_id: str = ""
    sequence: int | None = None
    stored: Overview | None = None
    suspended: Suspension | None = None


@attrs.frozen(kw_only=True)
class Overdue:
    """Entries whose deadline has passed, and the next deadline of any other; None: no other."""

    stored: Sequence[StoredEntry] = ()
    next: float | None = None


@attrs.frozen(kw_only=True)
class Endings:
    """Some endings, numbered in the order in which they were stored.

    source     the name of the outbox; another outbox or file has another name
    forgotten  the highest number that is no longer remembered; 0: there is none
    newest     the highest number so far; 0: nothing has ended
    ended      the next ones, by their numbers
    """

    source: str
    forgotten: int
    newest: int
    ended: Sequence[tuple[int, Receipt]] = ()


@attrs.frozen(kw_only=True)
class Request:
    """A request of another process to the running gateway, usually from an operator.

    kind      what is asked. `retry`: the entry in `stored` is unfinished again. `discard`: end it.
              `submit`: accept `envelope`. `cancel`: end the envelope `envelope_id` unless it has
              started. `leave`: the same unless others wait for it. `erase`: end what is queued of a
              room, then have the outbox erase the rest. `accounts`: say which accounts do not work.
              `look`: also say what waits for what, perhaps of one instance or room. `group` and
              `ask`: do or answer what `asked` says, perhaps for one instance only
    number    the request's number; the gateway answers all kinds except `retry`
    envelope  it has a key, so that it remains one message if a process run ends before it has
              answered, unless the request `claims`. If `envelope_id` is given, it gets that id
    claims    the entry of the envelope is stored together with the answer
    after     the request of the same room that was begun before and may be under way; set by the
              gateway, for `Entry.after`
    awaited   whether the caller of a `submit` waits for its end
    age       seconds since it was asked, by the outbox's clock, when the gateway received it
    asked_at  engine nanoseconds at which it was asked; set by the gateway
    asked     details of a `group` or `ask`, as JSON
    files     the digests of the bytes that came with an `ask`
    outside   it may be from who may send as few instances: the answer names no others
    """

    kind: str
    number: int = 0
    instance_id: str = ""
    room: str = ""
    stored: StoredEntry | None = None
    envelope: Envelope | None = None
    envelope_id: str = ""
    awaited: bool = False
    asked: str = ""
    files: frozenset[str] = frozenset()
    outside: bool = False
    age: float = 0.0
    asked_at: int = 0
    claims: bool = False
    after: int = 0


What: TypeAlias = str | Scope
"""The id of an envelope or a group, or the scope of an idempotency key."""
