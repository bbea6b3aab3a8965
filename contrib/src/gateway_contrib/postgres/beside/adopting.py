"""Bytes that came with what was handed over become the outbox's own, if they are what they say.

Whoever may hand over writes the digest, the size and the pieces itself: they are read before they
may stand for the bytes of that digest, which others send as well. On the connection that writes.
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
"""Bytes in one row, as far as they are not the last; sealed ones are 28 more."""
_HANDED = """SELECT own, size, upload FROM handed_files WHERE digest = %s
    AND NOT EXISTS (SELECT 1 FROM bytes WHERE bytes.digest = handed_files.digest)
    ORDER BY own LIMIT 1{holding}"""
_PIECE = "SELECT key, content FROM pieces WHERE upload = %s AND number = %s"


def piece_place(digest: str, number: int) -> str:
    """What a piece is sealed for."""
    return f"bytes:{digest}:{number}"


def adopt(connection: Connection, seals: Seals, digest: str, holding: str = "") -> None:
    """Make them the outbox's, if it has none of that digest; what is not them is deleted.

    holding  what keeps rows that are read until the end of the transaction

    Raises `OutboxError` where they are sealed with a key that only another owner has.
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


def _are_they(connection: Connection, seals: Seals, digest: str, size: int, upload: UUID) -> bool:
    """Whether the pieces are the bytes, cut where those who read them expect it."""
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
