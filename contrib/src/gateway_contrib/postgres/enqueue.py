"""Hands an envelope to the outbox in the caller's own transaction: it is sent if that commits.

These know no driver. They take a connection or cursor of psycopg, a connection or session of
SQLAlchemy over it, or Django's, and do nothing else to it than one statement.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

import msgspec

from gateway_contrib.durable.sealing.keyring import Keyring
from gateway_contrib.durable.sealing.known import keys_in
from gateway_contrib.postgres.disk import BY_NAME, reads_disk
from gateway_contrib.postgres.names import HANDED
from gateway_core import Envelope, Invalid, Problem, Secret
from gateway_core.outboxes import to_json


def enqueue(
    connection: Any, envelope: Envelope, *, schema: str = "gateway", keys: Sequence[Secret] = ()
) -> str:
    """Append the envelope; the id by which `<schema>.status` tells what became of it.

    connection  or a cursor: of psycopg, SQLAlchemy or Django, in the transaction that it is part of
    schema      of the outbox
    keys        those of its configuration: the envelope is sealed with the first of them that the
                outbox is sealed with by now; none: it is plain until the owner takes it

    Raises `Invalid` for an envelope that cannot be stored, or has a file by its path or bytes (name
    it by `url` or `id`), ValueError for what is no key,
    ModuleNotFoundError where keys are given without the extra `sealed`, and what the driver raises:
    for a role that may not send as this instance, an error of SQLSTATE 42501; where the outbox is
    sealed with none of the keys, one of GW003.
    """
    sql, values = _statement(envelope, schema, keys)
    driver_sql = _driver_sql(connection)
    if driver_sql is not None:
        return _first(driver_sql(sql, values).fetchone())
    if hasattr(connection, "fetchone"):
        connection.execute(sql, values)
        return _first(connection.fetchone())
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return _first(cursor.fetchone())


async def aenqueue(
    connection: Any, envelope: Envelope, *, schema: str = "gateway", keys: Sequence[Secret] = ()
) -> str:
    """As `enqueue`, with an asynchronous connection, cursor or session."""
    sql, values = _statement(envelope, schema, keys)
    driver_sql = _driver_sql(connection)
    if driver_sql is not None:
        return _first((await driver_sql(sql, values)).fetchone())
    if hasattr(connection, "fetchone"):
        await connection.execute(sql, values)
        return _first(await connection.fetchone())
    async with connection.cursor() as cursor:
        await cursor.execute(sql, values)
        return _first(await cursor.fetchone())


def _statement(
    envelope: Envelope, schema: str, secrets: Sequence[Secret]
) -> tuple[str, tuple[Any, ...]]:
    if not schema.replace("_", "a").isalnum() or not schema.isascii():
        raise ValueError(f"schema must be a name of letters, digits and _, not {schema!r}")
    names = (envelope.instance_id, envelope.external_room_id)
    if any("\0" in name for name in names):
        raise Invalid([Problem("", "instance and room must not contain NUL")])
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


def _driver_sql(connection: Any) -> Any:
    """What runs a statement of the driver's own, where it is SQLAlchemy's."""
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


def _first(row: Any) -> str:
    """The id, whatever the connection makes of rows."""
    return str(next(iter(row.values())) if isinstance(row, Mapping) else row[0])
