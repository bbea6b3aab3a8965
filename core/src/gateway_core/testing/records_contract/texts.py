"""Tests of growing texts: the newest text is stored, even after a kill."""

# ruff: noqa: S101, SIM300 - these are tests, shipped to authors

from __future__ import annotations

from typing import Any

import attrs

from gateway_core.contract.envelopes import Disposition, Grows, Send
from gateway_core.testing.outbox_contract import START, Entries, receipt_of
from gateway_core.testing.records_contract.groups import nothing
from gateway_core.testing.records_contract.making import ERASE, RecordsRuns


async def grown(outbox: Any, envelope_id: str) -> tuple[int, str] | None:
    """The newest text of an unfinished entry."""
    found = await outbox.find(envelope_id)
    assert found.stored is not None
    text: tuple[int, str] | None = found.stored.grown
    return text


class TextsContract(RecordsRuns):
    """Tests of what every durable outbox does with growing texts."""

    async def test_the_newest_text_is_found_again(self, entry: Entries) -> None:
        """Each entry's text with the highest number, in whatever order texts were reported."""
        one, two, plain = entry("one"), entry("two", due=START + 99), entry("plain")
        async with self.process_run() as outbox:
            for each in (one, two, plain):
                await outbox.append(each, nothing)
            outbox.grew(one.id, "h", 1)
            outbox.grew(one.id, "hëllo 🙂", 3)
            outbox.grew(one.id, "hë", 2)
            outbox.grew(two.id, "x", 1)
            assert await grown(outbox, one.id) == (3, "hëllo 🙂")
            outbox.grew(one.id, "old", 2)
        async with self.process_run() as outbox:
            found = {s.entry.id: s.grown for s in await outbox.page("bot")}
            assert {one.id: (3, "hëllo 🙂"), plain.id: None} == found
            assert [(1, "x")] == [s.grown for s in await outbox.scheduled(until=START + 99)]
            overdue = await outbox.overdue(until=START + 9999)
            assert [(3, "hëllo 🙂"), (1, "x"), None] == [s.grown for s in overdue.stored]
            outbox.grew(one.id, "", 4)
            outbox.grew(two.id, "xy", 2)
        async with self.process_run() as outbox:
            assert [(4, ""), (2, "xy"), None] == [
                await grown(outbox, each.id) for each in (one, two, plain)
            ]

    async def test_a_stream_is_known_as_one(self, entry: Entries) -> None:
        """The envelope's `grows`, with the text for a broken-off stream, comes back unchanged."""
        mark = Grows(broken_off=" […]")
        one = entry("one")
        assert isinstance(one.envelope, Send)
        one = attrs.evolve(one, envelope=attrs.evolve(one.envelope, grows=mark))
        async with self.process_run() as outbox:
            await outbox.append(one, nothing)
        async with self.process_run() as outbox:
            (stored,) = await outbox.page("bot")
            assert one.envelope == stored.entry.envelope

    async def test_the_text_is_gone_with_the_end(self, entry: Entries) -> None:
        """A text of an ended or unknown entry is not stored."""
        one, two = entry("one"), entry("two")
        async with self.process_run() as outbox:
            await outbox.append(one, nothing)
            await outbox.append(two, nothing)
            outbox.grew(one.id, "text", 1)
            outbox.grew(entry("nobody").id, "text", 1)
            outbox.grew(two.id, "text", 1)
            outbox.finished(receipt_of(one, Disposition.EXPIRED))
            outbox.grew(one.id, "later", 2)
            await outbox.endings(after=0)
            outbox.grew(one.id, "much later", 3)
            outbox.withdraw(two.id)
        async with self.process_run() as outbox:
            found = await outbox.find(one.id)
            assert found is not None
            assert (receipt_of(one, Disposition.EXPIRED), None) == (found.receipt, found.stored)
            assert await outbox.find(two.id) is None

    async def test_the_text_goes_with_its_room(self, entry: Entries) -> None:
        """An erasure of the room removes the text; other rooms' texts stay."""
        one, other = entry("one"), entry("other", room="other")
        async with self.process_run() as outbox:
            await outbox.append(one, nothing)
            await outbox.append(other, nothing)
            outbox.grew(one.id, "text", 1)
            outbox.grew(other.id, "text", 1)
            await outbox.erase(ERASE, 0)
        async with self.process_run() as outbox:
            assert await outbox.find(one.id) is None
            assert await grown(outbox, other.id) == (1, "text")

    async def test_a_kill_leaves_a_text_that_was_told(self, entry: Entries) -> None:
        """The text that was reported before an awaited call, or a newer text."""
        one = entry("one")
        async with self.killed_run() as outbox:
            await outbox.append(one, nothing)
            outbox.grew(one.id, "first", 1)
            outbox.grew(one.id, "second", 2)
            await outbox.append(entry("awaited"), nothing)
            outbox.grew(one.id, "third", 3)
        async with self.process_run() as outbox:
            assert await grown(outbox, one.id) in ((2, "second"), (3, "third"))
