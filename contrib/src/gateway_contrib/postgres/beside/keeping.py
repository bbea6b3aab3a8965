"""What a member keeps until it is used, or is whole, noted for the others; within a transaction.

Where one member owns all accounts nothing is noted: what another one left is of no use.
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
    """Of one member. `member`: None: it owns all accounts, and what others keep is of no use."""

    def __init__(self) -> None:
        self.member: UUID | None = None

    # -- bytes that are about to be used

    def keep(self, connection: Connection, digest: str) -> None:
        """The bytes stay for this member."""
        if self.member is not None:
            sql = "INSERT INTO kept VALUES (%s, %s) ON CONFLICT DO NOTHING"
            connection.execute(sql, (self.member, digest))

    def let_go(self, connection: Connection, digest: str) -> None:
        """They do not stay for it any more."""
        if self.member is not None:
            sql = "DELETE FROM kept WHERE member = %s AND digest = %s"
            connection.execute(sql, (self.member, digest))

    @property
    def unused(self) -> str:
        """That nobody needs the bytes `b`, as a condition."""
        return _UNUSED if self.member is not None else _UNUSED.split("\n", maxsplit=1)[0]

    @property
    def holding(self) -> str:
        """What keeps rows that are read until the end of the transaction."""
        return "" if self.member is None else " FOR KEY SHARE"

    def alone(self, connection: Connection, digests: Sequence[str]) -> None:
        """Wait for whoever is about to use these; nobody is then, unless that is visible."""
        if self.member is not None:
            sql = "SELECT 1 FROM bytes WHERE digest = ANY (%s::text[]) ORDER BY digest FOR UPDATE"
            connection.execute(sql, (list(digests),))

    # -- groups and uploads that are not whole

    def begins(self, connection: Connection, place: object) -> None:
        """It is not whole: nobody tidies it up while this member is there."""
        if self.member is not None:
            sql = "INSERT INTO incomplete VALUES (%s, %s) ON CONFLICT DO NOTHING"
            connection.execute(sql, (self.member, str(place)))

    def ends(self, connection: Connection, place: object) -> None:
        """It is whole, or gone."""
        if self.member is not None:
            connection.execute("DELETE FROM incomplete WHERE place = %s", (str(place),))

    def of_nobody(self, column: str) -> str:
        """That no member is about to make it whole, as a condition."""
        if self.member is None:
            return "true"
        return f"NOT EXISTS (SELECT 1 FROM incomplete i WHERE i.place = {column}::text)"  # noqa: S608 - constants

    def tidy(self, connection: Connection) -> None:
        """What was noted of members that are gone is of no use."""
        if self.member is not None:
            for table in ("kept", "incomplete"):
                connection.execute(_GONE.format(table=table).encode())
