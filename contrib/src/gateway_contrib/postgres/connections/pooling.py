"""Connections that may go through a pooler, which gives each transaction another session.

PgBouncer in its transaction mode is such a pooler. A session's settings do not last there, so each
transaction sets them again; no statement is prepared, and no notice is listened for.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import psycopg
from psycopg import IsolationLevel, conninfo, errors

from gateway_contrib.postgres.connections.connecting import (
    POOLED,
    Link,
    options_of,
    session_of,
)
from gateway_contrib.postgres.settings import PostgresSettings

T = TypeVar("T")

_TELL = """SELECT set_config(name, value, true)
    FROM unnest(%b::text[], %b::text[]) told(name, value)"""
_SHUT_OUT = """SELECT current_user FROM pg_catalog.pg_namespace
    WHERE nspname = %s AND NOT pg_catalog.has_schema_privilege(oid, 'USAGE')"""


class PoolableLink(Link):
    """A link to the server, or to a pooler in front of it, for statements that name their rows.

    pooled  whether a pooler was found; each `call` is then one transaction
    """

    def __init__(self, url: str, settings: PostgresSettings, *, limit: float) -> None:
        patience = settings.patience
        super().__init__(options_of(url, settings, patience=patience, by_index=True), limit=limit)
        self._session = session_of(settings, patience=patience, by_index=True)
        self._schema = settings.schema
        self._given = conninfo.conninfo_to_dict(url).get("options") or ""
        self.pooled = False

    def call(self, do: Callable[[psycopg.Connection[Any]], T]) -> T:
        """As with any link. It may turn out here that the link goes through a pooler.

        Raises `psycopg.errors.InsufficientPrivilege` if the role may not use the schema; to such a
        role the server says only that there is no such function.
        """
        try:
            return super().call(partial(self._do, do))
        except errors.UndefinedFunction as error:
            role = super().call(partial(self._do, self._shut_out))
            if role is None:
                raise
            raise errors.InsufficientPrivilege(
                f"role {role} may not send as any instance: SELECT {self._schema}.allow('{role}',"
                f" '<instance>')"
            ) from error

    def _shut_out(self, connection: psycopg.Connection[Any]) -> str | None:
        """The role, if it may not use the schema; None: it may, or there is no such schema."""
        row = connection.execute(_SHUT_OUT, (self._schema,)).fetchone()
        return None if row is None else row[0]

    def _do(
        self, do: Callable[[psycopg.Connection[Any]], T], connection: psycopg.Connection[Any]
    ) -> T:
        if not self.pooled:
            return do(connection)
        with connection.transaction():
            connection.execute(_TELL, [list(self._session), list(self._session.values())])
            return do(connection)

    def _connect(self) -> psycopg.Connection[Any]:
        if not self.pooled:
            try:
                return super()._connect()
            except psycopg.OperationalError as error:
                if POOLED not in str(error):
                    raise
            self.pooled = True
        options = {**self._options, "options": self._given}
        connection = psycopg.connect(**options, autocommit=True, prepare_threshold=None)
        connection.isolation_level = IsolationLevel.READ_COMMITTED
        return connection
