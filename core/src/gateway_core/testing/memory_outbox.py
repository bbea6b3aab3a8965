"""An outbox in memory, for tests of a restart: a second gateway continues with the same object."""

from __future__ import annotations

import math
from bisect import insort
from collections import Counter
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

import attrs
import trio

from gateway_core.contract.envelopes import Envelope, MessageRef, Receipt
from gateway_core.contract.ids import position_of, sequence_of
from gateway_core.deliveries.idempotency import frees_its_key
from gateway_core.outboxes.records import (
    STREAMS,
    Endings,
    Entry,
    Found,
    Overdue,
    Overview,
    PastAttempt,
    Recovery,
    Request,
    StepRecord,
    StepShape,
    StoredEntry,
    Stream,
    What,
)
from gateway_core.ratelimits.spent import Standing
from gateway_core.testing.in_memory.beside import Beside
from gateway_core.testing.in_memory.groups import SETTLED
from gateway_core.testing.in_memory.rows import Row, past_of, row_time


class MemoryOutbox(Beside):
    """Stores entries as long as the object exists, while gateways enter and leave it."""

    def __init__(self) -> None:
        super().__init__()
        self.requested: Callable[[Request], None] | None = None
        self.lost: Callable[[str], None] | None = None
        self.arrived: Callable[[str], None] | None = None
        self.next_position: Callable[[], int] | None = None
        self.keys_for = math.inf
        self._rows: dict[str, Row] = {}
        self._order: list[tuple[int, str]] = []
        self._ended: dict[str, Found] = {}
        self._failed: dict[str, Row] = {}
        self._moves: dict[tuple[str, str], str] = {}
        self._closures: dict[tuple[str, str], tuple[float, float]] = {}
        self._spent: dict[str, tuple[float, Sequence[Standing]]] = {}
        self._newest: dict[str, MessageRef] = {}
        self._last = ""
        self._source = f"memory{id(self)}"
        self._numbered: list[str] = []

    async def __aenter__(self) -> Self:
        self._bytes.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Keep everything for the next run."""

    def __len__(self) -> int:
        return len(self._rows)

    async def overview(self) -> Overview:
        """Totals of what previous runs left."""
        rows = self._rows.values()
        return Overview(
            last_id=max(self._last, self._groups.newest()),
            sequence=self._order[-1][0] if self._order else None,
            unfinished=Counter(row.entry.envelope.instance_id for row in rows),
            classes=Counter(row.stream.priority for row in rows),
            scheduled=sum(row.due is not None for row in rows),
            groups=self._groups.unfinished(),
        )

    async def recover(self, instance_id: str) -> Recovery:
        """The account's state as its last owner left it; no other process can own the account."""
        return Recovery(
            moves={room: to for (name, room), to in self._moves.items() if name == instance_id},
            closures={
                what: closed
                for (name, what), closed in self._closures.items()
                if name == instance_id
            },
            spent=self._spent.get(instance_id),
        )

    async def attempts(
        self, *, since: float, instance_id: str | None = None, limit: int = 1000
    ) -> Sequence[PastAttempt]:
        """Attempts of envelopes that ended since then, then of unfinished ones (time unknown)."""
        ended = [f.receipt for f in self._ended.values() if f.receipt and f.receipt.attempts]
        made = [
            past_of(receipt)
            for receipt in ended
            if receipt.ended_at > since and receipt.result is None
        ]
        made.sort(key=lambda attempt: attempt.at)
        made += [past for row in self._rows.values() if (past := row.past()) is not None]
        mine = [each for each in made if instance_id in (None, each.instance_id)]
        return mine[-limit:]

    async def page(
        self,
        instance_id: str,
        *,
        room: str | None = None,
        streams: Sequence[Stream] = STREAMS,
        after: int = -1,
        limit: int = 1000,
    ) -> Sequence[StoredEntry]:
        """The next entries, by position."""
        rows = (self._rows[name] for position, name in self._order if position > after)
        fitting = (
            row.stored()
            for row in rows
            if row.entry.envelope.instance_id == instance_id
            and room in (None, row.entry.envelope.external_room_id)
            and row.stream in streams
        )
        return [stored for stored, _ in zip(fitting, range(limit), strict=False)]

    async def scheduled(
        self, *, until: float, after: tuple[float, int] = (0.0, -1), limit: int = 1000
    ) -> Sequence[StoredEntry]:
        """Scheduled entries, by their times."""
        due = sorted(
            (row.due, row.position, name)
            for name, row in self._rows.items()
            if row.due is not None and row.due <= until and (row.due, row.position) > after
        )
        return [self._rows[name].stored() for _, _, name in due[:limit]]

    async def overdue(
        self, *, until: float, after: tuple[float, int] = (0.0, -1), limit: int = 1000
    ) -> Overdue:
        """Entries past their deadlines, by deadline."""
        order = sorted(
            (row.entry.deadline, position_of(name), name) for name, row in self._rows.items()
        )
        past = [name for at, position, name in order if at <= until and (at, position) > after]
        later = [at for at, _, _ in order if at > until]
        stored = [self._rows[name].stored() for name in past[:limit]]
        return Overdue(stored=stored, next=min(later, default=None))

    async def find(self, what: What) -> Found | None:
        """An unfinished entry, a receipt or a group."""
        return self.look_up(what)

    async def endings(self, *, after: int, limit: int = 1000) -> Endings:
        """Endings after that number. None is forgotten, unless its room is erased."""
        await trio.lowlevel.checkpoint()
        found = [
            (number, ended.receipt)
            for number, name in enumerate(self._numbered[after:], after + 1)
            if (ended := self._ended.get(name)) is not None and ended.receipt is not None
        ]
        newest = len(self._numbered)
        return Endings(source=self._source, forgotten=0, newest=newest, ended=found[:limit])

    def look_up(self, what: What) -> Found | None:
        """Like `find`, but not async, for tests."""
        found = self._ended.get(what) if isinstance(what, str) else self._keys.get(what)
        if found is not None and found.receipt is not None:
            return attrs.evolve(found, newest=self._newest.get(found.envelope_id))
        name = found.envelope_id if found is not None else str(what)
        row = self._rows.get(name)
        if row is None:
            return self._group_found(name)
        entry = row.entry
        return Found(envelope_id=entry.id, fingerprint=entry.fingerprint, stored=row.stored())

    def _group_found(self, group_id: str) -> Found | None:
        state = self._groups.state(group_id)
        if state is None:
            return None
        return Found(envelope_id=group_id, fingerprint=state.group.fingerprint, group=state)

    def answered(self, request: Request, answer: str) -> None:
        """Does nothing, since no operator waits for the answer."""

    async def erase(self, request: Request, in_flight: int) -> None:
        """Forget everything about the room."""
        del in_flight  # no operator waits for an answer
        room = (request.instance_id, request.room)
        gone = [name for name, row in self._rows.items() if _room_of(row.entry.envelope) == room]
        for name in gone:
            self._drop(name)
        for state in self._groups.erase(*room, gone):
            self._see_end(state)
        ended = [
            name for name, f in self._ended.items() if f.receipt and _room_of(f.receipt) == room
        ]
        erased = {*gone, *ended}
        self._keys = {
            scope: found
            for scope, found in self._keys.items()
            if scope[:2] != room and found.envelope_id not in erased
        }
        for name in ended:
            del self._ended[name]
            self._failed.pop(name, None)
        for name in (*gone, *ended):
            self._bytes.end(name)
        self._newest = {name: ref for name, ref in self._newest.items() if _room_of(ref) != room}
        self._moves.pop(room, None)
        self._spent.clear()

    async def append(self, entry: Entry, on_stored: Callable[[], None]) -> None:
        """Store the entry, at once."""
        try:
            await trio.lowlevel.checkpoint_if_cancelled()
        except trio.Cancelled:
            self._bytes.unused(entry.files)
            raise
        self._bytes.check(entry.files)
        if entry.member is not None:
            self._groups.take(entry.id, entry.member)
        if entry.files:
            self._bytes.use(entry.id, entry.files)
        row = Row(entry, sequence_of(entry.id, entry.sequence), entry.due, entry.stream)
        self._rows[entry.id] = row
        self._last = max(self._last, entry.id)
        if entry.due is None:
            insort(self._order, (row.position, entry.id))
        scope = entry.scope
        if scope is not None:
            self._keys[scope] = Found(envelope_id=entry.id, fingerprint=entry.fingerprint)
        on_stored()
        await trio.lowlevel.cancel_shielded_checkpoint()

    def withdraw(self, envelope_id: str) -> None:
        """Forget the entry and its key."""
        row = self._drop(envelope_id)
        if row is not None:
            self._see_end(self._groups.withdraw(envelope_id))
            self._bytes.end(envelope_id)
        scope = row.entry.scope if row is not None else None
        if scope is not None:
            self._keys.pop(scope, None)

    def _drop(self, envelope_id: str) -> Row | None:
        row = self._rows.pop(envelope_id, None)
        if row is not None and row.due is None:
            self._order.remove((row.position, envelope_id))
        return row

    def postponed(self, envelope_id: str, due: float, deadline: float) -> None:
        """The entry is scheduled from now on."""
        row = self._rows.get(envelope_id)
        if row is not None:
            if row.due is None:
                self._order.remove((row.position, envelope_id))
            row.due, row.entry = due, attrs.evolve(row.entry, deadline=deadline)

    def entered(self, envelope_id: str, position: int) -> None:
        """The entry has this position now."""
        row = self._rows.get(envelope_id)
        if row is not None:
            if row.due is None:
                self._order.remove((row.position, envelope_id))
            row.due, row.position = None, position
            insort(self._order, (position, envelope_id))

    def replanned(self, envelope_id: str, shapes: Sequence[StepShape]) -> None:
        """Note the entry's new steps."""
        row = self._rows.get(envelope_id)
        if row is not None:
            row.shapes = tuple(shapes)

    async def attempt_started(self, envelope_id: str, record: StepRecord) -> None:
        """Note the step's record."""
        self._record(envelope_id, record)

    def covers(self, instance_id: str) -> bool:  # noqa: ARG002 - of other engines
        """Always true: no other process can own the account."""
        return True

    def attempt_ended(self, envelope_id: str, record: StepRecord) -> None:
        """Note the step's record."""
        self._record(envelope_id, record)

    def acknowledged(self, envelope_id: str, record: StepRecord) -> None:
        """Note the step's record."""
        self._record(envelope_id, record)

    def _record(self, envelope_id: str, record: StepRecord) -> None:
        row = self._rows.get(envelope_id)
        if row is not None:
            row.records[record.serial] = record

    def grew(self, envelope_id: str, text: str, number: int) -> None:
        """Note the entry's text, unless a newer text is stored."""
        row = self._rows.get(envelope_id)
        if row is not None and (row.grown is None or number >= row.grown[0]):
            row.grown = (number, text)

    def finished(self, receipt: Receipt) -> None:
        """Forget the entry, and remember its receipt."""
        row = self._drop(receipt.envelope_id)
        if row is None:
            return
        self._see_end(self._groups.end(receipt))
        if receipt.disposition in SETTLED:
            self._bytes.end(receipt.envelope_id)
        else:
            self._failed[receipt.envelope_id] = row
        found = Found(
            envelope_id=receipt.envelope_id, fingerprint=row.entry.fingerprint, receipt=receipt
        )
        self._ended[receipt.envelope_id] = found
        self._numbered.append(receipt.envelope_id)
        if receipt.ref is not None and receipt.ref.revision:
            self._newest[receipt.ref.envelope_id] = receipt.ref
        scope = row.entry.scope
        if scope is not None and frees_its_key(receipt):
            self._keys.pop(scope, None)
        elif scope is not None:
            self._keys[scope] = found

    async def retry(self, group_id: str) -> int:
        """Mark the group's failed members to be tried again."""
        await trio.lowlevel.checkpoint()
        return self._groups.retry(group_id)

    async def reopen(
        self, group_id: str, *, after: str = "", limit: int = 1000
    ) -> tuple[str, Sequence[StoredEntry]]:
        """Make the next marked members unfinished again; parts that arrived stay known."""
        await trio.lowlevel.checkpoint()
        names = self._groups.next_retried(group_id, after, limit)
        rows = [self._failed.pop(name) for name in names if name in self._failed]
        for row in rows:
            entry = row.entry
            now = row_time(self.next_position) if self.next_position else entry.accepted_at
            left = entry.deadline - entry.accepted_at
            row.again(now, now + left)
            self._rows[entry.id] = row
            insort(self._order, (row.position, entry.id))
            del self._ended[entry.id]
            self._groups.reopen(entry.id)
            scope = entry.scope
            if scope is not None:
                self._keys[scope] = Found(envelope_id=entry.id, fingerprint=entry.fingerprint)
        return names[-1] if names else "", [row.stored() for row in rows]

    def moved(self, instance_id: str, room: str, moved_to: str) -> None:
        """Note the room's new id."""
        self._moves[instance_id, room] = moved_to

    def release(self, instance_id: str, at: float, standings: Sequence[Standing]) -> None:
        """Note how much of the account's limits is spent."""
        self._spent[instance_id] = (at, tuple(standings))

    def closed(self, instance_id: str, operation: str, until: float, wait: float) -> None:
        """Note the closure."""
        self._closures[instance_id, operation] = (until, wait)


def _room_of(what: Envelope | Receipt | MessageRef) -> tuple[str, str]:
    return (what.instance_id, what.external_room_id)
