"""Stores the groups of an outbox in memory: whose turn is next, and how members ended."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator, Sequence

import attrs

from gateway_core.contract.envelopes import Disposition, Receipt
from gateway_core.contract.errors import OutboxError
from gateway_core.outboxes.records import Group, GroupState, Member

SETTLED = frozenset({Disposition.DELIVERED, Disposition.SUPERSEDED, Disposition.CANCELLED})
"""Dispositions of members that are never tried again."""


@attrs.define(eq=False)
class _Group:
    """A group in memory. `waiting` has no member that had its turn or was erased."""

    group: Group
    waiting: OrderedDict[int, Member]
    taken: int = 0
    counts: Counter[Disposition] = attrs.field(factory=Counter)
    failed: dict[str, Receipt] = attrs.field(factory=dict)
    had: dict[int, Member] = attrs.field(factory=dict)
    again: dict[str, tuple[int, Member]] = attrs.field(factory=dict)
    retried: set[str] = attrs.field(factory=set)
    paused: bool = False
    cancelled: bool = False

    def following(self) -> int | None:
        """The number of the member whose turn is next; `waiting` is ordered by number."""
        return next(iter(self.waiting), None)

    def turn_again(self, number: int, member: Member) -> None:
        """Put back a member whose turn was withdrawn, before all members with a higher number."""
        self.waiting = OrderedDict(sorted([*self.waiting.items(), (number, member)]))

    def state(self) -> GroupState:
        """How far the group is."""
        return GroupState(
            group=self.group,
            taken=self.taken,
            counts={how: count for how, count in self.counts.items() if count},
            paused=self.paused,
            cancelled=self.cancelled,
            retrying=bool(self.retried),
        )


class MemoryGroups:
    """All groups of an outbox."""

    def __init__(self) -> None:
        self._groups: dict[str, _Group] = {}
        self._members: dict[str, tuple[str, int]] = {}

    def unfinished(self) -> tuple[str, ...]:
        """The instances that have groups that have not ended."""
        open_groups = (each.state() for each in self._groups.values())
        return tuple({state.group.instance_id for state in open_groups if not state.ended})

    def add(self, group: Group, members: Iterable[Sequence[Member]]) -> GroupState:
        """Store a group. Raises ValueError unless it has as many members as its `size` says."""
        every = [member for chunk in members for member in chunk]
        if len(every) != group.size:
            raise ValueError(f"group {group.id} has {len(every)} members, not {group.size}")
        self._groups[group.id] = _Group(group, OrderedDict(enumerate(every)))
        return self._groups[group.id].state()

    def forget(self, group_id: str) -> None:
        """Remove the group as if it was never stored."""
        self._groups.pop(group_id, None)

    def state(self, group_id: str) -> GroupState | None:
        """How far a group is; None: there is no such group."""
        found = self._groups.get(group_id)
        return None if found is None else found.state()

    def states(self, instance_id: str) -> list[GroupState]:
        """The states of an account's groups, by id."""
        groups = [self._groups[name] for name in sorted(self._groups)]
        return [one.state() for one in groups if one.group.instance_id == instance_id]

    def newest(self) -> str:
        """The newest group's id; empty: there are no groups."""
        return max(self._groups, default="")

    def members(self, group_id: str) -> Iterator[tuple[int, Member]]:
        """The group's members that have no entry, by their numbers."""
        found = self._groups.get(group_id)
        return iter(()) if found is None else iter(found.waiting.items())

    def failed(self, group_id: str) -> list[Receipt]:
        """Receipts of members that were neither delivered nor superseded nor cancelled."""
        found = self._groups.get(group_id)
        return [] if found is None else [found.failed[name] for name in sorted(found.failed)]

    def take(self, envelope_id: str, member: tuple[str, int]) -> None:
        """Give the member's turn to this entry. Raises `OutboxError` unless its turn is next."""
        name, number = member
        found = self._groups.get(name)
        if found is None:
            raise OutboxError(f"there is no group {name}")
        if found.cancelled:
            raise OutboxError(f"group {name} was cancelled")
        following = found.following()
        if number != following:
            raise OutboxError(f"of group {name} the next turn is {following}, not {number}")
        found.had[number] = found.waiting.pop(number)
        found.taken += 1
        self._members[envelope_id] = member

    def withdraw(self, envelope_id: str) -> GroupState | None:
        """Give the turn back, or count it as cancelled if the group was; returns as `end` does."""
        found, number = self._forget(envelope_id)
        if found is None:
            return None
        found.taken -= 1
        member = found.had.pop(number)
        if found.cancelled:
            found.counts[Disposition.CANCELLED] += 1
        else:
            found.turn_again(number, member)
        return found.state()

    def end(self, receipt: Receipt) -> GroupState | None:
        """Count how the envelope ended; returns its group's state, or None without a group."""
        found, number = self._forget(receipt.envelope_id)
        if found is None:
            return None
        member = found.had.pop(number)
        found.counts[receipt.disposition] += 1
        if receipt.disposition not in SETTLED:
            found.failed[receipt.envelope_id] = receipt
            found.again[receipt.envelope_id] = (number, member)
        return found.state()

    def retry(self, group_id: str) -> int:
        """Mark the group's failed members to be tried again; returns how many they are."""
        found = self._groups.get(group_id)
        if found is None:
            return 0
        found.retried = set(found.failed)
        return len(found.retried)

    def next_retried(self, group_id: str, after: str, limit: int) -> list[str]:
        """Unmark the next members that are to be tried again, and return their envelopes' ids."""
        found = self._groups.get(group_id)
        if found is None:
            return []
        names = [name for name in sorted(found.retried) if name > after][:limit]
        found.retried.difference_update(names)
        return names

    def reopen(self, envelope_id: str) -> None:
        """Make a failed member unfinished again, so that its end no longer counts."""
        for found in self._groups.values():
            receipt = found.failed.pop(envelope_id, None)
            found.retried.discard(envelope_id)
            if receipt is not None:
                number, found.had[number] = found.again.pop(envelope_id)
                found.counts[receipt.disposition] -= 1
                self._members[envelope_id] = (found.group.id, number)

    def _forget(self, envelope_id: str) -> tuple[_Group | None, int]:
        name, number = self._members.pop(envelope_id, ("", -1))
        return self._groups.get(name), number

    def pause(self, group_id: str, *, paused: bool) -> None:
        """Note whether the group is paused."""
        if (found := self._groups.get(group_id)) is not None:
            found.paused = paused

    def cancel(self, group_id: str) -> GroupState | None:
        """Count the group's members that still wait as cancelled; returns the group's state."""
        found = self._groups.get(group_id)
        if found is None:
            return None
        found.cancelled = True
        found.counts[Disposition.CANCELLED] += len(found.waiting)
        found.waiting.clear()
        found.retried.clear()
        return found.state()

    def erase(self, instance_id: str, room: str, entries: Iterable[str]) -> list[GroupState]:
        """Forget a room's members and these entries; returns groups that this may have ended."""
        changed: dict[str, _Group] = {}
        for name in entries:
            found, number = self._forget(name)
            if found is not None:
                found.had.pop(number)
                found.counts[Disposition.CANCELLED] += 1
                changed[found.group.id] = found
        for found in self._groups.values():
            if found.group.instance_id == instance_id and _erase(found, room):
                changed[found.group.id] = found
        return [found.state() for found in changed.values()]


def _erase(found: _Group, room: str) -> bool:
    """Forget a room in a group; returns whether this removed waiting members."""
    found.failed = {
        name: receipt for name, receipt in found.failed.items() if receipt.external_room_id != room
    }
    found.retried.intersection_update(found.failed)
    gone = [number for number, member in found.waiting.items() if member.room == room]
    for number in gone:
        del found.waiting[number]
    found.counts[Disposition.CANCELLED] += len(gone)
    return bool(gone)
