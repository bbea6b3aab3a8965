"""Decides whether one instance works: its circuit, its suspension, its credentials.

It only decides; `probing` asks the platform.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import attrs

from gateway_core.backoff import Backoff
from gateway_core.contract.verdicts import Reason, Verdict
from gateway_core.deliveries.waits import Elapsed
from gateway_core.ratelimits.bucket import Bucket
from gateway_core.ratelimits.circuit import Circuit, CircuitSettings
from gateway_core.ratelimits.instance_limits import InstanceLimits


class InDoubt(Protocol):
    """A lane whose last attempt may have arrived: it waits until the instance works."""

    doubt: bool
    timer_at: int | None

    def go_on_at(self, now: int) -> None: ...  # noqa: D102 - as `rooms.Lane` says


@attrs.define(eq=False, repr=False)
class Health:
    """The health of one instance, shared by all partitions.

    open        its circuit is open: only probes are sent
    refused     the refusal of its credentials, while a fresh secret is asked for
    held        suspended by the application: only `resume` ends that
    steady      nothing has failed or is in doubt, so that a success changes nothing
    shut        how long it was in each kind of trouble
    probing     whether a task probes it; `probes`: how many probes failed
    worked_at   when it last worked after something had failed, in engine nanoseconds
    refuted     an attempt has failed since a probe succeeded, and none has worked
    removed     it is being removed, or was: nothing begins, and nothing is reported any more

    start_probing  called if it needs probes and no task probes it

    `over(trouble, by)` is called at the end of each `suspension` and of each outage (`circuit`).
    """

    _limits: InstanceLimits
    _circuit: Circuit
    _settings: CircuitSettings
    _can_refresh: bool
    _can_probe: bool
    _serve_waiters: Callable[[list[Bucket], int], None]
    _over: Callable[[str, str], None]
    open: bool = False
    suspended: Verdict | None = None
    refused: Verdict | None = None
    held: bool = False
    removed: bool = False
    steady: bool = True
    shut: Elapsed = attrs.field(factory=Elapsed)
    probing: bool = False
    probes: int = 0
    worked_at: int = -1
    refuted: bool = False
    on_resume: Callable[[], None] | None = None
    start_probing: Callable[[], None] = attrs.field(init=False)
    _failure: Verdict | None = None  # the newest as in an outage, since an attempt last worked
    _relapses: int = 0  # probes that ended its suspension since an attempt last worked
    _vouched: bool = False  # a probe has succeeded since an attempt last worked
    _fresh: bool = False
    _refreshed_at: int = 0
    _in_doubt: dict[InDoubt, int] = attrs.field(factory=dict)

    # -- what attempts find out

    def worked(self, now: int) -> None:
        """An attempt was answered: lanes in doubt may go on."""
        self._relapses = 0
        self.worked_at = now
        if self._circuit.failures:
            self._circuit.worked()
        self._works(now)
        self._let_go(now)

    def failed(self, verdict: Verdict, now: int) -> bool:
        """An attempt failed as in an outage; true: this opened the circuit."""
        self._failure = verdict
        self.refuted = self._vouched
        if self.open:
            if not self._limits.is_shut:  # it was half open
                self._shut(now)
            return False
        self.steady = False
        if not self._circuit.failed():
            return False
        self.open = True
        self._shut(now)
        return True

    def wait_until_it_works(self, lane: InDoubt, not_before: int) -> None:
        """Let the lane wait until the instance works, and not before that time."""
        self.steady = False
        self._in_doubt.pop(lane, None)  # from an earlier doubt, which ended otherwise
        self._in_doubt[lane] = not_before
        self._probe_if_needed()

    def ask_credentials(self, verdict: Verdict, begun: int, now: int) -> bool:
        """Shut the gate until a fresh secret is there; false if asking for one is useless.

        If several attempts that had `begun` before are refused, only one secret is asked for.
        """
        if verdict.reason is not Reason.UNAUTHORIZED or not self._can_refresh:
            return False
        if self.refused is not None or begun < self._refreshed_at:
            return True
        if self._fresh:
            return False
        self.refused = verdict
        self._shut(now)
        return True

    # -- out of order, and in order again

    def suspend(self, verdict: Verdict, now: int) -> bool:
        """Suspend it; true if it was not suspended before."""
        fresh = self.suspended is None
        self.refused = None
        self.suspended = verdict
        self._shut(now)
        return fresh

    def remove(self, by: str) -> None:
        """Let no attempt begin any more, whatever works or is refused from now on.

        Its suspension or outage is reported as over, since nothing waits for its end any more.
        """
        self.removed = True
        self._limits.shut()
        if self.suspended is not None:
            self._over("suspension", by)
        if self.open:
            self._over("circuit", by)

    def refreshed(self, now: int) -> None:
        """Go on with a fresh secret. If that is refused before a success, it is suspended."""
        self._go_on(now, "credentials")
        self._fresh, self._refreshed_at = True, now
        self.steady = False

    def resume(self, now: int, by: str) -> None:
        """End the suspension: everything that waited goes on where it stopped."""
        self._relapses = 0
        self._go_on(now, by)
        self.steady = False  # the next attempt shows whether it works

    def probed(self, now: int) -> None:
        """A probe succeeded, so that the instance may work again.

        If attempts are refused nevertheless, the next probe waits longer each time. An example is a
        bot that may ask who it is, but may do nothing else. If attempts fail nevertheless, as when
        a platform can read and not write, then each probe lets only one attempt through.
        """
        if self.refuted and self.suspended is None:
            self.half_open(now)
            return
        self._relapses += self.suspended is not None
        self.worked_at = now
        self._go_on(now, "probe", most=1)
        self._vouched = True
        self.steady = False

    def half_open(self, now: int) -> None:
        """Let one attempt through to find out whether it works, since no probe can tell."""
        if self.suspended is not None:
            return
        if self.open:
            gate = self._limits.gate
            self._limits.open(now, attempts=gate.in_flight + 1)
            self._serve_waiters([gate], now)
            if gate.waiting:
                return
        self._let_go(now, most=1)  # no other lane's attempt can find out

    def _go_on(self, now: int, by: str, most: int | None = None) -> None:
        was_suspended, was_open = self.trouble == "suspension", self.open
        self.suspended = self.refused = None
        self.held = False
        self.open = was_open or self._limits.is_shut
        if was_suspended:
            self._over("suspension", by)
        self._works(now, by if was_open else "")
        self._let_go(now, most)
        if self.on_resume is not None:
            self.on_resume()

    def _works(self, now: int, by: str = "attempt") -> None:
        self._fresh, self._failure = False, None
        self._vouched = self.refuted = False
        self.probes = 0
        if self.open and self.suspended is None and self.refused is None:
            self._close_circuit(now)
            if by:
                self._over("circuit", by)
        self.steady = not (self.trouble or self._circuit.failures)

    def _let_go(self, now: int, most: int | None = None) -> None:
        """Let lanes in doubt go on, the first ones first; `most`: how many, at most."""
        while self._in_doubt and most != 0:
            lane = next(iter(self._in_doubt))
            not_before = self._in_doubt.pop(lane)
            if lane.doubt:
                lane.go_on_at(max(now, not_before))
                most = None if most is None else most - 1

    def _close_circuit(self, now: int) -> None:
        if self.removed:
            return
        self._circuit.reset()
        self.open = False
        self.shut.turn(self.trouble, now)
        self._limits.open(now)
        self._serve_waiters([self._limits.gate], now)

    def _shut(self, now: int) -> None:
        self.steady = False
        self.shut.turn(self.trouble, now)
        self._limits.shut()
        if not self.probing:
            self.probes = self._relapses
        self._probe_if_needed()

    # -- its state

    @property
    def trouble(self) -> str:
        """What all its lanes wait for: `suspension` or `circuit`; empty: nothing is wrong."""
        if self.suspended is not None or self.refused is not None:
            return "suspension"
        return "circuit" if self.open else ""

    @property
    def is_failing(self) -> bool:
        """Whether lanes wait until it works and a probe has failed, too few for an outage."""
        return bool(self._in_doubt and self.probes and not self.trouble)

    @property
    def why(self) -> Verdict | None:
        """The verdict that explains why it is failing or in trouble; None: nothing is wrong."""
        refusal = self.suspended or self.refused
        return refusal or (self._failure if self.open or self.is_failing else None)

    def waited_for(self, cause: str) -> str:
        """What an envelope with this cause waited for, and the account's newest failure."""
        waited, known = self.trouble or cause, self.suspended or self.refused or self._failure
        if known is None or self.held:
            return waited
        return f"{waited}; the account's newest failure: {known.reason}"

    @property
    def needs_probe(self) -> bool:
        """Whether a task should find out whether it works."""
        return not (self.removed or self.held) and (bool(self.trouble) or bool(self._in_doubt))

    @property
    def is_awaited(self) -> bool:
        """Whether messages wait for the end of an outage."""
        return bool(self._in_doubt or self._limits.gate.waiting)

    @property
    def _only_doubts(self) -> bool:
        """Whether only lanes wait whose repeat may make a copy, so that there is no hurry."""
        doubts = [lane for lane in self._in_doubt if lane.doubt]
        return not self.open and bool(doubts) and all(lane.timer_at is None for lane in doubts)

    @property
    def backoff(self) -> Backoff:
        """The wait until the next probe, or until the attempt that takes the place of a probe."""
        if self.suspended is not None or not self._can_probe:
            return self._settings.backoff
        if self.refuted or self._only_doubts:
            return self._settings.doubtful
        return self._settings.awaited if self.is_awaited else self._settings.outage

    def _probe_if_needed(self) -> None:
        if not self.probing and self.needs_probe:
            self.probing = True
            self.start_probing()
