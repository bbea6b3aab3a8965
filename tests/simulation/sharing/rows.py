"""Holds the rows of a shared outbox in memory: what batches write, and what is read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

import attrs

from gateway_contrib.durable.batch import Batch
from gateway_contrib.durable.rows import (
    SETTLED,
    priority_of,
    receipt_of,
    ref_of,
    standings_of,
    stored_of,
)
from gateway_core.outboxes import (
    Endings,
    Found,
    MessageRef,
    Overdue,
    Overview,
    Recovery,
    StoredEntry,
    Suspension,
    position_of,
)

Row = tuple[Any, ...]
FIRST = -1


@attrs.define(eq=False)
class Kept:
    """An envelope. `row`: like `ENTRY_COLUMNS`, followed by its `sequence`."""

    row: Row

    @property
    def seq(self) -> int:
        return int(self.row[0])

    @property
    def instance(self) -> str:
        return str(self.row[2])

    @property
    def place(self) -> int:
        """Its place among all envelopes that owners took on."""
        return int(self.row[0] if self.row[14] is None else self.row[14])

    def change(self, **columns: Any) -> None:
        """Change columns: `position`, `due`, `deadline`, `shapes`."""
        places = {"position": 4, "due": 5, "deadline": 7, "shapes": 11}
        row = list(self.row)
        for name, value in columns.items():
            row[places[name]] = value
        self.row = tuple(row)


@attrs.define(eq=False)
class Past:
    """An envelope that has ended, as it was, and its end, like `end_row`."""

    number: int
    kept: Kept
    end: Row


@attrs.define(eq=False)
class Handing:
    """A row that was handed over, by an application or by a process that delivers nothing."""

    number: int
    id: str
    instance: str
    room: str
    envelope: str
    transaction: int
    handed_at: float
    kind: str = "submit"
    own_id: str | None = None
    member: UUID | None = None
    awaited: bool = False
    answered: bool = False
    envelope_id: str | None = None
    refused: str | None = None
    answer: str | None = None
    scope: bytes | None = None
    replayed: bool = False
    cancelled: bool = False
    left: bool = False


@attrs.define(eq=False)
class Account:
    """An account's owner, and the owners' count (epoch). `pinned`: the name of a process.

    idle  it had nothing to do when its owner gave it up
    """

    member: UUID | None = None
    epoch: int = 0
    pinned: str | None = None
    idle: bool = False


@attrs.define(eq=False)
class Taking:
    """A process that takes part. `weight`: its share of the accounts; None: it owns all."""

    name: str
    lease: float
    counter: int = 0
    weight: float | None = None
    slot: int | None = None
    ready: bool = False
    draining: bool = False
    lacks: Sequence[str] = ()
    unfinished: Sequence[int] = ()


@attrs.define(eq=False)
class Rows:
    """All committed rows.

    doubled  ids that were stored although they were there, or that ended twice
    touched  accounts for which something was written since somebody last looked
    suspended  accounts that operators suspended: why, by whom, and since when
    version  the version of what members are to own, if accounts are spread over them
    """

    members: dict[UUID, Taking] = attrs.field(factory=dict)
    accounts: dict[str, Account] = attrs.field(factory=lambda: {"": Account()})
    batches: dict[tuple[UUID, int], None] = attrs.field(factory=dict)
    envelopes: dict[int, Kept] = attrs.field(factory=dict)
    steps: dict[tuple[int, int], Row] = attrs.field(factory=dict)
    keys: dict[tuple[str, bytes], list[Any]] = attrs.field(factory=dict)
    history: dict[int, Past] = attrs.field(factory=dict)
    revisions: dict[str, Row] = attrs.field(factory=dict)
    moves: dict[tuple[str, str], Row] = attrs.field(factory=dict)
    closures: dict[tuple[str, str], Row] = attrs.field(factory=dict)
    spent: dict[str, Row] = attrs.field(factory=dict)
    handed: dict[int, Handing] = attrs.field(factory=dict)
    suspended: dict[str, Row] = attrs.field(factory=dict)
    newest: int = 0
    appended: int = 0
    withdrawn: int = 0
    doubled: list[str] = attrs.field(factory=list)
    touched: set[str] = attrs.field(factory=set)
    version: int = 0

    # -- written

    def add_accounts(self, instances: Iterable[str], member: UUID) -> None:
        """Add the accounts that are not there yet, owned by this member."""
        for instance in instances:
            self.accounts.setdefault(instance, Account(member, 1))

    def write(self, batch: Batch) -> None:
        """Write new envelopes, and changes of unfinished ones."""
        for seq, row in batch.entries.items():
            if seq in self.envelopes or seq in self.history:
                self.doubled.append(f"{row[1]} is stored twice")
            self.envelopes[seq] = Kept(row)
            self.touched.add(row[2])
            self.appended += 1
        for account, scope, _, seq, _ in batch.keys.values():
            self.keys[account, scope] = [seq, None]
        for place, row in batch.steps.items():
            if place[0] in self.envelopes:
                self.steps[place] = row
                self.touched.add(self.envelopes[place[0]].instance)
        for seq, position in batch.entered.values():
            self._change(seq, position=position, due=None)
        for seq, due, deadline in batch.postponed.values():
            self._change(seq, due=due, deadline=deadline)
        for seq, text in batch.shapes.values():
            self._change(seq, shapes=text)

    def _change(self, seq: int, **columns: Any) -> None:
        kept = self.envelopes.get(seq)
        if kept is not None:
            kept.change(**columns)
            self.touched.add(kept.instance)

    def end(self, ended: Mapping[int, Row], freed: Iterable[int]) -> None:
        """Move ended envelopes to the history."""
        for seq, row in ended.items():
            kept = self.envelopes.pop(seq, None)
            if kept is None:
                past = self.history.get(seq)
                again = past is None or past.end[1] != row[1]
                if again:
                    self.doubled.append(f"{seq} ends {row[1]}, and is not there")
                continue
            self.newest += 1
            self.touched.add(kept.instance)
            self.history[seq] = Past(self.newest, kept, row)
            if row[1] in SETTLED:
                self._drop_steps(seq)
        for key, (seq, _) in list(self.keys.items()):
            if seq in freed:
                del self.keys[key]
            elif seq in ended:
                self.keys[key] = [seq, ended[seq][4]]

    def _drop_steps(self, seq: int) -> None:
        for place in [place for place in self.steps if place[0] == seq]:
            del self.steps[place]

    def forget(self, seqs: Iterable[int]) -> None:
        """Remove these entries, as if they had never been there."""
        for seq in seqs:
            kept = self.envelopes.pop(seq, None)
            if kept is not None:
                self.withdrawn += 1
                self.touched.add(kept.instance)
            self._drop_steps(seq)
            for key in [key for key, (of, _) in self.keys.items() if of == seq]:
                del self.keys[key]

    def write_accounts(self, batch: Batch) -> None:
        """Write changes of accounts, and of messages that were edited."""
        self.revisions |= batch.revisions
        self.moves |= batch.moves
        self.closures |= batch.closures
        self.spent |= batch.spent
        self.touched |= {of for of, _ in (*batch.moves, *batch.closures)}
        self.touched |= batch.spent.keys() - {""}

    # -- read

    def stored(self, kept: Iterable[Kept]) -> list[StoredEntry]:
        """The envelopes in the form in which the gateway gets them."""
        found = []
        for each in kept:
            steps = sorted(row for place, row in self.steps.items() if place[0] == each.seq)
            stored = stored_of(each.row[:14], steps)
            sequence = each.row[14]
            found.append(stored if sequence is None else attrs.evolve(stored, sequence=sequence))
        return found

    def page(
        self, instance: str, room: str | None, streams: Sequence[int], after: int, limit: int
    ) -> list[StoredEntry]:
        """A page of an account's entries, by position."""
        some = [
            kept
            for kept in self.envelopes.values()
            if kept.instance == instance
            and room in (None, kept.row[3])
            and kept.row[13] in streams
            and kept.row[5] is None
            and kept.row[4] > after
        ]
        return self.stored(sorted(some, key=lambda kept: kept.row[4])[:limit])

    def scheduled(
        self,
        until: float,
        after: tuple[float, int],
        limit: int,
        has: Callable[[str], bool] = lambda _: True,
    ) -> list[StoredEntry]:
        """The scheduled entries, by their times. `has`: whether an account is included."""
        some = sorted(
            (kept.row[5], kept.row[4], kept.seq)
            for kept in self.envelopes.values()
            if kept.row[5] is not None and kept.row[5] <= until and has(kept.instance)
        )
        fitting = [seq for due, position, seq in some if (due, position) > tuple(after)]
        return self.stored(self.envelopes[seq] for seq in fitting[:limit])

    def overdue(
        self,
        until: float,
        after: tuple[float, int],
        limit: int,
        has: Callable[[str], bool] = lambda _: True,
    ) -> Overdue:
        """The overdue entries, by their deadlines. `has`: whether an account is included."""
        some = sorted(
            (kept.row[7], kept.place, kept.seq)
            for kept in self.envelopes.values()
            if has(kept.instance)
        )
        fitting = [
            seq
            for deadline, place, seq in some
            if deadline <= until and (deadline, place) > tuple(after)
        ]
        later = min((deadline for deadline, _, _ in some if deadline > until), default=None)
        stored = self.stored(self.envelopes[seq] for seq in fitting[:limit])
        return Overdue(stored=stored, next=later)

    def overview(self) -> Overview:
        """What previous process runs left in the outbox."""
        unfinished: dict[str, int] = {}
        classes: dict[Any, int] = {}
        for kept in self.envelopes.values():
            unfinished[kept.instance] = unfinished.get(kept.instance, 0) + 1
            priority = priority_of(kept.row[13])
            classes[priority] = classes.get(priority, 0) + 1
        return Overview(
            last_id=self.last_id(),
            sequence=self.highest(),
            unfinished=unfinished,
            classes=classes,
            scheduled=sum(kept.row[5] is not None for kept in self.envelopes.values()),
        )

    def place_of_all(self) -> Overview:
        """The ids and positions after which new ones come."""
        return Overview(last_id=self.last_id(), sequence=self.highest())

    def unfinished_of(self, instance: str) -> Overview:
        """The unfinished entries of an account."""
        some = [kept for kept in self.envelopes.values() if kept.instance == instance]
        return Overview(
            unfinished={instance: len(some)} if some else {},
            classes=dict(Counter(priority_of(kept.row[13]) for kept in some)),
            scheduled=sum(kept.row[5] is not None for kept in some),
        )

    def last_id(self) -> str:
        """The newest id of all."""
        past = (each.kept.row[1] for each in self.history.values())
        return max([*past, *(kept.row[1] for kept in self.envelopes.values())], default="")

    def highest(self) -> int:
        """The highest position."""
        positions = [kept.row[4] for kept in self.envelopes.values()]
        sequences = [past.kept.row[14] for past in self.history.values()]
        return max([FIRST, *positions, *(each for each in sequences if each is not None)])

    def recovery(self, instance: str) -> Recovery:
        """The state in which an account was left."""
        moves = sorted((row[3], room, row[2]) for (of, room), row in self.moves.items()
                       if of == instance)  # fmt: skip
        spent = self.spent.get(instance)
        return Recovery(
            last_id=self.last_id(),
            sequence=self.highest(),
            moves={room: to for _, room, to in moves},
            closures={
                what: row[2:4] for (of, what), row in self.closures.items() if of == instance
            },
            spent=None if spent is None else (spent[1], standings_of(spent[2])),
            suspended=self._suspension(instance),
        )

    def suspend(self, instance: str, row: Row | None) -> None:
        """An operator has suspended the account, or resumed it (None)."""
        self.touched.add(instance)
        if row is None:
            self.suspended.pop(instance, None)
        else:
            self.suspended[instance] = row

    def _suspension(self, instance: str) -> Suspension | None:
        row = self.suspended.get(instance)
        return None if row is None else Suspension(why=row[0], by=row[1], since=row[2])

    def find(self, seq: int) -> Found | None:
        """Find an envelope by the number of its id."""
        past = self.history.get(seq)
        if past is not None:
            row = past.kept.row
            return Found(
                envelope_id=row[1],
                fingerprint=row[8],
                receipt=receipt_of(past.end[5]),
                sequence=row[14],
            )
        kept = self.envelopes.get(seq)
        if kept is None:
            return None
        (stored,) = self.stored([kept])
        return Found(
            envelope_id=kept.row[1],
            fingerprint=kept.row[8],
            stored=stored,
            sequence=kept.row[14],
        )

    def find_by_id(self, name: str) -> Found | None:
        """Find an envelope by its id, with the newest ref of its message after edits."""
        try:
            found = self.find(position_of(name))
        except ValueError:
            return None
        if found is not None and found.envelope_id != name:
            found = None
        newest = self._newest_ref(name)
        if newest is None:
            return found
        return attrs.evolve(found or Found(envelope_id=name), newest=newest)

    def _newest_ref(self, name: str) -> MessageRef | None:
        row = self.revisions.get(name)
        return None if row is None else ref_of(row[4])

    def endings(self, after: int, limit: int) -> Endings:
        """The endings, by their numbers."""
        some = sorted((past.number, past.end[5]) for past in self.history.values())
        ended = [(number, receipt_of(text)) for number, text in some if number > after]
        return Endings(source="memory", forgotten=0, newest=self.newest, ended=ended[:limit])
