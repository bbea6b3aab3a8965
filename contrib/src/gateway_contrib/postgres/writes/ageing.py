"""Forgets what is old, some of it at a time; on the connection that writes."""

from __future__ import annotations

from typing import Any, TypeAlias

import attrs
import psycopg

from gateway_contrib.postgres.beside.contents import forget_handed

Connection: TypeAlias = psycopg.Connection[Any]

AT_ONCE = 1_000
"""Rows that are forgotten between two batches."""
ANSWERS_FOR = 60.0
"""Seconds for which an answer waits for the process that asked."""
_QUESTIONS = """DELETE FROM handed WHERE kind <> 'submit'
    AND answered_at < clock_timestamp() - make_interval(secs => %s)"""


@attrs.frozen(kw_only=True)
class Bounds:
    """POSIX times before which what ended is forgotten.

    history  envelopes and groups; keys: of those; refs: edited messages
    """

    history: float
    keys: float
    refs: float


def step(connection: Connection, bounds: Bounds) -> bool:
    """Forget the next that is old; whether there may be more."""
    sql = """WITH old AS (SELECT seq FROM history WHERE ended_at < %s
            ORDER BY ended_at LIMIT %s)
        DELETE FROM history h USING old WHERE h.seq = old.seq
        RETURNING h.seq, h.number, h.entry IS NOT NULL"""
    rows = connection.execute(sql, (bounds.history, AT_ONCE)).fetchall()
    if rows:
        newest = max(number for _, number, _ in rows)
        sql = "UPDATE source SET forgotten = greatest(forgotten, %s)"
        connection.execute(sql, (newest,))
        _forget_beside(connection, [seq for seq, _, failed in rows if failed])
    more = len(rows) == AT_ONCE
    handed = """DELETE FROM handed h WHERE answered_at < to_timestamp(%s)
        AND NOT EXISTS (SELECT 1 FROM envelopes e WHERE e.seq = h.seq)
        AND NOT EXISTS (SELECT 1 FROM history p WHERE p.seq = h.seq)"""
    for sql, before in (
        (handed, bounds.history),
        ("DELETE FROM requests WHERE done_at < %s", bounds.history),
        ("DELETE FROM keys WHERE ended_at < %s", bounds.keys),
        ("DELETE FROM revisions WHERE ended_at < %s", bounds.refs),
    ):
        connection.execute(sql, (before,))
    connection.execute(_QUESTIONS, (ANSWERS_FOR,))
    forget_handed(connection)
    return _forget_groups(connection, bounds.history) or more


def _forget_beside(connection: Connection, seqs: list[int]) -> None:
    """What was kept for a failed envelope that might be tried again."""
    for table in ("steps", "grown", "turns"):
        sql = f"DELETE FROM {table} WHERE seq = ANY (%s::bigint[])"  # noqa: S608 - constants
        connection.execute(sql.encode(), (seqs,))


def _forget_groups(connection: Connection, before: float) -> bool:
    sql = """WITH old AS (SELECT seq FROM groups WHERE ended_at < %s ORDER BY ended_at LIMIT %s)
        DELETE FROM groups g USING old WHERE g.seq = old.seq RETURNING g.seq"""
    seqs = [seq for (seq,) in connection.execute(sql, (before, AT_ONCE)).fetchall()]
    for table in ("counts", "turns"):
        sql = f"DELETE FROM {table} WHERE grp = ANY (%s::bigint[])"  # noqa: S608 - constants
        connection.execute(sql.encode(), (seqs,))
    return len(seqs) == AT_ONCE
