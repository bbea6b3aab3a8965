"""Causes faults that no platform can cause: a dead engine task, exporters that refuse all."""

from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult


class DeadExporter(SpanExporter):
    """Refuses every span."""

    def export(self, _):
        return SpanExportResult.FAILURE


class DeadMetrics(MetricExporter):
    """Refuses every export of metrics."""

    def __init__(self):
        super().__init__()

    def export(self, *_arguments, **_fields):
        return MetricExportResult.FAILURE

    def shutdown(self, *_arguments, **_fields):
        pass

    def force_flush(self, *_arguments, **_fields):
        return True


def kill_a_partition(gateway, words="a bug of ours"):
    """Let the task of the gateway's first partition die now, at its next alarm."""
    partition = gateway._partitions[0]

    def die(*_):
        partition.scheduler.ring = ring
        raise RuntimeError(words)

    ring, partition.scheduler.ring = partition.scheduler.ring, die
    partition._alarm.cancel()
