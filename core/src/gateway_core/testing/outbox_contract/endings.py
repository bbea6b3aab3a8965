"""Tests of stored ends, idempotency keys, and the steps of unfinished entries."""

# ruff: noqa: S101 - these are tests, shipped to authors

from __future__ import annotations

import attrs

from gateway_core.contract.envelopes import Disposition, MessageRef, PartRef
from gateway_core.outboxes.records import StepRecord, StepShape
from gateway_core.testing.outbox_contract.making import START, Contract, Entries, receipt_of, texts


class EndingsContract(Contract):
    """Tests that ends, keys and steps come back as they were last reported."""

    async def test_what_ended_is_not_unfinished_but_found(self, entry: Entries) -> None:
        """`find` returns the receipt by the envelope's id, unchanged."""
        one, other = entry("one"), entry("other")
        receipt = receipt_of(one, attempts=3, degradations=("plain",))
        async with self.process_run() as outbox:
            await outbox.append(one, lambda: None)
            await outbox.append(other, lambda: None)
            outbox.finished(receipt)
        async with self.process_run() as outbox:
            assert texts(await outbox.page("bot")) == ["other"]
            found = await outbox.find(one.id)
            assert found is not None
            assert receipt == found.receipt
            assert await outbox.find("0" * 30) is None

    async def test_ends_are_numbered_in_their_order_over_process_runs(self, entry: Entries) -> None:
        """An end with a number is written, and no other end ever has that number."""
        entries = [entry(str(n)) for n in range(6)]
        async with self.process_run() as outbox:
            assert ((await outbox.endings(after=0)).newest, 0) == (0, 0)
            for one in entries:
                await outbox.append(one, lambda: None)
            for one in (entries[2], entries[0]):
                outbox.finished(receipt_of(one))
            first = await outbox.endings(after=0)
        async with self.process_run() as outbox:
            outbox.finished(receipt_of(entries[4], Disposition.EXPIRED))
            outbox.finished(receipt_of(entries[1]))
            every = await outbox.endings(after=0)
            rest = await outbox.endings(after=first.newest)
            some = await outbox.endings(after=first.ended[0][0], limit=2)
            assert (await outbox.endings(after=every.newest)).ended == type(every.ended)()
        ended = [receipt_of(entries[n]) for n in (2, 0)]
        later = [receipt_of(entries[4], Disposition.EXPIRED), receipt_of(entries[1])]
        assert [receipt for _, receipt in first.ended] == ended
        assert [receipt for _, receipt in every.ended] == ended + later
        assert [receipt for _, receipt in rest.ended] == later
        assert list(some.ended) == list(every.ended[1:3])
        numbers = [number for number, _ in every.ended]
        assert sorted(set(numbers)) == numbers
        assert (numbers[-1], 0) == (every.newest, every.forgotten)
        assert first.source == every.source

    async def test_of_a_message_the_last_edit_is_remembered(self, entry: Entries) -> None:
        """So a caller with an older ref of the message can edit it."""
        sent, *edits = entry("sent"), entry("once"), entry("twice")
        refs = [
            MessageRef(
                instance_id="bot",
                external_room_id="room",
                envelope_id=sent.id,
                parts=(PartRef(message_id="1"),) * (revision + 1),
                revision=revision,
                extra={"buttons": revision},
                possible_duplicate=True,
            )
            for revision in range(3)
        ]
        async with self.process_run() as outbox:
            for one, ref in zip((sent, *edits), refs, strict=True):
                await outbox.append(one, lambda: None)
                outbox.finished(receipt_of(one, ref=ref))
        async with self.process_run() as outbox:
            found = await outbox.find(sent.id)
            assert found is not None
            assert found.receipt is not None
            assert (found.newest, found.receipt.ref) == (refs[2], refs[0])
            untouched = await outbox.find(edits[0].id)
            assert untouched is not None
            assert untouched.newest is None

    async def test_a_key_is_one_of_the_room_that_was_asked_for(self, entry: Entries) -> None:
        """Even if a policy moved the envelope to another room; the entry has both rooms."""
        moved = attrs.evolve(entry("one", key="k"), asked_room="asked for")
        there = ("bot", "room", "send", "k")
        async with self.process_run() as outbox:
            await outbox.append(moved, lambda: None)
        async with self.process_run() as outbox:
            (stored,) = await outbox.page("bot", room="room")
            assert moved == stored.entry
            found = await outbox.find(("bot", "asked for", "send", "k"))
            assert found is not None
            assert (found.envelope_id, found.stored) == (moved.id, stored)
            assert await outbox.find(there) is None
            outbox.finished(receipt_of(moved))
            found = await outbox.find(moved.scope)
            assert found is not None
            assert found.receipt == receipt_of(moved)
            assert await outbox.find(there) is None

    async def test_keys_answer_until_they_are_free(self, entry: Entries) -> None:
        """While unfinished, and after a delivery; an end without a delivery frees the key."""
        one, two = entry("one", key="a"), entry("two", key="b")
        async with self.process_run() as outbox:
            await outbox.append(one, lambda: None)
            await outbox.append(two, lambda: None)
            found = await outbox.find(one.scope)
            assert found is not None
            assert (one.id, "print") == (found.envelope_id, found.fingerprint)
            assert found.stored is not None
            outbox.finished(receipt_of(one))
            outbox.finished(receipt_of(two, Disposition.EXPIRED))
            found = await outbox.find(one.scope)
            assert found is not None
            assert found.receipt == receipt_of(one)
            assert await outbox.find(two.scope) is None
        async with self.process_run() as outbox:
            found = await outbox.find(one.scope)
            assert found is not None
            assert found.receipt == receipt_of(one)
            assert await outbox.find(two.scope) is None

    async def test_steps_come_back_as_last_told(self, entry: Entries) -> None:
        """Of every step only the newest state counts; shapes replace the plan."""
        one = entry("one")
        begun = StepRecord(serial=0, number=1, started=True, first_at=START)
        done = StepRecord(serial=0, number=1, outcome="delivered", message_id="7")
        second = StepRecord(serial=1, number=2, started=True, maybe_sent=1, attempts=1)
        shapes = (StepShape(kind="send", serial=0), StepShape(kind="edit", serial=1, reply="r"))
        async with self.process_run() as outbox:
            await outbox.append(one, lambda: None)
            await outbox.attempt_started(one.id, begun)
        async with self.process_run() as outbox:
            (stored,) = await outbox.page("bot")
            assert (begun,) == stored.records
            outbox.acknowledged(one.id, done)
            outbox.replanned(one.id, shapes)
            await outbox.attempt_started(one.id, second)
        async with self.process_run() as outbox:
            (stored,) = await outbox.page("bot")
            assert (done, second) == stored.records
            assert shapes == stored.shapes
            outbox.attempt_ended(one.id, StepRecord(serial=1, number=1))
        async with self.process_run() as outbox:
            (stored,) = await outbox.page("bot")
            assert not any(record.started for record in stored.records)

    async def test_steps_that_were_planned_anew_come_back_though_none_began(
        self, entry: Entries
    ) -> None:
        """They do not follow from the plan, even if no step has a record."""
        one = entry("one")
        shapes = (StepShape(kind="send", serial=3), StepShape(kind="send", serial=4))
        async with self.process_run() as outbox:
            await outbox.append(one, lambda: None)
            outbox.replanned(one.id, shapes)
        async with self.process_run() as outbox:
            (stored,) = await outbox.page("bot")
            assert ((), shapes) == (stored.records, stored.shapes)
