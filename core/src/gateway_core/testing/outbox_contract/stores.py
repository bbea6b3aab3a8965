"""Tests of an engine whose store is full, slow, or answers after its caller gave up."""

# ruff: noqa: S101 - these are tests, shipped to authors

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing

from gateway_core.contract.envelopes import Disposition
from gateway_core.contract.errors import OutboxError
from gateway_core.outboxes.records import StepRecord
from gateway_core.testing.outbox_contract.making import (
    START,
    Contract,
    Entries,
    receipt_of,
    texts,
)

LONG = "x" * 100_000
"""A text for which a full store has no space."""
FAR = "y" * 9_000
"""The id of a room, so long that a full store has no space for many moves to it."""
BEGUN = StepRecord(serial=1, number=1, started=True, first_at=START)
DONE = StepRecord(serial=0, number=1, outcome="delivered", message_id="7")


class StoreContract(Contract):
    """Tests that refused entries and abandoned calls leave nothing, and that reports wait."""

    @pytest.fixture
    def filling(self) -> Any:
        """`filled`, if authors give it."""
        if type(self).filled is Contract.filled:
            pytest.skip("not tried: this outbox has no `filled`")
        return self.filled

    @pytest.fixture
    def stalling(self) -> Any:
        """`stalled`, if authors give it."""
        if type(self).stalled is Contract.stalled:
            pytest.skip("not tried: this outbox has no `stalled`")
        return self.stalled

    async def test_of_what_a_full_store_refused_nothing_is_there_later(
        self, entry: Entries, filling: Any
    ) -> None:
        """Neither the entry nor its key, in this run or the next; later entries are stored."""
        first, again = entry("first"), entry("again", key="k")
        refused = [entry(LONG, key="k"), *(entry(LONG) for _ in range(63))]
        told: list[str] = []
        async with self.process_run() as outbox:
            await outbox.append(first, partial(told.append, first.id))
            async with filling(outbox), trio.open_nursery() as nursery:
                for one in refused:
                    nursery.start_soon(_refused, outbox, one, told)
            await outbox.append(again, partial(told.append, again.id))
            assert [again.id] == await _known(outbox, [*refused, again])
        assert [first.id, again.id] == told
        async with self.process_run() as outbox:
            assert [again.id] == await _known(outbox, [*refused, again])
            assert texts(await outbox.page("bot")) == ["first", "again"]

    async def test_what_a_full_store_was_told_is_there_once_it_has_room(
        self, entry: Entries, filling: Any
    ) -> None:
        """In the order of the reports; the attempt and the entry refused meanwhile are not."""
        one, two, three = entry("one"), entry("two"), entry("three")
        async with self.process_run() as outbox:
            for each in (one, two, three):
                await outbox.append(each, lambda: None)
            async with filling(outbox):
                outbox.finished(receipt_of(two))
                outbox.acknowledged(three.id, DONE)
                await _told_in_vain(outbox, three.id)
                outbox.finished(receipt_of(one))
                await _refused(outbox, entry(LONG), [])
            ended = await outbox.endings(after=0)
            assert [two.id, one.id] == [receipt.envelope_id for _, receipt in ended.ended]
        async with self.process_run() as outbox:
            assert ended == await outbox.endings(after=0)
            assert set(_PLACES) == set((await outbox.recover("bot")).moves)
            (left,) = await outbox.page("bot")
        assert three == left.entry
        assert DONE in left.records
        assert not any(record.started for record in left.records)

    async def test_killed_as_its_store_is_full_it_has_the_beginning_of_what_it_was_told(
        self, entry: Entries, filling: Any
    ) -> None:
        """A report is stored only together with all earlier reports; refused calls are not."""
        one, two, three = entry("one"), entry("two"), entry("three")
        async with self.killed_run() as outbox:
            for each in (one, two, three):
                await outbox.append(each, lambda: None)
            async with filling(outbox):
                outbox.finished(receipt_of(one))
                await _told_in_vain(outbox, three.id)
                outbox.finished(receipt_of(two))
        async with self.process_run() as outbox:
            found = [await outbox.find(each.id) for each in (one, two)]
            moves = (await outbox.recover("bot")).moves
            left = await outbox.page("bot")
        ended = [each is not None and each.receipt is not None for each in found]
        told = [ended[0], *(place in moves for place in _PLACES), ended[1]]
        assert told == sorted(told, reverse=True), "in their order"
        assert not any(record.started for stored in left for record in stored.records)

    async def test_a_slow_store_answers_each_caller_once_and_in_order(
        self, entry: Entries, stalling: Any
    ) -> None:
        """No entry is accepted before it is stored; the reports stay in their order."""
        ending = [entry(str(n)) for n in range(6)]
        entries = [entry(str(n)) for n in range(6, 12)]
        told, returned = list[str](), list[str]()

        async def append(n: int) -> None:
            await outbox.append(entries[n], partial(told.append, entries[n].id))
            returned.append(entries[n].id)

        async with self.process_run() as outbox, trio.open_nursery() as nursery:
            for one in ending:
                await outbox.append(one, lambda: None)
            async with stalling(outbox):
                for n in range(6):
                    outbox.finished(receipt_of(ending[5 - n]))
                    nursery.start_soon(append, n)
                    await trio.testing.wait_all_tasks_blocked()
                    assert (told, returned) == ([], [])
        assert [one.id for one in entries] == told == sorted(returned)
        async with self.process_run() as outbox:
            assert [one.entry.id for one in await outbox.page("bot")] == told
            ended = (await outbox.endings(after=0)).ended
        assert [one.id for one in reversed(ending)] == [each.envelope_id for _, each in ended]

    @pytest.mark.parametrize("run", ["process_run", "killed_run"])
    async def test_an_append_that_is_answered_after_its_caller_gave_up_is_not_there(
        self, entry: Entries, stalling: Any, run: str
    ) -> None:
        """Its key is free at once: the next entry with this key is stored, and only that one."""
        one, again, told = entry("one", key="k"), entry("again", key="k"), list[str]()
        scope = trio.CancelScope()

        async def give_up_and_come_again() -> None:
            with scope:
                await outbox.append(one, partial(told.append, "one"))
            if scope.cancelled_caught:
                outbox.withdraw(one.id)  # the gateway does so
                await outbox.append(again, partial(told.append, "again"))

        async with getattr(self, run)() as outbox:
            await _cancelled(stalling(outbox), give_up_and_come_again, scope)
        there = again if scope.cancelled_caught else one
        assert [there.envelope.text] == told  # type: ignore[union-attr]  # a `Send`
        async with self.process_run() as outbox:
            assert [there.id] == await _known(outbox, [one, again])
            assert [there] == [stored.entry for stored in await outbox.page("bot")]

    async def test_killed_after_a_caller_gave_up_its_entry_is_whole_or_not_there(
        self, entry: Entries, stalling: Any
    ) -> None:
        """A withdrawal is a report: the next run may still find the entry, then with its key."""
        one, scope = entry("one", key="k"), trio.CancelScope()

        async def give_up() -> None:
            with scope:
                await outbox.append(one, lambda: None)
            if scope.cancelled_caught:
                outbox.withdraw(one.id)

        async with self.killed_run() as outbox:
            await _cancelled(stalling(outbox), give_up, scope)
        async with self.process_run() as outbox:
            there = [stored.entry for stored in await outbox.page("bot")]
            known = await _known(outbox, [one])
        assert (there, known) in (([], []), ([one], [one.id]))
        assert there or scope.cancelled_caught

    @pytest.mark.parametrize("then", ["attempt_ended", "finished"])
    async def test_an_attempt_that_is_recorded_after_its_caller_gave_up_has_not_begun(
        self, entry: Entries, stalling: Any, then: str
    ) -> None:
        """The later report holds: the attempt did not begin, or the envelope ended."""
        one, scope = entry("one"), trio.CancelScope()

        async def give_up() -> None:
            with scope:
                await outbox.attempt_started(one.id, BEGUN)
            if then == "finished":
                outbox.finished(receipt_of(one, Disposition.CANCELLED))
            else:
                outbox.attempt_ended(one.id, StepRecord(serial=1))

        async with self.process_run() as outbox:
            await outbox.append(one, lambda: None)
            await _cancelled(stalling(outbox), give_up, scope)
        async with self.process_run() as outbox:
            left = await outbox.page("bot")
            found = await outbox.find(one.id)
        assert found is not None
        assert (then == "finished") == (found.receipt is not None) == (not left)
        assert not any(record.started for stored in left for record in stored.records)


