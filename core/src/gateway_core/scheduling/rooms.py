"""What is known of one conversation while something waits in it: its room and its lanes. Pure."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, ClassVar

from gateway_core.deliveries.delivery import Delivery
from gateway_core.ratelimits.bucket import Bucket
from gateway_core.scheduling.classes import NORMAL, ClassQueue, Rank
from gateway_core.scheduling.waiting_groups import WaitingGroup

if TYPE_CHECKING:
    from gateway_core.accounts.instance_state import InstanceState
    from gateway_core.scheduling.scheduler import Scheduler


class Room:
    """One conversation of an instance: what its lanes share."""

    __slots__ = ("account", "address", "gate", "id", "key", "lanes", "thread_gates", "unfinished")

    def __init__(self, account: InstanceState, room_id: str, address: str) -> None:
        self.account = account
        self.id = room_id
        self.key = (account.instance.id, room_id)
        self.address = address
        self.gate: Bucket | None = None
        self.thread_gates: dict[str | None, Bucket] = {}
        self.lanes: dict[str | None, Lane] = {}
        self.unfinished = 0

    def closed_until(self) -> int:
        """When the last of its closures ends, and those of its threads."""
        own = 0 if self.gate is None else self.gate.closed_until
        if not self.thread_gates:
            return own
        return max(own, *[gate.closed_until for gate in self.thread_gates.values()])


class Lane:
    """A conversation's queue inside its partition.

    quiet  until then nothing follows its last try, which may arrive as late as that
    """

    members: ClassVar[None] = None

    __slots__ = (
        "alone_at", "asked", "begun", "dead", "doubt", "group", "home", "key", "queue", "quiet",
        "rank", "reserves", "room", "running", "since", "thread", "timer_at", "tokens", "version",
        "wait_serial", "waits_in",
    )  # fmt: skip

    def __init__(self, key: str | None, thread: str | None, room: Room, home: Scheduler) -> None:
        self.key = key
        self.thread = thread
        self.room = room
        self.home = home
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
        self.waits_in: ClassQueue[Any] | None = None
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
        if bucket is account.gate:
            return account.trouble or "account limit"
        if bucket is account.slots or bucket in self.home.slots.of(account):
            return "slots"
        return "account limit" if bucket.shared else "room limit"

    def buckets(self, operation: str, now: int) -> list[Bucket]:
        """All that an attempt of `operation` draws on here."""
        account = self.room.account
        if self.version != account.limiter.version:
            self.forget_limits()
            self.version = account.limiter.version
        asked = self.asked_as(operation) if account.hooks.by_class else operation
        limits = self.asked.get(asked)
        if limits is None:
            limits = self.asked[asked] = account.buckets(
                self.room.address, self.thread, operation, self.queue[0].priority, now
            )
        drawn = [*self.home.slots.of(account), account.slots, account.gate, *limits]
        drawn += self.gates(operation)
        return drawn

    def asked_as(self, operation: str) -> str:
        """Under what its limits are kept: the operation, with the class where that matters."""
        by_class = self.room.account.hooks.by_class
        return f"{self.queue[0].priority} {operation}" if by_class else operation

    def gates(self, operation: str) -> list[Bucket]:
        """What a refusal may have closed: the operation, the room, the thread. Mostly nothing."""
        room = self.room
        if not (room.account.operation_gates or room.gate is not None or room.thread_gates):
            return []
        gates = (
            room.account.operation_gates.get(operation),
            room.gate,
            room.thread_gates.get(self.thread),
        )
        return [gate for gate in gates if gate is not None]

    def forget_limits(self) -> None:
        """Let the buckets be asked for anew: the room moved, or buckets were merged."""
        for buckets in self.asked.values():
            for bucket in buckets:
                bucket.users -= 1
        self.asked.clear()
