"""Where accepted envelopes are kept until they end: the interface, and the outbox in memory.

The interface is what an engine on other machines needs as well. An outbox never decides: it
keeps what it is told, in the order in which it is told, and gives it back in the next life.
"""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Protocol, Self, TypeAlias

import attrs

from gateway_core.envelopes import Envelope, MessageRef, Part, Priority, Receipt
from gateway_core.idempotency import Scope, frees_its_key, scope_of
from gateway_core.ids import position_of

ALL = 1 << 62
"""A position after every other."""


@attrs.frozen(kw_only=True)
class Entry:
    """What an outbox keeps of an accepted envelope.

    id           its position in its room follows from it: ids sort by acceptance
    plan         its parts, so that a later life cuts nowhere else
    accepted_at  POSIX time; deadline likewise
    priority     the class that a policy gave it; None: the envelope's own
    fingerprint  of its content, where it has an idempotency key
    due          POSIX time of a scheduled one; None: it has its place among the others
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
class Kept:
    """An unfinished entry as a life finds it.

    position  its place among the unfinished; scheduled ones get theirs when they are due
    records   of the steps that began
    shapes    all steps in order, where they were planned anew; None: as the plan has them
    """

    entry: Entry
    position: int
    records: tuple[StepRecord, ...] = ()
    shapes: tuple[StepShape, ...] | None = None


@attrs.frozen(kw_only=True)
class Found:
    """What an outbox knows of an id or a key: an unfinished entry, or a receipt.

    newest  the message of that id as the last edit left it, whoever holds an older ref
    """

    envelope_id: str
    fingerprint: str = ""
    kept: Kept | None = None
    receipt: Receipt | None = None
    newest: MessageRef | None = None


@attrs.frozen(kw_only=True)
class Recovery:
    """What there is when an outbox is opened.

    last_id     the newest id that it has ever kept; empty: none
    unfinished  how many entries of each instance
    scheduled   how many of them wait for their time
    moves       rooms that moved: (instance, room) to the new id
    closures    what platforms closed: (instance, operation) to (POSIX time until when, seconds for
                which it was asked for); operation empty: the instance as a whole
    """

    last_id: str = ""
    unfinished: Mapping[str, int] = attrs.field(factory=dict)
    scheduled: int = 0
    moves: Mapping[tuple[str, str], str] = attrs.field(factory=dict)
    closures: Mapping[tuple[str, str], tuple[float, float]] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class Overdue:
    """Entries whose deadline has passed, and the next deadline of any other; None: no other."""

    kept: Sequence[Kept] = ()
    next: float | None = None


@attrs.frozen(kw_only=True)
class Request:
    """Something that an operator asks of the running gateway.

    kind      `retry` (the entry in `kept` is unfinished again), `discard` (it shall end), or
              `erase` (end what is queued of a room, then have the outbox erase the rest)
    number    which request it is
    """

    kind: str
    number: int = 0
    instance_id: str = ""
    room: str = ""
    kept: Kept | None = None


What: TypeAlias = str | Scope
"""An envelope's id, or the scope of an idempotency key."""