_PLACES = tuple(f"room{n}" for n in range(20))


async def _told_in_vain(outbox: Any, envelope_id: str) -> None:
    """Report more moves than the store has space for, so that it can record no attempt."""
    for place in _PLACES:
        outbox.moved("bot", place, FAR)
    with pytest.raises(OutboxError):
        await outbox.attempt_started(envelope_id, BEGUN)


async def _cancelled(stalled: Any, asking: Callable[[], Any], scope: trio.CancelScope) -> None:
    """Cancel the call `asking` while the store does not answer; return once both have ended."""
    async with trio.open_nursery() as nursery, stalled:
        nursery.start_soon(asking)
        await trio.testing.wait_all_tasks_blocked()
        scope.cancel()
        await trio.testing.wait_all_tasks_blocked()


async def _refused(outbox: Any, one: Any, told: list[str]) -> None:
    with pytest.raises(OutboxError):
        await outbox.append(one, partial(told.append, one.id))


async def _known(outbox: Any, entries: list[Any]) -> list[str]:
    """The ids of the entries that `find` finds; the key `k` must find the last of them."""
    found = [one.id for one in entries if await outbox.find(one.id) is not None]
    scopes = [scope for one in entries if (scope := one.scope) is not None]
    by_key = await outbox.find(scopes[0])
    assert found[-1:] == ([by_key.envelope_id] if by_key is not None else [])
    return found


__all__ = ["StoreContract"]
