"""Tests of what a new process run knows about accounts, and that erased rooms leave nothing."""

# ruff: noqa: S101, SIM300 - these are tests, shipped to authors

from __future__ import annotations

from typing import Any

import attrs

from gateway_core.contract.envelopes import Disposition, MessageRef, PartReceipt
from gateway_core.outboxes.records import ALL, Recovery, Request, StepRecord, Suspension
from gateway_core.ratelimits.spent import Standing
from gateway_core.testing.outbox_contract.making import START, Contract, Entries, receipt_of, texts


class AccountsContract(Contract):
    """Tests that an account's state outlives its owner."""

    async def test_a_new_run_knows_what_there_is(self, entry: Entries) -> None:
        """Counts, the newest id, the new ids of moved rooms, and the closures of operations."""
        entries = [
            entry("1"),
            entry("2", instance="other", priority="urgent"),
            entry("3", due=START + 9, order="none"),
        ]
        async with self.process_run() as outbox:
            for one in entries:
                await outbox.append(one, lambda: None)
            outbox.moved("bot", "old", "new")
            outbox.closed("bot", "", START + 30, 30.0)
            outbox.closed("bot", "send", START + 8, 8.0)
            outbox.closed("bot", "send", START + 9, 9.0)
            outbox.finished(receipt_of(entries[0]))
        async with self.process_run() as outbox:
            overview = await outbox.overview()
            recovery, other = await outbox.recover("bot"), await outbox.recover("other")
        assert dict(overview.unfinished) == {"bot": 1, "other": 1}
        assert dict(overview.classes) == {"urgent": 1, "normal": 1}
        assert (1, entries[2].id) == (overview.scheduled, overview.last_id)
        assert dict(recovery.moves) == {"old": "new"}
        assert dict(recovery.closures) == {"": (START + 30, 30.0), "send": (START + 9, 9.0)}
        assert attrs.evolve(other, last_id="", sequence=None) == Recovery()

    async def test_a_new_run_knows_what_was_spent(self, entry: Entries) -> None:
        """The values of the account's last release; an erasure removes them: they name rooms."""
        spent = Standing(
            names=("a", "b"), back=((1.5, 2), (60.0, 1)), closed=3.0, tick=0.5, count=7
        )
        async with self.process_run() as outbox:
            outbox.release("bot", START, [Standing(names=("old",))])
            outbox.release("bot", START + 9, [spent, Standing(names=("c",))])
            again = await outbox.recover("bot")  # a new owner in the same process
            outbox.release(ALL, START + 9, [])
        async with self.process_run() as outbox:
            recovery, shared = await outbox.recover("bot"), await outbox.recover(ALL)
            one = entry("1")
            await outbox.append(one, lambda: None)
            request = Request(kind="erase", number=1, instance_id="bot", room="room")
            await outbox.erase(request, 0)
        assert again.spent is not None
        assert recovery.spent is not None
        assert shared.spent is not None
        both = [spent, Standing(names=("c",))]
        for at, standings in (again.spent, recovery.spent):
            assert (START + 9, both) == (at, list(standings))
        assert (START + 9, []) == (shared.spent[0], list(shared.spent[1]))
        async with self.process_run() as outbox:
            assert (await outbox.recover("bot")).spent is None

    async def test_a_new_run_knows_what_an_operator_has_suspended(self) -> None:
        """Why, by whom and since when, until the suspension is changed; other accounts go on.

        An engine without `store_suspension` stores none: there suspensions end with the process.
        """
        first = Suspension(why="the workspace moves", since=START)
        last = Suspension(why="\N{SLEEPING SYMBOL} 'until' monday\n", by="ann", since=START + 9)
        async with self.process_run() as outbox:
            store: Any = getattr(outbox, "store_suspension", None)
            for account in ("bot", "other", "third"):
                assert (await outbox.recover(account)).suspended is None
            if store is None:
                return
            await store("bot", first)
            await store("bot", last)
            await store("other", first)
            await store("other", None)
            await store("third", None)
            again = await outbox.recover("bot")  # a new owner in the same process
        async with self.process_run() as outbox:
            accounts = ("bot", "other", "third")
            found = [(await outbox.recover(account)).suspended for account in accounts]
        assert [last, None, None] == found
        assert last == again.suspended

    async def test_a_new_run_knows_of_attempts(self, entry: Entries) -> None:
        """Of envelopes that ended since a time, and of begun ones; none of untried envelopes."""
        old, sent, edited, deleted, expired, begun, waiting = (entry(str(n)) for n in range(7))
        other = entry("other", room="other")
        ref = MessageRef(
            instance_id="bot", external_room_id="room", envelope_id=sent.id, thread_id="t"
        )
        gone = PartReceipt(index=0, outcome="deleted", attempts=1)
        async with self.process_run() as outbox:
            for one in (old, sent, edited, deleted, expired, begun, waiting, other):
                await outbox.append(one, lambda: None)
            for one, after, fields in (
                (old, 1, {}),
                (sent, 5, {"ref": ref}),
                (edited, 6, {"ref": attrs.evolve(ref, revision=1, thread_id=None)}),
                (deleted, 7, {"parts": (gone,)}),
                (other, 8, {}),
            ):
                count = 2 if one is other else 1
                ended = receipt_of(one, ended_at=START + after, attempts=count, **fields)
                outbox.finished(ended)
            outbox.finished(receipt_of(expired, Disposition.EXPIRED, ended_at=START + 9))
            await outbox.attempt_started(begun.id, StepRecord(serial=0, number=1, started=True))
            outbox.acknowledged(begun.id, StepRecord(serial=0, number=1, outcome="delivered"))
            await outbox.attempt_started(begun.id, StepRecord(serial=1, number=1, started=True))
        async with self.process_run() as outbox:
            found = await outbox.attempts(since=START + 1)
            few = await outbox.attempts(since=START + 1, limit=2)
            assert found == await outbox.attempts(since=START + 1, instance_id="bot")
            assert [] == list(await outbox.attempts(since=START + 1, instance_id="other"))
        assert ["send", "edit", "delete", "send", "send"] == [one.operation for one in found]
        assert [START + 5, START + 6, START + 7, START + 8] == [one.at for one in found[:4]]
        assert found[4].at >= START
        assert [1, 1, 1, 2, 2] == [one.count for one in found]
        assert ["room", "room", "room", "other", "room"] == [one.room for one in found]
        assert ["t", None] == [one.thread for one in found[:2]]
        assert {("bot", "normal")} == {(one.instance_id, one.priority) for one in found}
        assert found[3:] == few

    async def test_of_an_erased_room_nothing_is_found(self, entry: Entries) -> None:
        """No unfinished, scheduled or ended entry, no key and no move; other rooms stay."""
        ended, waiting, other = entry("1", key="a"), entry("2", key="b"), entry("3", room="other")
        late, moved = entry("4", due=START + 50), entry("5", key="c")
        moved = attrs.evolve(moved, asked_room="asked for")
        async with self.process_run() as outbox:
            for one in (ended, waiting, other, late, moved):
                await outbox.append(one, lambda: None)
            outbox.finished(receipt_of(ended))
            outbox.finished(receipt_of(moved))
            outbox.moved("bot", "room", "new")
            request = Request(kind="erase", number=1, instance_id="bot", room="room")
            await outbox.erase(request, 0)
            for one in (ended, waiting, late):
                assert await outbox.find(one.id) is None
            assert await outbox.find(ended.scope) is None
            assert await outbox.find(waiting.scope) is None
            assert await outbox.find(moved.scope) is None
        async with self.process_run() as outbox:
            assert dict((await outbox.overview()).unfinished) == {"bot": 1}
            assert dict((await outbox.recover("bot")).moves) == {}
            assert texts(await outbox.page("bot")) == ["3"]
            assert texts(await outbox.scheduled(until=START + 50)) == []
