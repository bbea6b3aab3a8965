"""Makes ended envelopes unfinished again, and erases rooms, on the connection that writes."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, TypeAlias

import psycopg

from gateway_contrib.durable.seals import Seals
from gateway_contrib.postgres.beside.contents import Contents
from gateway_contrib.postgres.beside.groups import Groups
from gateway_contrib.postgres.names import name_of, text_in
from gateway_contrib.postgres.reading import stored_at
from gateway_contrib.postgres.writes import statements
from gateway_core import Invalid
from gateway_core.outboxes import OutboxError, StoredEntry

Connection: TypeAlias = psycopg.Connection[Any]

_BACK = """INSERT INTO envelopes (account, seq, id, room, position, accepted_at, deadline,
        fingerprint, class, entry, shapes, stream, sequence)
    SELECT account, seq, id, room, coalesce(sequence, seq), %(wall)s,
        %(wall)s + deadline - accepted_at, fingerprint, class, entry, shapes, stream, sequence
    FROM history WHERE seq = ANY (%(seqs)b::bigint[]) AND entry IS NOT NULL
    ON CONFLICT DO NOTHING RETURNING seq"""
_STEPS = """UPDATE steps SET started = 0, attempts = 0, outcome = NULL, maybe_sent = 0,
        not_before = CASE WHEN started > 0 THEN 0 ELSE not_before END,
        first_at = CASE WHEN maybe_sent > 0 THEN first_at ELSE 0 END
    WHERE seq = ANY (%b::bigint[]) AND (outcome IS NULL
        OR outcome NOT IN ('delivered', 'deleted', 'unchanged'))"""


def reopen(
    connection: Connection, groups: Groups, seals: Seals, seqs: Sequence[int], wall: float
) -> list[StoredEntry]:
    """Make these unfinished, as far as the history has their content; their time starts anew."""
    rows = connection.execute(_BACK, {"wall": wall, "seqs": list(seqs)}).fetchall()
    back = [seq for (seq,) in rows]
    statements.delete(connection, "history", back)
    connection.execute("UPDATE keys SET ended_at = NULL WHERE seq = ANY (%b::bigint[])", (back,))
    connection.execute(_STEPS, (back,))
    groups.reopened(connection, back)
    if seals.first:
        _seal_anew(connection, seals, back)
    return stored_at(connection, seals, back)


def _seal_anew(connection: Connection, seals: Seals, seqs: Sequence[int]) -> None:
    """Seal these entries with the first key, whether or not a resealing is under way."""
    sql = "SELECT seq, fingerprint, entry, shapes FROM envelopes WHERE seq = ANY (%b::bigint[])"
    for seq, *texts in connection.execute(sql, (list(seqs),)).fetchall():
        with suppress(Invalid, OutboxError):  # it cannot be read, which `stored_at` reports
            kinds = ("fingerprint", "entry", "shapes")
            pairs = zip(kinds, texts, strict=True)
            anew = [seals.anew(kind, seq, text) or text for kind, text in pairs]
            sql = "UPDATE envelopes SET fingerprint = %s, entry = %s, shapes = %s WHERE seq = %s"
            connection.execute(sql, (*anew, seq))


def erase(
    connection: Connection, groups: Groups, contents: Contents, instance: str, room: str
) -> int:
    """Erase everything of a room: payloads, history, keys, moves; returns how many rows."""
    place = (name_of(instance), name_of(room))
    seqs: list[int] = []
    for table in ("envelopes", "history"):
        sql = f"DELETE FROM {table} WHERE account = %s AND room = %s RETURNING seq"  # noqa: S608 - constants
        seqs += [seq for (seq,) in connection.execute(sql.encode(), place).fetchall()]
    for table in ("steps", "grown"):
        statements.delete(connection, table, seqs)
    erased = len(seqs) + statements.delete(connection, "keys", seqs)
    for table, column in (("keys", "room"), ("revisions", "room"), ("moves", "place")):
        sql = f"DELETE FROM {table} WHERE account = %s AND {column} = %s"  # noqa: S608 - constants
        erased += connection.execute(sql.encode(), place).rowcount
    sql = "DELETE FROM handed WHERE instance = %s AND room = %s"
    connection.execute(sql, (text_in(instance), text_in(room)))
    connection.execute("DELETE FROM spent")  # it names buckets of rooms, though by their digests
    groups.erased(connection, instance, room, seqs)
    contents.end(connection, seqs)
    return erased
