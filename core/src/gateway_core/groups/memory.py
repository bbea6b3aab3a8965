"""Keeps groups in memory without a durable outbox, for as long as the gateway lives. Never waits.

Rooms are packed. Beside the counts by disposition, only failures are remembered. The methods have
the names that `Outbox` has, and do in memory what it says.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from heapq import heappop, heappush

import attrs
import trio

from gateway_core.contract.envelopes import Disposition, Receipt
from gateway_core.deliveries.remembered import Scope
from gateway_core.deliveries.steps import ARRIVED
from gateway_core.groups.packed import CHUNK, PackedMembers
from gateway_core.outboxes.records import Found, Group, GroupState, Member

SETTLED = frozenset({Disposition.DELIVERED, Disposition.SUPERSEDED, Disposition.CANCELLED})
"""Dispositions of members that are not to be tried again."""
MOST_ENDED = 100
"""Groups that are remembered after their end."""
MOST_FAILED = 10_000
"""Failures of a group that are remembered with their receipts; all can be tried again."""


@attrs.define(eq=False)
class MemoryGroup:
    """A group in memory.

    next    the lowest number that never had a turn; `again`: numbers whose turn comes once more
    failed  the newest receipts of failures, by envelope id; `failures`: the numbers of all
    unsure  numbers of failures of which some part arrived, or may have: a retry makes a copy of it
    later   seconds that the last retry added to the first deadlines
    """

    group: Group
    members: PackedMembers
    next: int = 0
    again: list[int] = attrs.field(factory=list)
    counts: Counter[Disposition] = attrs.field(factory=Counter)
    failed: OrderedDict[str, Receipt] = attrs.field(factory=OrderedDict)
    failures: list[tuple[int, Disposition]] = attrs.field(factory=list)
    unsure: set[int] = attrs.field(factory=set)
    paused: bool = False
    cancelled: bool = False
    later: float = 0.0

    def state(self) -> GroupState:
        """How far the group is."""
        return GroupState(
            group=self.group,
            taken=self.next - len(self.again),
            counts={how: count for how, count in self.counts.items() if count},
            paused=self.paused,
            cancelled=self.cancelled,
        )

    def waiting(self, limit: int) -> list[tuple[int, Member]]:
        """The next members without a turn."""
        if self.cancelled:
            return []
        if self.again:
            found = self.members.read(self.again[0], 1)
        else:
            found = self.members.read(self.next, min(limit, CHUNK))
        return [(number, self._timed(member)) for number, member in found] if self.later else found

    def _timed(self, member: Member) -> Member:
        """The member with its present deadline, if it has one of its own."""
        envelope = member.envelope
        if envelope is None or envelope.deadline is None:
            return member
        envelope = attrs.evolve(envelope, deadline=envelope.deadline + self.later)
        return attrs.evolve(member, envelope=envelope)

    def take(self, number: int) -> bool:
        """Let the member have its turn; False: it is another member's, or nobody's any more."""
        if self.cancelled or number != (self.again[0] if self.again else self.next):
            return False
        if self.again:
            heappop(self.again)
        else:
            self.next += 1
        return True

    def end(self, number: int, receipt: Receipt) -> None:
        """A member ended."""
        self.counts[receipt.disposition] += 1
        if receipt.disposition in SETTLED:
            return
        self.failures.append((number, receipt.disposition))
        if any(part.outcome in (*ARRIVED, "unknown") for part in receipt.parts):
            self.unsure.add(number)
        self.failed[receipt.envelope_id] = receipt
        if len(self.failed) > MOST_FAILED:
            self.failed.popitem(last=False)

    def retry(self, wall: float) -> int:
        """Give all failures a turn again, with a time to live from `wall` on; returns how many."""
        for number, disposition in self.failures:
            heappush(self.again, number)
            self.counts[disposition] -= 1
        count = len(self.failures)
        self.failures.clear()
        self.failed.clear()
        later = wall - self.group.accepted_at
        self.group = attrs.evolve(self.group, deadline=self.group.deadline - self.later + later)
        self.later = later
        return count


class MemoryGroups:
    """All groups of one gateway, until some time after their end.

    release  releases stored bytes: a group needs them until it has ended, and longer if some of its
             members may be tried again
    """

    def __init__(self, release: Callable[[Sequence[str]], None]) -> None:
        self._groups: OrderedDict[str, MemoryGroup] = OrderedDict()
        self._keys: dict[Scope, str] = {}
        self._release = release
        self._with_files: set[str] = set()

    def add(self, group: Group, members: PackedMembers) -> None:
        """A group was accepted."""
        self._groups[group.id] = MemoryGroup(group, members)
        if group.scope is not None:
            self._keys[group.scope] = group.id
        if group.files:
            self._with_files.add(group.id)
        self._forget_old()

    def get(self, group_id: str) -> MemoryGroup:
        """The group of that id, which must be there."""
        return self._groups[group_id]

    def end(self, group_id: str, number: int, receipt: Receipt) -> None:
        """A member ended."""
        self._groups[group_id].end(number, receipt)
        self._let_go(group_id)

    def _let_go(self, group_id: str, *, forgotten: bool = False) -> None:
        """Release the group's bytes, if nobody needs them any more."""
        found = self._groups[group_id]
        again = bool(found.failures) and not (found.cancelled or forgotten)
        if group_id in self._with_files and found.state().ended and not again:
            self._with_files.remove(group_id)
            self._release(found.group.files)

    async def members(
        self, group_id: str, *, after: int = -1, limit: int = 1000
    ) -> Sequence[tuple[int, Member]]:
        """The next members without a turn; there are none before `after`."""
        del after
        await trio.lowlevel.checkpoint()
        return self._groups[group_id].waiting(limit)

    def paused(self, group_id: str, paused: bool) -> None:
        """Note whether the group is paused."""
        self._groups[group_id].paused = paused

    def cancelled(self, group_id: str) -> None:
        """Count members without a turn as cancelled; the key is free if no member had a turn."""
        found = self._groups[group_id]
        if found.cancelled:
            return
        left = found.group.size - found.state().taken
        found.counts[Disposition.CANCELLED] += left
        found.cancelled = True
        if left == found.group.size and found.group.scope is not None:
            self._keys.pop(found.group.scope, None)
        self._let_go(group_id)

    async def groups(
        self, instance_id: str, *, after: str = "", limit: int = 1000
    ) -> Sequence[GroupState]:
        """The states of an account's groups, by id."""
        await trio.lowlevel.checkpoint()
        names = [name for name, one in self._groups.items() if name > after]
        of_instance = (one for one in map(self._groups.__getitem__, names))
        found = [one for one in of_instance if one.group.instance_id == instance_id]
        return [one.state() for one in found[:limit]]

    async def failed(
        self, group_id: str, *, after: str = "", limit: int = 1000
    ) -> Sequence[Receipt]:
        """Receipts of failures, by the ids of their envelopes."""
        await trio.lowlevel.checkpoint()
        found = self._groups[group_id].failed
        return [found[name] for name in sorted(found) if name > after][:limit]

    async def find(self, what: str | Scope) -> Found | None:
        """A group by its id or key."""
        await trio.lowlevel.checkpoint()
        return self.look_up(what)

    def look_up(self, what: str | Scope) -> Found | None:
        """A group by its id or key, at once."""
        found = self._groups.get(what if isinstance(what, str) else self._keys.get(what, ""))
        if found is None:
            return None
        state = found.state()
        print_ = state.group.fingerprint
        return Found(envelope_id=state.group.id, fingerprint=print_, group=state)

    def all(self) -> list[MemoryGroup]:
        """All groups that are remembered."""
        return list(self._groups.values())

    def _forget_old(self) -> None:
        ended = [name for name, one in self._groups.items() if one.state().ended]
        for name in ended[: max(0, len(ended) - MOST_ENDED)]:
            self._let_go(name, forgotten=True)
            scope = self._groups.pop(name).group.scope
            if scope is not None and self._keys.get(scope) == name:
                del self._keys[scope]
