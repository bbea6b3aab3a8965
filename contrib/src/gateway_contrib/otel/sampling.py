"""The SDK's own sampling, with a short way to the answer that nearly every trace gets.

Most of what a span costs that is not sampled is the way to finding that out. Here it is found out
first, by the SDK's rule for what has no parent: the low bits of its trace's id are under a bound.
Those alone, and spans with a parent, are left to the SDK, whose sampler says the same.
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
        """The SDK's, which draws the ids of new traces before it asks anybody."""
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
        """A span: of a new trace, mostly one that records nothing."""
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
    """Ids for new traces of which it is known that they are kept."""

    def __init__(self, bound: int) -> None:
        self._bound = bound

    def generate_trace_id(self) -> int:
        """Any of those that the sampler keeps."""
        return (getrandbits(BITS) & ~LOW) | randrange(self._bound)  # noqa: S311 - ids hide nothing
