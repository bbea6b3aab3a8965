"""Makes the schema, or brings it up to date: one process at a time, under an advisory lock."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import cache
from importlib import resources
from typing import Any

import psycopg
import trio
from psycopg import sql

from gateway_contrib.postgres.connections.failing import Place
from gateway_core.outboxes import OUTBOX_MIGRATION_WAITS, OutboxError, log_event


class NoOutboxError(OutboxError):
    """There is no outbox in that place."""


OLDEST = 1
"""The oldest version that a release must know to be able to use a schema of this release."""
ENCODING = "UTF8"
"""The only encoding that has every character, and refuses bytes that are none."""
PAUSE = 0.1
"""Seconds between two attempts to get the lock."""
_LOCK = "SELECT pg_try_advisory_xact_lock(hashtextextended('gateway ' || %s, 0))"


@cache
def changes() -> tuple[str, ...]:
    """SQL that brings a schema from version n to n + 1, with `{schema}` in it, for each n."""
    folder = resources.files("gateway_contrib.postgres").joinpath("sql")
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".sql")), key=_name)
    return tuple(file.read_text("utf-8") for file in files)


def _name(file: Any) -> str:
    return str(file.name)


async def migrated(attempt: Callable[[], Awaitable[bool]], place: Place) -> None:
    """Return once the schema has this release's version; log once if another session has the lock.

    Raises `OutboxError`, which names the place, as `migrate` does.

    attempt  calls `migrate` in a thread
    """
    told = False
    try:
        while not await attempt():
            if not told:
                log_event(OUTBOX_MIGRATION_WAITS)
                told = True
            await trio.sleep(PAUSE)
    except OutboxError as error:
        raise place.failed("cannot be opened", error) from error


def migrate(connection: psycopg.Connection[Any], schema: str) -> bool:
    """Bring the schema to this release's version; False: another session holds the lock for that.

    Every role that may log in can hold the lock, so a schema that is up to date needs none. Raises
    `OutboxError` if the schema is too new, or if the database cannot store every text.

    connection  one that commits each statement
    """
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != ENCODING:
        raise OutboxError(
            f"its encoding is {encoding}: an outbox needs a database that is made with "
            f"ENCODING '{ENCODING}'"
        )
    if _is_there(connection, schema) and _version(connection, schema) >= len(changes()):
        return True
    with connection.transaction():
        connection.execute("SET LOCAL statement_timeout = 0")
        connection.execute("SET LOCAL lock_timeout = 0")
        if connection.execute(_LOCK, (schema,)).fetchone() != (True,):
            return False
        version = 0
        if _is_there(connection, schema):
            version = _version(connection, schema)
        else:
            _make(connection, schema)
        for change in changes()[version:]:
            connection.execute(change.replace("{schema}", schema).encode())
        if version < len(changes()):
            connection.execute(
                "UPDATE format SET version = %s, oldest = greatest(oldest, %s)",
                (len(changes()), OLDEST),
            )
    return True


def check(connection: psycopg.Connection[Any], schema: str) -> None:
    """Raise `OutboxError` if no gateway made the schema, or none of this release upgraded it."""
    if not _is_there(connection, schema):
        raise NoOutboxError(
            f"there is no outbox in the schema {schema}: start a gateway, which makes it"
        )
    version = _version(connection, schema)
    if version < len(changes()):
        raise OutboxError(
            f"the schema {schema} has version {version}, and this release reads version "
            f"{len(changes())}: start a gateway of this release, which upgrades it"
        )


def _is_there(connection: psycopg.Connection[Any], schema: str) -> bool:
    """Whether the schema has an outbox."""
    found = connection.execute("SELECT to_regclass(%s)", (f"{schema}.format",)).fetchone()
    return found is not None and found[0] is not None


def _make(connection: psycopg.Connection[Any], schema: str) -> None:
    """Make the schema, without tables. Raises `OutboxError` if it has some."""
    there = connection.execute("SELECT to_regnamespace(%s)", (schema,)).fetchone()
    if there is None or there[0] is None:
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
        return
    query = "SELECT count(*) FROM pg_catalog.pg_class WHERE relnamespace = %s::regnamespace"
    other = connection.execute(query, (schema,)).fetchone()
    if other is not None and other[0]:
        raise OutboxError(f"the schema {schema} has tables, but is no outbox of this gateway")


def _version(connection: psycopg.Connection[Any], schema: str) -> int:
    """The version of the schema's outbox."""
    found = connection.execute("SELECT version, oldest FROM format").fetchone()
    version, oldest = found if found is not None else (0, 0)
    check_release(schema, version, oldest)
    return int(version)


def check_release(schema: str, version: int, oldest: int) -> None:
    """Raises `OutboxError` for a schema that needs a later release than this one."""
    if oldest > len(changes()):
        raise OutboxError(
            f"the schema {schema} has version {version}, which needs a release that knows version "
            f"{oldest}; this one knows up to {len(changes())}. Start the later release again"
        )
