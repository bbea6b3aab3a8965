"""Stores and reads which accounts operators have suspended, and their requests for it. Blocks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import apsw

from gateway_contrib.durable.operators.suspensions import asked_for
from gateway_contrib.durable.seals import Seals
from gateway_core.outboxes import Suspension

SUSPEND, RESUME = "suspend", "resume"
"""Kinds of requests. The next gateway that opens the file reads them before it sends anything."""
TABLE = """
CREATE TABLE suspensions (
    instance TEXT PRIMARY KEY,        -- an account that an operator has suspended
    why TEXT NOT NULL,
    by_whom TEXT NOT NULL,            -- who asked for it; empty: not known
    since REAL NOT NULL               -- POSIX time
) STRICT, WITHOUT ROWID;
"""
_ALL = "SELECT instance, why, by_whom, since FROM suspensions"
_ASKED = """SELECT kind, number, envelope, asked_at FROM requests WHERE done_at IS NULL
    AND kind IN ('suspend', 'resume') AND instance = ? ORDER BY number DESC LIMIT 1"""


def store(connection: apsw.Connection, instance: str, suspension: Suspension | None) -> None:
    """Store that the account is suspended, or not (None)."""
    with connection:
        connection.execute("DELETE FROM suspensions WHERE instance = ?", (instance,))
        if suspension is not None:
            sql = "INSERT INTO suspensions (instance, why, by_whom, since) VALUES (?, ?, ?, ?)"
            row = (instance, suspension.why, suspension.by, suspension.since)
            connection.execute(sql, row)


def suspended(connection: apsw.Connection, seals: Seals, instance: str) -> Suspension | None:
    """The account's suspension, by what is stored and by requests not yet answered; None: none."""
    asked: list[Any] = connection.execute(_ASKED, (instance,)).fetchall()
    for kind, number, question, at in asked:
        return None if kind == RESUME else asked_for(seals, number, question, at)
    rows = connection.execute(f"{_ALL} WHERE instance = ?", (instance,)).fetchall()
    return _read(rows).get(instance)


def everything(connection: apsw.Connection) -> dict[str, Suspension]:
    """All stored suspensions, by instance."""
    return _read(connection.execute(f"{_ALL} ORDER BY instance"))


def _read(rows: Iterable[Any]) -> dict[str, Suspension]:
    return {instance: Suspension(why=why, by=by, since=since) for instance, why, by, since in rows}
