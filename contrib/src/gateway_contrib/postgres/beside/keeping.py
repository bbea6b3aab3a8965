"""Notes, for other members, which unused bytes and incomplete groups a member needs.

Each method is called within a transaction.

If one member owns all accounts, nothing is noted, since nobody needs what another member left.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias
from uuid import UUID

import psycopg

Connection: TypeAlias = psycopg.Connection[Any]

_GONE = """DELETE FROM {table} i
    WHERE NOT EXISTS (SELECT 1 FROM members m WHERE m.member = i.member)"""
_UNUSED = """NOT EXISTS (SELECT 1 FROM uses u WHERE u.digest = b.digest)
    AND NOT EXISTS (SELECT 1 FROM kept k WHERE k.digest = b.digest)"""


class Keeping:
    """The notes of one member.

    member  None: it owns all accounts, so nothing is noted
    """

    def __init__(self) -> None:
        self.member: UUID | None = None

    # -- bytes that are about to be used

    def keep(self, connection: Connection, digest: str) -> None:
        """Keep the bytes for this member."""
        if self.member is not None:
            sql = "INSERT INTO kept VALUES (%s, %s) ON CONFLICT DO NOTHING"
            connection.execute(sql, (self.member, digest))

    def let_go(self, connection: Connection, digest: str) -> None:
        """Keep the bytes no longer for this member."""
        if self.member is not None:
            sql = "DELETE FROM kept WHERE member = %s AND digest = %s"
            connection.execute(sql, (self.member, digest))

    @property
    def unused(self) -> str:
        """The SQL condition that nobody needs the bytes `b`."""
        return _UNUSED if self.member is not None else _UNUSED.split("\n", maxsplit=1)[0]

    @property
    def holding(self) -> str:
        """SQL that locks rows that are read, so that they stay until the transaction ends."""
        return "" if self.member is None else " FOR KEY SHARE"

    def alone(self, connection: Connection, digests: Sequence[str]) -> None:
        """Wait for members that are about to use these bytes, until their uses are visible."""
        if self.member is not None:
            sql = "SELECT 1 FROM bytes WHERE digest = ANY (%b::text[]) ORDER BY digest FOR UPDATE"
            connection.execute(sql, (list(digests),))

    # -- groups and uploads that are not whole

    def begins(self, connection: Connection, place: object) -> None:
        """Note that it is incomplete, so that nobody removes it while this member is there."""
        if self.member is not None:
            sql = "INSERT INTO incomplete VALUES (%s, %s) ON CONFLICT DO NOTHING"
            connection.execute(sql, (self.member, str(place)))

    def ends(self, connection: Connection, place: object) -> None:
        """Remove the note, since it is complete or gone."""
        if self.member is not None:
            connection.execute("DELETE FROM incomplete WHERE place = %s", (str(place),))

    def of_nobody(self, column: str) -> str:
        """The SQL condition that no member is about to complete it."""
        if self.member is None:
            return "true"
        return f"NOT EXISTS (SELECT 1 FROM incomplete i WHERE i.place = {column}::text)"  # noqa: S608 - constants

    def tidy(self, connection: Connection) -> None:
        """Remove the notes of members that are gone."""
        if self.member is not None:
            for table in ("kept", "incomplete"):
                connection.execute(_GONE.format(table=table).encode())
