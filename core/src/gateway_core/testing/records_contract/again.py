"""The contract of failures that are tried again: unfinished once more, and counted once."""

# ruff: noqa: S101, SIM300 - these are tests, shipped to authors

from __future__ import annotations

import pytest

from gateway_core.contract.envelopes import Disposition
from gateway_core.outboxes.records import StepRecord
from gateway_core.testing.outbox_contract import Entries, receipt_of
from gateway_core.testing.records_contract.groups import nothing, state_of
from gateway_core.testing.records_contract.making import (
    RecordsRuns,
    chunks,
    group_of,
    member_of,
    rooms,
)


class AgainContract(RecordsRuns):
    """What every durable outbox does with what is tried again."""

    async def test_failures_of_a_group_are_unfinished_again(self, entry: Entries) -> None:
        """They are counted no more, nor among the failures, until they end again."""
        group = group_of(entry, 4)
        entries = [member_of(entry, group, number) for number in range(4)]
        ends = [Disposition.DELIVERED, Disposition.EXPIRED, Disposition.FATAL]
        async with self.process_run() as outbox:
            await outbox.append_group(group, chunks(rooms(4)), nothing)
            for one in entries:
                await outbox.append(one, nothing)
            for one, disposition in zip(entries, ends, strict=False):
                outbox.finished(receipt_of(one, disposition))
            names = [receipt.envelope_id for receipt in await outbox.failed(group.id)]
            assert [entries[1].id, entries[2].id] == names
            stored = await outbox.reopen(names)
            assert names == [one.entry.id for one in stored]
            assert [one.envelope for one in entries[1:3]] == [one.entry.envelope for one in stored]
            assert list(await outbox.failed(group.id)) == []
            assert {"delivered": 1} == dict((await state_of(outbox, group.id)).counts)
        async with self.process_run() as outbox:
            found = {one.entry.id for one in await outbox.page("bot")}
            assert {one.id for one in entries[1:]} == found
            for one in entries[1:]:
                outbox.finished(receipt_of(one))
            state = await state_of(outbox, group.id)
            assert ({"delivered": 4}, True) == (dict(state.counts), state.ended)

    async def test_their_time_begins_anew(self, entry: Entries) -> None:
        """As long as it was."""
        one = entry("late")
        async with self.process_run() as outbox:
            await outbox.append(one, nothing)
            outbox.finished(receipt_of(one, Disposition.EXPIRED))
            (stored,) = await outbox.reopen([one.id])
        kept = stored.entry
        assert kept.deadline - kept.accepted_at == pytest.approx(one.deadline - one.accepted_at)

    async def test_what_arrived_of_them_is_known(self, entry: Entries) -> None:
        """A step that was acknowledged stays so; another is as if it had not begun."""
        one = entry("half")
        async with self.process_run() as outbox:
            await outbox.append(one, nothing)
            record = StepRecord(serial=0, number=1, outcome="delivered", message_id="7")
            outbox.acknowledged(one.id, record)
            outbox.attempt_ended(one.id, StepRecord(serial=1, number=3, attempts=3))
            outbox.finished(receipt_of(one, Disposition.EXHAUSTED))
            (stored,) = await outbox.reopen([one.id])
        outcomes = {record.serial: (record.outcome, record.attempts) for record in stored.records}
        assert {0: ("delivered", 0), 1: (None, 0)} == outcomes

    async def test_nothing_else_is_unfinished_again(self, entry: Entries) -> None:
        """Neither what was delivered, nor what is unfinished, nor what is not there; nor twice."""
        sent, waits, failed = entry("sent"), entry("waits"), entry("failed")
        async with self.process_run() as outbox:
            for one in (sent, waits, failed):
                await outbox.append(one, nothing)
            outbox.finished(receipt_of(sent))
            outbox.finished(receipt_of(failed, Disposition.EXHAUSTED))
            names = [sent.id, waits.id, failed.id, entry("x").id]
            assert [failed.id] == [one.entry.id for one in await outbox.reopen(names)]
            assert list(await outbox.reopen(names)) == []
            found = await outbox.find(sent.id)
            assert found is not None
            assert found.receipt is not None
