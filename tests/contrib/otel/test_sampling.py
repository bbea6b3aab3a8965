"""The short way to "not sampled" decides as the SDK's sampler does, for whoever asks."""

import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    TraceFlags,
    TraceState,
    set_span_in_context,
)

from gateway_contrib.otel.sampling import QuickTracers

TRACES = 4_000


def traces(share):
    provider, exporter = QuickTracers(share), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider.get_tracer("application"), exporter


@pytest.mark.parametrize("share", [0.0, 1e-30, 0.25, 1.0])
def test_so_many_traces_are_kept_and_the_sdk_would_keep_the_same(share):
    tracer, exporter = traces(share)
    sampler = ParentBased(TraceIdRatioBased(share))
    contexts = []
    for _ in range(TRACES):
        span = tracer.start_span("new")
        contexts.append(span.get_span_context())
        span.end()
    kept = [c for c in contexts if c.trace_flags.sampled]
    assert abs(len(kept) - share * TRACES) <= 0.05 * TRACES
    assert {c.trace_id for c in kept} == {s.context.trace_id for s in exporter.get_finished_spans()}
    for context in contexts:
        wanted = sampler.should_sample(None, context.trace_id, "new")
        assert wanted.decision.is_sampled() == context.trace_flags.sampled
        assert context.is_valid
        assert context.trace_flags.random_trace_id
    assert TRACES == len({c.trace_id for c in contexts}) == len({c.span_id for c in contexts})


@pytest.mark.parametrize("share", [0.0, 1.0])
@pytest.mark.parametrize("sampled", [True, False])
@pytest.mark.parametrize("remote", [True, False])
def test_a_span_with_a_parent_follows_it(share, sampled, remote):
    """Whatever the share: the trace is either whole or not there, and keeps its state."""
    tracer, exporter = traces(share)
    state = TraceState([("vendor", "value")])
    parent = SpanContext(2**127 + 1, 5, remote, TraceFlags(int(sampled)), state)
    span = tracer.start_span("child", set_span_in_context(NonRecordingSpan(parent)))
    span.end()
    found = span.get_span_context()
    assert (parent.trace_id, sampled, state) == (
        found.trace_id,
        found.trace_flags.sampled,
        found.trace_state,
    )
    assert sampled == bool(exporter.get_finished_spans())


def test_a_current_span_that_is_not_sampled_is_a_parent_as_well():
    tracer, exporter = traces(0.0)
    with (
        tracer.start_as_current_span("outer") as outer,
        tracer.start_as_current_span("in") as inner,
    ):
        assert outer.get_span_context().trace_id == inner.get_span_context().trace_id
    assert () == exporter.get_finished_spans()


def test_every_tracer_of_the_provider_keeps_the_same_share():
    """Its generator's ids are known to be kept: no tracer may draw one without asking."""
    provider = QuickTracers(0.0)
    for name in ("gateway_core", "application", "gateway_core"):
        assert not provider.get_tracer(name, "1").start_span("new").is_recording()
