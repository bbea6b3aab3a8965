"""Holds the state of a conversation while envelopes wait in it: its room and its lanes."""

from __future__ import annotations

from collections import deque
from typing import Any, ClassVar, cast

import attrs

from gateway_core.accounts.instance_state import InstanceState
from gateway_core.contract.envelopes import BY_TOKEN
from gateway_core.contract.hookspecs import Limit
from gateway_core.deliveries.delivery import Delivery
from gateway_core.ratelimits.bucket import Bucket, Rank
from gateway_core.ratelimits.instance_limits import RoomGates
from gateway_core.scheduling.classes import NORMAL
from gateway_core.scheduling.waiting_groups import Home, WaitingGroup


@attrs.define(eq=False, repr=False, weakref_slot=False)
class Room(RoomGates):
    """One conversation of an instance: the state that its lanes share.

    collapsing  the newest waiting message, by its thread and its `collapse`
    """

    account: InstanceState
    id: str
    key: tuple[str, str]
    address: str
    lanes: dict[str | None, Lane] = attrs.field(factory=dict)
    unfinished: int = 0
    collapsing: dict[tuple[str | None, str], Delivery] | None = None

    def move(self, address: str) -> None:
        """Take a new address; the room's lanes then ask for their limits again."""
        self.address = address
        for lane in self.lanes.values():
            lane.forget_limits()


@attrs.define(eq=False, repr=False, weakref_slot=False)
class Lane:
    """A conversation's queue inside its partition.

    quiet     its last attempt may still arrive until this time, so nothing else begins before it
    dead      deliveries after the head that have ended
    asked     buckets of the channel's limits by operation, as of `version` of the registry
    cost      how many tokens of each limit its attempt takes, or would take
    since     its place in line; 0: it has none
    group     the group with which it waits; `alone_at`: the bucket at which it waits by itself
    """

    members: ClassVar[None] = None

    key: str | None
    thread: str | None
    room: Room
    scheduler: Home
    queue: deque[Delivery] = attrs.field(factory=deque)
    running: bool = False
    doubt: bool = False
    begun: int = 0
    quiet: int = 0
    dead: int = 0
    tokens: list[Bucket] | None = None
    asked: dict[str, list[Bucket]] = attrs.field(factory=dict)
    version: int = 0
    rank: Rank = (NORMAL, 0, 0)
    reserves: bool = False
    cost: int = 1
    since: int = 0
    timer_at: int | None = None
    waits_in: Any = None
    wait_serial: int = 0
    group: WaitingGroup | None = None
    alone_at: Bucket | None = None

    @property
    def waits_at(self) -> Bucket | None:
        """The bucket at which the lane waits, by itself or with its group."""
        return self.alone_at if self.group is None else self.group.waits_at

    def cause_at(self, bucket: Bucket) -> str:
        """The cause for which the lane waits at `bucket`."""
        account = self.room.account
        if bucket is account.limits.gate:
            return account.health.trouble or "account limit"
        if bucket is account.limits.attempts or bucket in self.scheduler.slots.of(account.instance):
            return "slots"
        return "account limit" if bucket.shared else "room limit"

    def buckets(self, operation: str, now: int) -> list[Bucket]:
        """Every bucket that an attempt of `operation` draws on here."""
        account, own = self.room.account, self.room.account.limits
        if self.version != own.registry.version:
            self.forget_limits()
            self.version = own.registry.version
        asked = self.asked_as(operation) if account.hooks.by_class else operation
        limits = self.asked.get(asked)
        if limits is None:
            address, priority = self.room.address, self.queue[0].priority
            named = account.hooks.rate_limit(
                account.instance, address, self.thread, operation, priority
            )
            if operation in BY_TOKEN:
                named = tuple([self._own(limit) for limit in named])
            limits = self.asked[asked] = own.registry.buckets(named, now)
        drawn = [*self.scheduler.slots.of(account.instance), own.attempts, own.gate, *limits]
        gates = self.room
        if own.operations or own.trial or gates.gate is not None or gates.thread_gates:
            drawn += own.gates(gates, self.thread, operation)
        return drawn

    def cost_of_head(self) -> int:
        """How many tokens of each limit the next step takes; that step sends files."""
        step = self.queue[0].step
        if step is None or step.part is None or (step.files is not None and step.files.named):
            return 1
        cost: object = step.part.cost
        return cost if isinstance(cost, int) and cost > 1 else 1

    def _own(self, limit: Limit) -> Limit:
        """The limit; a limit of an interaction gets a bucket of this lane, for its answers."""
        if limit.of != "interaction":
            return limit
        return attrs.evolve(limit, bucket=f"{limit.bucket} of {self.key}")

    def asked_as(self, operation: str) -> str:
        """The key of the operation's limits; it has the class too, if limits differ by class."""
        by_class = self.room.account.hooks.by_class
        return f"{self.queue[0].priority} {operation}" if by_class else operation

    def go_on_at(self, now: int) -> None:
        """Go on at that time, and hold no worker until then."""
        self.scheduler.pause(self, now)

    def dissolve(self) -> None:
        """Do nothing: a lane is no group."""

    def forget_limits(self) -> None:
        """Let the lane ask for its limits again: the room moved, or buckets were merged."""
        for buckets in self.asked.values():
            for bucket in buckets:
                bucket.users -= 1
        self.asked.clear()


def lane_of(delivery: Delivery) -> Lane | None:
    """The lane in which a delivery waits."""
    return cast("Lane | None", delivery.lane)
