"""Stores bytes, counts their uses, and deletes unused ones, on the connection that writes.

A use is a row, committed with the entry or group that needs the bytes. A pin is in memory: it keeps
bytes for a caller that has stored them and has not used them yet.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias
from uuid import UUID

import psycopg

from gateway_contrib.durable.seals import Seals
from gateway_contrib.postgres.beside.adopting import SEALING, adopt, piece_place
from gateway_contrib.postgres.beside.keeping import Keeping
from gateway_core.outboxes import OutboxError

Connection: TypeAlias = psycopg.Connection[Any]

_ANSWERED = """WITH gone AS (DELETE FROM handed_files f WHERE NOT EXISTS
        (SELECT 1 FROM handed h WHERE h.own = f.own AND h.answered_at IS NULL) RETURNING f.upload)
    DELETE FROM pieces p USING gone WHERE p.upload = gone.upload
        AND NOT EXISTS (SELECT 1 FROM bytes b WHERE b.upload = gone.upload)"""


_ANSWERED_ALONE = """SELECT 1 FROM handed_files f WHERE NOT EXISTS
        (SELECT 1 FROM handed h WHERE h.own = f.own AND h.answered_at IS NULL)
    ORDER BY own, digest FOR UPDATE"""


_DAMAGED = f"""WITH gone AS (DELETE FROM bytes b WHERE b.digest = %s AND b.size <> (
        SELECT coalesce(sum(octet_length(content) - CASE key WHEN '' THEN 0 ELSE {SEALING} END), 0)
        FROM pieces p WHERE p.upload = b.upload) RETURNING b.upload)
    DELETE FROM pieces p USING gone WHERE p.upload = gone.upload
        AND NOT EXISTS (SELECT 1 FROM handed_files f WHERE f.upload = gone.upload)"""  # noqa: S608 - constants


class Contents:
    """The stored bytes of the outbox."""

    def __init__(self, seals: Seals, keeping: Keeping) -> None:
        self.seals = seals
        self._keeping = keeping
        self._pins: Counter[str] = Counter()
        self._taken: list[str] = []
        self._given: list[str] = []

    def tidy(self, connection: Connection) -> None:
        """Remove bytes that a former run left without a use, and incomplete uploads."""
        unused = self._keeping.unused
        sql = f"SELECT digest FROM bytes b WHERE {unused}"  # noqa: S608 - constants
        found = [digest for (digest,) in connection.execute(sql.encode()).fetchall()]
        self._keeping.alone(connection, found)
        sql = f"DELETE FROM bytes b WHERE digest = ANY (%b::text[]) AND {unused}"  # noqa: S608 - constants
        connection.execute(sql.encode(), (found,))
        sql = f"""DELETE FROM pieces p
            WHERE NOT EXISTS (SELECT 1 FROM bytes b WHERE b.upload = p.upload)
                AND NOT EXISTS (SELECT 1 FROM handed_files f WHERE f.upload = p.upload)
                AND {self._keeping.of_nobody("p.upload")}"""  # noqa: S608 - constants
        connection.execute(sql.encode())

    def forget_handed(self, connection: Connection) -> None:
        """Remove uploads of answered envelopes, since the outbox has adopted the bytes it needs."""
        if self._keeping.holding:  # another member may be about to adopt them
            connection.execute(_ANSWERED_ALONE)
        connection.execute(_ANSWERED)

    # -- storing bytes, each call within a transaction

    def pin_if_there(self, connection: Connection, digest: str) -> bool:
        """Keep the bytes for one more use if they are there; returns whether they are.

        Bytes that came with a handed-over envelope are there if they match their digest. Bytes of
        another size than theirs are not there from now on; their uses stay.
        """
        connection.execute(_DAMAGED.encode(), (digest,))
        adopt(connection, self.seals, digest, self._keeping.holding)
        there = self._there(connection, digest)
        if there:
            self._pin(connection, digest)
        return there

    def _pin(self, connection: Connection, digest: str) -> None:
        if not self._pins[digest]:
            self._keeping.keep(connection, digest)
        self._pins[digest] += 1
        self._given.append(digest)

    def _unpin(self, connection: Connection, digest: str) -> None:
        self._pins[digest] -= 1
        self._taken.append(digest)
        if not self._pins[digest]:
            self._keeping.let_go(connection, digest)

    def add_piece(
        self, connection: Connection, digest: str, upload: UUID, number: int, piece: bytes
    ) -> None:
        """The next bytes of an upload."""
        if not number:
            self._keeping.begins(connection, upload)
        sealed = self.seals.seal_bytes(piece_place(digest, number), piece)
        sql = "INSERT INTO pieces (upload, number, content, key) VALUES (%s, %s, %s, %s)"
        connection.execute(sql, (upload, number, sealed, self.seals.first))

    def add(self, connection: Connection, digest: str, size: int, upload: UUID) -> None:
        """Complete the upload and keep it for one use, unless these bytes are there by now."""
        self._keeping.ends(connection, upload)
        if self.pin_if_there(connection, digest):
            self.drop_upload(connection, upload)
            return
        connection.execute("INSERT INTO bytes VALUES (%s, %s, %s)", (digest, size, upload))
        self._pin(connection, digest)

    def drop_upload(self, connection: Connection, upload: UUID) -> None:
        """Delete an upload that will not be completed."""
        connection.execute("DELETE FROM pieces WHERE upload = %s", (upload,))
        self._keeping.ends(connection, upload)

    def unpin(self, connection: Connection, digest: str) -> None:
        """End a pin, since its use will not come."""
        if self._pins[digest]:
            self._unpin(connection, digest)
            self._forget(connection, [digest])

    def unused(self, connection: Connection, files: Iterable[str]) -> None:
        """End a pin of each, since nobody waits any more for the entry that was to use them."""
        for digest in set(files):
            self.unpin(connection, digest)

    def _there(self, connection: Connection, digest: str) -> bool:
        sql = f"SELECT 1 FROM bytes WHERE digest = %s{self._keeping.holding}"  # noqa: S608 - constants
        return connection.execute(sql.encode(), (digest,)).fetchone() is not None

    # -- within a transaction; `committed` or `rolled_back` ends it

    def lacking(self, connection: Connection, files: Iterable[str]) -> OutboxError | None:
        """The error that one of them is not there; None: all are there."""
        for digest in sorted(files):
            if not self._there(connection, digest):
                return OutboxError(f"the bytes {digest} are not there")
        return None

    def use(self, connection: Connection, seq: int, files: Iterable[str]) -> None:
        """Note that the entry or the group uses them; this takes a pin of each."""
        for digest in set(files):
            sql = "INSERT INTO uses VALUES (%s, %s) ON CONFLICT DO NOTHING"
            connection.execute(sql, (seq, digest))
            if self._pins[digest]:
                self._unpin(connection, digest)

    def end(self, connection: Connection, seqs: Sequence[int]) -> None:
        """End all uses of these entries or groups, and delete bytes that nobody else uses."""
        if seqs:
            sql = "DELETE FROM uses WHERE seq = ANY (%b::bigint[]) RETURNING digest"
            rows = connection.execute(sql, (list(seqs),)).fetchall()
            self._forget(connection, sorted({digest for (digest,) in rows}))

    def _forget(self, connection: Connection, digests: Sequence[str]) -> None:
        free = [digest for digest in digests if not self._pins[digest]]
        if free:
            self._keeping.alone(connection, free)
            sql = f"""WITH gone AS (DELETE FROM bytes b WHERE b.digest = ANY (%b::text[])
                    AND {self._keeping.unused} RETURNING b.upload)
                DELETE FROM pieces p USING gone WHERE p.upload = gone.upload AND NOT EXISTS
                    (SELECT 1 FROM handed_files f WHERE f.upload = gone.upload)"""  # noqa: S608 - constants
            connection.execute(sql.encode(), (free,))

    def committed(self) -> None:
        """The transaction is committed."""
        self._taken.clear()
        self._given.clear()

    def rolled_back(self) -> None:
        """The transaction was rolled back: undo its changes of pins."""
        self._pins.update(self._taken)
        self._pins.subtract(self._given)
        self.committed()
