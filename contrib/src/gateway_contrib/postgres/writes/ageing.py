"""Forgets old rows, some of them at a time, on the connection that writes."""

from __future__ import annotations

from typing import Any, TypeAlias

import attrs
import psycopg

from gateway_contrib.postgres.beside.contents import Contents

Connection: TypeAlias = psycopg.Connection[Any]

AT_ONCE = 1_000
"""Rows of a table that are looked at, and forgotten, between two batches."""
ANSWERS_FOR = 60.0
"""Seconds for which an answer waits for the process that asked."""
_HISTORY = """WITH old AS (SELECT seq FROM history WHERE ended_at < %s
        ORDER BY ended_at LIMIT %s)
    DELETE FROM history h USING old WHERE h.seq = old.seq
    RETURNING h.seq, h.number, h.entry IS NOT NULL"""
_OLD = """DELETE FROM {table} WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM {table} WHERE {column} < {before} ORDER BY {column} LIMIT %s))"""
_REQUESTS = _OLD.format(table="requests", column="done_at", before="%s").encode()
_KEYS = _OLD.format(table="keys", column="ended_at", before="%s").encode()
_REFS = _OLD.format(table="revisions", column="ended_at", before="%s").encode()
_QUESTIONS = """DELETE FROM handed WHERE ctid = ANY (ARRAY(SELECT ctid FROM handed
    WHERE answered_at < clock_timestamp() - make_interval(secs => %s) AND kind <> 'submit'
    ORDER BY answered_at LIMIT %s FOR UPDATE SKIP LOCKED))"""
"""Rows that another transaction holds stay: it may stay open, and the owner waits for none."""
_HANDED = """WITH looked AS (SELECT answered_at, number, seq FROM handed
        WHERE answered_at < to_timestamp(%(before)s) AND answered_at >= %(at)s::timestamptz
            AND (answered_at, number) > (%(at)s::timestamptz, %(number)s)
        ORDER BY answered_at, number LIMIT %(limit)s),
    free AS (SELECT h.number FROM handed h JOIN looked l USING (number)
        WHERE NOT EXISTS (SELECT 1 FROM envelopes e WHERE e.seq = l.seq)
            AND NOT EXISTS (SELECT 1 FROM history p WHERE p.seq = l.seq)
        FOR UPDATE OF h SKIP LOCKED),
    gone AS (DELETE FROM handed h USING free f WHERE h.number = f.number RETURNING 1)
    SELECT answered_at::text, number, (SELECT count(*) FROM gone) FROM looked
    ORDER BY answered_at, number"""
_FIRST = ("-infinity", 0)


@attrs.frozen(kw_only=True)
class Bounds:
    """POSIX times: rows that ended before them are forgotten.

    history  of envelopes and groups; keys: of their idempotency keys; refs: of edited messages
    """

    history: float
    keys: float
    refs: float


class Forgetting:
    """Forgets old rows step by step, however many there are."""

    def __init__(self, contents: Contents) -> None:
        self._contents = contents
        self._after = _FIRST

    def step(self, connection: Connection, bounds: Bounds) -> bool:
        """Forget the next old rows; returns whether there may be more."""
        rows = connection.execute(_HISTORY, (bounds.history, AT_ONCE)).fetchall()
        if rows:
            newest = max(number for _, number, _ in rows)
            sql = "UPDATE source SET forgotten = greatest(forgotten, %s)"
            connection.execute(sql, (newest,))
            _forget_beside(connection, [seq for seq, _, failed in rows if failed])
        counts = [
            len(rows),
            *(
                connection.execute(sql, (before, AT_ONCE)).rowcount
                for sql, before in (
                    (_REQUESTS, bounds.history),
                    (_KEYS, bounds.keys),
                    (_REFS, bounds.refs),
                    (_QUESTIONS, ANSWERS_FOR),
                )
            ),
            _forget_groups(connection, bounds.history),
        ]
        self._contents.forget_handed(connection)
        return self._forget_handed(connection, bounds.history) or max(counts) == AT_ONCE

    def _forget_handed(self, connection: Connection, before: float) -> bool:
        """Forget answered rows, apart from those whose envelope is still stored.

        Those rows are passed over, and looked at again later. Returns whether there may be more.
        """
        at, number = self._after
        asked = {"before": before, "at": at, "number": number, "limit": AT_ONCE}
        rows = connection.execute(_HANDED, asked).fetchall()
        full = len(rows) == AT_ONCE
        self._after = rows[-1][:2] if full else _FIRST
        return full and rows[-1][2] > 0


def _forget_beside(connection: Connection, seqs: list[int]) -> None:
    """Delete what was stored to try failed envelopes again."""
    for table in ("steps", "grown", "turns"):
        sql = f"DELETE FROM {table} WHERE seq = ANY (%b::bigint[])"  # noqa: S608 - constants
        connection.execute(sql.encode(), (seqs,))


def _forget_groups(connection: Connection, before: float) -> int:
    sql = """WITH old AS (SELECT seq FROM groups WHERE ended_at < %s ORDER BY ended_at LIMIT %s)
        DELETE FROM groups g USING old WHERE g.seq = old.seq RETURNING g.seq"""
    seqs = [seq for (seq,) in connection.execute(sql, (before, AT_ONCE)).fetchall()]
    for table in ("counts", "turns"):
        sql = f"DELETE FROM {table} WHERE grp = ANY (%b::bigint[])"  # noqa: S608 - constants
        connection.execute(sql.encode(), (seqs,))
    return len(seqs)
