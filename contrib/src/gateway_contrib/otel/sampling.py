"""Samples traces like the SDK, but decides faster that a trace is not sampled.

Most traces are not sampled, and most of the cost of their spans is the SDK's way to that decision.
This module decides first, for spans without a parent, by the SDK's own rule: a trace is sampled if
the low bits of its id are under a bound. It leaves sampled traces, and spans with a parent, to the
SDK, whose sampler decides the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import getrandbits, randrange
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk.trace import Tracer, TracerProvider
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import (
    INVALID_SPAN,
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    TraceFlags,
    get_current_span,
)
from opentelemetry.util.types import Attributes

LOW = TraceIdRatioBased.TRACE_ID_LIMIT
BITS = 128
_DROPPED = TraceFlags(TraceFlags.RANDOM_TRACE_ID)


class QuickTracers(TracerProvider):
    """A provider that keeps this share of traces without a sampled parent."""

    def __init__(self, share: float, **fields: Any) -> None:
        self._bound = TraceIdRatioBased.get_bound_for_rate(share)
        sampler = ParentBased(TraceIdRatioBased(share))
        super().__init__(sampler, id_generator=_KeptIds(self._bound), **fields)

    def get_tracer(self, *arguments: Any, **fields: Any) -> Any:
        """The SDK's tracer, changed so that it draws the id of a new trace before all else."""
        tracer = super().get_tracer(*arguments, **fields)
        if type(tracer) is Tracer:
            tracer.__class__ = _QuickTracer
            tracer.__dict__["bound"] = self._bound
        return tracer


class _QuickTracer(Tracer):
    bound: int

    def start_span(
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = None,
        links: Sequence[Link] | None = (),
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
    ) -> Span:
        """A span. For a new trace that is not sampled, the span records nothing."""
        parent = get_current_span(context)
        if parent is INVALID_SPAN or not parent.get_span_context().is_valid:
            trace_id = getrandbits(BITS)
            if trace_id & LOW >= self.bound:
                return NonRecordingSpan(
                    SpanContext(trace_id, getrandbits(64) or 1, False, _DROPPED)
                )
        return super().start_span(
            name,
            context,
            kind,
            attributes,
            links,
            start_time,
            record_exception,
            set_status_on_exception,
        )


class _KeptIds(RandomIdGenerator):
    """Makes ids for new traces that are already known to be sampled."""

    def __init__(self, bound: int) -> None:
        self._bound = bound

    def generate_trace_id(self) -> int:
        """A random id that the sampler keeps."""
        return (getrandbits(BITS) & ~LOW) | randrange(self._bound)  # noqa: S311 - ids hide nothing
