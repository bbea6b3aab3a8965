"""Tests of groups: stored as a whole; members take turns one by one, and their ends are counted."""

# ruff: noqa: S101, SIM300 - these are tests, shipped to authors

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import attrs
import pytest
import trio
import trio.testing

from gateway_core.contract.envelopes import Call, Disposition
from gateway_core.contract.errors import OutboxError
from gateway_core.outboxes.records import Found, GroupState, Member
from gateway_core.testing.outbox_contract import Entries, receipt_of
from gateway_core.testing.outbox_contract.making import PARTS
from gateway_core.testing.records_contract.making import (
    ERASE,
    RecordsRuns,
    chunks,
    group_of,
    member_of,
    rooms,
)

_CALLS = (
    "append the group", "append 0", "append 1", "0 ends", "append 2", "1 ends", "pause", "append 3",
    "cancel", "append another",
)  # fmt: skip
"""The calls of a process run before it is killed; the appends are awaited."""

_SOME = 333


def nothing() -> None:
    """An `on_stored` that does nothing."""


async def numbers(outbox: Any, group_id: str, **which: Any) -> list[int]:
    """The numbers of the members that have no entry yet."""
    return [number for number, _ in await outbox.members(group_id, **which)]


async def state_of(outbox: Any, group_id: str) -> GroupState:
    """How far the group is."""
    found: Found = await outbox.find(group_id)
    assert found.group is not None
    return found.group


