"""Feeds one group: its members have their turns in order, as the account's limits take them.

This module waits: for the group's time, for places in the window, and for the outbox.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial

import attrs
import trio

from gateway_core.accounts.instance_state import InstanceState
from gateway_core.clock import Clock
from gateway_core.contract.envelopes import Disposition
from gateway_core.contract.errors import GatewayClosed, OutboxError
from gateway_core.deliveries.delivery import Delivery
from gateway_core.engine.instances.instance_registry import InstanceRegistry
from gateway_core.groups.memory import SETTLED, MemoryGroups
from gateway_core.groups.taking import Taking
from gateway_core.groups.window import Window
from gateway_core.outboxes.interface import Outbox
from gateway_core.outboxes.records import GroupState, Member
from gateway_core.outboxes.troubles import Troubles
from gateway_core.telemetry import GROUP_ENDED, log_event

AGAIN = 1.0
"""Seconds until the feed looks again at something whose changes nobody reports."""
PAGE = 500
MEASURED = 60
"""Seconds over which the rate is measured."""


@attrs.define(eq=False)
class Feed:
    """One group that has not ended.

    state    the group state as last read; `left`: how many members have no turn yet
    ended    set once the group has ended, or is no longer fed here
    closing  the gateway accepts nothing more
    """

    state: GroupState
    _store: Outbox | MemoryGroups
    _taking: Taking
    _window: Window
    _registry: InstanceRegistry
    _clock: Clock
    _ask: Callable[[str], Awaitable[GroupState | None]]
    _on_end: Callable[[Feed], None]
    left: int = attrs.field(default=0, init=False)
    ended: trio.Event = attrs.field(factory=trio.Event, init=False)
    closing: bool = attrs.field(default=False, init=False)
    own: dict[Delivery, None] = attrs.field(factory=dict, init=False)
    _delayed: dict[Delivery, None] = attrs.field(factory=dict, init=False)
    _exhausted_at: int = attrs.field(default=-1, init=False)
    _retry_after: str = attrs.field(default="", init=False)
    _woken: trio.Event = attrs.field(factory=trio.Event, init=False)
    _done: int = attrs.field(default=0, init=False)
    _marks: deque[tuple[float, int]] = attrs.field(factory=deque, init=False)

    def __attrs_post_init__(self) -> None:
        self.know(self.state)

    @property
    def id(self) -> str:
        """The group's id."""
        return self.state.group.id

    @property
    def instance_id(self) -> str:
        """The id of the group's account."""
        return self.state.group.instance_id

    @property
    def standing(self) -> str:
        """What becomes of members that wait: `fed`, `scheduled`, `paused` or `cancelled`."""
        if self.state.cancelled:
            return "cancelled"
        if self.state.paused:
            return "paused"
        return "scheduled" if self._patience() else "fed"

    def count_cancelled(self) -> None:
        """Count the members that wait as cancelled: they end without a turn."""
        account = self._registry.present(self.instance_id)
        if account is not None and self.left:
            account.counts.members[Disposition.CANCELLED] += self.left

    @property
    def is_held(self) -> bool:
        """Whether the group waits for its time, or for somebody to resume it."""
        due = self.state.group.due
        return self.state.paused or (due is not None and due > self._clock.wall())

    @property
    def is_delayed(self) -> bool:
        """Whether only members are left that policies delay."""
        return not self.left and bool(self.own) and all(each.delayed for each in self.own)

    def know(self, state: GroupState) -> None:
        """Take over a group state that the outbox gave."""
        self.state = state
        over = state.cancelled or state.taken == self._exhausted_at
        self.left = 0 if over else state.group.size - state.taken

    def wake(self) -> None:
        """Something about the group has changed: look again."""
        self._woken.set()
        self._woken = trio.Event()
        self._window.wake()

    def forget_rate(self) -> None:
        """Measure the rate anew, since the group was paused."""
        self._marks.clear()

    def cancel(self) -> None:
        """Give no member a turn any more, and try none again."""
        self.count_cancelled()
        self.know(attrs.evolve(self.state, cancelled=True, retrying=False))

    def stop(self) -> None:
        """Feed no more: the gateway closes, or another process feeds the group from now on."""
        self.closing = True
        self.ended.set()
        self.wake()

    # -- the task

    async def run(self) -> None:
        """Feed the group until it has ended."""
        troubles = Troubles()
        while not self.closing:
            try:
                if await self._round():
                    return
                if troubles.times:
                    troubles.over()
            except GatewayClosed:
                return
            except OutboxError as error:
                troubles.failed(error)
                await self._wait(AGAIN)

    async def _round(self) -> bool:
        """Do what there is to do, or else wait; returns whether the group has ended."""
        account, wait = self._account(), self._patience()
        if self.state.retrying and account is not None and not wait:
            await self._try_again()
        elif account is not None and not wait and self.left:
            await self._feed(account)
        elif await self._look():
            return True
        else:
            await self._wait(min(wait or AGAIN, AGAIN))
        return False

    def _account(self) -> InstanceState | None:
        """The account, if its members may have their turns now."""
        account = self._registry.serving.get(self.state.group.instance_id)
        if account is None or account.unfit or account.health.suspended is not None:
            return None
        return account if self._taking.owns(account) else None

    def _patience(self) -> float:
        """Seconds for which the group is held; 0: it is not."""
        if self.state.paused:
            return AGAIN
        due = self.state.group.due
        return 0.0 if due is None else max(0.0, due - self._clock.wall())

    async def _wait(self, seconds: float) -> None:
        with trio.move_on_after(seconds):
            await self._woken.wait()

    async def _feed(self, account: InstanceState) -> None:
        """Let the next members have their turns, a page of them."""
        page = await self._store.members(self.id, limit=PAGE)
        if not page:  # the other members are of rooms that were erased
            await self._read()
            self._exhausted_at = self.state.taken
            self.know(self.state)
            return
        for number, member in page:
            while not self._window.has_place():
                await self._window.change()
                if self._interrupted(account):
                    return
            if self._interrupted(account):
                return
            if await self._take(account, number, member) is None:
                await self._wait(AGAIN)
                return

    def _interrupted(self, account: InstanceState) -> bool:
        """Whether no member may have its turn any more, for now."""
        return (
            self.closing
            or self.state.paused
            or self.state.cancelled
            or self.state.retrying
            or self._account() is not account
        )

    async def _take(self, account: InstanceState, number: int, member: Member) -> Delivery | None:
        group, begun = self.state.group, self._window.begun
        delivery = await self._taking.take(group, number, member, begun)
        if delivery is not None:
            self.left -= 1
            account.counts.fed += 1
            self._follow(delivery)
        return delivery

    def _follow(self, delivery: Delivery) -> None:
        """Follow a member that has had its turn here."""
        self._window.came(delivery)
        self.own[delivery] = None
        if delivery.delayed:  # a delayed member keeps no other one waiting
            self._window.ended(delivery)
            self._delayed[delivery] = None
        ended = partial(self._ended, delivery)
        if delivery.receipt is not None or delivery.stored:
            ended()
        else:
            delivery.on_end(ended)

    def _ended(self, delivery: Delivery) -> None:
        if delivery in self._delayed:
            del self._delayed[delivery]
        else:
            self._window.ended(delivery)
        del self.own[delivery]
        self._done += delivery.receipt is not None
        now = trio.current_time()
        if not self._marks or now - self._marks[-1][0] >= 1.0:
            self._marks.append((now, self._done))
            if len(self._marks) > MEASURED:
                self._marks.popleft()
        if not self.left and not self.own:
            self.wake()

    async def _try_again(self) -> None:
        """Retry some failed members, if there are places; not those that failed once more."""
        if not self._window.has_place():
            await self._window.change()
            return
        self._retry_after, found = await self._taking.reopen(
            self.state.group, self._retry_after, self._window.pace.ready
        )
        for delivery in found:
            self._follow(delivery)
        if not self._retry_after:
            await self._read()

    # -- how far it is

    async def _read(self) -> None:
        """Read the group state from the outbox."""
        if (state := await self._ask(self.id)) is not None:
            self.know(state)

    async def _look(self) -> bool:
        """Whether the group has ended; if so, wake the callers that wait for that."""
        await self._read()
        if not self.state.ended:
            return False
        counts = self.state.counts
        log_event(
            GROUP_ENDED,
            group=self.id,
            instance=self.state.group.instance_id,
            members=self.state.group.size,
            delivered=counts.get(Disposition.DELIVERED, 0),
            failed=failures(self.state),
            seconds=round(self._clock.wall() - self.state.group.accepted_at, 3),
        )
        self.ended.set()
        self._on_end(self)
        return True

    def delayed(self) -> tuple[int, float]:
        """How many members policies delay, and the latest POSIX time until which they do."""
        times = [delivery.due for delivery in self._delayed if delivery.due is not None]
        return len(times), max(times, default=0.0)

    @property
    def rate(self) -> float | None:
        """Members that recently ended per second; None: not known yet."""
        if not self._marks or self._patience():
            return None
        at, done = self._marks[0]
        seconds = trio.current_time() - at
        return (self._done - done) / seconds if seconds > 0 else None


def failures(state: GroupState) -> int:
    """How many members ended so that they may be tried again."""
    return sum(count for how, count in state.counts.items() if how not in SETTLED)
