"""SQL for what operators list from a schema: envelopes, rooms, counts."""

from __future__ import annotations

from typing import Any

from gateway_contrib.durable.operators.looking import ALONE, Which
from gateway_contrib.postgres.names import name_of
from gateway_contrib.postgres.reading import ORDER

_NAMED = "coalesce(a.instance, e.account)"
FAILED = f"""SELECT e.id, {_NAMED}, e.room, e.disposition, e.reason, e.raw, e.accepted_at,
        e.ended_at, e.reason, e.class, e.seq, e.entry, e.receipt
    FROM history e LEFT JOIN accounts a USING (account) WHERE e.entry IS NOT NULL"""  # noqa: S608 - constants
WAITING = f"""SELECT e.id, {_NAMED}, e.room, 'unfinished', '', '', e.accepted_at, NULL,
    CASE WHEN e.due > %(now)s THEN 'schedule'
        WHEN EXISTS (SELECT 1 FROM steps s WHERE s.seq = e.seq AND s.started > 0) THEN 'attempt'
        WHEN EXISTS (SELECT 1 FROM closures c WHERE c.account = e.account
            AND c.until > %(now)s) THEN 'account limit'
        WHEN EXISTS (SELECT 1 FROM steps s WHERE s.seq = e.seq AND s.outcome IS NULL) THEN 'retry'
        WHEN e.stream >= {ALONE} THEN 'alone' ELSE '' END,
    e.class, e.seq, e.entry, ''
    FROM envelopes e LEFT JOIN accounts a USING (account) WHERE true"""  # noqa: S608 - constants
ORDERED = f"""SELECT e.id, {ORDER} FROM (SELECT id, seq, sequence FROM envelopes
    UNION ALL SELECT id, seq, sequence FROM history) e WHERE e.seq = ANY (%b::bigint[])"""  # noqa: S608 - constants
ROOMS = f"""SELECT {_NAMED}, e.room, sum(waiting), sum(failed), sum(lately), min(since)
    FROM (SELECT account, room, 1 AS waiting, 0 AS failed, accepted_at AS since,
            (accepted_at >= %(since)s)::int AS lately FROM envelopes
        UNION ALL SELECT account, room, 0, (entry IS NOT NULL)::int,
            NULL, (accepted_at >= %(since)s)::int FROM history) e
    LEFT JOIN accounts a USING (account)
    WHERE %(account)s::text IS NULL OR e.account = %(account)s
    GROUP BY 1, 2 ORDER BY greatest(sum(waiting), sum(lately)) DESC, 1, 2 LIMIT %(limit)s"""  # noqa: S608 - constants
MEMBERS = f"""SELECT {_NAMED}, sum(e.size - e.taken)::bigint
    FROM groups e LEFT JOIN accounts a USING (account)
    WHERE e.stored AND NOT e.cancelled AND e.size > e.taken GROUP BY 1"""  # noqa: S608 - constants
NAMES = """SELECT a.instance FROM accounts a WHERE a.account <> '' AND (
        EXISTS (SELECT 1 FROM envelopes e WHERE e.account = a.account)
        OR EXISTS (SELECT 1 FROM history h WHERE h.account = a.account))
    ORDER BY 1"""
UNFINISHED = f"""SELECT {_NAMED}, count(*) FROM envelopes e LEFT JOIN accounts a USING (account)
    GROUP BY 1 ORDER BY 1"""  # noqa: S608 - constants
SIZE = """SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class c
    WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r'"""
KNOWN = {"envelopes": "room", "history": "room", "keys": "room", "revisions": "room",
         "moves": "place"}  # fmt: skip
"""Tables with a room's rows, and the column that has the room's name."""


def conditions(which: Which) -> tuple[str, dict[str, Any]]:
    """The SQL conditions, and the values bound to them."""
    tests = {
        "e.account = %(instance)s": which.instance and name_of(which.instance),
        "e.room = %(room)s": which.room and name_of(which.room),
        "e.disposition = %(disposition)s": which.disposition,
        "e.accepted_at <= %(older)s": which.older,
        "e.accepted_at >= %(newer)s": which.newer,
    }
    names = ("instance", "room", "disposition", "older", "newer")
    pairs = zip(names, tests.items(), strict=True)
    asked = {name: item for name, item in pairs if item[1] is not None}
    where = "".join(f" AND {test}" for test, _ in asked.values())
    return where, {name: value for name, (_, value) in asked.items()}
