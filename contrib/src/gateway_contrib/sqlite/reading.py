"""Reads on connections of its own: pages, single envelopes, and totals at the opening."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from heapq import merge
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import Any

import apsw
import attrs

from gateway_contrib.durable.damage import unquoted
from gateway_contrib.durable.rows import (
    ENTRY_COLUMNS,
    STEP_COLUMNS,
    Row,
    priority_of,
    receipt_of,
    ref_of,
    standings_of,
    stored_of,
)
from gateway_contrib.durable.sealing.contents import opened_entry
from gateway_contrib.durable.sealing.keyring import Keyring
from gateway_contrib.sqlite.beside.byte_files import Folder
from gateway_contrib.sqlite.beside.reading import BesideReader
from gateway_contrib.sqlite.failing import BUSY
from gateway_contrib.sqlite.operators.suspensions import suspended
from gateway_contrib.sqlite.past import attempts
from gateway_core import Invalid
from gateway_core.outboxes import (
    Endings,
    FormatVersionError,
    Found,
    MessageRef,
    OutboxError,
    Overdue,
    Overview,
    PastAttempt,
    Priority,
    Receipt,
    Recovery,
    StoredEntry,
    position_of,
)

_STEP = ", ".join(STEP_COLUMNS)
ENTRY_READ = ", ".join(
    f"CAST({column} AS BLOB)" if column in ("fingerprint", "entry", "shapes") else column
    for column in ENTRY_COLUMNS
)
"""The columns that are read of entries; read as bytes, a damaged text spoils only its own row."""

MOST = 4_000_000
"""Bytes of one page's entries, whatever its number of rows."""