class Outbox(Protocol):
    """Keeps accepted envelopes. Entered by the gateway before anything else, left last.

    durable    whether what it keeps survives the process; where it does not, the gateway skips
               all calls but `__aenter__` and `__aexit__`: they serve the next life only
    requested  called on trio's thread with what operators ask; set by the gateway
    keys_for   seconds for which the keys of what ended are to be remembered; likewise

    Plain methods never wait and never raise: what they record may be written later, but in
    order: what a later awaited call wrote is never there without it. Async ones may raise
    `OutboxError`; then what they asked has not happened.
    """

    durable: bool
    requested: Callable[[Request], None] | None
    keys_for: float

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    async def claim(self, partitions: Sequence[int]) -> Sequence[int]:
        """Own these partitions; those that are owned from now on.

        An embedded outbox is owned whole. Raises `OutboxError` that names the present owner.
        """
        ...

    async def recover(self) -> Recovery:
        """What there is from earlier lives. Called once, before anything is appended."""
        ...

    async def page(
        self, instance_id: str, *, room: str | None = None, after: int = -1, limit: int = 1000
    ) -> Sequence[Kept]:
        """The next unfinished of an instance, or of one of its rooms, by their positions.

        There may be fewer than `limit`, as an engine thinks fit; none: there are no more.

        Scheduled ones are not among them until they have `entered`.
        """
        ...

    async def scheduled(
        self, *, until: float, after: tuple[float, int] = (0.0, -1), limit: int = 1000
    ) -> Sequence[Kept]:
        """Scheduled entries due by `until` (POSIX time), by (due, position)."""
        ...

    async def overdue(
        self, *, until: float, after: tuple[float, int] = (0.0, -1), limit: int = 1000
    ) -> Overdue:
        """Unfinished entries whose deadline is at `until` or before, by (deadline, id)."""
        ...

    async def find(self, what: What) -> Found | None:
        """What is known of an id or a key; None: nothing (any more).

        Of an id, edits of the message that the envelope made are told as well.
        """
        ...

    def peek(self, what: What) -> Found | None:
        """The same at once, as far as it is at hand: from memory or this machine's disk."""
        ...

    async def erase(self, request: Request, in_flight: int) -> None:
        """Take all of a room out: payloads, history, keys, moves. The last step of a request."""

    async def append(self, entry: Entry, kept: Callable[[], None]) -> None:
        """Keep the entry. The caller hears "accepted" after this returns.

        `kept` is called once it is kept, before this returns and in the order of the appends.
        Raises `OutboxError`: the entry is not kept and the envelope is refused.
        """

    def withdraw(self, envelope_id: str) -> None:
        """The caller was cancelled during its append: forget the entry."""

    def classed(self, envelope_id: str, priority: Priority, deadline: float) -> None:
        """A policy gave the entry another class, and so another deadline (POSIX time)."""

    def entered(self, envelope_id: str, position: int) -> None:
        """A scheduled entry's time has come: from now on it has this position."""

    def replanned(self, envelope_id: str, shapes: Sequence[StepShape]) -> None:
        """The entry has these steps from now on."""

    async def attempt_started(self, envelope_id: str, record: StepRecord) -> None:
        """Record that a try begins whose outcome may become unknown."""

    def attempt_ended(self, envelope_id: str, record: StepRecord) -> None:
        """The try failed, or did not begin after all."""

    def acknowledged(self, envelope_id: str, record: StepRecord) -> None:
        """The step has its outcome."""

    def finished(self, receipt: Receipt) -> None:
        """The envelope ended. Its key is remembered, or free (`idempotency.frees_its_key`)."""

    def moved(self, instance_id: str, room: str, moved_to: str) -> None:
        """A room has a new id."""

    def closed(self, instance_id: str, operation: str, until: float, wait: float) -> None:
        """The platform wants no such operation (empty: none at all) until then, for `wait` s."""


@attrs.define(eq=False)
class _Row:
    """An entry in memory."""

    entry: Entry
    position: int
    due: float | None
    records: dict[int, StepRecord] = attrs.field(factory=dict)
    shapes: tuple[StepShape, ...] | None = None

    def kept(self) -> Kept:
        """As a life finds it."""
        entry = attrs.evolve(self.entry, due=self.due)
        return Kept(
            entry=entry,
            position=self.position,
            records=tuple(self.records.values()),
            shapes=self.shapes,
        )


