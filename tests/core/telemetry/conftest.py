"""OpenTelemetry's SDK with exporters in memory, and a gateway that tells it of everything."""

from __future__ import annotations

from contextlib import asynccontextmanager

import attrs
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased, TraceIdRatioBased

from gateway_core import Providers
from gateway_core.testing import open_test_gateway


@attrs.define(eq=False)
class Sdk:
    """What was exported so far."""

    exporter: InMemorySpanExporter
    reader: InMemoryMetricReader
    providers: Providers

    @property
    def tracer(self):
        """The application's own."""
        return self.providers.tracers.get_tracer("application")

    def spans(self, *, kind=None):
        """Finished spans in the order of their ends, those of the gateway alone."""
        found = [s for s in self.exporter.get_finished_spans() if s.name != "application"]
        return [s for s in found if kind is None or s.kind.name.lower() == kind]

    def points(self, name):
        """Every point of a metric as (attributes, point)."""
        data = self.reader.get_metrics_data()
        return [
            (dict(point.attributes), point)
            for resource in (data.resource_metrics if data is not None else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        ]

    def values(self, name, label=None):
        """The points' values (a histogram's: its counts) by the value of one attribute."""
        return {
            attributes.get(label): getattr(point, "value", None) or getattr(point, "count", 0)
            for attributes, point in self.points(name)
        }


def sdk_with(sampler=None):
    exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()
    tracers = TracerProvider(sampler=sampler or ParentBased(TraceIdRatioBased(1.0)))
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    return Sdk(exporter, reader, Providers(tracers=tracers, meters=MeterProvider([reader])))


@pytest.fixture
def sdk():
    """Everything is sampled."""
    return sdk_with()


@pytest.fixture
def unsampled():
    """Nothing is sampled."""
    return sdk_with(ALWAYS_OFF)


@pytest.fixture
def telling(sdk):
    """Opens a gateway on a fake channel that tells the SDK."""

    @asynccontextmanager
    async def opened(channel=None, providers=None, **settings):
        settings.setdefault("drain_timeout", 0)
        async with open_test_gateway(
            channel, providers=providers or sdk.providers, **settings
        ) as gateway:
            yield gateway

    return opened
