"""Hands an envelope to the outbox in the caller's own transaction: it is sent if that commits.

These know no driver. They take a connection or cursor of psycopg, a connection or session of
SQLAlchemy over it, or Django's, and do nothing else to it than one statement.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import msgspec

from gateway_core import Envelope, Invalid, Problem
from gateway_core.outboxes import to_json


def enqueue(connection: Any, envelope: Envelope, *, schema: str = "gateway") -> str:
    """Append the envelope; the id by which `<schema>.status` tells what became of it.

    connection  or a cursor: of psycopg, SQLAlchemy or Django, in the transaction that it is part of
    schema      of the outbox

    Raises `Invalid` for an envelope that cannot be stored, and what the driver raises: for a role
    that may not send as this instance, an error of SQLSTATE 42501.
    """
    sql, values = _statement(envelope, schema)
    driver_sql = _driver_sql(connection)
    if driver_sql is not None:
        return _first(driver_sql(sql, values).fetchone())
    if hasattr(connection, "fetchone"):
        connection.execute(sql, values)
        return _first(connection.fetchone())
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return _first(cursor.fetchone())


async def aenqueue(connection: Any, envelope: Envelope, *, schema: str = "gateway") -> str:
    """As `enqueue`, with an asynchronous connection, cursor or session."""
    sql, values = _statement(envelope, schema)
    driver_sql = _driver_sql(connection)
    if driver_sql is not None:
        return _first((await driver_sql(sql, values)).fetchone())
    if hasattr(connection, "fetchone"):
        await connection.execute(sql, values)
        return _first(await connection.fetchone())
    async with connection.cursor() as cursor:
        await cursor.execute(sql, values)
        return _first(await cursor.fetchone())


def _statement(envelope: Envelope, schema: str) -> tuple[str, tuple[str, str, str]]:
    if not schema.replace("_", "a").isalnum() or not schema.isascii():
        raise ValueError(f"schema must be a name of letters, digits and _, not {schema!r}")
    names = (envelope.instance_id, envelope.external_room_id)
    if any("\0" in name for name in names):
        raise Invalid([Problem("", "instance and room must be without NUL")])
    try:
        text = msgspec.json.encode(to_json(envelope)).decode()
    except (TypeError, UnicodeEncodeError) as error:
        raise Invalid([Problem("", f"cannot be stored as JSON: {error}")]) from None
    return f"SELECT {schema}.hand(%s, %s, %s) AS id", (*names, text)


def _driver_sql(connection: Any) -> Any:
    """What runs a statement of the driver's own, where it is SQLAlchemy's."""
    found = getattr(connection, "exec_driver_sql", None)
    if found is not None or not hasattr(connection, "get_bind"):
        return found

    def in_session(sql: str, values: tuple[str, ...]) -> Any:
        own = connection.connection()
        if not inspect.isawaitable(own):
            return own.exec_driver_sql(sql, values)

        async def asynchronously() -> Any:
            return await (await own).exec_driver_sql(sql, values)

        return asynchronously()

    return in_session


def _first(row: Any) -> str:
    """The id, whatever the connection makes of rows."""
    return str(next(iter(row.values())) if isinstance(row, Mapping) else row[0])