class MemoryOutbox:
    """Keeps entries while the process lives, and not a moment longer.

    survives  keep them when it is left, for tests that begin another life with the same object
    """

    def __init__(self, *, survives: bool = False) -> None:
        self.durable = survives
        self.requested: Callable[[Request], None] | None = None
        self.keys_for = math.inf
        self._clear()

    def _clear(self) -> None:
        self._rows: dict[str, _Row] = {}
        self._order: list[tuple[int, str]] = []
        self._keys: dict[Scope, Found] = {}
        self._ended: dict[str, Found] = {}
        self._moves: dict[tuple[str, str], str] = {}
        self._closures: dict[tuple[str, str], tuple[float, float]] = {}
        self._newest: dict[str, MessageRef] = {}
        self._last = ""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self.durable:
            self._clear()

    def __len__(self) -> int:
        return len(self._rows)

    async def claim(self, partitions: Sequence[int]) -> Sequence[int]:
        """Nobody else can reach it."""
        return partitions

    async def recover(self) -> Recovery:
        """What earlier lives left."""
        counts: dict[str, int] = {}
        for row in self._rows.values():
            instance = row.entry.envelope.instance_id
            counts[instance] = counts.get(instance, 0) + 1
        return Recovery(
            last_id=self._last,
            unfinished=counts,
            scheduled=sum(row.due is not None for row in self._rows.values()),
            moves=dict(self._moves),
            closures=dict(self._closures),
        )

    async def page(
        self, instance_id: str, *, room: str | None = None, after: int = -1, limit: int = 1000
    ) -> Sequence[Kept]:
        """By position."""
        rows = (self._rows[name] for position, name in self._order if position > after)
        fitting = (
            row.kept()
            for row in rows
            if row.entry.envelope.instance_id == instance_id
            and room in (None, row.entry.envelope.external_room_id)
        )
        return [kept for kept, _ in zip(fitting, range(limit), strict=False)]

    async def scheduled(
        self, *, until: float, after: tuple[float, int] = (0.0, -1), limit: int = 1000
    ) -> Sequence[Kept]:
        """By their times."""
        due = sorted(
            (row.due, row.position, name)
            for name, row in self._rows.items()
            if row.due is not None and row.due <= until and (row.due, row.position) > after
        )
        return [self._rows[name].kept() for _, _, name in due[:limit]]

    async def overdue(
        self, *, until: float, after: tuple[float, int] = (0.0, -1), limit: int = 1000
    ) -> Overdue:
        """By their deadlines."""
        order = sorted(
            (row.entry.deadline, position_of(name), name) for name, row in self._rows.items()
        )
        past = [name for at, position, name in order if at <= until and (at, position) > after]
        later = [at for at, _, _ in order if at > until]
        kept = [self._rows[name].kept() for name in past[:limit]]
        return Overdue(kept=kept, next=min(later, default=None))

    async def find(self, what: What) -> Found | None:
        """Unfinished or ended."""
        return self.peek(what)

    def peek(self, what: What) -> Found | None:
        """All of it is at hand."""
        found = self._ended.get(what) if isinstance(what, str) else self._keys.get(what)
        if found is not None and found.receipt is not None:
            return attrs.evolve(found, newest=self._newest.get(found.envelope_id))
        row = self._rows.get(found.envelope_id if found is not None else str(what))
        if row is None:
            return None
        entry = row.entry
        return Found(envelope_id=entry.id, fingerprint=entry.fingerprint, kept=row.kept())

    async def erase(self, request: Request, in_flight: int) -> None:
        """Forget the room."""
        del in_flight  # there is nobody to answer
        room = (request.instance_id, request.room)
        for name, row in list(self._rows.items()):
            if (row.entry.envelope.instance_id, row.entry.envelope.external_room_id) == room:
                self._drop(name)
        self._keys = {scope: f for scope, f in self._keys.items() if scope[:2] != room}
        self._ended = {
            name: found
            for name, found in self._ended.items()
            if found.receipt is None
            or (found.receipt.instance_id, found.receipt.external_room_id) != room
        }
        self._newest = {
            name: ref
            for name, ref in self._newest.items()
            if (ref.instance_id, ref.external_room_id) != room
        }
        self._moves.pop(room, None)

    async def append(self, entry: Entry, kept: Callable[[], None]) -> None:
        """Keep the entry. Does not wait."""
        row = _Row(entry, position_of(entry.id), entry.due)
        self._rows[entry.id] = row
        self._last = max(self._last, entry.id)
        if entry.due is None:
            insort(self._order, (row.position, entry.id))
        scope = scope_of(entry.envelope)
        if scope is not None:
            self._keys[scope] = Found(envelope_id=entry.id, fingerprint=entry.fingerprint)
        kept()

    def withdraw(self, envelope_id: str) -> None:
        """Forget the entry and its key."""
        row = self._drop(envelope_id)
        scope = scope_of(row.entry.envelope) if row is not None else None
        if scope is not None:
            self._keys.pop(scope, None)

    def _drop(self, envelope_id: str) -> _Row | None:
        row = self._rows.pop(envelope_id, None)
        if row is not None and row.due is None:
            self._order.remove((row.position, envelope_id))
        return row

    def classed(self, envelope_id: str, priority: Priority, deadline: float) -> None:
        """Note the class."""
        row = self._rows.get(envelope_id)
        if row is not None:
            row.entry = attrs.evolve(row.entry, priority=priority, deadline=deadline)

    def entered(self, envelope_id: str, position: int) -> None:
        """It has its place now."""
        row = self._rows.get(envelope_id)
        if row is not None and row.due is not None:
            row.due, row.position = None, position
            insort(self._order, (position, envelope_id))

    def replanned(self, envelope_id: str, shapes: Sequence[StepShape]) -> None:
        """Note the steps."""
        row = self._rows.get(envelope_id)
        if row is not None:
            row.shapes = tuple(shapes)

    async def attempt_started(self, envelope_id: str, record: StepRecord) -> None:
        """Note the step."""
        self._record(envelope_id, record)

    def attempt_ended(self, envelope_id: str, record: StepRecord) -> None:
        """Note the step."""
        self._record(envelope_id, record)

    def acknowledged(self, envelope_id: str, record: StepRecord) -> None:
        """Note the step."""
        self._record(envelope_id, record)

    def _record(self, envelope_id: str, record: StepRecord) -> None:
        row = self._rows.get(envelope_id)
        if row is not None:
            row.records[record.serial] = record

    def finished(self, receipt: Receipt) -> None:
        """Forget the entry, remember the receipt."""
        row = self._drop(receipt.envelope_id)
        if row is None:
            return
        found = Found(
            envelope_id=receipt.envelope_id, fingerprint=row.entry.fingerprint, receipt=receipt
        )
        self._ended[receipt.envelope_id] = found
        if receipt.ref is not None and receipt.ref.revision:
            self._newest[receipt.ref.envelope_id] = receipt.ref
        scope = scope_of(row.entry.envelope)
        if scope is not None and frees_its_key(receipt):
            self._keys.pop(scope, None)
        elif scope is not None:
            self._keys[scope] = found

    def moved(self, instance_id: str, room: str, moved_to: str) -> None:
        """Note the move."""
        self._moves[instance_id, room] = moved_to

    def closed(self, instance_id: str, operation: str, until: float, wait: float) -> None:
        """Note the closure."""
        self._closures[instance_id, operation] = (until, wait)
