"""The handle of a group: shows its progress, and pauses, resumes, cancels or retries it."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Mapping

import attrs
import trio

from gateway_core.contract.envelopes import Disposition, Receipt
from gateway_core.contract.errors import GatewayClosed, Invalid, Problem
from gateway_core.groups.feeding import AGAIN, failures
from gateway_core.groups.pace import Pace
from gateway_core.groups.registry import STORED, Groups, pace_for
from gateway_core.outboxes.records import Group, GroupState


@attrs.frozen(kw_only=True)
class Progress:
    """How far a group is.

    members    how many it has
    counts     how many members ended in each disposition; those that never had a turn end
               `cancelled`
    waiting    members whose turn has not come
    in_flight  members that had their turn and have not ended
    failed     members that `retry` would try again
    retrying   whether some of these are about to be tried again
    due        POSIX time before which no member has its turn; None: at once
    deadline   POSIX time at which unfinished members expire
    rate       members that ended per second, over the last minute; None: not known yet
    estimate   seconds until the last member ends, by that rate or else by the account's limits,
               counted from `due` if that is later; None: unknown (it is paused, its account is
               suspended, or no limit is known)
    """

    group_id: str
    instance_id: str
    key: str | None
    members: int
    counts: Mapping[Disposition, int]
    waiting: int
    in_flight: int
    failed: int
    paused: bool
    cancelled: bool
    retrying: bool
    accepted_at: float
    due: float | None
    deadline: float
    rate: float | None = None
    estimate: float | None = None

    @property
    def done(self) -> int:
        """How many members have ended."""
        return sum(self.counts.values())

    @property
    def ended(self) -> bool:
        """Whether all members have ended and none is to be tried again."""
        return self.done == self.members and not self.retrying


class Job:
    """A group that was accepted. Any number of handles of one group may be used.

    Every method raises `OutboxError` if a durable outbox cannot answer, `GatewayClosed` once it has
    closed with the gateway, and `Invalid` if the group is no longer known.
    """

    __slots__ = ("_groups", "_state")

    def __init__(self, groups: Groups, state: GroupState) -> None:
        self._groups = groups
        self._state = state

    def __repr__(self) -> str:
        return f"<Job {self.id}>"

    @property
    def id(self) -> str:
        """The group's id, by which `gateway.group` finds it again after a restart."""
        return self._state.group.id

    @property
    def key(self) -> str | None:
        """The group's key; None: it has none."""
        return self._state.group.key

    @property
    def instance_id(self) -> str:
        """The account that sends the group."""
        return self._state.group.instance_id

    async def progress(self) -> Progress:
        """How far the group is now."""
        return self._progress(self._known(await self._groups.state(self.id)))

    async def pause(self) -> Progress:
        """Let no more members have their turn until `resume`, even after a restart.

        The few members that had their turn go on.
        """
        return self._progress(self._known(await self._groups.pause(self.id, paused=True)))

    async def resume(self) -> Progress:
        """Go on after `pause`. The deadline does not change."""
        return self._progress(self._known(await self._groups.pause(self.id, paused=False)))

    async def cancel(self) -> Progress:
        """End the group: members whose turn has not come end `cancelled`; others go on."""
        return self._progress(self._known(await self._groups.cancel(self.id)))

    def failed(self) -> AsyncIterator[Receipt]:
        """Receipts of members that ended otherwise than delivered, superseded or cancelled.

        As far as the history remembers them; without a durable outbox the newest 10,000.
        """
        return _Failures(self._groups, self.id)

    async def retry(self) -> int:
        """Try the members in `failed` again; returns how many they are.

        Their time to live starts again, and they have their turns as the limits allow. With a
        durable outbox the request is stored once this returns, so it survives a restart or a kill,
        and parts that have arrived are not sent again. Without one, a cancelled group is not tried
        again.
        """
        return await self._groups.retry(self.id)

    async def wait(self) -> Progress:
        """Wait until all members have ended; returns the progress.

        Raises `GatewayClosed` (`kept=True`) if the gateway closes and a durable outbox keeps the
        rest. Without one, the rest ends `cancelled`.
        """
        while True:
            feed = self._groups.feeds.get(self.id)
            progress = await self.progress()
            if self._state.ended:
                return progress
            if self._groups.closed and not self._groups.in_memory:
                raise GatewayClosed(STORED, kept=True)
            if feed is None or feed.ended.is_set():
                await trio.sleep(AGAIN)
            else:
                await feed.ended.wait()

    def _known(self, state: GroupState | None) -> GroupState:
        if state is None:
            raise Invalid([Problem("group", f"{self.id} is not known any more")])
        self._state = state
        return state

    def _progress(self, state: GroupState) -> Progress:
        group, counts = state.group, dict(state.counts)
        ended, cancelled = sum(counts.values()), counts.get(Disposition.CANCELLED, 0)
        untaken = group.size - state.taken
        waiting = untaken - min(untaken, cancelled) if not state.cancelled else 0
        feed = self._groups.feeds.get(group.id)
        rate = None if feed is None else feed.rate
        return Progress(
            group_id=group.id,
            instance_id=group.instance_id,
            key=group.key,
            members=group.size,
            counts=counts,
            waiting=waiting,
            in_flight=group.size - ended - waiting,
            failed=failures(state),
            paused=state.paused,
            cancelled=state.cancelled,
            retrying=state.retrying,
            accepted_at=group.accepted_at,
            due=group.due,
            deadline=group.deadline,
            rate=rate,
            estimate=self._estimate(state, rate),
        )

    def _estimate(self, state: GroupState, rate: float | None) -> float | None:
        """Seconds until the last member ends."""
        left = state.group.size - sum(state.counts.values())
        if state.retrying:
            left += failures(state)
        if not left:
            return 0.0
        account = self._groups.drafting.registry.serving.get(state.group.instance_id)
        if state.paused or (account is not None and account.health.suspended is not None):
            return None
        group, wall = state.group, self._groups.drafting.clock.wall()
        feed = self._groups.feeds.get(group.id)
        delayed, until = (0, 0.0) if feed is None else feed.delayed()
        others = self._seconds(group, left - delayed, rate)
        if others is None:
            return None
        others += max(0.0, (group.due or 0.0) - wall)
        if not delayed:
            return others
        return max(others, until - wall + (self._seconds(group, delayed, None) or 0.0))

    def _seconds(self, group: Group, members: int, rate: float | None) -> float | None:
        """Seconds that so many members take; None: unknown."""
        if rate:
            return members / rate
        pace = self._pace(group)
        return members * max(1, len(group.plan)) / pace.rate if pace.count else None

    def _pace(self, group: Group) -> Pace:
        account = self._groups.drafting.registry.serving.get(group.instance_id)
        return Pace() if account is None else pace_for(account, group.template)


class _Failures(AsyncIterator[Receipt]):
    """Receipts of a group's failed members, by id. A cancelled `anext` loses none."""

    def __init__(self, groups: Groups, group_id: str) -> None:
        self._groups, self._group_id = groups, group_id
        self._after = ""
        self._page: deque[Receipt] = deque()

    async def __anext__(self) -> Receipt:
        if not self._page:
            self._page.extend(await self._groups.failed(self._group_id, self._after))
        if not self._page:
            raise StopAsyncIteration
        receipt = self._page.popleft()
        self._after = receipt.envelope_id
        return receipt
