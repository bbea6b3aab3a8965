"""Keeps the groups of one gateway: accepts, finds, pauses, resumes, cancels and retries them.

This module waits: for the outbox.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, Protocol, TypeVar

import attrs
import trio

from gateway_core.accounts.instance_state import InstanceState
from gateway_core.contract.envelopes import Priority, Receipt, Send
from gateway_core.contract.errors import (
    GatewayClosed,
    GroupTooLong,
    HookContractError,
    IdempotencyConflict,
    Invalid,
    OutboxError,
    Problem,
)
from gateway_core.deliveries.delivery import Delivery
from gateway_core.deliveries.remembered import Scope
from gateway_core.files.keeper import KeptFiles
from gateway_core.groups.feeding import AGAIN, Feed, failures
from gateway_core.groups.making import GroupDraft
from gateway_core.groups.memory import MemoryGroups
from gateway_core.groups.pace import Pace, pace_of
from gateway_core.groups.taking import Taking
from gateway_core.groups.window import Window
from gateway_core.outboxes.interface import Outbox
from gateway_core.outboxes.journal import report
from gateway_core.outboxes.records import Group, GroupState, Member
from gateway_core.outboxes.troubles import Troubles
from gateway_core.submission.draft import Drafting
from gateway_core.submission.preview import asked_for
from gateway_core.telemetry import (
    GROUP_ACCEPTED,
    GROUP_CANCELLED,
    GROUP_LEFT,
    GROUP_PAUSED,
    GROUP_RESUMED,
    GROUP_RETRIED,
    log_event,
)

_T = TypeVar("_T")
PAGE = 100
HEARD = 2.0
"""Seconds until groups of previous runs go on: operators' requests are carried out before."""
STORED = "the outbox stores the group for its next owner"


class HandsOver(Protocol):
    """Has another process accept groups."""

    async def broadcast(self, wanted: GroupDraft, rooms: Any) -> GroupState:
        """Raises as `Gateway.broadcast` does."""
        ...

    async def submit_many(
        self,
        wanted: GroupDraft,
        *,
        group: str | None,
        not_before: float | None,
        priority: Priority,
    ) -> GroupState:
        """Raises as `Gateway.submit_many` does."""
        ...


