"""Declares every kind of span, and the events within spans. Sans-I/O."""

from __future__ import annotations

from gateway_core.telemetry.attributes import (
    ACCEPTED_UNDER,
    ATTEMPT,
    ATTEMPTS,
    CAUSE,
    CHANNEL,
    DEGRADATION,
    DISPOSITION,
    ENVELOPE_ID,
    ERROR_CLASS,
    ERROR_TYPE,
    INSTANCE,
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
)
from gateway_core.telemetry.kinds import Span, SpanEvent

WAITED = SpanEvent(
    "gateway.waited",
    (CAUSE, SECONDS),
    "how long the envelope waited for one cause, until now",
)
KEPT = SpanEvent(
    "gateway.stored",
    (),
    "it left memory; the outbox stores it, for the next run or until a slot is free",
)
TRANSFORMED = SpanEvent(
    "gateway.transformed", (DEGRADATION,), "a refused part was changed, to be tried again"
)

ENVELOPE_SPAN = Span(
    "create {messaging.system}",
    "producer",
    (
        CHANNEL, OPERATION, OPERATION_TYPE, INSTANCE, PARTITION, ENVELOPE_ID, ROOM, PRIORITY,
        ACCEPTED_UNDER, RECOVERED, DISPOSITION, PARTS, ATTEMPTS, POSSIBLE_DUPLICATE, ERROR_TYPE,
    ),
    (WAITED, TRANSFORMED, KEPT),
    "an envelope from `submit` to its disposition; child of the caller's span. Once the outbox has "
    "stored it, above all after a restart, one more, child of the first",
)  # fmt: skip
ATTEMPT_SPAN = Span(
    "{messaging.operation.name} {messaging.system}",
    "client",
    (
        CHANNEL, OPERATION, OPERATION_TYPE, INSTANCE, PARTITION, ENVELOPE_ID, ROOM, PART, ATTEMPT,
        ERROR_CLASS, ERROR_TYPE,
    ),
    (),
    "one try at one part; child of the envelope's span, and current while the adapter's hook runs",
)  # fmt: skip

SPANS = (ENVELOPE_SPAN, ATTEMPT_SPAN)
