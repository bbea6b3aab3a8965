"""Seals everything in the schema with the first key, after a rotation or for the first time.

The owner does it in small steps, each in a transaction of its own; batches are written between the
steps. A step may be done twice, since values that the first key has sealed stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import psycopg
from psycopg import errors

from gateway_contrib.durable.damage import unreadable
from gateway_contrib.durable.rows import Row
from gateway_contrib.durable.sealing.contents import is_sealed
from gateway_contrib.durable.sealing.keyring import Keyring
from gateway_contrib.postgres.beside.adopting import piece_place
from gateway_contrib.postgres.names import ANSWER, HANDED, answer_place, members_place
from gateway_contrib.postgres.sealing.known import forget_others, ids
from gateway_contrib.postgres.writes.handed_answers import sealed_words
from gateway_core import Invalid
from gateway_core.outboxes import OutboxError

Connection: TypeAlias = psycopg.Connection[Any]

STEP = 200
"""Rows, at most, that a step looks at."""
PIECES = 4
"""Pieces of bytes, at most, in a step: 1 MB."""
TRIES = 100
"""Attempts of 20 ms to find a moment when nobody hands over; batches are written between them."""
_LOWEST = -(2**63)
_TEXTS: Sequence[tuple[str, str, Any, Sequence[str]]] = (
    # Unfinished entries first: one that ends meanwhile is sealed already, and is looked at again.
    ("envelopes", "seq", _LOWEST, ("fingerprint", "entry", "shapes")),
    ("history", "seq", _LOWEST, ("fingerprint", "entry", "shapes", "receipt")),
    ("revisions", "id", "", ("ref",)),
    ("requests", "number", _LOWEST, ("envelope", "answer")),
    ("groups", "seq", _LOWEST, ("fingerprint", "content")),
    ("grown", "seq", _LOWEST, ("text",)),
)
_HANDED = """SELECT number, id::text, own_id, envelope, scope, refused, answer FROM handed
    WHERE number > %s AND number <= %s ORDER BY number LIMIT %s"""
_WAITING = _HANDED.replace("WHERE", "WHERE answered_at IS NULL AND")
_NAMED = ("envelopes", "history", "groups")
"""Tables whose rows have an id."""


class Resealing:
    """Passes through the schema again and again, until a pass seals nothing. Blocks.

    told  what was done, once it is done
    """

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring
        self._connection: Connection
        self._sealed = 0
        self._unopened: set[tuple[str, Any]] = set()
        self.begin_again()

    @property
    def told(self) -> str:
        """What was done, in words."""
        if not self._keyring.first:
            return "nothing is sealed: outbox.keys names no key"
        left = f"; {len(self._unopened)} cannot be opened and stay" if self._unopened else ""
        if self._kept:
            left += (
                f"; an open transaction still needs key {self._kept}: ask again when it has ended"
            )
        return f"{self._sealed} rows sealed anew with key {self._keyring.first}{left}"

    def begin_again(self) -> None:
        """Do all steps once more, since one was not written."""
        self._steps = self._all()
        self._kept = ""

    def step(self, connection: Connection) -> bool:
        """Do one step within a transaction; returns whether there is more to do."""
        self._connection = connection
        return bool(self._keyring.first) and next(self._steps, False)

    def _all(self) -> Iterator[bool]:
        """All steps; yields after each of them."""
        before = -1
        while self._sealed > before:  # rows that were put back meanwhile may have been missed
            before = self._sealed
            self._unopened.clear()
            for table in _TEXTS:
                yield from self._texts(*table)
            yield from self._members()
            yield from self._keys()
        # Not in the loop, which would not end while an application hands over with another key.
        yield from self._handed()
        yield from self._pieces("bytes")
        yield from self._forget()

    def _texts(self, table: str, by: str, after: Any, columns: Sequence[str]) -> Iterator[bool]:
        last = self._last(table, by)
        sql = f"""SELECT {by}, {", ".join(columns)} FROM {table}
            WHERE {by} > %s AND {by} <= %s ORDER BY {by} LIMIT %s FOR UPDATE"""  # noqa: S608 - constants
        while rows := self._rows(sql, after, last, STEP):
            for place, *texts in rows:
                self._row(table, by, place, place, columns, texts)
            after = rows[-1][0]
            yield True

    def _last(self, table: str, by: str) -> Any:
        """The last row of this pass; later rows are sealed with the first key anyway."""
        ((last,),) = self._rows(f"SELECT max({by}) FROM {table}")  # noqa: S608 - constants
        return last

    def _row(
        self, table: str, by: str, place: Any, of: Any, columns: Sequence[str], texts: Sequence[Any]
    ) -> None:
        try:
            changed = {
                column: anew
                for column, text in zip(columns, texts, strict=True)
                if (anew := self._keyring.anew(column, of, text)) is not None
            }
        except (Invalid, OutboxError) as error:
            self._cannot(table, place, error)
            return
        if changed:
            sets = [f"{column} = %s" for column in changed]
            if table == "history":
                sets.append("raw = ''")  # the receipt has these words too
            sql = f"UPDATE {table} SET {', '.join(sets)} WHERE {by} = %s"  # noqa: S608 - constants
            self._connection.execute(sql.encode(), (*changed.values(), place))
            self._sealed += 1

    def _cannot(self, table: str, place: Any, error: Exception) -> None:
        self._unopened.add((table, place))
        name = str(place)
        if table in _NAMED:
            sql = f"SELECT id FROM {table} WHERE seq = %s"  # noqa: S608 - constants
            row = self._connection.execute(sql.encode(), (place,)).fetchone()
            name = row[0] if row is not None else name
        unreadable(name, error)

    def _members(self) -> Iterator[bool]:
        sql = """SELECT grp, first, members FROM group_members WHERE (grp, first) > (%s, %s)
            ORDER BY grp, first LIMIT %s FOR UPDATE"""
        after = (_LOWEST, _LOWEST)
        while rows := self._rows(sql, *after, PIECES):
            for grp, first, members in rows:
                try:
                    anew = self._keyring.anew("members", members_place(grp, first), members)
                except (Invalid, OutboxError) as error:
                    self._cannot("group_members", grp, error)
                    continue
                if anew is not None:
                    change = "UPDATE group_members SET members = %s WHERE grp = %s AND first = %s"
                    self._connection.execute(change, (anew, grp, first))
                    self._sealed += 1
            after = rows[-1][:2]
            yield True

    def _keys(self) -> Iterator[bool]:
        """Hash the idempotency keys; drop a plain one if a hashed row of the same key exists."""
        sql = """SELECT account, scope, hashed FROM keys WHERE (account, scope) > (%s, %s)
            ORDER BY account, scope LIMIT %s"""
        after: tuple[str, bytes] = ("", b"")
        while rows := self._rows(sql, *after, STEP):
            for account, scope, hashed in rows:
                if not hashed:
                    self._key(account, bytes(scope))
            after = (rows[-1][0], bytes(rows[-1][1]))
            yield True

    def _key(self, account: str, scope: bytes) -> None:
        sql = """UPDATE keys k SET scope = %(hashed)s, hashed = true
            WHERE account = %(account)s AND scope = %(scope)s AND NOT EXISTS
                (SELECT 1 FROM keys o WHERE o.account = k.account AND o.scope = %(hashed)s)"""
        hashed = self._keyring.hashed(scope)
        self._connection.execute(sql, {"account": account, "scope": scope, "hashed": hashed})
        sql = "DELETE FROM keys WHERE account = %s AND scope = %s"
        self._connection.execute(sql, (account, scope))
        self._sealed += 1

    def _handed(self, *, waiting: bool = False) -> Iterator[bool]:
        """Seal the rows that were handed over, with their files.

        waiting  only rows without an answer, since the owner seals answers with the first key
        """
        after, last = _LOWEST, self._last("handed", "number")
        while rows := self._rows(_WAITING if waiting else _HANDED, after, last, STEP):
            for number, *row in rows:
                try:
                    self._handed_row(number, *row)
                except (Invalid, OutboxError) as error:
                    self._cannot("handed", number, error)
            after = rows[-1][0]
            yield True
        yield from self._pieces("handed_files")

    def _handed_row(
        self, number: int, name: str, own_id: str | None, stored: str,
        scope: bytes | None, refused: str | None, answer: str | None,
    ) -> None:  # fmt: skip
        keyring = self._keyring
        if stored:
            anew = keyring.anew(HANDED, name, stored)
            if anew is not None:
                hashed = scope and (scope if is_sealed(stored) else keyring.hashed(scope))
                sql = """UPDATE handed SET envelope = %s, scope = %s
                    WHERE number = %s AND answered_at IS NULL"""
                self._connection.execute(sql, (anew, hashed, number))
                self._sealed += 1
            return
        place, changed = answer_place(number, own_id), False
        if is_sealed(answer):
            anew = keyring.anew(ANSWER, place, answer)
            answer, changed = anew or answer, anew is not None
        elif refused is not None or answer is not None:
            refused, answer = sealed_words(keyring, place, refused, answer)
            changed = True
        if changed or scope is not None:  # a scope is only for finding rows without an answer
            sql = "UPDATE handed SET refused = %s, answer = %s, scope = NULL WHERE number = %s"
            self._connection.execute(sql, (refused, answer, number))
            self._sealed += changed

    def _forget(self) -> Iterator[bool]:
        """Forget the other keys, once nobody can hand over with them any more."""
        others = [name for name in ids(self._connection) if name != self._keyring.first]
        for _ in range(TRIES if others else 0):
            if self._alone():
                for _ in self._handed(waiting=True):
                    continue
                for _ in self._pieces("bytes"):
                    continue
                forget_others(self._connection, self._keyring.first)
                return
            yield True
        self._kept = ", ".join(others)

    def _alone(self) -> bool:
        """Whether no open transaction hands anything over; then none can until this one ends."""
        try:
            with self._connection.transaction():
                self._connection.execute("SET LOCAL lock_timeout = '20ms'")
                self._connection.execute("LOCK TABLE keyring IN EXCLUSIVE MODE")
                self._connection.execute("SET LOCAL lock_timeout TO DEFAULT")
        except errors.LockNotAvailable:
            return False
        return True

    def _pieces(self, table: str) -> Iterator[bool]:
        sql = f"""SELECT p.upload, p.number, b.digest, p.key, p.content
            FROM pieces p JOIN {table} b USING (upload)
            WHERE p.key <> %s AND (p.upload, p.number) > (%s, %s)
            ORDER BY p.upload, p.number LIMIT %s"""  # noqa: S608 - constants
        after: tuple[Any, int] = ("00000000-0000-0000-0000-000000000000", -1)
        while rows := self._rows(sql, self._keyring.first, *after, PIECES):
            for upload, number, digest, key, content in rows:
                self._piece(upload, number, piece_place(digest, number), key, bytes(content))
            after = rows[-1][:2]
            yield True

    def _piece(self, upload: Any, number: int, place: str, key: str, content: bytes) -> None:
        try:
            plain = self._keyring.open_bytes(key, place, content)
        except (Invalid, OutboxError) as error:
            self._cannot("pieces", place, error)
            return
        sql = "UPDATE pieces SET content = %s, key = %s WHERE upload = %s AND number = %s"
        sealed = self._keyring.seal_bytes(place, plain)
        self._connection.execute(sql, (sealed, self._keyring.first, upload, number))
        self._sealed += 1

    def _rows(self, sql: str, *bound: Any) -> list[Row]:
        return self._connection.execute(sql.encode(), bound).fetchall()