@attrs.define(eq=False)
class Groups:
    """The groups of one gateway.

    store     stores the groups; `in_memory`: in this process only
    withdraw  ends a delivery that has not started; returns whether that succeeded
    closed    no member has a turn any more
    """

    drafting: Drafting
    store: Outbox | MemoryGroups
    _taking: Taking
    _spawn: Callable[[Callable[[], Any]], None]
    _withdraw: Callable[[Delivery], bool]
    files: KeptFiles
    feeds: dict[str, Feed] = attrs.field(factory=dict, init=False)
    _windows: defaultdict[str, Window] = attrs.field(
        factory=lambda: defaultdict(Window), init=False
    )
    _keys: dict[Scope, trio.Event] = attrs.field(factory=dict, init=False)
    closed: bool = attrs.field(default=False, init=False)
    _asked: int = attrs.field(default=0, init=False)

    @property
    def parts(self) -> tuple[Any, ...]:
        """The arguments that it was made with, for a subclass that takes more."""
        made_of = (self.drafting, self.store, self._taking, self._spawn, self._withdraw)
        return (*made_of, self.files)

    @property
    def in_memory(self) -> bool:
        """Whether groups end with the gateway."""
        return isinstance(self.store, MemoryGroups)

    @property
    def waiting(self) -> int:
        """How many members have no turn yet."""
        return sum(feed.left for feed in self.feeds.values())

    def waiting_by_instance(self) -> dict[str, int]:
        """How many members have no turn yet, by instance."""
        counts: Counter[str] = Counter()
        for feed in self.feeds.values():
            counts[feed.instance_id] += feed.left
        return dict(counts)

    def open_groups(self) -> dict[tuple[str, str], int]:
        """How many groups have not ended, by instance and by what becomes of waiting members."""
        return dict(Counter((feed.instance_id, feed.standing) for feed in self.feeds.values()))

    def fed(self) -> set[str]:
        """The accounts of groups that have not ended."""
        return {feed.instance_id for feed in self.feeds.values()}

    def forget(self, instance_id: str) -> None:
        """Forget an account without a group, which is taken out of memory."""
        self._windows.pop(instance_id, None)

    def handed_for(self, _instance_id: str) -> HandsOver | None:
        """Hands an account's groups to another process; None: they are accepted here."""
        return None

    # -- opening and closing

    async def open(self) -> None:
        """Go on with groups of previous process runs, once operators' requests are carried out."""
        if not self.in_memory:
            await trio.sleep(HEARD)
        for instance_id in tuple(self.drafting.registry.serving):
            await self.serve(instance_id)

    async def serve(self, instance_id: str) -> None:
        """Go on with the groups of an account, each from its present state."""
        troubles = Troubles()
        while not (self.in_memory or self.closed):
            try:
                await self._read(instance_id)
            except OutboxError as error:
                troubles.failed(error)
                await trio.sleep(AGAIN)
            else:
                return

    async def _read(self, instance_id: str) -> None:
        after = ""
        while page := await self._newest(
            partial(self.store.groups, instance_id, after=after, limit=PAGE)
        ):
            after = page[-1].group.id
            for state in page:
                known = self.feeds.get(state.group.id)
                if known is not None:  # another process may have paused or resumed it
                    known.know(state)
                    known.wake()
                elif not state.ended:
                    self._begin(state)

    def leave(self, instance_id: str) -> None:
        """Another process owns an account from now on, and feeds its groups."""
        for feed in [each for each in self.feeds.values() if each.instance_id == instance_id]:
            del self.feeds[feed.id]
            feed.stop()

    async def drained(self) -> None:
        """Wait for the groups in memory to end, except for paused, scheduled and delayed ones."""
        while self.in_memory and not all(  # noqa: ASYNC110 - they end by themselves
            feed.is_held or feed.is_delayed for feed in self.feeds.values()
        ):
            await trio.sleep(AGAIN / 10)

    def close(self) -> None:
        """Give no member a turn any more. For groups in memory, these members are cancelled."""
        if self.closed:
            return
        self.closed = True
        for feed in self.feeds.values():
            if feed.left:
                group, left = feed.state.group, feed.left
                stored = 0 if self.in_memory else left
                log_event(
                    GROUP_LEFT,
                    group=group.id,
                    instance=group.instance_id,
                    members=left,
                    stored=stored,
                )
            if self.in_memory:
                feed.count_cancelled()
                self.store.cancelled(feed.id)
            feed.stop()

    def _begin(self, state: GroupState) -> Feed:
        """Feed a group, unless it is fed already."""
        feed = self.feeds.get(state.group.id)
        if feed is None:
            drafting, instance_id = self.drafting, state.group.instance_id
            feed = self.feeds[state.group.id] = Feed(
                state,
                self.store,
                self._taking,
                self._windows[instance_id],
                drafting.registry,
                drafting.clock,
                self.state,
                self._ended,
            )
            self._set_pace(state.group)
            self._spawn(feed.run)
        return feed

    def _ended(self, feed: Feed) -> None:
        self.feeds.pop(feed.id, None)

    def _set_pace(self, group: Group) -> None:
        """Set what the account's limits allow, as far as they can be known without a room."""
        account = self.drafting.registry.serving.get(group.instance_id)
        if account is not None:
            self._windows[group.instance_id].pace = pace_for(account, group.template)

    # -- accepting

    async def accept(self, wanted: GroupDraft, deadline: float, accepted_at: float) -> GroupState:
        """Accept a group, or join the one that has its key.

        deadline, accepted_at  POSIX times

        Raises `Invalid` if its time is over before it begins, `GroupTooLong`,
        `IdempotencyConflict`, `OutboxError` and `GatewayClosed`.
        """
        template = wanted.template
        due = template.not_before if (template.not_before or 0.0) > accepted_at else None
        group = Group(
            id=self.drafting.next_id(),
            instance_id=template.instance_id,
            template=attrs.evolve(template, external_room_id=""),
            plan=wanted.plan,
            accepted_at=accepted_at,
            deadline=max(deadline, wanted.latest),
            fingerprint=wanted.fingerprint,
            due=due,
            size=len(wanted.members),
        )
        scope = group.scope
        if scope is None:
            return await self._append(group, wanted)
        while scope in self._keys:
            await self._keys[scope].wait()
        self._keys[scope] = trio.Event()
        try:
            return await self._joined(group, scope) or await self._append(group, wanted)
        finally:
            self._keys.pop(scope).set()

    async def _joined(self, group: Group, scope: Scope) -> GroupState | None:
        """The group that has the key already. Raises `IdempotencyConflict`."""
        found = await self.store.find(scope)
        if found is None or found.group is None:
            return None
        if found.fingerprint != group.fingerprint:
            key = str(group.template.key)
            raise IdempotencyConflict(key=key, envelope_id=found.envelope_id)
        return found.group

    async def _append(self, group: Group, wanted: GroupDraft) -> GroupState:
        seconds = wanted.pace.seconds(wanted.attempts)
        left = group.deadline - max(group.accepted_at, group.due or 0.0)
        if left <= 0:
            place = "deadline" if group.template.ttl is None else "ttl"
            end = "in the past" if group.due is None else "before `not_before`"
            raise Invalid([Problem(place, f"ends {end}: nobody would get it")])
        if seconds > left:
            raise GroupTooLong(
                instance_id=group.instance_id,
                members=group.size,
                attempts=wanted.attempts,
                bucket=wanted.pace.bucket,
                rate=wanted.pace.rate,
                seconds=seconds,
                ttl=left,
            )
        group = attrs.evolve(group, files=await wanted.files.store())
        await self._store(group, wanted)
        log_event(
            GROUP_ACCEPTED,
            group=group.id,
            instance=group.instance_id,
            members=group.size,
            attempts=wanted.attempts,
            seconds=round(seconds, 3),
        )
        state = GroupState(group=group)
        self._begin(state)
        self._windows[group.instance_id].pace = wanted.pace
        return state

    async def _store(self, group: Group, wanted: GroupDraft) -> None:
        """Accept the group. If that fails, release its files, since nobody needs them.

        If the caller is cancelled while the outbox makes the group visible, the files may be stored
        with it. The outbox then releases them itself, as it takes the group back.
        """
        whole = False

        def members() -> Iterator[Sequence[Member]]:
            nonlocal whole
            yield from wanted.members.chunks()
            whole = True

        try:
            if isinstance(self.store, MemoryGroups):
                await trio.lowlevel.checkpoint()
                self._check_open()
                self.store.add(group, wanted.members)
            else:
                await self.store.append_group(group, members(), self._check_open)
        except BaseException as error:
            if not whole or isinstance(error, Exception):
                await wanted.files.release(group.files)
            raise

    def _check_open(self) -> None:
        if self.closed or self.drafting.closed:
            raise GatewayClosed

    # -- one group

    async def state(self, what: str | Scope) -> GroupState | None:
        """How far a group is; None: it is not known (any more).

        Raises `OutboxError`, and `GatewayClosed` once the outbox has closed.
        """
        with self._closing():
            found = await self._newest(partial(self.store.find, what))
        if found is None or found.group is None:
            return None
        feed = self.feeds.get(found.group.group.id)
        if feed is not None:
            feed.know(found.group)
        return found.group

    async def listed(self, instance_id: str, after: str) -> Sequence[GroupState]:
        """A page of an account's groups. Raises what `state` raises."""
        with self._closing():
            return await self.store.groups(instance_id, after=after, limit=PAGE)

    async def failed(self, group_id: str, after: str) -> Sequence[Receipt]:
        """A page of the receipts of a group's failed members. Raises what `state` raises."""
        with self._closing():
            return await self.store.failed(group_id, after=after, limit=PAGE)

    @contextmanager
    def _closing(self) -> Iterator[None]:
        """Report a read that failed because the outbox closes with the gateway as that."""
        try:
            yield
        except OutboxError as error:
            if self.closed and not self.in_memory:
                raise GatewayClosed(STORED, kept=True) from error
            raise

    async def _newest(self, read: Callable[[], Awaitable[_T]]) -> _T:
        """The outbox's answer; asked again if a group was paused, resumed or cancelled then."""
        while True:
            asked = self._asked
            found = await read()
            if asked == self._asked:
                return found

    async def pause(self, group_id: str, *, paused: bool) -> GroupState | None:
        """Pause the members or let them go on; an ended group can go on too, for a `retry`."""
        before = await self.state(group_id)
        if before is None or before.paused == paused or (paused and before.ended):
            return before
        self._asked += 1
        report(self.store.paused, group_id, paused)
        if (fed := self.feeds.get(group_id)) is not None:  # the feed must know at once
            fed.know(attrs.evolve(fed.state, paused=paused))
        state = await self.state(group_id)
        event = GROUP_PAUSED if paused else GROUP_RESUMED
        log_event(event, group=group_id, instance=before.group.instance_id)
        if (feed := self.feeds.get(group_id)) is not None:
            feed.forget_rate()
            feed.wake()
        return state

    async def cancel(self, group_id: str) -> GroupState | None:
        """Members without a turn get none; members that have not begun are withdrawn."""
        before = await self.state(group_id)
        if before is None or before.ended or (before.cancelled and not before.retrying):
            return before
        self._asked += 1
        report(self.store.cancelled, group_id)
        feed = self.feeds.get(group_id)
        if feed is not None:  # the feed must know at once
            feed.cancel()
        own = [] if feed is None else list(feed.own)
        withdrawn = sum(self._withdraw(delivery) for delivery in own)
        log_event(
            GROUP_CANCELLED,
            group=group_id,
            instance=before.group.instance_id,
            withdrawn=withdrawn,
        )
        state = await self.state(group_id)
        if feed is not None:
            feed.wake()
        return state

    async def retry(self, group_id: str) -> int:
        """Try the group's failed members again; returns how many they are."""
        state = await self.state(group_id)
        if state is None or not failures(state) or (state.cancelled and self.in_memory):
            return 0
        self._check_open()
        count = await self._taking.retry(state.group)
        state = await self.state(group_id)
        if state is None or not count:
            return 0
        log_event(GROUP_RETRIED, group=group_id, instance=state.group.instance_id, members=count)
        self._begin(state).wake()
        return count


def pace_for(account: InstanceState, template: Send) -> Pace:
    """What the account's limits for all rooms together allow, as far as they can be known."""
    asked = template.external_room_id or "-", template.thread_id
    with suppress(HookContractError):  # the next attempt reports it
        limits = account.hooks.rate_limit(
            account.instance, *asked, asked_for(template), template.priority
        )
        return pace_of(limits, None)
    return Pace()