class GroupsContract(RecordsRuns):
    """Tests of what every durable outbox does with groups."""

    async def test_a_group_is_found_again_as_it_was(self, entry: Entries) -> None:
        """With its members in their order, and envelopes of their own."""
        group = group_of(entry, 6, "hëllo 🙂", extra={"a": [1, None]}, due=1_700_000_099.0)
        group = attrs.evolve(group, priority="bulk", plan=PARTS)
        own = Call(instance_id="bot", external_room_id="x", method="ban", arguments={"id": [7]})
        members = [
            *rooms(3),
            Member(room="x", envelope=own),
            Member(room="room0"),
            Member(room="x", envelope=own, asked_room="asked for"),
        ]
        stored: list[str] = []
        async with self.process_run() as outbox:
            await outbox.append_group(group, chunks(members), lambda: stored.append("told"))
            assert stored == ["told"]
        async with self.process_run() as outbox:
            assert [GroupState(group=group)] == list(await outbox.groups("bot"))
            assert list(enumerate(members)) == list(await outbox.members(group.id))
            found = await outbox.find(group.id)
            assert Found(envelope_id=group.id, group=GroupState(group=group)) == found
            assert (await outbox.overview()).last_id == group.id
            assert list(await outbox.page("bot")) == []

    async def test_members_are_read_on_from_a_number(self, entry: Entries) -> None:
        """`after` is exclusive, `limit` is a bound; an unknown group has no members."""
        group = group_of(entry, 2_500)
        async with self.process_run() as outbox:
            await outbox.append_group(group, chunks(rooms(2_500), 700), nothing)
            read: list[tuple[int, Member]] = []
            while page := await outbox.members(group.id, after=len(read) - 1, limit=_SOME):
                assert len(page) <= _SOME
                read += page
            assert list(enumerate(rooms(2_500))) == read
            assert await numbers(outbox, group.id, after=2_497, limit=2) == [2_498, 2_499]
            assert await numbers(outbox, entry("x").id) == []
            assert await outbox.find(entry("x").id) is None

    async def test_a_group_of_nobody_has_ended(self, entry: Entries) -> None:
        """The group is stored nevertheless, with its key."""
        group = group_of(entry, 0, key="k")
        async with self.process_run() as outbox:
            await outbox.append_group(group, [], nothing)
            assert (await state_of(outbox, group.id)).ended
            assert await outbox.find(group.scope) is not None

    @pytest.mark.parametrize("size", [3, 5, 0])
    async def test_a_group_has_as_many_members_as_it_says(self, entry: Entries, size: int) -> None:
        """Otherwise nothing is stored."""
        group, told = group_of(entry, size, key="k"), list[str]()
        async with self.process_run() as outbox:
            with pytest.raises(ValueError, match="4"):
                await outbox.append_group(group, chunks(rooms(4)), lambda: told.append("told"))
            assert await outbox.find(group.scope) is None
        async with self.process_run() as outbox:
            assert (list(await outbox.groups("bot")), told) == ([], [])
            assert await outbox.find(group.scope) is None

    async def test_members_that_cannot_be_given_leave_nothing(self, entry: Entries) -> None:
        """An exception of their iterator is raised; the next group can use the same key."""
        group, other = group_of(entry, 9, key="k"), group_of(entry, 2, key="k")

        def some() -> Iterator[Sequence[Member]]:
            yield from chunks(rooms(6))
            raise LookupError("no more")

        async with self.process_run() as outbox:
            with pytest.raises(LookupError, match="no more"):
                await outbox.append_group(group, some(), nothing)
            await outbox.append_group(other, chunks(rooms(2)), nothing)
        async with self.process_run() as outbox:
            assert [GroupState(group=other)] == list(await outbox.groups("bot"))
            assert await numbers(outbox, group.id) == []

    @pytest.mark.parametrize("turns", range(14))
    async def test_a_group_cancelled_at_any_turn_is_there_or_is_not(
        self, entry: Entries, turns: int
    ) -> None:
        """The caller knows which: the group is stored if, and only if, the append returned."""
        group, told, returned = group_of(entry, 7, key="k"), list[str](), False
        async with self.process_run() as outbox, trio.open_nursery() as nursery:

            async def append() -> None:
                nonlocal returned
                await outbox.append_group(group, chunks(rooms(7)), lambda: told.append("told"))
                returned = True

            nursery.start_soon(append)
            for _ in range(turns):
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        assert bool(told) == returned
        async with self.process_run() as outbox:
            assert returned == (await outbox.find(group.scope) is not None)
            assert returned == bool(await outbox.groups("bot"))
            assert await numbers(outbox, group.id) == (list(range(7)) if returned else [])

    async def test_only_the_next_turn_can_be_taken(self, entry: Entries) -> None:
        """Any other turn, a turn taken twice, or one of an unknown group stores nothing."""
        group = group_of(entry, 3)
        first, third, beyond = (member_of(entry, group, number) for number in (0, 2, 3))
        stray = attrs.evolve(entry("stray"), member=(entry("x").id, 0))
        again = member_of(entry, group, 0)
        async with self.process_run() as outbox:
            await outbox.append_group(group, chunks(rooms(3)), nothing)
            for one in (third, stray):
                with pytest.raises(OutboxError):
                    await outbox.append(one, nothing)
            await outbox.append(first, nothing)
            for one in (again, third):
                with pytest.raises(OutboxError):
                    await outbox.append(one, nothing)
            await outbox.append(member_of(entry, group, 1), nothing)
        async with self.process_run() as outbox:
            assert await numbers(outbox, group.id) == [2]
            with pytest.raises(OutboxError):
                await outbox.append(beyond, nothing)
            await outbox.append(third, nothing)
            with pytest.raises(OutboxError):
                await outbox.append(beyond, nothing)
            for one in (stray, again, beyond):
                assert await outbox.find(one.id) is None
            assert GroupState(group=group, taken=3) == await state_of(outbox, group.id)
            stored = {s.entry.member: s.entry for s in await outbox.page("bot")}
        assert {(group.id, number) for number in range(3)} == set(stored)
        assert [first, third] == [stored[group.id, 0], stored[group.id, 2]]

    async def test_many_callers_take_their_turns_in_order(self, entry: Entries) -> None:
        """64 callers take turns while others append: each room has one turn."""
        group = group_of(entry, 64)
        entries = [member_of(entry, group, number) for number in range(64)]
        told: list[str] = []
        async with self.process_run() as outbox:
            await outbox.append_group(group, chunks(rooms(64), 10), nothing)
            async with trio.open_nursery() as nursery:
                for one in entries:
                    nursery.start_soon(outbox.append, one, partial(told.append, one.id))
                    nursery.start_soon(outbox.append, entry("between"), nothing)
                    await trio.testing.wait_all_tasks_blocked()
            assert await numbers(outbox, group.id) == []
        assert [one.id for one in entries] == told
        async with self.process_run() as outbox:
            assert GroupState(group=group, taken=64) == await state_of(outbox, group.id)
            stored = [s.entry for s in await outbox.page("bot") if s.entry.member is not None]
        assert entries == stored

    async def test_of_many_callers_one_takes_a_turn(self, entry: Entries) -> None:
        """Each other caller gets its own error; an entry appended beside them is stored."""
        group = group_of(entry, 2)
        beside = entry("beside")
        took: list[str] = []
        async with self.process_run() as outbox:
            await outbox.append_group(group, chunks(rooms(2)), nothing)

            async def take() -> None:
                one = member_of(entry, group, 0)
                try:
                    await outbox.append(one, nothing)
                except OutboxError:
                    assert await outbox.find(one.id) is None
                else:
                    took.append(one.id)

            async with trio.open_nursery() as nursery:
                for _ in range(64):
                    nursery.start_soon(take)
                nursery.start_soon(outbox.append, beside, nothing)
            assert len(took) == 1
            assert await numbers(outbox, group.id) == [1]
            assert {s.entry.id for s in await outbox.page("bot")} == {*took, beside.id}

    async def test_a_turn_that_was_withdrawn_comes_again(self, entry: Entries) -> None:
        """Before all later turns, even if some of those were taken meanwhile."""
        group = group_of(entry, 4)
        entries = [member_of(entry, group, number) for number in range(3)]
        async with self.process_run() as outbox:
            await outbox.append_group(group, chunks(rooms(4)), nothing)
            for one in entries:
                await outbox.append(one, nothing)
            outbox.withdraw(entries[1].id)
        async with self.process_run() as outbox:
            assert await numbers(outbox, group.id) == [1, 3]
            assert await numbers(outbox, group.id, after=1) == [3]
            assert GroupState(group=group, taken=2) == await state_of(outbox, group.id)
            with pytest.raises(OutboxError):
                await outbox.append(member_of(entry, group, 3), nothing)
            again = member_of(entry, group, 1)
            await outbox.append(again, nothing)
            await outbox.append(member_of(entry, group, 3), nothing)
            outbox.withdraw(again.id)
            assert await numbers(outbox, group.id) == [1]

    async def test_a_turn_that_was_withdrawn_can_be_taken_at_once(self, entry: Entries) -> None:
        """By the next caller, before anything else is written."""
        group = group_of(entry, 2)
        first, again = member_of(entry, group, 0), member_of(entry, group, 0)
        async with self.process_run() as outbox:
            await outbox.append_group(group, chunks(rooms(2)), nothing)
            await outbox.append(first, nothing)
            outbox.withdraw(first.id)
            await outbox.append(again, nothing)
            outbox.withdraw(again.id)
            outbox.cancelled(group.id)
            with pytest.raises(OutboxError):
                await outbox.append(member_of(entry, group, 0), nothing)
            state = await state_of(outbox, group.id)
            assert (0, {"cancelled": 2}) == (state.taken, dict(state.counts))

    async def test_a_cancelled_append_takes_no_turn(self, entry: Entries) -> None:
        """The turn is still the next one."""
        group = group_of(entry, 2)
        async with self.process_run() as outbox:
            await outbox.append_group(group, chunks(rooms(2)), nothing)
            with trio.CancelScope() as scope:
                scope.cancel()
                await outbox.append(member_of(entry, group, 0), nothing)
            assert await numbers(outbox, group.id) == [0, 1]
        async with self.process_run() as outbox:
            await outbox.append(member_of(entry, group, 0), nothing)
            assert await numbers(outbox, group.id) == [1]

    async def test_how_members_ended_is_counted(self, entry: Entries) -> None:
        """Each end once, even if it is reported again; the group ends with its last member."""
        group = group_of(entry, 4)
        entries = [member_of(entry, group, number) for number in range(4)]
        ends = [Disposition.DELIVERED, Disposition.EXPIRED, Disposition.DELIVERED]
        async with self.process_run() as outbox:
            await outbox.append_group(group, chunks(rooms(4)), nothing)
            for one in entries:
                await outbox.append(one, nothing)
            for one, disposition in zip(entries, ends, strict=False):
                outbox.finished(receipt_of(one, disposition))
            await outbox.endings(after=0)
            outbox.finished(receipt_of(entries[0], Disposition.FATAL))
        async with self.process_run() as outbox:
            state = await state_of(outbox, group.id)
            assert {"delivered": 2, "expired": 1} == dict(state.counts)
            assert (state.taken, state.ended) == (4, False)
            outbox.finished(receipt_of(entries[3], Disposition.CANCELLED))
            state = await state_of(outbox, group.id)
            assert ({"delivered": 2, "expired": 1, "cancelled": 1}, True) == (
                dict(state.counts),
                state.ended,
            )
        async with self.process_run() as outbox:
            assert [state] == list(await outbox.groups("bot"))
            assert await numbers(outbox, group.id) == []

    async def test_failures_are_told_with_their_receipts(self, entry: Entries) -> None:
        """No delivered, superseded or cancelled members, and none of another group."""
        group, other = group_of(entry, 10), group_of(entry, 1)
        entries = [member_of(entry, group, number) for number in range(10)]
        failing = member_of(entry, other, 0)
        async with self.process_run() as outbox:
            await outbox.append_group(group, chunks(rooms(10)), nothing)
            await outbox.append_group(other, chunks(rooms(1)), nothing)
            for one in (*entries, failing):
                await outbox.append(one, nothing)
            for one, disposition in zip(entries, Disposition, strict=True):
                outbox.finished(receipt_of(one, disposition, attempts=2))
            outbox.finished(receipt_of(failing, Disposition.FATAL))
            dispositions = list(Disposition)
            expected = [
                receipt_of(one, disposition, attempts=2)
                for one, disposition in zip(entries, dispositions, strict=True)
                if disposition not in ("delivered", "superseded", "cancelled")
            ]
            assert expected == list(await outbox.failed(group.id))
        async with self.process_run() as outbox:
            assert expected[:3] == list(await outbox.failed(group.id, limit=3))
            rest = await outbox.failed(group.id, after=expected[2].envelope_id)
            assert expected[3:] == list(rest)
            assert list(await outbox.failed(entry("x").id)) == []

    async def test_groups_are_read_by_account_and_from_an_id_on(self, entry: Entries) -> None:
        """Including groups that have ended."""
        every = [group_of(entry, 1) for _ in range(4)]
        other = group_of(entry, 1, instance="other")
        one = member_of(entry, every[1], 0)
        async with self.process_run() as outbox:
            for group in (*every, other):
                await outbox.append_group(group, chunks(rooms(1)), nothing)
            await outbox.append(one, nothing)
            outbox.finished(receipt_of(one))
        async with self.process_run() as outbox:
            found = [state.group.id for state in await outbox.groups("bot", limit=3)]
            assert [group.id for group in every[:3]] == found
            found = [state.group.id for state in await outbox.groups("bot", after=found[-1])]
            assert [every[3].id] == found
            assert [other] == [state.group for state in await outbox.groups("other")]

    async def test_a_pause_is_remembered(self, entry: Entries) -> None:
        """A pause changes nothing else: a caller can still take a turn."""
        group = group_of(entry, 2)
        async with self.process_run() as outbox:
            await outbox.append_group(group, chunks(rooms(2)), nothing)
            outbox.paused(group.id, True)
            outbox.paused(group.id, False)
            outbox.paused(group.id, True)
            outbox.paused(entry("x").id, True)
        async with self.process_run() as outbox:
            assert GroupState(group=group, paused=True) == await state_of(outbox, group.id)
            await outbox.append(member_of(entry, group, 0), nothing)
            outbox.paused(group.id, False)
        async with self.process_run() as outbox:
            assert GroupState(group=group, taken=1) == await state_of(outbox, group.id)
            assert await numbers(outbox, group.id) == [1]

    async def test_of_a_cancelled_group_nobody_has_a_turn_any_more(self, entry: Entries) -> None:
        """Members that had a turn go on; the others count as cancelled, once."""
        group = group_of(entry, 5)
        first, second = member_of(entry, group, 0), member_of(entry, group, 1)
        async with self.process_run() as outbox:
            await outbox.append_group(group, chunks(rooms(5)), nothing)
            await outbox.append(first, nothing)
            await outbox.append(second, nothing)
            outbox.cancelled(group.id)
            outbox.cancelled(group.id)
            outbox.cancelled(entry("x").id)
            with pytest.raises(OutboxError):
                await outbox.append(member_of(entry, group, 2), nothing)
            state = await state_of(outbox, group.id)
            assert ({"cancelled": 3}, 2, True) == (dict(state.counts), state.taken, state.cancelled)
            assert await numbers(outbox, group.id) == []
            outbox.withdraw(second.id)
        async with self.process_run() as outbox:
            state = await state_of(outbox, group.id)
            assert ({"cancelled": 4}, 1) == (dict(state.counts), state.taken)
            outbox.finished(receipt_of(first))
            state = await state_of(outbox, group.id)
            assert ({"cancelled": 4, "delivered": 1}, True) == (dict(state.counts), state.ended)

    async def test_a_group_s_key_is_remembered(self, entry: Entries) -> None:
        """While unfinished and when ended; a group cancelled before any turn frees its key."""
        sent, called_off, late = (group_of(entry, 1, key=name) for name in "abc")
        one, two = member_of(entry, sent, 0), member_of(entry, late, 0)
        async with self.process_run() as outbox:
            for group in (sent, called_off, late):
                await outbox.append_group(group, chunks(rooms(1)), nothing)
                found = await outbox.find(group.scope)
                assert found is not None
                assert (group.id, "print") == (found.envelope_id, found.fingerprint)
            await outbox.append(one, nothing)
            await outbox.append(two, nothing)
            outbox.finished(receipt_of(one))
            outbox.cancelled(called_off.id)
            outbox.cancelled(late.id)
            outbox.finished(receipt_of(two, Disposition.CANCELLED))
        async with self.process_run() as outbox:
            for group in (sent, late):
                found = await outbox.find(group.scope)
                assert found is not None
                assert found.group is not None
                assert (group.id, True) == (found.group.group.id, found.group.ended)
            assert await outbox.find(called_off.scope) is None
            again = group_of(entry, 1, key="b")
            await outbox.append_group(again, chunks(rooms(1)), nothing)
            found = await outbox.find(again.scope)
            assert found is not None
            assert again.id == found.envelope_id

    @pytest.mark.parametrize("last", _CALLS)
    async def test_killed_between_any_two_calls_each_room_is_taken_once(
        self, entry: Entries, last: str
    ) -> None:
        """Awaited calls are stored; the counts agree with the stored entries."""
        group = group_of(entry, 6, key="k")
        entries = [member_of(entry, group, number) for number in range(4)]
        made = _CALLS[: _CALLS.index(last) + 1]
        async with self.killed_run() as outbox:
            calls: dict[str, Callable[[], Any]] = {
                "append the group": partial(outbox.append_group, group, chunks(rooms(6)), nothing),
                "0 ends": partial(outbox.finished, receipt_of(entries[0])),
                "1 ends": partial(outbox.finished, receipt_of(entries[1], Disposition.EXPIRED)),
                "pause": partial(outbox.paused, group.id, True),
                "cancel": partial(outbox.cancelled, group.id),
                "append another": partial(outbox.append, entry("another"), nothing),
            } | {
                f"append {number}": partial(outbox.append, one, nothing)
                for number, one in enumerate(entries)
            }
            for name in made:
                waits = calls[name]()
                if waits is not None:
                    await waits
        async with self.process_run() as outbox:
            found = [await outbox.find(one.id) for one in entries]
            state = await state_of(outbox, group.id)
            left = await numbers(outbox, group.id)
            failed = await outbox.failed(group.id)
        taken = [number for number, one in enumerate(found) if one is not None]
        assert [number for number in range(4) if f"append {number}" in made] == taken
        assert len(taken) == state.taken
        counted = dict(state.counts)
        called_off = counted.pop(Disposition.CANCELLED, 0)
        assert (6 - len(taken) if state.cancelled else 0) == called_off
        assert ([] if state.cancelled else [n for n in range(6) if n not in taken]) == left
        ended = [one.receipt for one in found if one is not None and one.receipt is not None]
        assert {receipt.disposition: 1 for receipt in ended} == counted
        assert [r for r in ended if r.disposition == "expired"] == list(failed)
        told = [bool(counted.get(Disposition.DELIVERED)), bool(failed), state.paused]
        assert sorted([*told, state.cancelled], reverse=True) == [*told, state.cancelled]
        assert "append 3" not in made or all(told)
        assert "append another" not in made or state.cancelled

    async def test_of_an_erased_room_a_group_knows_nothing(self, entry: Entries) -> None:
        """The room's members get no turn, and count as cancelled; other members are unchanged."""
        group = group_of(entry, 7)
        places = ["room", "a", "room", "b", "room", "room", "c"]
        members = [Member(room=place) for place in places]
        entries = [member_of(entry, group, n, room=places[n]) for n in range(3)]
        async with self.process_run() as outbox:
            await outbox.append_group(group, chunks(members), nothing)
            for one in entries:
                await outbox.append(one, nothing)
            outbox.finished(receipt_of(entries[0], Disposition.EXPIRED))
            outbox.finished(receipt_of(entries[1], Disposition.EXPIRED))
            await outbox.erase(ERASE, 0)
            assert [(3, members[3]), (6, members[6])] == list(await outbox.members(group.id))
            assert [receipt_of(entries[1], Disposition.EXPIRED)] == list(
                await outbox.failed(group.id)
            )
        async with self.process_run() as outbox:
            state = await state_of(outbox, group.id)
            assert ({"expired": 2, "cancelled": 3}, 3) == (dict(state.counts), state.taken)
            for number in (5, 6):
                with pytest.raises(OutboxError):
                    await outbox.append(member_of(entry, group, number), nothing)
            for number in (3, 6):
                one = member_of(entry, group, number)
                await outbox.append(one, nothing)
                outbox.finished(receipt_of(one))
            assert await numbers(outbox, group.id) == []
            state = await state_of(outbox, group.id)
            assert (5, True) == (state.taken, state.ended)

    async def test_a_withdrawn_turn_of_an_erased_room_is_gone(self, entry: Entries) -> None:
        """Like a turn that had not come yet."""
        group = group_of(entry, 2)
        members = [Member(room="room"), Member(room="other")]
        one = member_of(entry, group, 0, room="room")
        async with self.process_run() as outbox:
            await outbox.append_group(group, chunks(members), nothing)
            await outbox.append(one, nothing)
            outbox.withdraw(one.id)
            assert await numbers(outbox, group.id) == [0, 1]
            await outbox.erase(ERASE, 0)
            assert await numbers(outbox, group.id) == [1]
            await outbox.append(member_of(entry, group, 1), nothing)
            state = await state_of(outbox, group.id)
            assert ({"cancelled": 1}, 1) == (dict(state.counts), state.taken)