class Reader:
    """Reads committed rows. `unreadable` is called with rows that this release cannot read."""

    def __init__(
        self, path: Path, unreadable: Callable[[str, Exception], None], keyring: Keyring
    ) -> None:
        self._db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
        self._db.set_busy_timeout(BUSY)
        self._db.execute("PRAGMA query_only = 1")
        self._unreadable = unreadable
        self._keyring = keyring
        self.beside = BesideReader(self._db, keyring, Folder(path), unreadable)

    def close(self) -> None:
        """Close the connection."""
        self._db.close()

    def overview(self) -> Overview:
        """Totals of what previous process runs left."""
        query = self._db.execute
        counts: Counter[str] = Counter()
        classes: Counter[Priority] = Counter()
        newest = -1
        for placed in ("NULL", "NOT NULL"):
            sql = f"""SELECT instance, stream, count(*), max(position) FROM envelopes
                WHERE due IS {placed} GROUP BY 1, 2"""  # noqa: S608 - constants
            for instance, stream, count, position in query(sql):
                newest = max(newest, position)
                counts[instance] += count
                classes[priority_of(stream)] += count
        return Overview(
            last_id=max(map(self._newest, ("envelopes", "history", "groups"))),
            sequence=newest,
            unfinished=dict(counts),
            classes=dict(classes),
            scheduled=query("SELECT count(*) FROM envelopes WHERE due IS NOT NULL").get,
            groups=tuple(
                name
                for (name,) in query(
                    "SELECT DISTINCT instance FROM groups WHERE stored AND ended_at IS NULL"
                )
            ),
        )

    def recovery(self, instance: str) -> Recovery:
        """The state in which the instance's account was left."""
        query = self._db.execute
        closures = query(
            "SELECT operation, until, wait FROM closures WHERE instance = ?", (instance,)
        )
        moves = query(
            "SELECT room, moved_to FROM moves WHERE instance = ? ORDER BY moved_at", (instance,)
        )
        spent: list[Row] = query(
            "SELECT at, standings FROM spent WHERE instance = ?", (instance,)
        ).fetchall()
        return Recovery(
            moves=dict(moves),
            closures={operation: (until, wait) for operation, until, wait in closures},
            spent=(spent[0][0], standings_of(spent[0][1])) if spent else None,
            suspended=suspended(self._db, self._keyring, instance),
        )

    def attempts(
        self, since: float, wall: float, instance: str | None, limit: int
    ) -> list[PastAttempt]:
        """The newest attempts, in order, of envelopes ended since then and of unfinished ones."""
        return attempts(self._db, self._keyring, since, wall, instance, limit)

    def _newest(self, table: str) -> str:
        sql = f"SELECT id FROM {table} ORDER BY seq DESC LIMIT 1"  # noqa: S608 - a constant
        return self._db.execute(sql).get or ""

    def page(
        self, instance_id: str, room: str | None, streams: Sequence[int], after: int, limit: int
    ) -> list[StoredEntry]:
        """Unfinished entries that are not scheduled, by position; each stream is read by itself."""
        where, place = "instance = ?", [instance_id]
        if room is not None:
            where, place = "filed = 1 AND instance = ? AND room = ?", [instance_id, room]
        sql = f"""SELECT {ENTRY_READ} FROM envelopes
            WHERE due IS NULL AND {where} AND stream = ? AND position > ?
            ORDER BY position LIMIT ?"""  # noqa: S608 - constants
        position = itemgetter(ENTRY_COLUMNS.index("position"))
        while True:
            found = [self._db.execute(sql, (*place, n, after, limit)) for n in streams]
            rows = _sized(islice(merge(*found, key=position), limit))
            stored = self._read(rows) if rows else []
            if stored or not rows:
                return stored
            after = position(rows[-1])

    def scheduled(self, until: float, after: tuple[float, int], limit: int) -> list[StoredEntry]:
        """Scheduled entries, by their times."""
        sql = f"""SELECT {ENTRY_READ} FROM envelopes
            WHERE due IS NOT NULL AND due <= ? AND (due, position) > (?, ?)
            ORDER BY due, position LIMIT ?"""  # noqa: S608 - constants
        return self._stored(sql, [until], after, limit, ("due", "position"))

    def overdue(self, until: float, after: tuple[float, int], limit: int) -> Overdue:
        """Overdue entries, by their deadlines."""
        sql = f"""SELECT {ENTRY_READ} FROM envelopes
            WHERE filed = 1 AND deadline <= ? AND (deadline, seq) > (?, ?)
            ORDER BY deadline, seq LIMIT ?"""  # noqa: S608 - constants
        stored = self._stored(sql, [until], after, limit, ("deadline", "seq"))
        later = "SELECT min(deadline) FROM envelopes WHERE filed = 1 AND deadline > ?"
        return Overdue(stored=stored, next=self._db.execute(later, (until,)).get)

    def _stored(
        self,
        sql: str,
        bound: Sequence[Any],
        after: Sequence[Any],
        limit: int,
        order: Sequence[str],
    ) -> list[StoredEntry]:
        """The next entries that this release can read; none only if there are no more entries."""
        while rows := self._rows(sql, [*bound, *after, limit]):
            stored = self._read(rows)
            if stored:
                return stored
            after = [rows[-1][ENTRY_COLUMNS.index(column)] for column in order]
        return []

    def _read(self, rows: Sequence[Row]) -> list[StoredEntry]:
        """The entries that this release can read."""
        seqs = [row[0] for row in rows]
        steps, grown = self._steps(seqs), self._grown(seqs)
        stored: list[StoredEntry] = []
        for row in rows:
            try:
                opened = opened_entry(self._keyring, row)
                text = self._opened_text(grown[row[0]]) if row[0] in grown else None
                stored.append(stored_of(opened, steps.get(row[0], ()), text))
            except (FormatVersionError, Invalid) as error:  # the row stays where it is
                self._unreadable(row[1], error)
        return stored

    def _steps(self, seqs: list[int]) -> dict[int, list[Row]]:
        """The step rows of these entries; most entries have none, since no step began."""
        steps: dict[int, list[Row]] = {}
        some = "SELECT 1 FROM steps WHERE seq BETWEEN ? AND ? LIMIT 1"
        if self._db.execute(some, (min(seqs), max(seqs))).get is None:
            return steps
        sql = f"SELECT {_STEP} FROM steps WHERE seq IN (SELECT value FROM json_each(?))"  # noqa: S608 - constants
        for step in self._db.execute(sql, (json.dumps(seqs),)):
            steps.setdefault(step[0], []).append(step)
        return steps

    def _grown(self, seqs: list[int]) -> dict[int, Row]:
        """The newest grown texts of these entries; hardly any entry has one."""
        sql = """SELECT seq, number, CAST(text AS BLOB) FROM grown WHERE seq BETWEEN ? AND ?"""
        return {row[0]: row for row in self._db.execute(sql, (min(seqs), max(seqs)))}

    def _opened_text(self, row: Row) -> tuple[int, str]:
        seq, count, stored = row
        opened = self._keyring.open("text", seq, stored)
        return count, opened if isinstance(opened, str) else opened.decode("utf-8", "replace")

    def _rows(self, sql: str, bound: Sequence[Any]) -> list[Row]:
        return _sized(self._db.execute(sql, bound))

    def find(self, seq: int) -> Found | None:
        """Find an envelope or group by its id's number. Raises `OutboxError` if it is damaged."""
        sql = "SELECT id, fingerprint, CAST(receipt AS BLOB) FROM history WHERE seq = ?"
        row = self._db.execute(sql, (seq,)).get
        if row is not None:
            name, fingerprint, stored = row
            try:
                receipt = receipt_of(self._keyring.open("receipt", seq, stored))
                digest = self._keyring.text("fingerprint", seq, fingerprint)
            except (FormatVersionError, Invalid) as error:
                self._unreadable(name, error)
                why = f"how envelope {name} ended cannot be read: {unquoted(error)}"
                raise OutboxError(why) from None
            return Found(envelope_id=name, fingerprint=digest, receipt=receipt)
        rows = self._rows(f"SELECT {ENTRY_READ} FROM envelopes WHERE seq = ?", (seq,))  # noqa: S608 - constants
        stored = self._read(rows) if rows else ()
        if not stored:
            return None if rows else self._group(seq)
        entry = stored[0].entry
        return Found(envelope_id=entry.id, fingerprint=entry.fingerprint, stored=stored[0])

    def _group(self, seq: int) -> Found | None:
        state = self.beside.state(seq)
        if state is None:
            return None
        group = state.group
        return Found(envelope_id=group.id, fingerprint=group.fingerprint, group=state)

    def look_up(self, what: str | tuple[str, str, str, str], since: float) -> Found | None:
        """Find by id, with the message's newest ref, or by key, unless it ended before `since`.

        All is read at one moment, so that an envelope that ends meanwhile is found in one table.
        """
        with self._db:
            found = self._look_up(what, since)
        return found  # noqa: RET504 - a type checker takes it that the block may hide an error

    def _look_up(self, what: str | tuple[str, str, str, str], since: float) -> Found | None:
        if not isinstance(what, str):
            return self.find_key(what, since)
        try:
            found = self.find(position_of(what))
        except ValueError:  # it is not an id at all
            found = None
        if found is not None and found.envelope_id != what:
            found = None
        newest = self.newest(what)
        if newest is None:
            return found
        return attrs.evolve(found or Found(envelope_id=what), newest=newest)

    def endings(self, after: int, limit: int) -> Endings:
        """Endings after that number."""
        return endings(self._db, self._keyring, after, limit, self._unreadable)

    def newest(self, envelope_id: str) -> MessageRef | None:
        """The ref of that envelope's message after its last edit; None: nobody edited it."""
        sql = "SELECT CAST(ref AS BLOB) FROM revisions WHERE id = ?"
        stored = self._db.execute(sql, (envelope_id,)).get
        if stored is None:
            return None
        try:
            return ref_of(self._keyring.open("ref", envelope_id, stored))
        except (FormatVersionError, Invalid) as error:
            self._unreadable(envelope_id, error)
            return None

    def of_room(self, instance_id: str, room: str) -> list[int]:
        """All of the room's envelopes, ended or not; reads the whole file, but blocks nobody."""
        sql = """SELECT seq FROM history WHERE instance = ?1 AND room = ?2
            UNION ALL SELECT seq FROM envelopes WHERE instance = ?1 AND room = ?2"""
        return [seq for (seq,) in self._db.execute(sql, (instance_id, room))]

    def find_key(self, scope: Sequence[str], since: float) -> Found | None:
        """Find by an idempotency key, unless it ended before `since`."""
        sql = """SELECT seq FROM keys WHERE instance = ? AND room = ? AND operation = ?
            AND key = ? AND hashed = ? AND (ended_at IS NULL OR ended_at >= ?)"""
        key, hashed = self._keyring.key_of(scope)
        seq = self._db.execute(sql, (*scope[:-1], key, hashed, since)).get
        if seq is None and hashed:  # it may be stored unhashed, before the outbox was sealed
            seq = self._db.execute(sql, (*scope, 0, since)).get
        return self.find(seq) if seq is not None else None


