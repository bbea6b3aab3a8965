"""Seals everything in the file with the first key, after a rotation or for the first time.

The owner does it in small steps; batches are written between the steps. A step may be done twice,
since values that the first key has sealed stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import apsw

from gateway_contrib.durable.damage import unreadable
from gateway_contrib.durable.rows import Row
from gateway_contrib.durable.sealing.keyring import Keyring
from gateway_contrib.sqlite.beside.resealing import BytesAnew
from gateway_contrib.sqlite.sealing.known import forget_others
from gateway_core import Invalid

STEP = 500
"""Rows, at most, that a step looks at."""
MOST = 1 << 20
"""Bytes of rows after which a step ends."""
_TEXTS = (
    # Unfinished entries first: one that ends meanwhile is sealed already, and is looked at again.
    ("envelopes", "seq", ("fingerprint", "entry", "shapes")),
    ("history", "seq", ("fingerprint", "entry", "shapes", "receipt")),
    ("revisions", "id", ("ref",)),
    ("requests", "number", ("envelope", "answer")),
    ("groups", "seq", ("fingerprint", "content")),
    ("members", "number", ("members",)),
    ("grown", "seq", ("text",)),
)
_NAMED = ("envelopes", "history", "groups")
"""Tables whose rows have an id."""
_KEYS = """SELECT instance, room, operation, key, hashed FROM keys
    WHERE (instance, room, operation, key) > (?, ?, ?, ?)
    ORDER BY instance, room, operation, key LIMIT ?"""


class Resealing:
    """One pass through the file. Blocks: it runs in the worker thread."""

    def __init__(self, connection: apsw.Connection, keyring: Keyring) -> None:
        self._db = connection
        self._keyring = keyring
        self._sealed = self._unopened = 0
        self._bytes = BytesAnew(connection, keyring)
        self._steps = self._all()

    @property
    def told(self) -> str:
        """What was done, in words."""
        if not self._keyring.first:
            return "nothing is sealed: outbox.keys names no key"
        sealed, unopened = (
            self._sealed + self._bytes.sealed,
            self._unopened + self._bytes.unopened,
        )
        left = f"; {unopened} cannot be opened and stay" if unopened else ""
        return f"{sealed} rows sealed anew with key {self._keyring.first}{left}"

    def step(self) -> bool:
        """Do one step; returns whether there is more to do. Raises `apsw.Error`."""
        if not self._keyring.first:
            return False
        try:
            with self._db:
                more = next(self._steps, False)
        except BaseException:
            self._steps = self._all()  # the next step begins from the start
            raise
        return more

    def _all(self) -> Iterator[bool]:
        """All steps; yields after each of them."""
        for table, by, columns in _TEXTS:
            after: Any = -1 if by != "id" else ""
            # Stop at this row: later rows are sealed with the first key anyway.
            last = self._db.execute(f"SELECT max({by}) FROM {table}").get  # noqa: S608 - constants
            while rows := self._rows(table, by, columns, after, last):
                for row in rows:
                    self._row(table, by, columns, row)
                after = rows[-1][0]
                yield True
        place: Sequence[Any] = ("", "", "", "")
        while keys := self._db.execute(_KEYS, (*place, STEP)).fetchall():
            for *scope, hashed in keys:
                if not hashed:
                    self._key(scope)
            place = keys[-1][:4]
            yield True
        yield from self._bytes.steps()
        forget_others(self._db, self._keyring.first)

    def _rows(
        self, table: str, by: str, columns: Sequence[str], after: Any, last: Any
    ) -> list[Row]:
        texts = ", ".join(f"CAST({column} AS BLOB)" for column in columns)
        sql = f"""SELECT {by}, {texts} FROM {table}
            WHERE {by} > ? AND {by} <= ? ORDER BY {by} LIMIT ?"""  # noqa: S608 - constants
        rows: list[Row] = []
        size = 0
        for row in self._db.execute(sql, (after, last, STEP)):
            rows.append(row)
            size += sum(len(text or b"") for text in row[1:])
            if size > MOST:
                break
        return rows

    def _row(self, table: str, by: str, columns: Sequence[str], row: Row) -> None:
        place, *texts = row
        try:
            changed = {
                column: anew
                for column, text in zip(columns, texts, strict=True)
                if (anew := self._keyring.anew(column, place, text)) is not None
            }
        except Invalid as error:
            self._unopened += 1
            name = f"SELECT id FROM {table} WHERE seq = ?"  # noqa: S608 - a constant
            named = table in _NAMED
            unreadable(self._db.execute(name, (place,)).get if named else str(place), error)
            return
        if changed:
            sets = [f"{column} = ?" for column in changed]
            if table == "history":
                sets.append("raw = ''")  # the receipt has these words too
            sql = f"UPDATE {table} SET {', '.join(sets)} WHERE {by} = ?"  # noqa: S608 - constants
            self._db.execute(sql, (*changed.values(), place))
            self._sealed += 1

    def _key(self, scope: Sequence[Any]) -> None:
        """Hash an idempotency key; drop it if a hashed row of the same key exists."""
        key, _ = self._keyring.key_of(scope)
        sql = """UPDATE OR IGNORE keys SET key = ?, hashed = 1
            WHERE instance = ? AND room = ? AND operation = ? AND key = ?"""
        self._db.execute(sql, (key, *scope))
        if not self._db.changes():
            sql = "DELETE FROM keys WHERE instance = ? AND room = ? AND operation = ? AND key = ?"
            self._db.execute(sql, scope)
        self._sealed += 1
