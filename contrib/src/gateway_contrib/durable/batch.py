"""What waits to be written, in the order in which it was told; what a failure leaves of it.

Within a batch only the newest state of each thing is written: a step that began and was
acknowledged before the commit costs one row, an entry that was withdrawn none.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from typing import Any

import attrs
import trio
from outcome import Error

from gateway_contrib.durable.group_rows import Claim
from gateway_contrib.durable.rows import Row, not_begun
from gateway_core.outboxes import OutboxError

WHOEVER_WAITS = -1
"""In the place of an entry: of those who wait for a batch without one of their own."""


@attrs.define(eq=False)
class Waiter:
    """A task that waits for a batch, or has given up; `then` is done for it first.

    row, key  what it waits for: an entry and its idempotency key, where it has one
    claim     what has to be there for it; of a group, which has no row, what it waits for
    of        the entry of which it waits for what is told
    """

    task: trio.lowlevel.Task | None
    then: Callable[[], None] | None = None
    row: Row | None = None
    key: Row | None = None
    claim: Claim | None = None
    of: int = WHOEVER_WAITS

    @property
    def seq(self) -> int:
        """Of the entry or the group that it waits for; `WHOEVER_WAITS`: for the whole batch."""
        if self.row is not None:
            return int(self.row[0])
        return self.claim.seq if self.claim is not None else self.of

    def give_up(self, _: object) -> trio.lowlevel.Abort:
        """The task is cancelled as it waits to be rescheduled: nothing is done for it."""
        self.task = None
        return trio.lowlevel.Abort.SUCCEEDED

    def tell(self, error: OutboxError | None) -> None:
        """The batch is written, or why it is not. On trio's thread."""
        task = self.task
        if task is None:
            return
        if error is not None:
            trio.lowlevel.reschedule(task, Error(error))
            return
        try:
            if self.then is not None:
                self.then()
        except Exception as raised:  # noqa: BLE001 - it is the waiter's
            trio.lowlevel.reschedule(task, Error(raised))
        else:
            trio.lowlevel.reschedule(task)


