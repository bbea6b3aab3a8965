"""Reads which attempts were made lately, from stored receipts and steps."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import apsw
import msgspec

from gateway_contrib.durable.rows import decode
from gateway_contrib.durable.sealing.keyring import Keyring
from gateway_core import Invalid
from gateway_core.outboxes import PastAttempt

_ENDED = """SELECT seq, instance, room, class, ended_at, CAST(receipt AS BLOB) FROM history
    WHERE ended_at > :since
        AND (:instance IS NULL OR instance = :instance)
    ORDER BY ended_at DESC"""
_BEGUN = """SELECT e.seq, e.instance, e.room, e.class, count(*), CAST(e.entry AS BLOB)
    FROM steps s CROSS JOIN envelopes e ON e.seq = s.seq
    WHERE s.number > 0 AND (s.started OR s.maybe_sent OR s.outcome IS NOT NULL)
        AND (:instance IS NULL OR e.instance = :instance)
    GROUP BY s.seq ORDER BY s.seq DESC"""


def attempts(
    connection: apsw.Connection,
    keyring: Keyring,
    since: float,
    wall: float,
    instance: str | None,
    limit: int,
) -> list[PastAttempt]:
    """The newest attempts, in order, of envelopes that ended since then and of unfinished ones.

    instance  only attempts of this instance; None: of all
    """
    some = list(islice(_begun(connection, keyring, wall, instance), limit))
    some += islice(_ended(connection, keyring, since, instance), limit - len(some))
    return some[::-1]


def _ended(
    connection: apsw.Connection, keyring: Keyring, since: float, only: str | None
) -> Iterator[PastAttempt]:
    """Attempts of ended envelopes, the newest first; without calls and damaged rows."""
    asked = {"since": since, "instance": only}
    for seq, instance, room, priority, at, stored in connection.execute(_ENDED, asked):
        receipt = _read(keyring, "receipt", seq, stored)
        if not isinstance(receipt, dict) or receipt.get("result") is not None:
            continue
        if not (count := receipt.get("attempts")):
            continue
        ref: dict[str, Any] = receipt.get("ref") or {}
        parts: list[dict[str, Any]] = receipt.get("parts") or [{}]
        edited, deleted = ref.get("revision"), parts[0].get("outcome") == "deleted"
        yield PastAttempt(
            instance_id=instance,
            room=room,
            thread=ref.get("thread_id"),
            operation="edit" if edited else "delete" if deleted else "send",
            priority=priority or "normal",
            at=at,
            count=count,
        )


def _begun(
    connection: apsw.Connection, keyring: Keyring, wall: float, only: str | None
) -> Iterator[PastAttempt]:
    """Attempts at unfinished messages, the newest first."""
    asked = {"instance": only}
    for seq, instance, room, priority, count, stored in connection.execute(_BEGUN, asked):
        entry = _read(keyring, "entry", seq, stored)
        envelope = entry[0] if isinstance(entry, list) and entry else {}
        if envelope.get("kind") == "send":
            yield PastAttempt(
                instance_id=instance,
                room=room,
                thread=envelope.get("thread_id"),
                operation="send",
                priority=priority or "normal",
                at=wall,
                count=count,
            )


def _read(keyring: Keyring, kind: str, seq: int, stored: bytes) -> Any:
    """The content; None if it is damaged, which is reported where the envelope itself is read."""
    try:
        return decode(keyring.open(kind, seq, stored))
    except (Invalid, msgspec.DecodeError):
        return None
