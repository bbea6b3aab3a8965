"""Records the histograms, and watches the event loop, if a meter is set up."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from math import inf
from time import perf_counter
from typing import TypeAlias

from opentelemetry.metrics import Histogram, MeterProvider
from trio.abc import Instrument

from gateway_core import telemetry as names
from gateway_core.accounts.instance_state import InstanceState
from gateway_core.contract.envelopes import Disposition, Receipt
from gateway_core.contract.verdicts import Reason, Verdict
from gateway_core.telemetry import (
    INSTRUMENTATION_SCOPE,
    LOOP_STALLED,
    METRICS,
    Metric,
    Several,
    log_event,
)

Labels: TypeAlias = Mapping[str, str | int]

STALL = names.STALL_DURATION.bounds[0]
"""Seconds from which the loop counts as stalled."""
MOST_TALLIES = 10_000
"""Sets of labels that are remembered: instances come and go for as long as the process lives."""
LONG_STALL = 1.0
"""Seconds from which a stall is logged."""


class Tally:
    """Values of one histogram with the same labels, until they are handed on."""

    __slots__ = ("_bounds", "_counts", "_histogram", "_labels", "_least", "_most", "_total")

    def __init__(self, histogram: Histogram, bounds: Sequence[float], labels: Labels) -> None:
        self._histogram = histogram
        self._bounds = bounds
        self._labels = labels
        self._reset()

    def _reset(self) -> None:
        self._counts = [0] * (len(self._bounds) + 1)
        self._total, self._least, self._most = 0.0, inf, -inf

    def add(self, seconds: float) -> None:
        """Add a value."""
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self._total += seconds
        if seconds < self._least:  # noqa: PLR1730 - a call would cost more than the sum
            self._least = seconds
        if seconds > self._most:  # noqa: PLR1730 - likewise
            self._most = seconds

    def hand_on(self) -> None:
        """Give the SDK all values in one record."""
        if self._least < inf:
            several = Several(self._total, self._counts, self._least, self._most)
            self._histogram.record(several, self._labels)
            self._reset()


class Single:
    """A tally for an SDK that takes one value at a time."""

    __slots__ = ("_histogram", "_labels")

    def __init__(self, histogram: Histogram, _bounds: Sequence[float], labels: Labels) -> None:
        self._histogram = histogram
        self._labels = labels

    def add(self, seconds: float) -> None:
        """Record a value."""
        self._histogram.record(seconds, self._labels)

    def hand_on(self) -> None:
        """Do nothing: no value is held back."""


class Meters:
    """The histograms of one gateway.

    If the SDK takes `several` values in one record, they are held back until somebody reads, or
    until too many sets of labels are known.
    """

    def __init__(self, provider: MeterProvider, *, several: bool = False) -> None:
        meter = provider.get_meter(INSTRUMENTATION_SCOPE, str(names.SCHEMA_VERSION))
        made: Mapping[Metric, Histogram] = {
            metric: meter.create_histogram(
                metric.name,
                unit=metric.unit,
                description=metric.meaning,
                explicit_bucket_boundaries_advisory=metric.bounds,
            )
            for metric in METRICS
            if metric.kind == "histogram"
        }
        self._made = made
        self._kind = Tally if several else Single
        self._tallies: dict[tuple[object, ...], Tally | Single] = {}
        # The tallies that every message needs, by fewer words than their labels have.
        self._attempts: dict[tuple[str, str, int, str, str, Reason | None], Tally | Single] = {}
        self._ends: dict[tuple[str, str, int, str, Disposition], Tally | Single] = {}

    def accepted(
        self, account: InstanceState, partition: int, pressure: str, seconds: float
    ) -> None:
        """An envelope was accepted so long after `submit` was called."""
        self._of(names.ACCEPT_DURATION, account, *_under(partition, pressure)).add(seconds)

    def appended(self, seconds: float) -> None:
        """The outbox took so long to store an envelope."""
        self._of(names.APPEND_DURATION, None).add(seconds)

    def waited(self, account: InstanceState, partition: int, cause: str, seconds: float) -> None:
        """An envelope waited."""
        more = (names.PARTITION.name, partition, names.CAUSE.name, cause)
        self._of(names.WAIT_DURATION, account, *more).add(seconds)

    def attempted(
        self,
        account: InstanceState,
        partition: int,
        pressure: str,
        operation: str,
        verdict: Verdict | None,
        seconds: float,
    ) -> None:
        """An attempt ended."""
        reason = None if verdict is None else verdict.reason
        instance = account.instance
        key = (instance.channel, account.label, partition, pressure, operation, reason)
        tally = self._attempts.get(key)
        if tally is None:
            more = (*_under(partition, pressure), names.OPERATION.name, operation)
            if reason is not None:
                more += (names.ERROR_TYPE.name, reason.value)
            tally = self._attempts[key] = self._of(names.ATTEMPT_DURATION, account, *more)
        tally.add(seconds)

    def ended(
        self,
        account: InstanceState,
        partition: int,
        pressure: str,
        receipt: Receipt,
        seconds: float,
    ) -> None:
        """An envelope ended."""
        instance, how = account.instance, receipt.disposition
        key = (instance.channel, account.label, partition, pressure, how)
        tally = self._ends.get(key)
        if tally is None:
            more = (*_under(partition, pressure), names.DISPOSITION.name, how.value)
            tally = self._of(names.ENVELOPE_DURATION, account, *more)
            self._ends[key] = tally
        tally.add(seconds)

    def stalled(self, seconds: float) -> None:
        """The event loop was blocked for so long."""
        self._of(names.STALL_DURATION, None).add(seconds)
        if seconds >= LONG_STALL:
            log_event(LOOP_STALLED, seconds=round(seconds, 3))

    def hand_on(self) -> None:
        """Give the SDK the values that are held back."""
        for tally in self._tallies.values():
            tally.hand_on()

    def _begin_anew(self) -> None:
        """Forget every set of labels; those in use come back with their next value."""
        self.hand_on()
        for known in (self._tallies, self._attempts, self._ends):
            known.clear()

    def _of(
        self, metric: Metric, account: InstanceState | None, *more: str | int
    ) -> Tally | Single:
        """The tally of a metric, of an instance's labels and the names and values in `more`."""
        whose = (account.instance.channel, account.label) if account is not None else ()
        key = (metric.name, *whose, *more)
        found = self._tallies.get(key)
        if found is None:
            if len(self._tallies) >= MOST_TALLIES:
                self._begin_anew()
            labels = {str(name): value for name, value in zip(more[::2], more[1::2], strict=True)}
            if account is not None:
                labels[names.CHANNEL.name] = account.instance.channel
                labels[names.INSTANCE.name] = account.label
            found = self._tallies[key] = self._kind(self._made[metric], metric.bounds, labels)
        return found


def _under(partition: int, pressure: str) -> tuple[str | int, ...]:
    """The labels of a delivery, beside its instance's."""
    return (names.PARTITION.name, partition, names.ACCEPTED_UNDER.name, pressure)


class LoopMonitor(Instrument):
    """Measures in real time how long the loop runs tasks before it looks at anything else."""

    def __init__(self, meters: Meters) -> None:
        self._meters = meters
        self._since = perf_counter()

    def after_io_wait(self, timeout: float) -> None:
        """Tasks run from here on."""
        del timeout
        self._since = perf_counter()

    def before_io_wait(self, timeout: float) -> None:
        """All tasks have had their turn."""
        del timeout
        took = perf_counter() - self._since
        if took >= STALL:
            self._meters.stalled(took)
