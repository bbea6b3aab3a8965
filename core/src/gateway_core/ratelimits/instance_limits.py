"""Keeps the limits of one instance: its buckets, and its and its rooms' gates (without a pace)."""

from __future__ import annotations

import attrs

from gateway_core.clock import NEVER
from gateway_core.contract.envelopes import BY_TOKEN
from gateway_core.ratelimits.bucket import Bucket
from gateway_core.ratelimits.registry import BucketRegistry
from gateway_core.ratelimits.trial import LONGEST_BELIEVED, Trial, trial_of

_PASSING = "\0passing"


@attrs.define(eq=False, repr=False, weakref_slot=False)
class RoomGates:
    """The gates that refusals closed of one room: for all of it, or for threads. Mostly none.

    `thread_gates` also has the gate for passing states alone, under a name that no thread has.
    """

    gate: Bucket | None = attrs.field(default=None, kw_only=True)
    thread_gates: dict[str | None, Bucket] = attrs.field(factory=dict, kw_only=True)

    def close_room(self, room_id: str, until: int) -> Bucket:
        """Close the room after a refusal."""
        self.gate = self.gate or Bucket(f"room {room_id}")
        self.gate.close(until)
        return self.gate

    def close_thread(self, thread: str | None, until: int) -> Bucket:
        """Close one thread after a refusal."""
        gate = self.thread_gates.setdefault(thread, Bucket(f"thread {thread}"))
        gate.close(until)
        return gate

    def close_to_passing(self, until: int) -> Bucket:
        """Close the room to drafts and edits after the refusal of a draft."""
        return self.close_thread(_PASSING, until)

    def lift(self) -> list[Bucket]:
        """Open all these gates; return them, since their waiters must be looked at again."""
        gates = [gate for gate in (self.gate, *self.thread_gates.values()) if gate is not None]
        self.gate, self.thread_gates = None, {}
        for gate in gates:
            gate.closed_until = 0
        return gates

    def closed_until(self) -> int:
        """When the last of these closures ends."""
        gates = [self.gate, *self.thread_gates.values()]
        return max(0 if gate is None else gate.closed_until for gate in gates)


class InstanceLimits:
    """The limits of one instance, shared by all partitions.

    registry    the buckets that its channel names
    attempts    bounds the instance's attempts in flight
    gate        closed while the whole instance waits: for a limit, a circuit, a suspension
    operations  gates of single operations
    trial       asks, one attempt at a time, whether the account still is limited; None: it is not

    `began_at` is as `BucketRegistry` says.
    """

    def __init__(
        self,
        instance_id: str,
        attempts: int,
        wide: BucketRegistry | None = None,
        began_at: int | None = None,
    ) -> None:
        self.registry = BucketRegistry(wide, began_at)
        self.attempts = Bucket(f"attempts of {instance_id}", attempts, shared=True)
        self.gate = Bucket(f"instance {instance_id}", shared=True)
        self.operations: dict[str, Bucket] = {}
        self.trial: Trial | None = None
        self._id = instance_id
        self._refused_until = 0

    def gates(self, room: RoomGates, thread: str | None, operation: str) -> list[Bucket]:
        """The gates that a refusal may have closed: of operation, room, thread; and a trial's."""
        if not (self.operations or self.trial or room.gate is not None or room.thread_gates):
            return []
        if operation in BY_TOKEN:  # by a reply token: neither the account's nor the room's limits
            return [self.operations[operation]] if operation in self.operations else []
        trial = None if self.trial is None else self.trial.gate
        passing = room.thread_gates.get(_PASSING) if operation in ("draft", "edit") else None
        thread_gate = room.thread_gates.get(thread)
        gates = (trial, self.operations.get(operation), room.gate, thread_gate, passing)
        return [gate for gate in gates if gate is not None]

    def close(self, until: int, now: int) -> Bucket:
        """Close the whole instance after a refusal; in a long wait, ask again before its end."""
        believed = min(until, now + LONGEST_BELIEVED)
        if until > believed:
            self.trial = self.trial or trial_of(self._id)
            self.trial.said(until, now)
        self.gate.close(believed)
        self._refused_until = max(self._refused_until, believed)
        return self.gate

    def close_operation(self, operation: str, until: int, now: int) -> Bucket:
        """Close one operation after a refusal; in a long wait, it is tried again before its end."""
        gate = self.operations.get(operation) or Bucket(operation, shared=True)
        closed = {name: gate for name, gate in self.operations.items() if not gate.idle(now)}
        self.operations = closed | {operation: gate}
        gate.close(min(until, now + LONGEST_BELIEVED))
        return gate

    def doubt(self, until: int, begun: int, now: int) -> Bucket:
        """Several rooms are refused, or are still: the account may be limited, until `until`.

        begun  when the refused attempt began; if that was before the trial, it tells nothing new
        """
        if self.trial is None:
            self.trial = trial_of(self._id)
        if begun > self.trial.since:
            self.trial.guess(until, now)
        return self.trial.gate

    def answered(self, begun: int) -> list[Bucket]:
        """An attempt was answered: if it began within the trial, the account is not limited.

        Returns the gates whose waiters must be looked at again.
        """
        trial = self.trial
        if trial is None or begun <= trial.since:
            return []
        self.trial = None
        return [_opened(trial.gate)]

    def is_quiet(self, now: int, *, kept: bool) -> bool:
        """Whether new limits in their place would allow no more; `kept` as the registry says."""
        gates = (self.gate, *self.operations.values())
        closed = self.trial is not None or any(gate.closed_until > now for gate in gates)
        return not closed and self.registry.is_quiet(now, kept=kept)

    def lift(self, now: int) -> list[Bucket]:
        """Open what refusals closed; return the gates whose waiters must be looked at again."""
        gates = [_opened(gate) for gate in self.operations.values()]
        if self.trial is not None:
            gates.append(_opened(self.trial.gate))
        self.operations, self.trial = {}, None
        self._refused_until = 0
        if not self.is_shut:
            self.open(now)
            gates.append(self.gate)
        return gates

    def shut(self) -> None:
        """Let nothing go out until the instance works again."""
        self.gate.closed_until = NEVER

    @property
    def is_shut(self) -> bool:
        """Whether nothing goes out until the instance works again."""
        return self.gate.closed_until >= NEVER

    def open(self, now: int, *, attempts: int = NEVER) -> None:
        """Let so many attempts at once go out, as soon as refusals allow it."""
        self.gate.capacity = attempts
        self.gate.closed_until = max(now, self._refused_until)


def _opened(gate: Bucket) -> Bucket:
    """Open a gate that no lane draws on any more, so that lanes that still wait there pass."""
    gate.capacity, gate.closed_until = NEVER, 0
    return gate
