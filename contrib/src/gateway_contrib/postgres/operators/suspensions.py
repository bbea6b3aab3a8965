"""Stores and reads which accounts operators have suspended, and their requests for it. Blocks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import psycopg

from gateway_contrib.durable.operators.suspensions import asked_for
from gateway_contrib.durable.seals import Seals
from gateway_contrib.postgres.names import name_of, text_in, text_out
from gateway_core.outboxes import Suspension

Connection: TypeAlias = psycopg.Connection[Any]

SUSPEND, RESUME = "suspend", "resume"
"""Kinds of requests. The account's next owner reads them before it sends anything."""
STORE = """INSERT INTO suspensions (account, instance, why, by_whom, since)
    VALUES (%s, %s, %s, %s, %s)
    ON CONFLICT (account) DO UPDATE
        SET why = excluded.why, by_whom = excluded.by_whom, since = excluded.since"""
FORGET = "DELETE FROM suspensions WHERE account = %s"
_ALL = "SELECT instance, why, by_whom, since FROM suspensions"
_OF = f"{_ALL} WHERE account = ANY (%b::text[])"
_ASKED = """SELECT instance, kind, number, envelope, asked_at FROM requests
    WHERE done_at IS NULL AND kind IN ('suspend', 'resume') AND instance = ANY (%b::text[])
    ORDER BY number DESC"""


def store(connection: Connection, instance: str, suspension: Suspension | None) -> None:
    """Store that the account is suspended, or not (None). In a transaction of its owner."""
    if suspension is None:
        connection.execute(FORGET, (name_of(instance),))
        return
    words = map(text_in, (instance, suspension.why, suspension.by))
    connection.execute(STORE, (name_of(instance), *words, suspension.since))


def suspended(
    connection: Connection, seals: Seals, instances: Sequence[str]
) -> dict[str, Suspension]:
    """The suspended ones of these, by stored suspensions and by requests not yet answered."""
    found = _read(connection.execute(_OF.encode(), ([*map(name_of, instances)],)).fetchall())
    asked = connection.execute(_ASKED, ([*map(text_in, instances)],)).fetchall()
    for name, kind, number, question, at in asked:  # numbers count down: the latest comes last
        instance = text_out(name)
        if kind == RESUME:
            found.pop(instance, None)
        else:
            found[instance] = asked_for(seals, number, text_out(question or ""), at)
    return found


def everything(connection: Connection) -> dict[str, Suspension]:
    """All stored suspensions, by instance."""
    return _read(connection.execute(f"{_ALL} ORDER BY instance".encode()).fetchall())


def _read(rows: Sequence[Sequence[Any]]) -> dict[str, Suspension]:
    return {
        text_out(instance): Suspension(why=text_out(why), by=text_out(by), since=since)
        for instance, why, by, since in rows
    }
