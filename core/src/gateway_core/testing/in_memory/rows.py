"""Stores one entry of the outbox in memory, and converts it to outbox records."""

from __future__ import annotations

import math
from collections.abc import Callable

import attrs

from gateway_core.contract.envelopes import Receipt, Send
from gateway_core.deliveries.steps import ARRIVED
from gateway_core.outboxes.records import (
    Entry,
    PastAttempt,
    StepRecord,
    StepShape,
    StoredEntry,
    Stream,
)


@attrs.define(eq=False)
class Row:
    """An entry in memory."""

    entry: Entry
    position: int
    due: float | None
    stream: Stream
    records: dict[int, StepRecord] = attrs.field(factory=dict)
    shapes: tuple[StepShape, ...] | None = None
    grown: tuple[int, str] | None = None

    def past(self) -> PastAttempt | None:
        """The attempts of this unfinished entry; None: there were none, or it is not a `Send`."""
        envelope, records = self.entry.envelope, self.records.values()
        count = sum(
            record.number > 0 and bool(record.started or record.maybe_sent or record.outcome)
            for record in records
        )
        if not count or not isinstance(envelope, Send):
            return None
        return PastAttempt(
            instance_id=envelope.instance_id,
            room=envelope.external_room_id,
            thread=envelope.thread_id,
            operation="send",
            priority=self.stream.priority,
            at=math.inf,
            count=count,
        )

    def again(self, accepted_at: float, deadline: float) -> None:
        """Make the entry unfinished again: steps that did not arrive count as not begun."""
        self.entry = attrs.evolve(self.entry, accepted_at=accepted_at, deadline=deadline)
        self.due = None
        for serial, record in self.records.items():
            if record.outcome not in ARRIVED:
                self.records[serial] = record.anew()

    def stored(self) -> StoredEntry:
        """The entry as a process run finds it."""
        entry = attrs.evolve(self.entry, due=self.due)
        return StoredEntry(
            entry=entry,
            position=self.position,
            sequence=self.entry.sequence,
            records=tuple(self.records.values()),
            shapes=self.shapes,
            grown=self.grown,
        )


def row_time(next_position: Callable[[], int]) -> float:
    """The POSIX time in the gateway's next position."""
    return (next_position() >> 14) / 1000


def past_of(receipt: Receipt) -> PastAttempt:
    """The attempts of an ended envelope."""
    return PastAttempt(
        instance_id=receipt.instance_id,
        room=receipt.external_room_id,
        thread=receipt.ref.thread_id if receipt.ref is not None else None,
        operation=_operation_of(receipt),
        priority="normal",
        at=receipt.ended_at,
        count=receipt.attempts,
    )


def _operation_of(receipt: Receipt) -> str:
    if receipt.ref is not None and receipt.ref.revision:
        return "edit"
    return "delete" if any(part.outcome == "deleted" for part in receipt.parts) else "send"
