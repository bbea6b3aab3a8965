"""Reads which attempts were made lately, from stored receipts and steps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, TypeAlias

import psycopg

from gateway_contrib.durable.damage import check_counts, intact
from gateway_contrib.durable.rows import check_class, decode
from gateway_contrib.durable.seals import Seals
from gateway_contrib.postgres.names import name_of, text_out
from gateway_core import Invalid
from gateway_core.outboxes import PastAttempt

Connection: TypeAlias = psycopg.Connection[Any]

_ENDED = """SELECT coalesce(a.instance, h.account), h.class, h.ended_at, h.receipt, h.seq
    FROM history h LEFT JOIN accounts a USING (account)
    WHERE h.ended_at > %(since)s AND (h.ended_at, h.seq) < (%(at)s, %(seq)s)
        AND (%(account)s::text IS NULL OR h.account = %(account)s)
    ORDER BY h.ended_at DESC, h.seq DESC LIMIT %(limit)s"""
_BEGUN = """SELECT coalesce(a.instance, e.account), e.class, s.count, e.entry, e.seq
    FROM (SELECT seq, count(*) AS count FROM steps
        WHERE number > 0 AND (started > 0 OR maybe_sent > 0 OR outcome IS NOT NULL)
        GROUP BY seq) s
    JOIN envelopes e ON e.seq = s.seq LEFT JOIN accounts a ON a.account = e.account
    WHERE %(account)s::text IS NULL OR e.account = %(account)s
    ORDER BY e.seq DESC LIMIT %(limit)s"""
_TRIED = """SELECT account FROM history WHERE ended_at > %(since)s
        AND account = ANY (%(accounts)b::text[])
    UNION SELECT e.account FROM steps s JOIN envelopes e USING (seq)
        WHERE s.number > 0 AND e.account = ANY (%(accounts)b::text[])"""
"""The accounts, of the given ones, that may have recent attempts."""


def attempts(
    connection: Connection,
    seals: Seals,
    since: float,
    wall: float,
    instance: str | None,
    limit: int,
) -> list[PastAttempt]:
    """The newest attempts, in order, of envelopes that ended since then and of unfinished ones.

    instance  only attempts of this instance; None: of all
    """
    asked = {"account": instance and name_of(instance), "limit": limit, "since": since}
    some = _begun(connection, seals, asked, wall)
    place: tuple[float, int] = (math.inf, 0)
    while len(some) < limit:
        rows = connection.execute(_ENDED, asked | {"at": place[0], "seq": place[1]}).fetchall()
        if not rows:
            break
        place = (rows[-1][2], rows[-1][4])
        found = (_ended(seals, *row) for row in rows)
        some += [past for past in found if past is not None]
    return some[:limit][::-1]


def attempts_of(
    connection: Connection,
    seals: Seals,
    since: float,
    wall: float,
    instances: Sequence[str],
    limit: int,
) -> dict[str, list[PastAttempt]]:
    """As `attempts`, for each of these instances that may have any."""
    names = {name_of(each): each for each in instances}
    rows = connection.execute(_TRIED, {"since": since, "accounts": list(names)}).fetchall()
    tried = [names[account] for (account,) in rows]
    return {name: attempts(connection, seals, since, wall, name, limit) for name in tried}


def _ended(
    seals: Seals, instance: str, priority: Any, at: float, text: str, seq: int
) -> PastAttempt | None:
    """An ended envelope's attempts; None: it is a call, nothing was tried, or it is damaged."""
    try:
        with intact():
            return _told_by(decode(seals.open("receipt", seq, text)), instance, priority, at)
    except Invalid:  # it is reported where the envelope itself is read
        return None


def _told_by(
    receipt: dict[str, Any], instance: str, priority: Any, at: float
) -> PastAttempt | None:
    if receipt.get("result") is not None or not (count := receipt.get("attempts")):
        return None
    check_counts(count)
    check_class(priority)
    ref: dict[str, Any] = receipt.get("ref") or {}
    parts: list[dict[str, Any]] = receipt.get("parts") or [{}]
    edited, deleted = ref.get("revision"), parts[0].get("outcome") == "deleted"
    return PastAttempt(
        instance_id=text_out(instance),
        room=receipt["external_room_id"],
        thread=ref.get("thread_id"),
        operation="edit" if edited else "delete" if deleted else "send",
        priority=priority or "normal",
        at=at,
        count=count,
    )


def _begun(
    connection: Connection, seals: Seals, asked: dict[str, Any], wall: float
) -> list[PastAttempt]:
    """Attempts at unfinished messages, the newest first."""
    found: list[PastAttempt] = []
    for instance, priority, count, text, seq in connection.execute(_BEGUN, asked).fetchall():
        with suppress(Invalid), intact():  # it is reported where the envelope itself is read
            envelope = decode(seals.open("entry", seq, text))[0]
            check_class(priority)
            if envelope.get("kind") == "send":
                past = PastAttempt(
                    instance_id=text_out(instance),
                    room=envelope["external_room_id"],
                    thread=envelope.get("thread_id"),
                    operation="send",
                    priority=priority or "normal",
                    at=wall,
                    count=count,
                )
                found.append(past)
    return found
