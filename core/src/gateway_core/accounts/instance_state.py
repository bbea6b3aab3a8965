"""The runtime side of one instance: its limits, its circuit, whether it works. Decides only."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from gateway_core.contract.envelopes import Priority
from gateway_core.contract.instances import Instance
from gateway_core.contract.verdicts import Reason, Scope, Verdict
from gateway_core.deliveries.waits import Elapsed
from gateway_core.monitoring.statistics import Counts
from gateway_core.plugins.front import ChannelHooks
from gateway_core.ratelimits.bucket import NEVER, Bucket
from gateway_core.ratelimits.circuit import Circuit, CircuitSettings
from gateway_core.ratelimits.registry import BucketRegistry
from gateway_core.scheduling.waiting_groups import serve_waiters

if TYPE_CHECKING:
    from gateway_core.accounts.sessions import Sessions
    from gateway_core.scheduling.rooms import Lane


class InstanceState:
    """One instance at run time, shared by all partitions.

    counts       what its envelopes and attempts came to
    gate         closed while the account waits: for a limit, a circuit, a suspension
    suspended    the verdict that suspended it; None while it is in order
    held         suspended by the application: only `resume` ends that
    recovering   lanes whose part may have arrived: they wait until the instance works again
    shut         how long it was in trouble, and in which
    relapses     times that a probe ended its suspension since an attempt last worked
    """

    def __init__(
        self,
        instance: Instance,
        hooks: ChannelHooks,
        *,
        sessions: Sessions,
        slots: int,
        circuit: CircuitSettings,
        keep: Callable[[InstanceState], None],
    ) -> None:
        self.instance = instance
        self.hooks = hooks
        self.sessions = sessions
        self.limiter = BucketRegistry()
        self.slots = Bucket(f"attempts of {instance.id}", slots, shared=True)
        self.gate = Bucket(f"instance {instance.id}", shared=True)
        self.operation_gates: dict[str, Bucket] = {}
        self.circuit = Circuit(circuit)
        self.circuit_settings = circuit
        self.open = False
        self.suspended: Verdict | None = None
        self.shut = Elapsed()
        self.removed = False
        self.recovering: dict[Lane, int] = {}
        self.probes = 0
        self.relapses = 0
        self.keeper_runs = False
        self.moves: dict[str, str] = {}
        self._rate_closed = 0
        self._arrived = 0
        self._keep = keep
        self.refusal: Verdict | None = None
        self._fresh = False
        self._refreshed_at = 0
        self.held = False
        self.resumed: Callable[[], None] | None = None
        self.counts = Counts()

    # -- what attempts draw on

    def buckets(
        self, room: str, thread: str | None, operation: str, priority: Priority, now: int
    ) -> list[Bucket]:
        """The buckets of every limit that the channel names for such an attempt.

        Raises `HookContractError` where the hook fails.
        """
        limits = self.hooks.rate_limit(self.instance, room, thread, operation, priority)
        return self.limiter.buckets(limits, room, now)

    def arrival(self, now: int) -> int:
        """`now` as a lane's place in line: no two are the same, whatever their partition."""
        self._arrived = max(now, self._arrived + 1)
        return self._arrived

    def address(self, room: str) -> str:
        """The room's present address."""
        return self.moves.get(room, room)

    def moved(self, room: str, moved_to: str) -> None:
        """A room has a new id; the old one is an alias from now on."""
        for old, new in self.moves.items():
            if new == room:
                self.moves[old] = moved_to
        self.moves[room] = moved_to

    # -- closures

    def close(self, scope: Scope, lane: Lane, operation: str, until: int, now: int) -> list[Bucket]:
        """A 429 closes what its verdict names; the gates that were closed."""
        room = lane.room
        closed = []
        if scope is Scope.INSTANCE:
            closed.append(self.gate)
        elif scope is Scope.OPERATION:
            gate = Bucket(operation, shared=True)
            closed.append(self.operation_gates.setdefault(operation, gate))
        elif scope is Scope.THREAD:
            closed.append(room.thread_gates.setdefault(lane.thread, Bucket(f"thread {lane.key}")))
        elif scope is Scope.ROOM:
            room.gate = room.gate or Bucket(f"room {room.id}")
            closed.append(room.gate)
            if not self.hooks.traits.names_limits and self.limiter.hit(room.id, now):
                closed.append(self.gate)
        for gate in closed:
            gate.close(until)
        if self.gate in closed:
            self._rate_closed = max(self._rate_closed, until)
        return closed

    def close_again(self, operation: str, until: int) -> None:
        """What a 429 closed in an earlier life: an operation, or (empty) the whole account."""
        if operation:
            gate = Bucket(operation, shared=True)
            self.operation_gates.setdefault(operation, gate).close(until)
        else:
            self.gate.close(until)
            self._rate_closed = max(self._rate_closed, until)

    # -- does it work?

    def worked(self, now: int) -> None:
        """An attempt was answered: those in doubt may go on."""
        self.relapses = 0
        self._works(now)

    def _works(self, now: int) -> None:
        self.circuit.worked()
        self._fresh = False
        if self.open and self.suspended is None and self.refusal is None:
            self._close_circuit(now)
        if self.recovering:
            waiting, self.recovering = self.recovering, {}
            for lane, not_before in waiting.items():
                if lane.doubt:
                    lane.home.pause(lane, max(now, not_before))

    def failed(self, now: int) -> bool:
        """An attempt failed as in an outage; true when that opened the circuit."""
        if self.open:
            self._half_open_failed(now)
            return False
        if not self.circuit.failed():
            return False
        self.open = True
        self._shut(now)
        return True

    def in_doubt(self, lane: Lane, not_before: int) -> None:
        """Let the lane wait until the instance works, and not before that time."""
        lane.running = False
        lane.home.leave(lane)
        lane.doubt = True
        self.recovering.pop(lane, None)  # of a doubt before, which ended otherwise
        self.recovering[lane] = not_before
        self._wake_keeper()

    def ask_credentials(self, verdict: Verdict, begun: int, now: int) -> bool:
        """Shut the gate and let the keeper ask for a fresh secret; false where that is vain.

        It is asked for once, however many attempts that had `begun` before are refused.
        """
        if verdict.reason is not Reason.UNAUTHORIZED or "credentials" not in self.hooks.can:
            return False
        if self.refusal is not None or begun < self._refreshed_at:
            return True
        if self._fresh:
            return False
        self.refusal = verdict
        self._shut(now)
        return True

    def refreshed(self, now: int) -> None:
        """A fresh secret is in use: go on. Refused again before a success, it is suspended."""
        self._go_on(now)
        self._fresh, self._refreshed_at = True, now

    def suspend(self, verdict: Verdict, now: int) -> bool:
        """Put it out of order; true if it was in order before."""
        fresh = self.suspended is None
        self.refusal = None
        self.suspended = verdict
        self._shut(now)
        return fresh

    def resume(self, now: int) -> None:
        """It is in order again: all that waited goes on where it stopped.

        Whatever is still being found out about it is no news then.
        """
        self.relapses = 0
        self._go_on(now)

    def probed(self, now: int) -> None:
        """A probe succeeded: it seems to be in order again.

        The next probe waits longer for each time that attempts are refused all the same, as where
        a bot may say who it is and nothing else.
        """
        self.relapses += self.suspended is not None
        self._go_on(now)

    def _go_on(self, now: int) -> None:
        self.suspended = self.refusal = None
        self.held = False
        self.open = True
        self._works(now)
        if self.resumed is not None:
            self.resumed()

    @property
    def trouble(self) -> str:
        """What everything of it waits for: `suspension`, `circuit`; empty: it is in order."""
        if self.suspended is not None or self.refusal is not None:
            return "suspension"
        return "circuit" if self.open else ""

    @property
    def needs_probe(self) -> bool:
        """Whether somebody should find out if it works."""
        return not (self.removed or self.held) and (
            self.open
            or self.suspended is not None
            or self.refusal is not None
            or bool(self.recovering)
        )

    @property
    def can_probe(self) -> bool:
        """Whether the adapter can say without sending anything."""
        return "probe" in self.hooks.can

    def half_open(self, now: int) -> None:
        """Without a probe: let one attempt through to find out."""
        if self.suspended is not None:
            return
        if self.open:
            self.gate.capacity = max(1, self.gate.in_flight + 1)
            self.gate.closed_until = max(now, self._rate_closed)
            serve_waiters([self.gate], now)
        if self.open and self.gate.waiting:
            return
        while self.recovering:  # nobody else is there to find out
            lane = next(iter(self.recovering))
            not_before = self.recovering.pop(lane)
            if lane.doubt:
                lane.home.pause(lane, max(now, not_before))
                return

    def _half_open_failed(self, now: int) -> None:
        if self.gate.closed_until < NEVER:
            self._shut(now)

    def _shut(self, now: int) -> None:
        self.shut.turn(self.trouble, now)
        self.gate.closed_until = NEVER
        self.probes = self.relapses if not self.keeper_runs else self.probes
        self._wake_keeper()

    def _close_circuit(self, now: int) -> None:
        self.circuit.reset()
        if self.suspended is not None:
            return
        self.open = False
        self.shut.turn(self.trouble, now)
        self.probes = 0
        self.gate.capacity = NEVER
        self.gate.closed_until = max(now, self._rate_closed)
        serve_waiters([self.gate], now)

    def _wake_keeper(self) -> None:
        if not self.keeper_runs and self.needs_probe:
            self.keeper_runs = True
            self._keep(self)
