"""Sets up the SDK for a block, and shuts it down without waiting for a dead exporter."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

import trio
from opentelemetry.sdk.metrics import AlwaysOffExemplarFilter, MeterProvider
from opentelemetry.sdk.metrics.export import (
    MetricExporter,
    MetricReader,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.metrics.view import View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.export import SpanExporter

from gateway_contrib.otel.dropping import CountedMetrics, CountedSpans, Drops
from gateway_contrib.otel.histograms import SeveralAtOnce
from gateway_contrib.otel.sampling import QuickTracers
from gateway_contrib.otel.settings import OtelSettings
from gateway_core.authors import (
    INSTRUMENTATION_SCOPE,
    METRICS,
    ConfigError,
    Problem,
    Providers,
)

MILLISECONDS = 1_000


@asynccontextmanager
async def open_telemetry(
    settings: OtelSettings,
    *,
    spans: SpanExporter | None = None,
    metrics: MetricExporter | None = None,
    readers: Sequence[MetricReader] = (),
) -> AsyncIterator[Providers]:
    """Opens the SDK with these settings for the block; give its `Providers` to `open_gateway`.

    spans, metrics  exporters to use instead of OTLP's own
    readers         more readers of the metrics

    The gateway never waits for an exporter. Telemetry that an exporter does not take is dropped and
    counted. At the end of the block the last export has `closing` seconds. Raises `ConfigError` if
    metrics cannot be served at the `prometheus` address, for example if another process has the
    port.
    """
    drops = Drops()
    spans, metrics = _exporters(settings, spans, metrics)
    async with _served(settings.prometheus) as served:
        tracers = QuickTracers(
            settings.sampling, resource=_resource(settings), shutdown_on_exit=False
        )
        if spans is not None:
            tracers.add_span_processor(
                CountedSpans(spans, drops, queue=settings.queue, batch=settings.batch)
            )
        meters = MeterProvider(
            [*readers, *served, *_periodic(settings, metrics, drops)],
            resource=_resource(settings),
            exemplar_filter=AlwaysOffExemplarFilter(),
            views=views(),
            shutdown_on_exit=False,
        )
        drops.observe(meters)
        try:
            yield Providers(tracers=tracers, meters=meters, several=True)
        finally:
            await _shut_down(settings.closing, tracers.shutdown, meters.shutdown)


def views() -> list[View]:
    """Views with the schema's values: a histogram's bounds, the other metrics' attributes."""
    return [
        View(
            instrument_name=metric.name,
            meter_name=INSTRUMENTATION_SCOPE,
            aggregation=SeveralAtOnce(metric.bounds),
        )
        if metric.kind == "histogram"  # the gateway sets the labels; filtering them costs time
        else View(
            instrument_name=metric.name,
            meter_name=INSTRUMENTATION_SCOPE,
            attribute_keys={attribute.name for attribute in metric.attributes},
        )
        for metric in METRICS
    ]


def _resource(settings: OtelSettings) -> Resource:
    own = {"service.name": settings.service, "service.version": version("gateway-core")}
    return Resource.create({**own, **settings.resource})


def _exporters(
    settings: OtelSettings, spans: SpanExporter | None, metrics: MetricExporter | None
) -> tuple[SpanExporter | None, MetricExporter | None]:
    """The given exporters; otherwise OTLP's exporters, if the settings name a collector."""
    if settings.otlp is None:
        return spans, metrics
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import (  # noqa: PLC0415 - needed here alone
        OTLPMetricExporter,
    )
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415 - likewise
        OTLPSpanExporter,
    )

    base, timeout = settings.otlp.rstrip("/"), settings.timeout
    return (
        spans or OTLPSpanExporter(f"{base}/v1/traces", timeout=timeout),
        metrics or OTLPMetricExporter(f"{base}/v1/metrics", timeout=timeout),
    )


def _periodic(
    settings: OtelSettings, exporter: MetricExporter | None, drops: Drops
) -> list[MetricReader]:
    if exporter is None:
        return []
    return [
        PeriodicExportingMetricReader(
            CountedMetrics(exporter, drops),
            export_interval_millis=settings.interval * MILLISECONDS,
            export_timeout_millis=settings.timeout * MILLISECONDS,
        )
    ]


@asynccontextmanager
async def _served(address: str | None) -> AsyncIterator[list[MetricReader]]:
    """Serve a reader's metrics at the address, in the text format that Prometheus scrapes."""
    if address is None:
        yield []
        return
    from opentelemetry.exporter.prometheus import (  # noqa: PLC0415 - needed here alone
        PrometheusMetricReader,
    )
    from prometheus_client import CollectorRegistry, start_http_server  # noqa: PLC0415 - likewise

    class Whole(CollectorRegistry):
        """Serves the reader's metrics until the server stops, even after its provider's shutdown.

        An empty page in between would end every series, as if the gateway had no metrics.
        """

        def unregister(self, collector: Any) -> None:
            """Does nothing: the collector stays as long as the server."""

    host, _, port = address.rpartition(":")
    registry = Whole()
    reader = PrometheusMetricReader(registry=registry)
    try:
        server, thread = start_http_server(int(port), host.strip("[]"), registry)
    except (OSError, OverflowError) as error:  # OverflowError: the port is too large
        why = getattr(error, "strerror", None) or error
        text = f"metrics cannot be served at {address}: {why}"
        raise ConfigError([Problem("telemetry.export.prometheus", text)]) from error
    try:
        yield [reader]
    finally:
        await _shut_down(1.0, server.shutdown, server.server_close, thread.join)


async def _shut_down(seconds: float, *steps: Callable[..., Any]) -> None:
    """Run these steps in a thread, and abandon the thread if they take more than `seconds`."""

    def all_of_them() -> None:
        for step in steps:
            step()

    with trio.move_on_after(seconds, shield=True):
        await trio.to_thread.run_sync(all_of_them, abandon_on_cancel=True)
