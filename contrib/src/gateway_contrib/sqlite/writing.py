"""The one connection that writes. Its methods block: they run in the worker thread.

A batch is a handful of statements of many rows each, whatever its size: between two statements
the interpreter's lock changes hands, and under load that costs more than the rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import apsw

from gateway_contrib.sqlite.batch import Batch
from gateway_contrib.sqlite.rows import ENTRY_COLUMNS, SETTLED, STEP_COLUMNS, Row
from gateway_contrib.sqlite.schema import prepare
from gateway_core import OutboxError

BUSY = 5_000
"""Milliseconds that a commit waits for another connection's transaction."""

WIDTHS = (1, 8, 64, 256)
"""Rows of one statement; a smaller number is filled up, so that few statements are compiled."""

_SETTLED = ", ".join(f"'{disposition}'" for disposition in sorted(SETTLED))


def connect(path: Path, *, synchronous: str) -> apsw.Connection:
    """Open the file as its owner does. Raises `OutboxError` where it cannot be used."""
    fresh = not path.exists()
    if not fresh and path.stat().st_size == 0:
        raise OutboxError(f"outbox {path} is an empty file: damaged, or not an outbox")
    connection = apsw.Connection(str(path))
    try:
        connection.set_busy_timeout(BUSY)
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        connection.execute("PRAGMA secure_delete = ON")  # what an erasure removes leaves no trace
        if fresh:
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        _log_ahead(connection, path)
        prepare(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _log_ahead(connection: apsw.Connection, path: Path) -> None:
    mode = connection.execute("PRAGMA journal_mode = WAL").get
    if mode != "wal":
        raise OutboxError(f"outbox {path}: its file system allows no write-ahead log ({mode})")


class Writer:
    """Commits batches; each of them wholly or not at all."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._db = connection

    def commit(self, batch: Batch) -> None:
        """Write the batch. Raises `apsw.Error`: then nothing of it is written."""
        if not len(batch):
            return
        self._db.execute("BEGIN IMMEDIATE")
        try:
            self._write(batch)
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def _write(self, batch: Batch) -> None:
        self._insert("envelopes", len(ENTRY_COLUMNS), batch.entries.values())
        self._insert("keys", 6, batch.keys.values())
        self._insert("steps", len(STEP_COLUMNS), batch.steps.values())
        if batch.classes:
            self._update("class = v.column2, deadline = v.column3", 3, batch.classes.values())
        if batch.entered:
            self._update("position = v.column2, due = NULL", 2, batch.entered.values())
        if batch.shapes:
            self._update("shapes = v.column2", 2, batch.shapes.values())
        if batch.ended:
            self._end(batch)
        if batch.withdrawn:
            self._forget(batch.withdrawn)
        self._insert("revisions", 5, batch.revisions.values())
        self._insert("moves", 3, batch.moves.values())

    def _end(self, batch: Batch) -> None:
        """Move what ended to the history; its payload stays where it may be tried again."""
        self._in_chunks(
            f"""INSERT OR REPLACE INTO history
            SELECT e.seq, e.id, e.instance, e.room, v.column2, v.column3, v.column4,
                e.accepted_at, e.deadline, v.column5, e.fingerprint, e.class, v.column6,
                iif(v.column2 IN ({_SETTLED}), NULL, e.entry),
                iif(v.column2 IN ({_SETTLED}), NULL, e.shapes)
            FROM (VALUES %s) v CROSS JOIN envelopes e ON e.seq = v.column1""",  # noqa: S608 - constants
            6,
            batch.ended.values(),
        )
        settled = [row[0] for row in batch.ended.values() if row[1] in SETTLED]
        self._delete("DELETE FROM envelopes WHERE seq IN", batch.ended)
        self._delete("DELETE FROM steps WHERE seq IN", settled)
        keyed = [row for row in batch.ended.values() if row[0] not in batch.freed]
        self._in_chunks(
            """UPDATE keys SET ended_at = v.column2 FROM (VALUES %s) v
            WHERE keys.seq = v.column1""",
            2,
            [(row[0], row[4]) for row in keyed],
        )
        self._delete("DELETE FROM keys WHERE seq IN", batch.freed)

    def _forget(self, seqs: Iterable[int]) -> None:
        self._delete("DELETE FROM envelopes WHERE seq IN", seqs)
        self._delete("DELETE FROM keys WHERE seq IN", seqs)
        self._delete("DELETE FROM steps WHERE seq IN", seqs)

    def _insert(self, table: str, width: int, rows: Iterable[Row]) -> None:
        sql = f"INSERT OR REPLACE INTO {table} SELECT * FROM (VALUES %s) WHERE column1 IS NOT NULL"  # noqa: S608 - a constant
        self._in_chunks(sql, width, rows)

    def _update(self, change: str, width: int, rows: Iterable[Row]) -> None:
        sql = f"UPDATE envelopes SET {change} FROM (VALUES %s) v WHERE seq = v.column1"  # noqa: S608 - a constant
        self._in_chunks(sql, width, rows)

    def _in_chunks(self, sql: str, width: int, rows: Iterable[Row]) -> None:
        """Once for every chunk, its values bound; missing rows are of nulls."""
        for chunk in _chunks(list(rows)):
            size = next(size for size in WIDTHS if size >= len(chunk))
            values = list(chain.from_iterable(chunk))
            values += [None] * (width * (size - len(chunk)))
            row = f"({','.join('?' * width)})"
            self._db.execute(sql % ",".join([row] * size), values)

    def _delete(self, sql: str, seqs: Iterable[int]) -> None:
        rows = [(seq,) for seq in seqs]
        for chunk in _chunks(rows):
            size = next(size for size in WIDTHS if size >= len(chunk))
            values: list[Any] = [*chain.from_iterable(chunk), *[None] * (size - len(chunk))]
            self._db.execute(f"{sql} ({','.join('?' * size)})", values)


def _chunks(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    most = WIDTHS[-1]
    for start in range(0, len(rows), most):
        yield rows[start : start + most]
