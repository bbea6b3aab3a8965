"""Performs the histograms, and the watch over the event loop, where a meter is set up."""

from __future__ import annotations

from collections.abc import Mapping
from time import perf_counter
from typing import TYPE_CHECKING, Any

from opentelemetry.metrics import Histogram, MeterProvider
from trio.abc import Instrument

from gateway_core import telemetry as names
from gateway_core.envelopes import Receipt
from gateway_core.telemetry import LOOP_STALLED, METRICS, SCOPE, Metric, tell
from gateway_core.verdicts import Verdict

if TYPE_CHECKING:
    from gateway_core.accounts import Account

STALL = names.STALL_DURATION.bounds[0]
"""Seconds from which the loop counts as stalled."""
LONG_STALL = 1.0
"""Seconds from which the log says so."""


MOST_HELD = 512
"""Records that are held back at most: many at a time cost the SDK less than half of one by one."""


class Meters:
    """The histograms of one gateway: records are held back until somebody reads, or are many."""

    def __init__(self, provider: MeterProvider) -> None:
        meter = provider.get_meter(SCOPE, str(names.SCHEMA_VERSION))
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
        self._accept = made[names.ACCEPT_DURATION]
        self._append = made[names.APPEND_DURATION]
        self._wait = made[names.WAIT_DURATION]
        self._attempt = made[names.ATTEMPT_DURATION]
        self._envelope = made[names.ENVELOPE_DURATION]
        self._stall = made[names.STALL_DURATION]
        self._held: list[tuple[Histogram, float, dict[str, Any] | None]] = []
        self._labels: dict[tuple[str, ...], dict[str, Any]] = {}

    def accepted(self, account: Account, seconds: float) -> None:
        """An envelope was accepted so long after `submit` was called."""
        self._record(self._accept, seconds, self._of(account))

    def appended(self, seconds: float) -> None:
        """The outbox took so long to have an envelope."""
        self._record(self._append, seconds)

    def waited(self, account: Account, cause: str, seconds: float) -> None:
        """An envelope waited."""
        self._record(self._wait, seconds, self._of(account, names.CAUSE.name, cause))

    def attempted(
        self, account: Account, operation: str, verdict: Verdict | None, seconds: float
    ) -> None:
        """An attempt ended."""
        more: tuple[str, ...] = (names.OPERATION.name, operation)
        if verdict is not None:
            more += (names.ERROR_TYPE.name, str(verdict.reason))
        self._record(self._attempt, seconds, self._of(account, *more))

    def ended(self, account: Account, receipt: Receipt, seconds: float) -> None:
        """An envelope ended."""
        labels = self._of(account, names.DISPOSITION.name, receipt.disposition.value)
        self._record(self._envelope, seconds, labels)

    def stalled(self, seconds: float) -> None:
        """The event loop did nothing else meanwhile."""
        self._record(self._stall, seconds)
        if seconds >= LONG_STALL:
            tell(LOOP_STALLED, seconds=round(seconds, 3))

    def _record(
        self, histogram: Histogram, seconds: float, labels: dict[str, Any] | None = None
    ) -> None:
        self._held.append((histogram, seconds, labels))
        if len(self._held) >= MOST_HELD:
            self.hand_on()

    def hand_on(self) -> None:
        """Give the SDK what is held back."""
        held, self._held = self._held, []
        for histogram, seconds, labels in held:
            histogram.record(seconds, labels)

    def _of(self, account: Account, *more: str) -> dict[str, Any]:
        """The labels of an instance, and the names and values in `more`."""
        instance = account.instance
        key = (instance.id, *more)
        found = self._labels.get(key)
        if found is None:
            found = self._labels[key] = {
                names.CHANNEL.name: instance.channel,
                names.INSTANCE.name: instance.id,
                **dict(zip(more[::2], more[1::2], strict=True)),
            }
        return found


class LoopWatch(Instrument):
    """Measures in real time how long the loop runs tasks before it looks at anything else."""

    def __init__(self, meters: Meters) -> None:
        self._meters = meters
        self._since = perf_counter()

    def after_io_wait(self, timeout: float) -> None:
        """Tasks run from here on."""
        del timeout
        self._since = perf_counter()

    def before_io_wait(self, timeout: float) -> None:
        """All of them have had their turn."""
        del timeout
        took = perf_counter() - self._since
        if took >= STALL:
            self._meters.stalled(took)
