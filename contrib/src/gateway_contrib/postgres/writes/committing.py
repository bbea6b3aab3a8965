"""Commits a transaction, and detects that the server could not replicate it."""

from __future__ import annotations

from typing import Any, TypeAlias

import psycopg

Connection: TypeAlias = psycopg.Connection[Any]

_WARNING = "01000"


class Unreplicated(psycopg.OperationalError):
    """It is committed, but the wait for a synchronous standby was ended, which may lack it."""


def commit(connection: Connection) -> None:
    """Commit the transaction. Raises `psycopg.Error`.

    If somebody has ended the wait for a synchronous standby, PostgreSQL only warns of it. That
    standby would lose the transaction if it took over now.
    """
    warned: list[str] = []

    def hear(diagnosis: Any) -> None:
        if diagnosis.sqlstate == _WARNING:
            warned.append(str(diagnosis.message_primary))

    connection.add_notice_handler(hear)
    try:
        connection.execute("COMMIT")
    finally:
        connection.remove_notice_handler(hear)
    if warned:
        raise Unreplicated("; ".join(warned))
