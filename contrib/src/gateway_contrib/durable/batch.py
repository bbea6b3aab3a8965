"""Collects changes that wait to be written, in the order of the reports, and what a failure leaves.

Of each thing in a batch only the newest state is written: a step that began and was acknowledged
before the commit costs one row, and an entry that was withdrawn costs none.
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
"""Stands for an entry's number: for callers that wait for a batch without an entry of their own."""


@attrs.define(eq=False)
class Waiter:
    """A task that waits for a batch, or has given up; `then` is called before it goes on.

    row, key  the entry that it waits for, and the entry's idempotency key, if it has one
    claim     what must be there for the entry; or the group that it waits for, which has no row
    of        the number of the entry that it waits for a report about
    """

    task: trio.lowlevel.Task | None
    then: Callable[[], None] | None = None
    row: Row | None = None
    key: Row | None = None
    claim: Claim | None = None
    of: int = WHOEVER_WAITS

    @property
    def seq(self) -> int:
        """The number of the entry or group that it waits for; `WHOEVER_WAITS`: the whole batch."""
        if self.row is not None:
            return int(self.row[0])
        return self.claim.seq if self.claim is not None else self.of

    def give_up(self, _: object) -> trio.lowlevel.Abort:
        """The task was cancelled while it waited; nothing is done for it any more."""
        self.task = None
        return trio.lowlevel.Abort.SUCCEEDED

    def tell(self, error: OutboxError | None) -> None:
        """Let the task go on: the batch is written, or not, for this error. On trio's thread."""
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

    entries    appended rows, by number       told     waiting tasks, in the order of the calls
    steps      rows, by (number, serial)      started  the steps that a caller waits for
    ended      receipts of ended envelopes    freed    entries whose keys are free again
    withdrawn  entries appended before, whose caller was cancelled
    revisions  messages as their last edit left them
    closures   operations that platforms refuse for a time
    answers    to operators' requests, whose effect is in this batch or an earlier one
    spent      what accounts had spent when they were released
    beside     claims and reports about groups and bytes, in order, by kind and entry or group
    refused    entries and groups that are not written, and why: claims that could not be met, and
               rows that the database does not take
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
        """Whether there is no change to write and no task to tell."""
        return not self.told and not len(self)

    def take(self, waiter: Waiter) -> None:
        """Take in a waiting task, and the entry or group that it waits for."""
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
        """Do not write this entry or group, for the reason that the error says."""
        self.refused[seq] = error
        self.entries.pop(seq, None)
        self.keys.pop(seq, None)

    def drop(self, seqs: AbstractSet[int], instance: str) -> None:
        """Do not write any report about these entries, or about the account."""
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
        """Delete the group, as far as it is stored, since it is not wanted any more."""
        self._drop(self.beside.pop(("group", seq), None))
        self.keys.pop(seq, None)
        self.beside["drop", seq] = True

    def give_up(self, waiter: Waiter) -> None:
        """Drop the claim of a cancelled task, whose entry was not written."""
        self._drop(waiter.claim)

    def _drop(self, claim: Claim | None) -> None:
        """Drop a claim that is not wanted any more, so that it does not use its bytes."""
        if claim is not None and claim.files:
            self.beside["unused", claim.seq] = claim.files

    def grow(self, row: Row) -> None:
        """Take in the grown text of an entry, unless a newer one is known."""
        known = self.grown.get(row[0])
        if known is None or known[1] <= row[1]:
            self.grown[row[0]] = row

    def forget(self, seq: int) -> None:
        """Do not write the entry, or delete it if it is written already."""
        if not self.leave_out(seq):
            self.withdrawn[seq] = None

    def leave_out(self, seq: int) -> bool:
        """Do not write the entry; returns whether it was still to be written."""
        if self.entries.pop(seq, None) is None:
            return False
        self.keys.pop(seq, None)
        self._drop(self.beside.pop(("entry", seq), None))
        return True

    def step(self, row: Row, *, started: bool) -> None:
        """Take in the newest state of a step."""
        place = (row[0], row[1])
        self.steps[place] = row
        if started:
            self.started.add(place)
        else:
            self.started.discard(place)

    def end(self, row: Row, *, frees: bool) -> None:
        """Take in the end of an entry."""
        self.ended[row[0]] = row
        if frees:
            self.freed[row[0]] = None

    def left_over(self) -> Batch:
        """The changes to write again after a failed commit: those that no caller waits for."""
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
        """Take in a batch whose reports came later than all of this one's."""
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
