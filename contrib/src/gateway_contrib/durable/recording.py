"""Puts what the gateway reports into the batch that is written next, in the order of the calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gateway_contrib.durable.committer import Committer
from gateway_contrib.durable.group_rows import seq_of
from gateway_contrib.durable.rows import (
    end_row,
    record_row,
    revision_row,
    shapes_text,
    spent_row,
)
from gateway_contrib.durable.seals import Seals, sealed_end, sealed_revision
from gateway_core.outboxes import (
    Receipt,
    Request,
    Standing,
    StepRecord,
    StepShape,
    frees_its_key,
    position_of,
)


class Recording:
    """The part of an outbox that takes the gateway's reports."""

    _committer: Committer
    _keyring: Seals
    _wall: Callable[[], float]

    async def flush(self) -> None:
        """Wait until everything reported so far is on the disk. Raises `OutboxError`."""
        self._committer.check_alive()
        await self._committer.written()

    def withdraw(self, envelope_id: str) -> None:
        """Forget the entry."""
        self._committer.batch.forget(position_of(envelope_id))
        self._committer.wake()

    def postponed(self, envelope_id: str, due: float, deadline: float) -> None:
        """The entry is scheduled from now on."""
        seq = position_of(envelope_id)
        self._committer.batch.postponed[seq] = (seq, due, deadline)
        self._committer.wake()

    def entered(self, envelope_id: str, position: int) -> None:
        """The entry has this position now."""
        seq = position_of(envelope_id)
        self._committer.batch.entered[seq] = (seq, position)
        self._committer.wake()

    def replanned(self, envelope_id: str, shapes: Sequence[StepShape]) -> None:
        """The entry has these steps now, and no others."""
        seq = position_of(envelope_id)
        text = self._keyring.seal("shapes", seq, shapes_text(shapes))
        self._committer.batch.shapes[seq] = (seq, text)
        self._committer.wake()

    async def attempt_started(self, envelope_id: str, record: StepRecord) -> None:
        """Record the attempt; returns once that is on the disk."""
        self._committer.check_alive()
        seq = position_of(envelope_id)
        self._committer.batch.step(record_row(seq, record), started=True)
        await self._committer.written(seq)

    def covers(self, instance_id: str) -> bool:  # noqa: ARG002 - of other engines
        """Always true: an embedded outbox is owned as a whole, from its opening on."""
        return True

    def attempt_ended(self, envelope_id: str, record: StepRecord) -> None:
        """Written with the next batch."""
        self._committer.batch.step(record_row(position_of(envelope_id), record), started=False)
        self._committer.wake()

    def acknowledged(self, envelope_id: str, record: StepRecord) -> None:
        """Written with the next batch."""
        self.attempt_ended(envelope_id, record)

    def grew(self, envelope_id: str, text: str, number: int) -> None:
        """Written with the next batch."""
        seq = position_of(envelope_id)
        self._committer.batch.grow((seq, number, self._keyring.seal("text", seq, text)))
        self._committer.wake()

    def finished(self, receipt: Receipt) -> None:
        """Written with the next batch."""
        seq = position_of(receipt.envelope_id)
        row = sealed_end(self._keyring, end_row(seq, receipt))
        self._committer.batch.end(row, frees=frees_its_key(receipt))
        if receipt.ref is not None and receipt.ref.revision:
            ref = receipt.ref
            edited = sealed_revision(self._keyring, revision_row(ref, receipt.ended_at))
            self._committer.batch.revisions[ref.envelope_id] = edited
        self._committer.wake()

    def moved(self, instance_id: str, room: str, moved_to: str) -> None:
        """Written with the next batch."""
        self._committer.batch.moves[instance_id, room] = (instance_id, room, moved_to, self._wall())
        self._committer.wake()

    def closed(self, instance_id: str, operation: str, until: float, wait: float) -> None:
        """Written with the next batch."""
        row = (instance_id, operation, until, wait)
        self._committer.batch.closures[instance_id, operation] = row
        self._committer.wake()

    def answered(self, request: Request, answer: str) -> None:
        """Written with the next batch, which has the envelopes that the request ended."""
        number = request.number
        sealed = self._keyring.seal("answer", number, answer)
        self._committer.batch.answers[number] = (number, self._wall(), sealed)
        self._committer.wake()

    def release(self, instance_id: str, at: float, standings: Sequence[Standing]) -> None:
        """Written with the next batch."""
        self._committer.batch.spent[instance_id] = spent_row(instance_id, at, standings)
        self._committer.wake()

    def paused(self, group_id: str, paused: bool) -> None:
        """Written with the next batch."""
        self._committer.batch.beside["paused", seq_of(group_id)] = paused
        self._committer.wake()

    def cancelled(self, group_id: str) -> None:
        """Written with the next batch."""
        self._committer.batch.beside["cancelled", seq_of(group_id)] = True
        self._committer.wake()
