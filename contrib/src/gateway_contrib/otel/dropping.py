"""Counts the spans and metrics that exporters drop, so that the metrics show the counts."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from time import monotonic
from typing import Any

from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation
from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult, MetricsData
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from gateway_core.authors import (
    INSTRUMENTATION_SCOPE,
    SIGNAL,
    TELEMETRY_DROPPED,
    TELEMETRY_DROPPING,
    log_event,
)

QUIET = 60.0
"""Seconds between two log events about the same signal."""


class Drops:
    """Counts dropped spans and failed exports, by signal. Called from the exporters' threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = {"traces": 0, "metrics": 0}
        self._told: dict[str, float] = {}

    def __getitem__(self, signal: str) -> int:
        return self._counts[signal]

    def add(self, signal: str, count: int) -> None:
        """Add `count`, and log the total, at most once per `QUIET` seconds for each signal."""
        with self._lock:
            self._counts[signal] += count
            now = monotonic()
            quiet = now - self._told.get(signal, -QUIET) < QUIET
            if not quiet:
                self._told[signal] = now
        if not quiet:
            log_event(TELEMETRY_DROPPING, signal=signal, dropped=self._counts[signal])

    def observe(self, meters: MeterProvider) -> None:
        """Let the metrics show the counts."""
        meters.get_meter(INSTRUMENTATION_SCOPE).create_observable_counter(
            TELEMETRY_DROPPED.name,
            callbacks=[self._observed],
            unit=TELEMETRY_DROPPED.unit,
            description=TELEMETRY_DROPPED.meaning,
        )

    def _observed(self, _: CallbackOptions) -> Iterator[Observation]:
        for signal, count in self._counts.items():
            yield Observation(count, {SIGNAL.name: signal})


class CountedSpans(BatchSpanProcessor):
    """The SDK's batch processor; counts spans that a full queue or a failed export drops."""

    def __init__(
        self, exporter: SpanExporter, drops: Drops, *, queue: int, batch: int = 512
    ) -> None:
        self._most = queue
        self._drops = drops
        self._waiting = 0
        self._waiting_lock = threading.Lock()
        counted = _CountedExporter(exporter, drops, self._taken)
        super().__init__(counted, max_queue_size=queue, max_export_batch_size=min(batch, queue))

    def on_end(self, span: ReadableSpan) -> None:
        """Queue the span for the exporter; if the queue is full, the oldest span is dropped."""
        if not span.context.trace_flags.sampled:
            return
        with self._waiting_lock:
            full = self._waiting >= self._most
            self._waiting += not full
        if full:
            self._drops.add("traces", 1)
        super().on_end(span)

    def _taken(self, count: int) -> None:
        with self._waiting_lock:
            self._waiting -= count


class _CountedExporter(SpanExporter):
    def __init__(self, exporter: SpanExporter, drops: Drops, taken: Any) -> None:
        self._exporter = exporter
        self._drops = drops
        self._taken = taken

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self._taken(len(spans))
        try:
            result = self._exporter.export(spans)
        except Exception:
            self._drops.add("traces", len(spans))
            raise
        if result is not SpanExportResult.SUCCESS:
            self._drops.add("traces", len(spans))
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)


class CountedMetrics(MetricExporter):
    """An exporter of metrics that counts its failed exports."""

    def __init__(self, exporter: MetricExporter, drops: Drops) -> None:
        super().__init__(
            preferred_temporality=exporter._preferred_temporality,  # noqa: SLF001 - the reader asks for it under this name
            preferred_aggregation=exporter._preferred_aggregation,  # noqa: SLF001 - likewise
        )
        self._exporter = exporter
        self._drops = drops

    def export(
        self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any
    ) -> MetricExportResult:
        """Hand the metrics on to the exporter, and count a failure."""
        try:
            result = self._exporter.export(metrics_data, timeout_millis, **kwargs)
        except Exception:
            self._drops.add("metrics", 1)
            raise
        if result is not MetricExportResult.SUCCESS:
            self._drops.add("metrics", 1)
        return result

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        """Shut the exporter down."""
        self._exporter.shutdown(timeout_millis, **kwargs)

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Flush the exporter."""
        return self._exporter.force_flush(timeout_millis)
