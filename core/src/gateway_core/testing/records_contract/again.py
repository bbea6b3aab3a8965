"""Tests of retried members: failed members are unfinished again, and are counted once."""

# ruff: noqa: S101, SIM300 - these are tests, shipped to authors

from __future__ import annotations

from typing import Any

import pytest

from gateway_core.contract.envelopes import Disposition
from gateway_core.outboxes.records import Entry, Group, StepRecord
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
    """Tests of what every durable outbox does with members that are tried again."""

    async def failed(
        self, outbox: Any, entry: Entries, *ends: Disposition, text: str = "news"
    ) -> tuple[Group, list[Entry]]:
        """A group whose members ended as `ends` says, each in its own room; and their entries."""
        group = group_of(entry, len(ends), text)
        entries = [member_of(entry, group, number) for number in range(len(ends))]
        await outbox.append_group(group, chunks(rooms(len(ends))), nothing)
        for one, disposition in zip(entries, ends, strict=True):
            await outbox.append(one, nothing)
            outbox.finished(receipt_of(one, disposition))
        return group, entries

    async def test_failures_of_a_group_are_unfinished_again(self, entry: Entries) -> None:
        """They are not counted, and are not among the failures, until they end again."""
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
            assert len(names) == await outbox.retry(group.id)
            _, stored = await outbox.reopen(group.id)
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
        """Their time to live is as long as before."""
        async with self.process_run() as outbox:
            group, (one,) = await self.failed(outbox, entry, Disposition.EXPIRED)
            await outbox.retry(group.id)
            _, (stored,) = await outbox.reopen(group.id)
        kept = stored.entry
        assert kept.deadline - kept.accepted_at == pytest.approx(one.deadline - one.accepted_at)

    async def test_what_arrived_of_them_is_known(self, entry: Entries) -> None:
        """An acknowledged step stays acknowledged; other steps are as if they had not begun."""
        group = group_of(entry, 1)
        one = member_of(entry, group, 0)
        async with self.process_run() as outbox:
            await outbox.append_group(group, chunks(rooms(1)), nothing)
            await outbox.append(one, nothing)
            record = StepRecord(serial=0, number=1, outcome="delivered", message_id="7")
            outbox.acknowledged(one.id, record)
            outbox.attempt_ended(one.id, StepRecord(serial=1, number=3, attempts=3))
            outbox.finished(receipt_of(one, Disposition.EXHAUSTED))
            await outbox.retry(group.id)
            _, (stored,) = await outbox.reopen(group.id)
        outcomes = {record.serial: (record.outcome, record.attempts) for record in stored.records}
        assert {0: ("delivered", 0), 1: (None, 0)} == outcomes

    async def test_what_may_have_arrived_of_them_is_known(self, entry: Entries) -> None:
        """Their attempts do not count any more; the time of the first one in doubt stays known.

        An attempt that certainly failed leaves no doubt.
        """
        group = group_of(entry, 1)
        one = member_of(entry, group, 0)
        begun = one.accepted_at + 1.0
        async with self.process_run() as outbox:
            await outbox.append_group(group, chunks(rooms(1)), nothing)
            await outbox.append(one, nothing)
            for serial, maybe_sent in enumerate((1, 0)):
                record = StepRecord(
                    serial=serial, number=2, attempts=2, maybe_sent=maybe_sent, first_at=begun
                )
                outbox.attempt_ended(one.id, record)
            outbox.finished(receipt_of(one, Disposition.UNKNOWN))
            await outbox.retry(group.id)
            _, (stored,) = await outbox.reopen(group.id)
        records = {record.serial: record for record in stored.records}
        assert [0, 0] == [records[serial].maybe_sent for serial in (0, 1)]
        assert [begun, 0.0] == [records[serial].first_at for serial in (0, 1)]

    async def test_nothing_else_is_unfinished_again(self, entry: Entries) -> None:
        """Neither delivered nor unretried members, nor an unknown group; and nothing twice."""
        ends = (Disposition.DELIVERED, Disposition.EXHAUSTED)
        async with self.process_run() as outbox:
            group, (sent, failed) = await self.failed(outbox, entry, *ends)
            other, _ = await self.failed(outbox, entry, *ends)
            assert await outbox.reopen(group.id) == ("", [])
            assert await outbox.retry(group.id) == 1
            assert await outbox.retry(entry("x").id) == 0
            assert await outbox.reopen(entry("x").id) == ("", [])
            assert await outbox.reopen(other.id) == ("", [])
            place, stored = await outbox.reopen(group.id)
            assert [failed.id] == [one.entry.id for one in stored]
            assert await outbox.reopen(group.id, after=place) == ("", [])
            assert await outbox.reopen(group.id) == ("", [])
            found = await outbox.find(sent.id)
            assert found is not None
            assert found.receipt is not None

    async def test_what_is_to_be_tried_again_is_not_once_its_group_is_cancelled(
        self, entry: Entries
    ) -> None:
        """Failed members stay as they ended."""
        async with self.process_run() as outbox:
            ends = (Disposition.FATAL, Disposition.EXPIRED)
            group, _ = await self.failed(outbox, entry, *ends)
            assert len(ends) == await outbox.retry(group.id)
            outbox.cancelled(group.id)
            state = await state_of(outbox, group.id)
            assert (True, False, True) == (state.cancelled, state.retrying, state.ended)
            assert await outbox.reopen(group.id) == ("", [])

    async def test_what_is_to_be_tried_again_is_remembered_over_a_kill(
        self, entry: Entries
    ) -> None:
        """The process is killed at once, and again between two members: each is reopened once."""
        ends = (Disposition.EXPIRED, Disposition.DELIVERED, *[Disposition.FATAL] * 3)
        async with self.killed_run() as outbox:
            group, entries = await self.failed(outbox, entry, *ends)
            assert (await state_of(outbox, group.id)).ended
            assert len(ends) - 1 == await outbox.retry(group.id)
        async with self.killed_run() as outbox:
            state = await state_of(outbox, group.id)
            assert (True, False) == (state.retrying, state.ended)
            assert {"delivered": 1, "expired": 1, "fatal": 3} == dict(state.counts)
            place, stored = await outbox.reopen(group.id, limit=2)
            names = [one.entry.id for one in stored]
        async with self.process_run() as outbox:
            assert names == [one.entry.id for one in await outbox.page("bot")]
            assert (await state_of(outbox, group.id)).retrying
            place, stored = await outbox.reopen(group.id, after=place, limit=1)
            place, more = await outbox.reopen(group.id, after=place)
            names += [one.entry.id for one in (*stored, *more)]
            assert await outbox.reopen(group.id, after=place) == ("", [])
            assert [one.id for one in (entries[0], *entries[2:])] == names
            assert not (await state_of(outbox, group.id)).retrying
            for one in (entries[0], *entries[2:]):
                outbox.finished(receipt_of(one, Disposition.FATAL))
            state = await state_of(outbox, group.id)
            assert ({"delivered": 1, "fatal": 4}, True) == (dict(state.counts), state.ended)
            assert await outbox.reopen(group.id) == ("", [])
