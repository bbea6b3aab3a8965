"""Makes the fields that log events have about an envelope, the same in every event."""

from __future__ import annotations

from typing import Any

from gateway_core.contract.envelopes import Disposition, Part, Receipt
from gateway_core.contract.verdicts import Verdict
from gateway_core.deliveries.delivery import Delivery
from gateway_core.telemetry.privacy import Privacy

GOOD = (Disposition.DELIVERED, Disposition.SUPERSEDED, Disposition.CANCELLED)
"""Endings that somebody wanted."""


def about(delivery: Delivery, partition: int) -> dict[str, Any]:
    """The fields of every event of an envelope's life."""
    return {
        "envelope": delivery.id,
        "instance": delivery.envelope.instance_id,
        "partition": partition,
        "pressure": delivery.pressure,
    }


def result(delivery: Delivery, receipt: Receipt) -> dict[str, Any]:
    """The fields that say how the envelope ended."""
    return {
        "disposition": str(receipt.disposition),
        "attempts": receipt.attempts,
        "seconds": round(latency(delivery, receipt), 3),
    }


def latency(delivery: Delivery, receipt: Receipt) -> float:
    """Seconds from acceptance, or from when it was due, to the end; over restarts as well."""
    since, due = receipt.accepted_at, delivery.envelope.not_before
    if due is not None and due > since:
        since = due
    seconds = receipt.ended_at - since
    return seconds if seconds > 0 else 0.0


def words(
    privacy: Privacy, delivery: Delivery, verdict: Verdict, address: str, part: Part | None
) -> str:
    """The platform's own words about a part at `address`, as far as telemetry may show them."""
    if not verdict.raw:
        return ""
    envelope = delivery.envelope
    text = getattr(envelope, "text", "")
    if part is not None:
        text = text[slice(*part.span)]
    rooms = (envelope.external_room_id, address)
    return privacy.words(verdict.raw, envelope.instance_id, rooms, text)


def operation_of(delivery: Delivery) -> str:
    """The operation without a call's method: these words are core's, so their number is bounded."""
    return delivery.envelope.operation.partition(":")[0]
