"""Hands an envelope to the outbox in the caller's own transaction: it is sent if that commits.

These functions import no driver. They take a connection or cursor of psycopg, a connection or
session of SQLAlchemy over psycopg, or one of Django's, and execute just one statement on it.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

import msgspec

from gateway_contrib.durable.sealing.keyring import Keyring
from gateway_contrib.durable.sealing.known import keys_in
from gateway_contrib.postgres.disk import BY_NAME, reads_disk
from gateway_contrib.postgres.names import HANDED
from gateway_core import Envelope, Invalid, Problem, Secret
from gateway_core.authors import checked
from gateway_core.outboxes import to_json

_WAYS = ("exec_driver_sql", "get_bind", "fetchone", "cursor")
"""Names of which every connection, cursor and session has one, and no engine or pool does."""

_OTHER = {True: ("synchronous", "enqueue"), False: ("asynchronous", "await aenqueue")}
"""What a value is that is given to the wrong function, and the right one."""


def enqueue(
    connection: Any, envelope: Envelope, *, schema: str = "gateway", keys: Sequence[Secret] = ()
) -> str:
    """Append the envelope; returns the id by which `<schema>.status` says what became of it.

    connection  a connection or cursor of psycopg, SQLAlchemy or Django, in the caller's transaction
    schema      the outbox's schema
    keys        the keys of the outbox's configuration: the first of them that the outbox already
                knows seals the envelope; none: the envelope is unsealed until the owner takes it

    Raises `Invalid` for an envelope that every gateway refuses, or that has a file as a path or
    bytes (give its URL, or its `id`); ValueError for an invalid key or schema name; TypeError for
    an engine, a pool or a URL in place of a connection, and for an asynchronous connection, cursor
    or session; ModuleNotFoundError if there are keys but
    the extra `sealed` is not installed; and what the driver raises: an error with SQLSTATE 42501 if
    the role may not send as this instance, and one with GW003 if the outbox knows none of the keys.
    """
    sql, values = _statement(envelope, schema, keys)
    driver_sql = _driver_sql(connection, asynchronous=False)
    if driver_sql is not None:
        return _first(driver_sql(sql, values).fetchone())
    cursor = _plain_cursor(connection, "Connection", "Cursor")
    if cursor is None and hasattr(connection, "fetchone"):
        connection.execute(sql, values)
        return _first(connection.fetchone())
    with cursor or connection.cursor() as cursor:
        cursor.execute(sql, values)
        return _first(cursor.fetchone())


async def aenqueue(
    connection: Any, envelope: Envelope, *, schema: str = "gateway", keys: Sequence[Secret] = ()
) -> str:
    """As `enqueue`, with an asynchronous connection, cursor or session."""
    sql, values = _statement(envelope, schema, keys)
    driver_sql = _driver_sql(connection, asynchronous=True)
    if driver_sql is not None:
        return _first((await driver_sql(sql, values)).fetchone())
    cursor = _plain_cursor(connection, "AsyncConnection", "AsyncCursor")
    if cursor is None and hasattr(connection, "fetchone"):
        await connection.execute(sql, values)
        return _first(await connection.fetchone())
    async with cursor or connection.cursor() as cursor:
        await cursor.execute(sql, values)
        return _first(await cursor.fetchone())


def _plain_cursor(connection: Any, connections: str, cursors: str) -> Any:
    """A cursor of psycopg's connection, which may make other rows, or take other placeholders.

    None: the connection is not psycopg's own.
    """
    psycopg: Any = sys.modules.get("psycopg")
    if psycopg is None:
        return None
    plain = getattr(psycopg, cursors)
    if isinstance(connection, plain):
        connection = connection.connection
    elif not isinstance(connection, getattr(psycopg, connections)):
        return None
    return plain(connection, row_factory=sys.modules["psycopg.rows"].tuple_row)


def _statement(
    envelope: Envelope, schema: str, secrets: Sequence[Secret]
) -> tuple[str, tuple[Any, ...]]:
    if not schema.replace("_", "a").isalnum() or not schema.isascii():
        raise ValueError(f"schema must be a name of letters, digits and _, not {schema!r}")
    envelope = checked(envelope)  # JSON would make null of an infinite time
    names = (envelope.instance_id, envelope.external_room_id)
    if (place := reads_disk(envelope)) is not None:
        raise Invalid([Problem(f"files.{place}", f"cannot be handed over: {BY_NAME}")])
    try:
        text = msgspec.json.encode(to_json(envelope)).decode()
    except (TypeError, UnicodeEncodeError) as error:
        raise Invalid([Problem("", f"cannot be stored as JSON: {error}")]) from None
    if not secrets:
        return f"SELECT {schema}.hand(%s, %s, %s) AS id", (*names, text)
    keys, token = keys_in(secrets), str(uuid4())
    sealed = [Keyring([key]).seal(HANDED, token, text) for key in keys]
    sql = f"SELECT {schema}.hand(%s, %s, %s::uuid, %s::text[], %s::text[]) AS id"
    return sql, (*names, token, [key.id for key in keys], sealed)


def _driver_sql(connection: Any, *, asynchronous: bool) -> Any:
    """SQLAlchemy's function that runs a driver's own statement; None: it is not SQLAlchemy's.

    Raises TypeError for a value that is no connection, cursor or session at all, and for one that
    the other function takes.
    """
    if not any(hasattr(connection, way) for way in _WAYS):
        kind = type(connection).__name__
        text = f"needs a connection, cursor or session that is in a transaction, not {kind}"
        raise TypeError(text)
    if _is_asynchronous(connection) is not asynchronous:
        kind, has, other = type(connection).__name__, *_OTHER[asynchronous]
        raise TypeError(f"{kind} is {has}: use `{other}`")
    found = getattr(connection, "exec_driver_sql", None)
    if found is not None or not hasattr(connection, "get_bind"):
        return found

    def in_session(sql: str, values: tuple[Any, ...]) -> Any:
        own = connection.connection()
        if not inspect.isawaitable(own):
            return own.exec_driver_sql(sql, values)

        async def asynchronously() -> Any:
            return await (await own).exec_driver_sql(sql, values)

        return asynchronously()

    return in_session


def _is_asynchronous(connection: Any) -> bool:
    execute = getattr(connection, "execute", None)
    return inspect.iscoroutinefunction(execute) or hasattr(connection, "__aenter__")


def _first(row: Any) -> str:
    """The id in the row, which is a tuple or a mapping."""
    return str(next(iter(row.values())) if isinstance(row, Mapping) else row[0])
