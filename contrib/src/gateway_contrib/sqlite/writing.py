"""Writes batches on the one connection that writes. Its methods block, in the worker thread.

A batch of any size is a handful of statements with many rows each: between two statements the
interpreter's lock changes hands, which costs more than the rows under load.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import cache
from itertools import chain
from typing import TypeVar

import apsw

from gateway_contrib.durable.batch import Batch
from gateway_contrib.durable.rows import (
    CLOSURE_COLUMNS,
    ENTRY_COLUMNS,
    GROWN_COLUMNS,
    KEY_COLUMNS,
    MOVE_COLUMNS,
    REVISION_COLUMNS,
    SETTLED,
    SPENT_COLUMNS,
    STEP_COLUMNS,
    Row,
    clean,
    filed,
)
from gateway_contrib.sqlite.beside.contents import Contents
from gateway_contrib.sqlite.beside.groups import Groups
from gateway_contrib.sqlite.files.log import Log
from gateway_contrib.sqlite.schema import number

T = TypeVar("T")

WIDTHS = (256, 128, 64, 32, 16, 8, 4, 2, 1)
"""Numbers of rows that one statement may have, so that few statements are compiled."""

UNFILED = 100_000
"""Envelopes that may be missing in the indexes by room and by deadline; this bounds the time that
filing them takes when a reader needs the indexes."""
FILED_AT_ONCE = 2_000

_SETTLED = ", ".join(f"'{disposition}'" for disposition in sorted(SETTLED))
_END = f"""INSERT OR REPLACE INTO history
    (seq, id, instance, room, disposition, reason, raw, accepted_at, deadline, ended_at,
        fingerprint, class, receipt, entry, shapes, number)
    SELECT e.seq, e.id, e.instance, e.room, v.column2, v.column3, v.column4,
        e.accepted_at, e.deadline, v.column5, e.fingerprint, e.class, v.column6,
        iif(v.column2 IN ({_SETTLED}), NULL, e.entry),
        iif(v.column2 IN ({_SETTLED}), NULL, e.shapes), v.column7
    FROM (VALUES %s) v CROSS JOIN envelopes e ON e.seq = v.column1"""  # noqa: S608 - constants
_STEP = f"""INSERT INTO steps ({", ".join(STEP_COLUMNS)}) VALUES %s ON CONFLICT DO UPDATE SET
    {", ".join(f"{column} = excluded.{column}" for column in STEP_COLUMNS[2:])}"""  # noqa: S608 - constants
_ANSWER = """UPDATE requests SET done_at = v.column2, answer = v.column3, envelope = NULL
    FROM (VALUES %s) v
    WHERE number = v.column1"""
_GROWN = f"""INSERT INTO grown ({", ".join(GROWN_COLUMNS)})
    SELECT v.column1, v.column2, v.column3
    FROM (VALUES %s) v CROSS JOIN envelopes e ON e.seq = v.column1 WHERE 1
    ON CONFLICT DO UPDATE SET number = excluded.number, text = excluded.text
    WHERE excluded.number >= number"""  # noqa: S608 - constants
_KEYS_END = "UPDATE keys SET ended_at = v.column2 FROM (VALUES %s) v WHERE keys.seq = v.column1"


class Writer:
    """Commits batches; each of them wholly or not at all."""

    def __init__(
        self, connection: apsw.Connection, log: Log, groups: Groups, contents: Contents
    ) -> None:
        self._db = connection
        self._log = log
        self._groups = groups
        self._contents = contents
        self._grown = bool(number(connection, "SELECT EXISTS (SELECT 1 FROM grown)"))
        self._filed = number(connection, "SELECT upto FROM filing")
        self._newest = number(connection, "SELECT newest FROM source")
        # Nobody knows how many a previous run left unfiled, and counting reads all their pages.
        self._unfiled = UNFILED

    def commit(self, batch: Batch, wall: float) -> None:
        """Write the batch. If it raises `apsw.Error`, nothing of the batch is written."""
        if not len(batch):
            return
        self._db.execute("BEGIN IMMEDIATE")
        try:
            self._write(batch, wall)
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            self._groups.forget()
            self._contents.rolled_back()
            raise
        if self._contents.any:
            self._contents.committed()
        self._unfiled += len(batch.entries)
        self._newest += len(batch.ended)
        with suppress(apsw.Error):  # the batch is written, even if this fails
            self._log.seal()
            if self._unfiled > UNFILED:
                for _ in range(0, len(batch.entries), FILED_AT_ONCE):
                    self.file()

    def apart(self, do: Callable[[], T]) -> T:
        """Call `do` in a transaction of its own."""
        with self._db:
            done = do()
        with suppress(apsw.Error):
            self._log.seal()
        return done

    def file(self) -> bool:
        """Put the next envelopes into the indexes; returns whether there may be more."""
        rows: list[Row] = self._db.execute(
            "SELECT seq FROM envelopes WHERE seq > ? ORDER BY seq LIMIT ?",
            (self._filed, FILED_AT_ONCE),
        ).fetchall()
        more = len(rows) == FILED_AT_ONCE
        self._unfiled = max(0, self._unfiled - len(rows)) if more else 0
        if not rows:
            return False
        first, last = rows[0][0], rows[-1][0]
        with self._db:
            self._db.execute(
                "UPDATE envelopes SET filed = 1 WHERE seq BETWEEN ? AND ?", (first, last)
            )
            self._db.execute("UPDATE filing SET upto = ?", (last,))
        self._filed = last
        return more

    def _write(self, batch: Batch, wall: float) -> None:
        if batch.beside:
            self._write_beside(batch)
        self._insert("envelopes", ENTRY_COLUMNS, self._entries(batch))
        self._insert("keys", KEY_COLUMNS, batch.keys.values())
        self._many(_STEP, len(STEP_COLUMNS), batch.steps.values())
        if batch.entered:
            self._update("position = v.column2, due = NULL", 2, batch.entered.values())
        if batch.postponed:
            change = "due = v.column2, deadline = v.column3"
            self._update(change, 3, batch.postponed.values())
        if batch.shapes:
            self._update("shapes = v.column2", 2, batch.shapes.values())
        if batch.grown:
            self._many(_GROWN, len(GROWN_COLUMNS), batch.grown.values())
            self._grown = True
        if batch.ended:
            self._end(batch)
        if batch.withdrawn:
            self._forget(batch.withdrawn)
        self._insert("revisions", REVISION_COLUMNS, batch.revisions.values())
        self._insert("moves", MOVE_COLUMNS, batch.moves.values())
        self._insert("closures", CLOSURE_COLUMNS, batch.closures.values())
        self._many(_ANSWER, 3, batch.answers.values())
        self._insert("spent", SPENT_COLUMNS, batch.spent.values())
        if self._groups.touched:
            self._groups.close(wall)

    def _write_beside(self, batch: Batch) -> None:
        """Write claims and reports about groups and bytes, in order; refuse unmet claims."""
        groups = self._groups
        if batch.withdrawn and groups.any:  # entries of earlier batches: their turns come first
            groups.withdrawn(batch.withdrawn)
        for (what, seq), it in batch.beside.items():
            refused = None
            if what == "entry":
                refused = groups.take(it)
            elif what == "group":
                refused = groups.store(it)
            elif what == "paused":
                groups.pause(seq, paused=it)
            elif what == "cancelled":
                groups.cancel(seq)
            elif what == "unused":
                self._contents.unused(it)
            else:
                groups.drop(seq)
            if refused is not None:
                batch.refuse(seq, refused)

    def _entries(self, batch: Batch) -> Iterable[Row]:
        """The rows of new entries; one whose append took long is filed if all later ones are."""
        rows = batch.entries.values()
        if batch.entries and min(batch.entries) <= self._filed:
            return [filed(row) if row[0] <= self._filed else row for row in rows]
        return rows

    def _end(self, batch: Batch) -> None:
        """Move ended entries to the history; their payload stays if they may be tried again."""
        ended = batch.ended.values()
        self._many(_END, 7, [(*row, at) for at, row in enumerate(ended, self._newest + 1)])
        self._db.execute("UPDATE source SET newest = ?", (self._newest + len(ended),))
        self._delete("envelopes", batch.ended)
        self._delete("steps", [row[0] for row in ended if row[1] in SETTLED])
        keyed = [(row[0], row[4]) for row in ended if row[0] not in batch.freed]
        self._many(_KEYS_END, 2, keyed)
        self._delete("keys", batch.freed)
        if self._groups.any:
            self._groups.ended({row[0]: row[1] for row in ended})
        if self._contents.any:
            self._contents.end([row[0] for row in ended if row[1] in SETTLED])
        if self._grown:
            self._delete("grown", [row[0] for row in ended if row[1] in SETTLED])

    def _forget(self, seqs: Iterable[int]) -> None:
        for table in ("envelopes", "keys", "steps"):
            self._delete(table, seqs)
        if self._groups.any:
            self._groups.withdrawn(seqs)
        if self._contents.any:
            self._contents.end(list(seqs))
        if self._grown:
            self._delete("grown", seqs)

    def _insert(self, table: str, columns: Sequence[str], rows: Iterable[Row]) -> None:
        sql = f"INSERT OR REPLACE INTO {table} ({', '.join(columns)}) VALUES %s"  # noqa: S608 - constants
        self._many(sql, len(columns), rows)

    def _update(self, change: str, width: int, rows: Iterable[Row]) -> None:
        sql = f"UPDATE envelopes SET {change} FROM (VALUES %s) v WHERE seq = v.column1"  # noqa: S608 - a constant
        self._many(sql, width, rows)

    def _many(self, sql: str, width: int, rows: Iterable[Row]) -> None:
        """Execute the statement for each chunk of rows, with their values bound.

        A text that no file can store, which callers of the interface should not give, is cleaned:
        otherwise no later report would ever be written.
        """
        for chunk in _chunks(list(rows)):
            values = tuple(chain.from_iterable(chunk))
            try:
                self._db.execute(_of_rows(sql, width, len(chunk)), values)
            except UnicodeEncodeError:
                cleaned = tuple(clean(v) if isinstance(v, str) else v for v in values)
                self._db.execute(_of_rows(sql, width, len(chunk)), cleaned)

    def _delete(self, table: str, seqs: Iterable[int]) -> None:
        for chunk in _chunks(list(seqs)):
            self._db.execute(_deleting(table, len(chunk)), chunk)


@cache
def _of_rows(sql: str, width: int, rows: int) -> str:
    row = f"({','.join('?' * width)})"
    return sql % ",".join([row] * rows)


@cache
def _deleting(table: str, rows: int) -> str:
    return f"DELETE FROM {table} WHERE seq IN ({','.join('?' * rows)})"  # noqa: S608 - a constant


def _chunks(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    start = 0
    for width in WIDTHS:
        while len(rows) - start >= width:
            yield rows[start : start + width]
            start += width
