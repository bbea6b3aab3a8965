"""Reads what operators' requests to suspend an account say, before a gateway carries them out."""

from __future__ import annotations

import json

from gateway_contrib.durable.seals import Seals
from gateway_core import Invalid
from gateway_core.outboxes import OutboxError, Suspension

UNTOLD = "as an operator asks"
"""The reason of a request that cannot be read, because it is damaged or its key is missing."""


def asked_for(seals: Seals, number: int, stored: str | None, at: float) -> Suspension:
    """The suspension for which a request asks, whether the request can be read or not.

    number, stored  the request's number, and its question as it is stored
    at              POSIX time of the request
    """
    untold = Suspension(why=UNTOLD, since=at)
    try:
        told = json.loads(seals.text("envelope", number, stored or ""))["suspension"]
        why, by, since = told["why"], told["by"], told["since"]
    except (Invalid, OutboxError, ValueError, LookupError, TypeError):
        return untold
    if not (isinstance(why, str) and isinstance(by, str) and isinstance(since, (int, float))):
        return untold
    return Suspension(why=why, by=by, since=since)
