"""Performs the spans of envelopes and attempts, if a tracer is set up.

An envelope's span begins at `submit` in the caller's context and ends with its disposition. An
envelope that is not sampled costs the one call that finds that out; its context is passed on all
the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from opentelemetry.context import Context
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
    TraceState,
    set_span_in_context,
)

from gateway_core import telemetry
from gateway_core.accounts.instance_state import InstanceState
from gateway_core.clock import SECOND, Clock
from gateway_core.contract.envelopes import Receipt
from gateway_core.contract.verdicts import Verdict
from gateway_core.deliveries.delivery import Delivery
from gateway_core.deliveries.steps import Step
from gateway_core.monitoring.log_fields import GOOD, operation_of
from gateway_core.telemetry import (
    ACCEPTED_UNDER,
    ATTEMPT,
    ATTEMPT_SPAN,
    ATTEMPTS,
    CAUSE,
    CHANNEL,
    DEGRADATION,
    DISPOSITION,
    ENVELOPE_ID,
    ENVELOPE_SPAN,
    ERROR_CLASS,
    ERROR_TYPE,
    INSTANCE,
    KEPT,
    OPERATION,
    OPERATION_TYPE,
    PART,
    PARTITION,
    PARTS,
    POSSIBLE_DUPLICATE,
    PRIORITY,
    RECOVERED,
    ROOM,
    SECONDS,
    TRANSFORMED,
    WAITED,
)
from gateway_core.telemetry.privacy import Privacy

_VERSION = "00"
MOST_NAMED = 10_000
"""How many sets of names and attributes are kept, by instance, operation and partition."""


class Trace:
    """The trace of one delivery: its span, its context, the span of the attempt under way."""

    __slots__ = ("attempt", "context", "recording", "span")

    def __init__(self, span: Span) -> None:
        self.span = span
        self.context = set_span_in_context(span)
        self.recording = span.is_recording()
        self.attempt: Span | None = None

    def __str__(self) -> str:
        """The context as the W3C writes it: `traceparent`, and `tracestate` if there is one."""
        where = self.span.get_span_context()
        flags = where.trace_flags & TraceFlags.SAMPLED
        parent = f"{_VERSION}-{where.trace_id:032x}-{where.span_id:016x}-{flags:02x}"
        return f"{parent} {where.trace_state.to_header()}".rstrip()


class _First(NamedTuple):
    """The first attributes of an instance's spans of one operation, and the spans' names."""

    attributes: dict[str, Any]
    envelope: str
    attempt: str


class Spans:
    """Begins and ends spans for one gateway."""

    def __init__(self, tracer: Tracer, clock: Clock, privacy: Privacy) -> None:
        self._tracer = tracer
        self._clock = clock
        self._privacy = privacy
        # Added to engine time: spans stay in order though the wall clock may jump.
        self._opened = round(clock.wall() * SECOND) - clock.now()
        self._first: dict[tuple[str, str, int], _First] = {}

    def submitted(
        self, delivery: Delivery, account: InstanceState, partition: int, begun: int
    ) -> Trace:
        """An envelope is about to be accepted; `submit` was called at `begun`, in this context."""
        return self._envelope(delivery, account, partition, begun, None)

    def resumed(self, delivery: Delivery, account: InstanceState, partition: int) -> Trace:
        """A previous run accepted the envelope; the delivery has its trace context as a text."""
        parent, now = context_of(delivery.traceparent), self._clock.now()
        trace = self._envelope(delivery, account, partition, now, parent)
        if trace.recording:
            trace.span.set_attribute(RECOVERED.name, True)
        return trace

    def _envelope(
        self,
        delivery: Delivery,
        account: InstanceState,
        partition: int,
        begun: int,
        parent: Context | None,
    ) -> Trace:
        operation = operation_of(delivery)
        first = self._known(account, operation, partition)
        span = self._tracer.start_span(
            first.envelope,
            context=parent,
            kind=SpanKind.PRODUCER,
            attributes=first.attributes,
            start_time=self._time(begun),
        )
        trace = Trace(span)
        if trace.recording:
            span.set_attribute(OPERATION_TYPE.name, "create")
            span.set_attribute(PRIORITY.name, delivery.priority)
            span.set_attribute(ACCEPTED_UNDER.name, delivery.pressure)
            self._name(span, delivery)
        return trace

    def _known(self, account: InstanceState, operation: str, partition: int) -> _First:
        """The spans' names, and the attributes that a sampler gets to see."""
        key = (account.instance.id, operation, partition)
        found = self._first.get(key)
        if found is None:
            if len(self._first) >= MOST_NAMED:
                self._first.clear()
            attributes = {
                CHANNEL.name: account.instance.channel,
                INSTANCE.name: account.instance.id,
                OPERATION.name: operation,
                PARTITION.name: partition,
            }
            names = [_named(kind, attributes) for kind in (ENVELOPE_SPAN, ATTEMPT_SPAN)]
            found = self._first[key] = _First(attributes, *names)
        return found

    def _name(self, span: Span, delivery: Delivery) -> None:
        span.set_attribute(ENVELOPE_ID.name, delivery.id)
        room = self._privacy.room_of(delivery.envelope)
        if room is not None:
            span.set_attribute(ROOM.name, room)

    def waited(self, trace: Trace, cause: str, seconds: float) -> None:
        """The envelope waited until now."""
        trace.span.add_event(
            WAITED.name, {CAUSE.name: cause, SECONDS.name: seconds}, self._time(self._clock.now())
        )

    def transformed(self, trace: Trace, how: str) -> None:
        """A refused part was changed."""
        trace.span.add_event(
            TRANSFORMED.name, {DEGRADATION.name: how}, self._time(self._clock.now())
        )

    def began(
        self,
        trace: Trace,
        delivery: Delivery,
        step: Step,
        account: InstanceState,
        partition: int,
        now: int,
    ) -> None:
        """An attempt of `step` begins."""
        first = self._known(account, step.kind, partition)
        span = trace.attempt = self._tracer.start_span(
            first.attempt,
            context=trace.context,
            kind=SpanKind.CLIENT,
            attributes=first.attributes,
            start_time=self._time(now),
        )
        span.set_attribute(OPERATION_TYPE.name, "send")
        span.set_attribute(PART.name, step.serial)
        span.set_attribute(ATTEMPT.name, step.number)
        self._name(span, delivery)

    def attempted(self, trace: Trace, verdict: Verdict | None, now: int) -> None:
        """The attempt under way ended; None: the platform said yes."""
        span, trace.attempt = trace.attempt, None
        if span is None:
            return
        span.set_attribute(
            ERROR_CLASS.name, "none" if verdict is None else str(verdict.error_class)
        )
        if verdict is not None:
            span.set_attribute(ERROR_TYPE.name, str(verdict.reason))
            span.set_status(Status(StatusCode.ERROR, str(verdict.reason)))
        span.end(self._time(now))

    def ended(self, trace: Trace, receipt: Receipt) -> None:
        """The envelope ended."""
        span, now = trace.span, self._time(self._clock.now())
        if trace.attempt is not None:  # the envelope was given up while the attempt was in flight
            trace.attempt.end(now)
            trace.attempt = None
        span.set_attribute(DISPOSITION.name, str(receipt.disposition))
        span.set_attribute(PARTS.name, len(receipt.parts))
        span.set_attribute(ATTEMPTS.name, receipt.attempts)
        if receipt.possible_duplicate:
            span.set_attribute(POSSIBLE_DUPLICATE.name, True)
        if receipt.disposition not in GOOD:
            verdict = receipt.verdict
            why = str(verdict.reason) if verdict is not None else str(receipt.disposition)
            span.set_attribute(ERROR_TYPE.name, why)
            span.set_status(Status(StatusCode.ERROR, str(receipt.disposition)))
        span.end(now)

    def stored(self, trace: Trace) -> None:
        """The gateway closes before the envelope has ended; a durable outbox keeps it."""
        now = self._time(self._clock.now())
        if trace.attempt is not None:
            trace.attempt.end(now)
        trace.span.add_event(KEPT.name, timestamp=now)
        trace.span.end(now)

    def refused(self, trace: Trace, error: BaseException) -> None:
        """The envelope was not accepted after all: the outbox failed, or the caller left."""
        trace.span.set_attribute(ERROR_TYPE.name, type(error).__name__)
        trace.span.set_status(Status(StatusCode.ERROR, type(error).__name__))
        trace.span.end(self._time(self._clock.now()))

    def _time(self, at: int) -> int:
        """Engine nanoseconds as POSIX nanoseconds."""
        return self._opened + at


def _named(kind: telemetry.Span, attributes: Mapping[str, Any]) -> str:
    return re.sub(r"{([\w.]+)}", lambda name: str(attributes[name[1]]), kind.name)


def context_of(text: str) -> Context | None:
    """The context that `str(trace)` wrote; None: it cannot be read."""
    parent, _, state = text.partition(" ")
    try:
        _, trace_id, span_id, flags = parent.split("-")
        where = SpanContext(
            int(trace_id, 16),
            int(span_id, 16),
            is_remote=True,
            trace_flags=TraceFlags(int(flags, 16)),
            trace_state=TraceState.from_header([state]) if state else None,
        )
    except ValueError:
        return None
    return set_span_in_context(NonRecordingSpan(where)) if where.is_valid else None
