"""Executes a batch's statements: one for all rows of a kind, which it passes as arrays."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, TypeAlias
from uuid import UUID

import psycopg

from gateway_contrib.durable.batch import Batch
from gateway_contrib.durable.damage import LAST
from gateway_contrib.durable.rows import SETTLED, STEP_COLUMNS, Row
from gateway_contrib.durable.seals import Seals
from gateway_contrib.postgres.names import name_of, scope_of, text_in

Connection: TypeAlias = psycopg.Connection[Any]

TEXT, INTEGER, NUMBER = "text", "bigint", "double precision"
_ENTRY: dict[str, str] = {
    "account": TEXT, "seq": INTEGER, "id": TEXT, "room": TEXT, "position": INTEGER, "due": NUMBER,
    "accepted_at": NUMBER, "deadline": NUMBER, "fingerprint": TEXT, "class": TEXT, "entry": TEXT,
    "stream": INTEGER, "sequence": INTEGER,
}  # fmt: skip
_STEP: dict[str, str] = dict.fromkeys(STEP_COLUMNS, INTEGER) | {
    "first_at": NUMBER, "not_before": NUMBER, "outcome": TEXT, "message_id": TEXT, "made": TEXT,
}  # fmt: skip
_END = """INSERT INTO history (account, seq, id, number, room, disposition, reason, raw,
        accepted_at, deadline, ended_at, fingerprint, class, receipt, entry, shapes, stream,
        sequence)
    SELECT e.account, e.seq, e.id, %s + v.place, e.room, v.disposition, v.reason, v.raw,
        e.accepted_at, e.deadline, v.ended_at, e.fingerprint, e.class, v.receipt,
        CASE WHEN v.settled THEN NULL ELSE e.entry END,
        CASE WHEN v.settled THEN NULL ELSE e.shapes END, e.stream, e.sequence
    FROM {ended} JOIN envelopes e ON e.seq = v.seq
    ON CONFLICT DO NOTHING"""
_ENDED: dict[str, str] = {
    "seq": INTEGER, "disposition": TEXT, "reason": TEXT, "raw": TEXT, "ended_at": NUMBER,
    "receipt": TEXT, "settled": "boolean", "place": INTEGER,
}  # fmt: skip


_HIGHEST = f"(SELECT coalesce(max(number), 0) FROM history WHERE number < {LAST})"  # noqa: S608 - constants
_NEWEST = f"""UPDATE source SET newest = %s
        + CASE WHEN newest < {LAST} THEN newest ELSE {_HIGHEST} END
    RETURNING newest - %s"""  # noqa: S608 - constants
_SOURCE = f"""INSERT INTO source (token, newest, forgotten)
    VALUES (replace(gen_random_uuid()::text, '-', ''), {_HIGHEST}, {_HIGHEST})"""  # noqa: S608 - constants


@cache
def rows_as(columns: str, kinds: str) -> str:
    """SQL for FROM that turns arrays into the rows `v`.

    Arrays are passed in binary: as text, psycopg escapes each quote of an entry's JSON by itself.
    """
    marks = ", ".join(f"%b::{kind}[]" for kind in kinds.split(","))
    return f"unnest({marks}) v({columns})"


def _of(table: dict[str, str]) -> str:
    return rows_as(", ".join(table), ",".join(table.values()))


def _arrays(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    return [
        [text_in(value) if isinstance(value, str) else value for value in column]
        for column in zip(*rows, strict=True)
    ]


def run(connection: Connection, sql: str, rows: Iterable[Sequence[Any]]) -> None:
    """Execute the statement once for all of the rows, or not at all if there are none."""
    some = list(rows)
    if some:
        connection.execute(sql.encode(), _arrays(some))


def accounts(connection: Connection, batch: Batch, member: UUID, known: set[str]) -> None:
    """Make sure that each account of the batch's entries has a row.

    known  instances whose accounts have a row, as far as this transaction knows
    """
    new = {row[2] for row in batch.entries.values()} - known
    add_accounts(connection, new, member)
    known |= new


def add_accounts(connection: Connection, instances: Iterable[str], member: UUID) -> None:
    """Add accounts that are not there yet; this member owns them."""
    sql = """INSERT INTO accounts (account, instance, member, epoch)
        SELECT account, instance, member, 1
        FROM unnest(%b::text[], %b::text[], %b::uuid[]) v(account, instance, member)
        ON CONFLICT DO NOTHING"""
    run(connection, sql, [(name_of(each), each, member) for each in instances])


def write(connection: Connection, batch: Batch) -> None:
    """Write new entries and keys, and changes of unfinished entries."""
    columns = ", ".join(_ENTRY)
    sql = f"INSERT INTO envelopes ({columns}) SELECT {columns} FROM {_of(_ENTRY)}"  # noqa: S608 - constants
    run(connection, sql, [_entry_row(row) for row in batch.entries.values()])
    _keys(connection, batch.keys.values())
    _steps(connection, batch.steps.values())
    if batch.entered:
        _update(connection, "position = v.position, due = NULL", ["position"], [INTEGER],
                batch.entered.values())  # fmt: skip
    if batch.postponed:
        change = "due = v.due, deadline = v.deadline"
        _update(connection, change, ["due", "deadline"], [NUMBER, NUMBER],
                batch.postponed.values())  # fmt: skip
    if batch.shapes:
        _update(connection, "shapes = v.shapes", ["shapes"], [TEXT], batch.shapes.values())
    sql = f"""INSERT INTO grown (account, seq, number, text)
        SELECT e.account, v.seq, v.number, v.text
        FROM {rows_as("seq, number, text", "bigint,bigint,text")}
        JOIN envelopes e ON e.seq = v.seq
        ON CONFLICT (account, seq) DO UPDATE SET number = excluded.number, text = excluded.text
        WHERE excluded.number >= grown.number"""  # noqa: S608 - constants
    run(connection, sql, batch.grown.values())


def _entry_row(row: Row) -> Row:
    seq, name, instance, room, position, due, accepted_at, deadline, fingerprint = row[:9]
    return (
        name_of(instance), seq, name, name_of(room), position, due, accepted_at, deadline,
        fingerprint, row[9], row[10], row[13], row[14],
    )  # fmt: skip


def key_row(seals: Seals, scope: Sequence[str], seq: int) -> Row:
    """The row of an idempotency key that stands for an unfinished envelope or group."""
    digest = seals.hashed(scope_of(scope))
    return (name_of(scope[0]), digest, name_of(scope[1]), seq, bool(seals.first))


def _keys(connection: Connection, rows: Iterable[Row]) -> None:
    """Write rows made by `key_row`; of several with one scope, the last."""
    last = {row[:2]: row for row in rows}
    columns = "account, scope, room, seq, hashed"
    sql = f"""INSERT INTO keys ({columns}) SELECT {columns}
        FROM {rows_as(columns, "text,bytea,text,bigint,boolean")}
        ON CONFLICT (account, scope)
        DO UPDATE SET seq = excluded.seq, room = excluded.room, ended_at = NULL"""  # noqa: S608 - constants
    run(connection, sql, last.values())


def _steps(connection: Connection, rows: Iterable[Row]) -> None:
    columns = ", ".join(STEP_COLUMNS)
    values = ", ".join(f"v.{column}" for column in STEP_COLUMNS)
    news = ", ".join(f"{column} = excluded.{column}" for column in STEP_COLUMNS[2:])
    sql = f"""INSERT INTO steps (account, {columns}) SELECT e.account, {values}
        FROM {_of(_STEP)} JOIN envelopes e ON e.seq = v.seq
        ON CONFLICT (account, seq, serial) DO UPDATE SET {news}"""  # noqa: S608 - constants
    run(connection, sql, rows)


def _update(
    connection: Connection,
    change: str,
    columns: Sequence[str],
    kinds: Sequence[str],
    rows: Iterable[Row],
) -> None:
    values = rows_as(", ".join(("seq", *columns)), ",".join((INTEGER, *kinds)))
    sql = f"UPDATE envelopes e SET {change} FROM {values} WHERE e.seq = v.seq"  # noqa: S608 - constants
    run(connection, sql, rows)


def settled(batch: Batch) -> list[int]:
    """The ended entries that nobody will want to try again."""
    return [row[0] for row in batch.ended.values() if row[1] in SETTLED]


def end(connection: Connection, batch: Batch) -> None:
    """Move ended entries to the history."""
    ended = list(batch.ended.values())
    rows = [(*row, row[1] in SETTLED, place) for place, row in enumerate(ended, 1)]
    if rows:
        newest = _numbers(connection, len(rows))
        connection.execute(_END.format(ended=_of(_ENDED)).encode(), [newest, *_arrays(rows)])
    delete(connection, "envelopes", [row[0] for row in ended])
    for table in ("steps", "grown"):
        delete(connection, table, settled(batch))
    sql = f"""UPDATE keys k SET ended_at = v.ended_at
        FROM {rows_as("seq, ended_at", f"{INTEGER},{NUMBER}")} WHERE k.seq = v.seq"""  # noqa: S608 - constants
    run(connection, sql, [(row[0], row[4]) for row in ended if row[0] not in batch.freed])
    delete(connection, "keys", list(batch.freed))


def _numbers(connection: Connection, count: int) -> int:
    """Reserve `count` numbers for this transaction; they follow the returned number.

    No other transaction gets numbers until this one has ended, so endings with higher numbers
    become visible only after its own.
    """
    rows = connection.execute(_NEWEST.encode(), (count, count)).fetchall()
    if not rows:  # somebody emptied the table: a new source begins, with new cursors
        connection.execute(_SOURCE.encode())
        rows = connection.execute(_NEWEST.encode(), (count, count)).fetchall()
    return max(int(newest) for (newest,) in rows)


def delete(connection: Connection, table: str, seqs: Sequence[int]) -> int:
    """Delete the rows of these entries; returns how many they were."""
    if not seqs:
        return 0
    sql = f"DELETE FROM {table} WHERE seq = ANY (%b::bigint[])"  # noqa: S608 - constants
    return connection.execute(sql.encode(), (list(seqs),)).rowcount


def forget(connection: Connection, seqs: Sequence[int]) -> None:
    """Delete these entries, as if they had never been there."""
    for table in ("envelopes", "keys", "steps", "grown"):
        delete(connection, table, seqs)


def write_accounts(connection: Connection, batch: Batch) -> None:
    """Write the newest refs of edited messages, and the accounts' moves, closures and spending."""
    sql = f"""INSERT INTO revisions (account, id, room, ended_at, ref)
        SELECT account, id, room, ended_at, ref
        FROM {rows_as("id, account, room, ended_at, ref", "text,text,text,float8,text")}
        ON CONFLICT (account, id) DO UPDATE SET ended_at = excluded.ended_at, ref = excluded.ref"""  # noqa: S608 - constants
    run(connection, sql, [
        (name, name_of(instance), name_of(room), at, ref)
        for name, instance, room, at, ref in batch.revisions.values()
    ])  # fmt: skip
    sql = f"""INSERT INTO moves (account, place, room, moved_to, moved_at)
        SELECT * FROM {rows_as("a, p, r, t, m", "text,text,text,text,float8")}
        ON CONFLICT (account, place)
        DO UPDATE SET moved_to = excluded.moved_to, moved_at = excluded.moved_at"""  # noqa: S608 - constants
    run(connection, sql, [
        (name_of(instance), name_of(room), room, to, at)
        for instance, room, to, at in batch.moves.values()
    ])  # fmt: skip
    sql = f"""INSERT INTO closures (account, operation, until, wait)
        SELECT * FROM {rows_as("a, o, u, w", "text,text,float8,float8")}
        ON CONFLICT (account, operation)
        DO UPDATE SET until = excluded.until, wait = excluded.wait"""  # noqa: S608 - constants
    run(connection, sql, [(name_of(row[0]), *row[1:]) for row in batch.closures.values()])
    sql = f"""INSERT INTO spent (account, at, standings)
        SELECT * FROM {rows_as("a, t, s", "text,float8,text")}
        ON CONFLICT (account)
        DO UPDATE SET at = excluded.at, standings = excluded.standings"""  # noqa: S608 - constants
    run(connection, sql, [(name_of(row[0]), *row[1:]) for row in batch.spent.values()])
