"""Tests under hard conditions: many callers, cancelled callers, kills between any two calls."""

# ruff: noqa: S101 - these are tests, shipped to authors

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing

from gateway_core.contract.envelopes import Disposition
from gateway_core.outboxes.records import StepRecord
from gateway_core.testing.outbox_contract.making import START, Contract, Entries, receipt_of

_CALLS = (
    "append one", "append two", "one starts", "one is acknowledged", "the room moves", "one ends",
    "two starts", "two ends", "the account closes", "append three",
)  # fmt: skip
"""The calls of a process run before it is killed; the appends and the starts are awaited."""


class TrialsContract(Contract):
    """Tests that awaited calls are always stored, and that reports are stored in their order."""

    async def test_what_is_withdrawn_was_never_there(self, entry: Entries) -> None:
        """Neither the entry nor its key remains."""
        one = entry("one", key="a")
        async with self.process_run() as outbox:
            await outbox.append(one, lambda: None)
            outbox.withdraw(one.id)
        async with self.process_run() as outbox:
            assert list(await outbox.page("bot")) == []
            assert await outbox.find(one.scope) is None

    async def test_a_cancelled_append_leaves_nothing(self, entry: Entries) -> None:
        """The caller gave up: `on_stored` did not run, and the next run finds nothing."""
        ran: list[str] = []
        async with self.process_run() as outbox:
            with trio.CancelScope() as scope:
                scope.cancel()
                await outbox.append(entry("one"), lambda: ran.append("stored"))
        async with self.process_run() as outbox:
            assert (list(await outbox.page("bot")), ran) == ([], [])

    async def test_an_append_gives_others_their_turn(self, entry: Entries) -> None:
        """`append` is a checkpoint, since `Gateway.submit` has no other checkpoint."""
        async with self.process_run() as outbox:
            with trio.testing.assert_checkpoints():
                await outbox.append(entry("one"), lambda: None)

    async def test_many_callers_at_once_are_each_told_once(self, entry: Entries) -> None:
        """64 callers append three entries each: all are stored, in one order that never changes."""
        told: list[str] = []
        async with self.process_run() as outbox:

            async def append_some() -> None:
                for _ in range(3):
                    one = entry("x", room=f"room{entry.count % 5}")
                    await outbox.append(one, partial(told.append, one.id))
                    assert one.id in told

            async with trio.open_nursery() as nursery:
                for _ in range(64):
                    nursery.start_soon(append_some)
            before = [stored.position for stored in await outbox.page("bot")]
        assert len(told) == len(set(told)) == entry.count
        async with self.process_run() as outbox:
            page = await outbox.page("bot")
        assert before == [stored.position for stored in page] == sorted(set(before))
        assert {stored.entry.id for stored in page} == set(told)

    @pytest.mark.parametrize("turns", range(12))
    async def test_an_append_cancelled_at_any_of_its_turns_is_there_or_is_not(
        self, entry: Entries, turns: int
    ) -> None:
        """The caller knows which: the entry is stored if, and only if, the append returned."""
        one, told, returned = entry("one", key="k"), list[str](), False
        async with self.process_run() as outbox, trio.open_nursery() as nursery:

            async def append() -> None:
                nonlocal returned
                await outbox.append(one, lambda: told.append(one.id))
                returned = True

            nursery.start_soon(append)
            for _ in range(turns):
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        assert bool(told) == returned
        async with self.process_run() as outbox:
            assert returned == (await outbox.find(one.scope) is not None)
            assert returned == bool(await outbox.page("bot"))

    @pytest.mark.parametrize("last", _CALLS)
    async def test_killed_between_any_two_calls_nothing_that_was_awaited_is_lost(
        self, entry: Entries, last: str
    ) -> None:
        """And a report is stored only together with all earlier reports."""
        one, two, three = entry("one"), entry("two"), entry("three")
        begun = StepRecord(serial=0, number=1, started=True, first_at=START)
        done = StepRecord(serial=0, number=1, outcome="delivered", message_id="7")
        made = _CALLS[: _CALLS.index(last) + 1]
        async with self.killed_run() as outbox:
            calls: dict[str, Callable[[], Any]] = {
                "append one": partial(outbox.append, one, lambda: None),
                "append two": partial(outbox.append, two, lambda: None),
                "one starts": partial(outbox.attempt_started, one.id, begun),
                "one is acknowledged": partial(outbox.acknowledged, one.id, done),
                "the room moves": partial(outbox.moved, "bot", "room", "new"),
                "one ends": partial(outbox.finished, receipt_of(one)),
                "two starts": partial(outbox.attempt_started, two.id, begun),
                "two ends": partial(outbox.finished, receipt_of(two, Disposition.EXPIRED)),
                "the account closes": partial(outbox.closed, "bot", "", START + 30, 30.0),
                "append three": partial(outbox.append, three, lambda: None),
            }
            for name in made:
                waits = calls[name]()
                if waits is not None:
                    await waits
        async with self.process_run() as outbox:
            found = [await outbox.find(each.id) for each in (one, two, three)]
            recovery = await outbox.recover("bot")
        appended = [f"append {name}" in made for name in ("one", "two", "three")]
        assert appended == [each is not None for each in found]
        ended = [each is not None and each.receipt is not None for each in found]
        told = ["room" in recovery.moves, ended[0], ended[1], bool(recovery.closures)]
        assert told == sorted(told, reverse=True), "in their order"
        assert "two starts" not in made or all(told[:2])
        assert "append three" not in made or all(told)
        first = found[0].stored if found[0] is not None else None
        if "one starts" in made and first is not None:
            assert first.records in ((begun,), (done,))
            assert first.records == (done,) or not recovery.moves