def endings(
    connection: apsw.Connection,
    keyring: Keyring,
    after: int,
    limit: int,
    unreadable: Callable[[str, Exception], None],
) -> Endings:
    """Endings after that number, without those that this release cannot read."""
    sql = """SELECT number, id, seq, CAST(receipt AS BLOB) FROM history WHERE number > ?
        ORDER BY number LIMIT ?"""
    ended: list[tuple[int, Receipt]] = []
    with connection:  # read both at one moment: else endings forgotten in between would be missed
        source: Row = connection.execute("SELECT token, forgotten, newest FROM source").fetchall()[
            0
        ]
        while not ended:
            rows: list[Row] = connection.execute(sql, (after, limit)).fetchall()
            for number, name, seq, stored in rows:
                try:
                    ended.append((number, receipt_of(keyring.open("receipt", seq, stored))))
                except (FormatVersionError, Invalid) as error:
                    unreadable(name, error)
            if not rows:
                break
            after = rows[-1][0]
    return Endings(source=source[0], forgotten=source[1], newest=source[2], ended=ended)


def _sized(rows: Iterable[Row]) -> list[Row]:
    """As many rows as fit into `MOST` bytes, and one more that goes beyond them."""
    some: list[Row] = []
    size = 0
    for row in rows:
        some.append(row)
        size += len(row[10])
        if size > MOST:
            break
    return some
