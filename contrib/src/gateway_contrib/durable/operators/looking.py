"""What operators see of envelopes: which ones, in which columns, and what they wait for. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
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
    """Filters; None: any. `older` and `newer` are POSIX times of acceptance."""

    instance: str | None = None
    room: str | None = None
    disposition: str | None = None
    older: float | None = None
    newer: float | None = None


def as_told(row: dict[str, Any], told: Mapping[str, Any]) -> dict[str, Any]:
    """The row with its cause as the owner knows it, which has none for what it has not loaded."""
    accounts, cause = told["accounts"], told["envelopes"].get(row["id"])
    if cause is None and row["cause"] != "schedule":
        cause = accounts.get(row["instance"], "no instance")
    return row | {"cause": cause or row["cause"]}


def in_rooms(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What stands behind another of its room waits for that. The filters leave out none before."""
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
    """That nothing is stored of the instance, and what it might have been."""
    it_has = ", ".join(names) or "none"
    return f"the outbox has nothing of instance {instance!r}; it has: {it_has}"


def seq_in(envelope_id: str) -> int:
    """The number of an envelope's id. Raises `OutboxError` for what is none."""
    return _number(envelope_id, "an envelope")


def seq_of_group(group_id: str) -> int:
    """The number of a group's id. Raises `OutboxError` for what is none."""
    return _number(group_id, "a group: `gateway group list` shows the ids")


def _number(text: str, what: str) -> int:
    if _ID.fullmatch(text) is None:
        raise OutboxError(f"{text!r} is not the id of {what}")
    return position_of(text)