@attrs.define(eq=False)
class Batch:
    """Changes to commit together.

    entries    appended: row by position      told     in the order of the calls
    steps      by (position, serial)          started  those of them that somebody awaits
    ended      receipts of what ended         freed    keys that are free again
    withdrawn  appended before, but the caller was cancelled
    revisions  messages as edits left them
    closures   what platforms closed
    answers    to operators' requests, of which the effect is in this batch or an earlier one
    spent      what accounts had spent as they were released
    beside     of groups and bytes what is claimed and told, in order: by what it is, and by whose
    refused    what is not written of it, by entry or group, and why: claims that could not be met,
               and rows that the database does not take
    grown      newest texts
    """

    entries: dict[int, Row] = attrs.field(factory=dict)
    keys: dict[int, Row] = attrs.field(factory=dict)
    entered: dict[int, Row] = attrs.field(factory=dict)
    postponed: dict[int, Row] = attrs.field(factory=dict)
    shapes: dict[int, Row] = attrs.field(factory=dict)
    steps: dict[tuple[int, int], Row] = attrs.field(factory=dict)
    started: set[tuple[int, int]] = attrs.field(factory=set)
    ended: dict[int, Row] = attrs.field(factory=dict)
    freed: dict[int, None] = attrs.field(factory=dict)
    withdrawn: dict[int, None] = attrs.field(factory=dict)
    revisions: dict[str, Row] = attrs.field(factory=dict)
    moves: dict[tuple[str, str], Row] = attrs.field(factory=dict)
    closures: dict[tuple[str, str], Row] = attrs.field(factory=dict)
    answers: dict[int, Row] = attrs.field(factory=dict)
    spent: dict[str, Row] = attrs.field(factory=dict)
    beside: dict[tuple[str, int], Any] = attrs.field(factory=dict)
    refused: dict[int, OutboxError] = attrs.field(factory=dict)
    grown: dict[int, Row] = attrs.field(factory=dict)
    told: list[Waiter] = attrs.field(factory=list)

    def __len__(self) -> int:
        return (
            len(self.entries) + len(self.steps) + len(self.ended)
            + len(self.entered) + len(self.postponed) + len(self.shapes)
            + len(self.withdrawn) + len(self.revisions)
            + len(self.moves) + len(self.closures) + len(self.answers) + len(self.spent)
            + len(self.beside) + len(self.grown)
        )  # fmt: skip

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do and nobody to tell."""
        return not self.told and not len(self)

    def take(self, waiter: Waiter) -> None:
        """An entry, and who waits for it."""
        if waiter.row is not None:
            seq = waiter.row[0]
            self.entries[seq] = waiter.row
            if waiter.key is not None:
                self.keys[seq] = waiter.key
        if waiter.claim is not None:
            self._take_claim(waiter.claim, waiter)
        self.told.append(waiter)

    def _take_claim(self, claim: Claim, waiter: Waiter) -> None:
        if waiter.row is None:
            self.beside["group", claim.seq] = claim
            if waiter.key is not None:
                self.keys[claim.seq] = waiter.key
        else:
            self.beside["entry", claim.seq] = claim

    def refuse(self, seq: int, error: OutboxError) -> None:
        """What was claimed for this entry or group is not there: it is not written."""
        self.refused[seq] = error
        self.entries.pop(seq, None)
        self.keys.pop(seq, None)

    def drop(self, seqs: AbstractSet[int], instance: str) -> None:
        """Nothing that is told of these entries, and of the account, is to be written."""
        for rows in (
            self.entered, self.postponed, self.shapes, self.ended, self.freed, self.withdrawn,
            self.grown,
        ):  # fmt: skip
            for seq in seqs & rows.keys():
                del rows[seq]
        self.steps = {place: row for place, row in self.steps.items() if place[0] not in seqs}
        self.started = {place for place in self.started if place[0] not in seqs}
        self.beside = {at: it for at, it in self.beside.items() if at[1] not in seqs}
        for named in (self.moves, self.closures):
            for place in [place for place in named if place[0] == instance]:
                del named[place]
        self.spent.pop(instance, None)

    def drop_group(self, seq: int) -> None:
        """The group is not wanted any more, as far as it is there."""
        self._drop(self.beside.pop(("group", seq), None))
        self.keys.pop(seq, None)
        self.beside["drop", seq] = True

    def give_up(self, waiter: Waiter) -> None:
        """It never came into a batch, or its batch was not written, and nobody waits for it."""
        self._drop(waiter.claim)

    def _drop(self, claim: Claim | None) -> None:
        """What is claimed is not wanted any more: its bytes have no use by that."""
        if claim is not None and claim.files:
            self.beside["unused", claim.seq] = claim.files

    def grow(self, row: Row) -> None:
        """The text of an entry, unless a newer one is known."""
        known = self.grown.get(row[0])
        if known is None or known[1] <= row[1]:
            self.grown[row[0]] = row

    def forget(self, seq: int) -> None:
        """The entry is not wanted any more; written already, it is to be taken back."""
        if not self.leave_out(seq):
            self.withdrawn[seq] = None

    def leave_out(self, seq: int) -> bool:
        """Do not write the entry; false: it is not among what is still to be written."""
        if self.entries.pop(seq, None) is None:
            return False
        self.keys.pop(seq, None)
        self._drop(self.beside.pop(("entry", seq), None))
        return True

    def step(self, row: Row, *, started: bool) -> None:
        """The newest state of a step."""
        place = (row[0], row[1])
        self.steps[place] = row
        if started:
            self.started.add(place)
        else:
            self.started.discard(place)

    def end(self, row: Row, *, frees: bool) -> None:
        """An entry ended."""
        self.ended[row[0]] = row
        if frees:
            self.freed[row[0]] = None

    def left_over(self) -> Batch:
        """What is still to be written after a failed commit: all that nobody was waiting for."""
        for place in self.started:
            self.steps[place] = not_begun(self.steps[place])
        lost = self.entries.keys()
        left = Batch(
            entered=self.entered,
            postponed=_without(self.postponed, lost),
            shapes=_without(self.shapes, lost),
            steps=self.steps,
            ended=_without(self.ended, lost),
            freed=self.freed,
            withdrawn={seq: None for seq in self.withdrawn if seq not in lost},
            revisions=self.revisions,
            moves=self.moves,
            closures=self.closures,
            answers=self.answers,
            spent=self.spent,
            beside={place: it for place, it in self.beside.items() if not isinstance(it, Claim)},
            grown=_without(self.grown, lost),
        )
        for waiter in self.told:
            if waiter.task is None:
                left.give_up(waiter)
        return left

    def follow(self, newer: Batch) -> None:
        """Take in what was told later than all of this."""
        self.entries |= newer.entries
        self.keys |= newer.keys
        self.entered |= newer.entered
        self.postponed |= newer.postponed
        self.shapes |= newer.shapes
        for place in newer.steps:
            self.step(newer.steps[place], started=place in newer.started)
        self.ended |= newer.ended
        self.freed |= newer.freed
        self.withdrawn |= newer.withdrawn
        self.revisions |= newer.revisions
        self.moves |= newer.moves
        self.closures |= newer.closures
        self.answers |= newer.answers
        self.spent |= newer.spent
        self.beside |= newer.beside
        self.refused |= newer.refused
        for row in newer.grown.values():
            self.grow(row)
        self.told += newer.told


def _without(rows: dict[int, Row], lost: object) -> dict[int, Row]:
    return {seq: row for seq, row in rows.items() if seq not in lost}  # type: ignore[operator]  # a keys view
