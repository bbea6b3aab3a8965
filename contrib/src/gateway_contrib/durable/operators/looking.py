"""Decides what operators see of envelopes: which ones, which columns, which cause. Pure."""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from typing import Any

import attrs

from gateway_core.outboxes import STREAMS, OutboxError, Suspension, position_of

ALONE = min(number for number, stream in enumerate(STREAMS) if stream.alone)
"""The lowest number of a stream without an order."""
COLUMNS = (
    "id", "instance", "room", "disposition", "reason", "raw", "accepted_at", "ended_at", "cause",
    "class", "length",
)  # fmt: skip
UNREADABLE = "the outbox cannot be read"
MOST_GROUPS = 100_000
_ID = re.compile(r"[0-9a-f]{30}")


@attrs.frozen(kw_only=True)
class Which:
    """Filters for envelopes; None: any. `older` and `newer` are POSIX times of acceptance."""

    instance: str | None = None
    room: str | None = None
    disposition: str | None = None
    older: float | None = None
    newer: float | None = None


def as_told(row: dict[str, Any], told: Mapping[str, Any]) -> dict[str, Any]:
    """The row with the cause that the owner knows; for a spilled envelope, its account's cause."""
    accounts, cause = told["accounts"], told["envelopes"].get(row["id"])
    if cause is None and row["cause"] != "schedule":
        cause = accounts.get(row["instance"], "no instance")
    return row | {"cause": cause or row["cause"]}


def as_stored(row: dict[str, Any], suspended: Container[str]) -> dict[str, Any]:
    """The row with the cause as stored: `suspension` if an operator has suspended its account."""
    if row["instance"] in suspended and row["cause"] not in ("schedule", "attempt"):
        return row | {"cause": "suspension"}
    return row


def in_rooms(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Set the cause of each envelope that comes after another one of its room to `queue`.

    The filters in use leave out no earlier envelope of a room.
    """
    seen: set[tuple[str, str]] = set()
    for row in rows:
        place = (row["instance"], row["room"])
        if row["cause"] == "alone":
            row["cause"] = ""
        elif row["cause"] != "schedule":
            if place in seen and not row["cause"]:
                row["cause"] = "queue"
            seen.add(place)
    return rows


def listed(suspensions: Mapping[str, Suspension]) -> dict[str, dict[str, Any]]:
    """Accounts that operators have suspended: why, who did it, and since when (POSIX time)."""
    return {name: attrs.asdict(each) for name, each in suspensions.items()}


def lacking(instance: str, names: list[str]) -> str:
    """The error text that nothing is stored of the instance, with the instances that there are."""
    it_has = ", ".join(names) or "none"
    return f"the outbox has nothing of instance {instance!r}; it has: {it_has}"


def seq_in(envelope_id: str) -> int:
    """The number of an envelope's id. Raises `OutboxError` for an invalid id."""
    return _number(envelope_id, "an envelope")


def seq_of_group(group_id: str) -> int:
    """The number of a group's id. Raises `OutboxError` for an invalid id."""
    return _number(group_id, "a group: `gateway group list` shows the ids")


def _number(text: str, what: str) -> int:
    if _ID.fullmatch(text) is None:
        raise OutboxError(f"{text!r} is not the id of {what}")
    return position_of(text)
