"""A COMMIT, and what the server says beside its success."""

from __future__ import annotations

from typing import Any, TypeAlias

import psycopg

Connection: TypeAlias = psycopg.Connection[Any]

_WARNING = "01000"


class Unreplicated(psycopg.OperationalError):
    """It is committed, but nobody knows whether a synchronous standby has it: a wait was ended."""


def commit(connection: Connection) -> None:
    """Commit the transaction. Raises `psycopg.Error`.

    PostgreSQL tells by a warning alone that somebody has ended the wait for a synchronous standby,
    which would lose the transaction if it took over now.
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
