"""Makes bytes that came with a handed-over envelope the outbox's own, if they match their digest.

The application that hands over writes the digest, the size and the pieces itself. So the pieces are
read and checked before they may serve as the bytes of that digest, which others send as well. On
the connection that writes.
"""

from __future__ import annotations

from typing import Any, TypeAlias
from uuid import UUID

import psycopg

from gateway_contrib.durable.seals import Seals
from gateway_core import Invalid
from gateway_core.outboxes import BytesDigest

Connection: TypeAlias = psycopg.Connection[Any]

PIECE = 1 << 18
"""Bytes in each row but the last."""
SEALING = 28
"""Bytes by which sealing makes a row longer."""
_HANDED = """SELECT own, size, upload FROM handed_files WHERE digest = %s
    AND NOT EXISTS (SELECT 1 FROM bytes WHERE bytes.digest = handed_files.digest)
    ORDER BY own LIMIT 1{holding}"""
_OF_ROW = "SELECT digest, size, upload FROM handed_files WHERE own = %s"
_PIECE = "SELECT key, content FROM pieces WHERE upload = %s AND number = %s"


def piece_place(digest: str, number: int) -> str:
    """The place for which a piece is sealed."""
    return f"bytes:{digest}:{number}"


def adopt(connection: Connection, seals: Seals, digest: str, holding: str = "") -> None:
    """Adopt bytes of that digest if the outbox has none; delete uploads that are not these bytes.

    holding  SQL that locks the rows that are read until the transaction ends

    Raises `OutboxError` if they are sealed with a key that only another owner has.
    """
    handed = _HANDED.format(holding=holding).encode()
    while rows := connection.execute(handed, (digest,)).fetchall():
        ((own, size, upload),) = rows
        if _are_they(connection, seals, digest, size, upload):
            sql = "INSERT INTO bytes VALUES (%s, %s, %s) ON CONFLICT DO NOTHING"
            connection.execute(sql, (digest, size, upload))
            return
        sql = "DELETE FROM handed_files WHERE own = %s AND digest = %s"
        connection.execute(sql, (own, digest))
        connection.execute("DELETE FROM pieces WHERE upload = %s", (upload,))


def handed_with(connection: Connection, seals: Seals, own: int) -> dict[str, int]:
    """The sizes, by their digests, of the bytes that came with the handed-over row of that number.

    Only whose pieces are the bytes of their digest: whoever has no more than the digest of another
    one's bytes has no right to them. Raises `OutboxError` as `adopt` does.
    """
    rows = connection.execute(_OF_ROW, (own,)).fetchall()
    return {
        digest: size
        for digest, size, upload in rows
        if _are_they(connection, seals, digest, size, upload)
    }


def _are_they(connection: Connection, seals: Seals, digest: str, size: int, upload: UUID) -> bool:
    """Whether the pieces are the bytes of that digest, each piece with the expected size."""
    found = BytesDigest()
    for number, start in enumerate(range(0, max(1, size), PIECE)):
        rows = connection.execute(_PIECE, (upload, number)).fetchall()
        if not rows:
            return False
        ((key, content),) = rows
        try:
            piece = seals.open_bytes(key, piece_place(digest, number), bytes(content))
        except Invalid:
            return False
        if len(piece) != min(PIECE, size - start):
            return False
        found.update(piece)
    return found.hexdigest() == digest
