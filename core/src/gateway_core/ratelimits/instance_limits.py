"""The limits of one instance: its buckets, its gates (buckets without a pace), and its rooms'."""

from __future__ import annotations

import attrs

from gateway_core.clock import NEVER
from gateway_core.ratelimits.bucket import Bucket
from gateway_core.ratelimits.registry import BucketRegistry


@attrs.define(eq=False, repr=False, weakref_slot=False)
class RoomGates:
    """What refusals closed of one room: the room as a whole, or threads of it. Mostly nothing."""

    gate: Bucket | None = attrs.field(default=None, kw_only=True)
    thread_gates: dict[str | None, Bucket] = attrs.field(factory=dict, kw_only=True)

    def close_room(self, room_id: str, until: int) -> Bucket:
        """A refusal closes the room."""
        self.gate = self.gate or Bucket(f"room {room_id}")
        self.gate.close(until)
        return self.gate

    def close_thread(self, thread: str | None, until: int) -> Bucket:
        """A refusal closes one thread."""
        gate = self.thread_gates.setdefault(thread, Bucket(f"thread {thread}"))
        gate.close(until)
        return gate

    def closed_until(self) -> int:
        """When the last of these closures ends."""
        gates = [self.gate, *self.thread_gates.values()]
        return max(0 if gate is None else gate.closed_until for gate in gates)


class InstanceLimits:
    """The limits of one instance, shared by all partitions.

    registry    the buckets that its channel names
    attempts    bounds its attempts in flight
    gate        closed while the whole instance waits: for a limit, a circuit, a suspension
    operations  gates of single operations
    """

    def __init__(self, instance_id: str, attempts: int) -> None:
        self.registry = BucketRegistry()
        self.attempts = Bucket(f"attempts of {instance_id}", attempts, shared=True)
        self.gate = Bucket(f"instance {instance_id}", shared=True)
        self.operations: dict[str, Bucket] = {}
        self._refused_until = 0

    def gates(self, room: RoomGates, thread: str | None, operation: str) -> list[Bucket]:
        """What a refusal may have closed: the operation, the room, the thread."""
        if not (self.operations or room.gate is not None or room.thread_gates):
            return []
        gates = (self.operations.get(operation), room.gate, room.thread_gates.get(thread))
        return [gate for gate in gates if gate is not None]

    def close(self, until: int) -> Bucket:
        """A refusal closes the whole instance."""
        self.gate.close(until)
        self._refused_until = max(self._refused_until, until)
        return self.gate

    def close_operation(self, operation: str, until: int) -> Bucket:
        """A refusal closes one operation."""
        gate = self.operations.setdefault(operation, Bucket(operation, shared=True))
        gate.close(until)
        return gate

    def shut(self) -> None:
        """Nothing goes out until the instance works again."""
        self.gate.closed_until = NEVER

    @property
    def is_shut(self) -> bool:
        """Whether nothing goes out until the instance works again."""
        return self.gate.closed_until >= NEVER

    def open(self, now: int, *, attempts: int = NEVER) -> None:
        """Let so many attempts at once go out, as soon as refusals allow it."""
        self.gate.capacity = attempts
        self.gate.closed_until = max(now, self._refused_until)
