"""What is known of one conversation while something waits in it: its room and its lanes."""

from __future__ import annotations

from collections import deque
from typing import Any, ClassVar, Protocol, cast

from gateway_core.accounts.instance_state import InstanceState
from gateway_core.deliveries.delivery import Delivery
from gateway_core.ratelimits.bucket import Bucket, Rank
from gateway_core.ratelimits.concurrency import ConcurrencyLimits
from gateway_core.ratelimits.instance_limits import RoomGates
from gateway_core.scheduling.classes import NORMAL
from gateway_core.scheduling.waiting_groups import Home, WaitingGroup


class LaneScheduler(Home, Protocol):
    """The scheduler of a partition, as far as its lanes use it."""

    slots: ConcurrencyLimits

    def pause(self, lane: Lane, until: int) -> None: ...  # noqa: D102 - as the scheduler says


class Room:
    """One conversation of an instance: what its lanes share."""

    __slots__ = ("account", "address", "gates", "id", "key", "lanes", "unfinished")

    def __init__(self, account: InstanceState, room_id: str, address: str) -> None:
        self.account = account
        self.id = room_id
        self.key = (account.instance.id, room_id)
        self.address = address
        self.gates = RoomGates()
        self.lanes: dict[str | None, Lane] = {}
        self.unfinished = 0

    def move(self, address: str) -> None:
        """It has a new address: its limits are asked for anew."""
        self.address = address
        for lane in self.lanes.values():
            lane.forget_limits()


class Lane:
    """A conversation's queue inside its partition.

    quiet  until then nothing follows its last try, which may arrive as late as that
    """

    members: ClassVar[None] = None

    __slots__ = (
        "alone_at", "asked", "begun", "dead", "doubt", "group", "key", "queue", "quiet", "rank",
        "reserves", "room", "running", "scheduler", "since", "thread", "timer_at", "tokens",
        "version", "wait_serial", "waits_in",
    )  # fmt: skip

    def __init__(
        self, key: str | None, thread: str | None, room: Room, scheduler: LaneScheduler
    ) -> None:
        self.key = key
        self.thread = thread
        self.room = room
        self.scheduler = scheduler
        self.queue: deque[Delivery] = deque()
        self.running = False
        self.doubt = False
        self.begun = 0
        self.quiet = 0
        self.dead = 0
        self.tokens: list[Bucket] | None = None
        self.asked: dict[str, list[Bucket]] = {}
        self.version = 0
        self.rank: Rank = (NORMAL, 0, 0)
        self.reserves = False
        self.since = 0
        self.timer_at: int | None = None
        self.waits_in: Any = None
        self.wait_serial = 0
        self.group: WaitingGroup | None = None
        self.alone_at: Bucket | None = None

    @property
    def waits_at(self) -> Bucket | None:
        """The bucket at which it stands, by itself or with its group."""
        return self.alone_at if self.group is None else self.group.waits_at

    def cause_at(self, bucket: Bucket) -> str:
        """What it waits for at `bucket`."""
        account = self.room.account
        if bucket is account.limits.gate:
            return account.health.trouble or "account limit"
        if bucket is account.limits.attempts or bucket in self.scheduler.slots.of(account.instance):
            return "slots"
        return "account limit" if bucket.shared else "room limit"

    def buckets(self, operation: str, now: int) -> list[Bucket]:
        """All that an attempt of `operation` draws on here."""
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
            limits = self.asked[asked] = own.registry.buckets(named, address, now)
        drawn = [*self.scheduler.slots.of(account.instance), own.attempts, own.gate, *limits]
        gates = self.room.gates
        if own.operations or gates.room is not None or gates.threads:
            drawn += own.gates(gates, self.thread, operation)
        return drawn

    def drawn(self, operation: str) -> list[Bucket]:
        """The buckets of the channel's limits that it drew on for `operation`."""
        return self.asked.get(self.asked_as(operation), [])

    def asked_as(self, operation: str) -> str:
        """Under what its limits are kept: the operation, with the class where that matters."""
        by_class = self.room.account.hooks.by_class
        return f"{self.queue[0].priority} {operation}" if by_class else operation

    def go_on_at(self, now: int) -> None:
        """Nothing of it before that time; it holds no worker meanwhile."""
        self.scheduler.pause(self, now)

    def dissolve(self) -> None:
        """It is no group."""

    def forget_limits(self) -> None:
        """Let the buckets be asked for anew: the room moved, or buckets were merged."""
        for buckets in self.asked.values():
            for bucket in buckets:
                bucket.users -= 1
        self.asked.clear()


def lane_of(delivery: Delivery) -> Lane | None:
    """The lane that a delivery stands in."""
    return cast("Lane | None", delivery.lane)
