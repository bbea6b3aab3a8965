"""Connections for one thread at a time: a broken one is replaced, and calls have a time limit."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import psycopg
from psycopg import conninfo

from gateway_contrib.postgres.settings import PostgresSettings

T = TypeVar("T")

LATE = 0.5
"""Seconds between two looks for connections that do not answer."""


BY_INDEX = {"enable_seqscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off"}
"""For statements that name their rows: a plan made while a table was small would read all of it."""

MARK, MARKED = "gateway.session", "own"
"""A setting that a session has only if the server began it for one of our connections."""
POOLED = "unsupported startup parameter"
"""What a pooler such as PgBouncer says if it gives each transaction another session."""


def session_of(settings: PostgresSettings, *, patience: float, by_index: bool) -> dict[str, str]:
    """The settings that the server gets for a session, or for a transaction.

    patience  seconds that a statement may take
    by_index  whether its statements name the rows that they are about
    """
    quarter = round(settings.patience * 1000)
    return {
        "search_path": f"{settings.schema},pg_temp",
        "statement_timeout": f"{round(patience * 1000)}",
        # Its error says more than that a statement took long, so it comes first.
        "lock_timeout": f"{round(quarter * 0.8)}",
        "idle_in_transaction_session_timeout": f"{quarter}",
        "jit": "off",
    } | (BY_INDEX if by_index else {})


def options_of(
    url: str, settings: PostgresSettings, *, patience: float, by_index: bool
) -> dict[str, Any]:
    """The arguments for `psycopg.connect`. `patience` and `by_index` as for `session_of`."""
    known = conninfo.conninfo_to_dict(url)
    told = {
        **session_of(settings, patience=patience, by_index=by_index),
        "default_transaction_isolation": "read\\ committed",
        MARK: MARKED,
    }
    added = " ".join(f"-c {name}={value}" for name, value in told.items())
    usual: dict[str, Any] = {
        "target_session_attrs": "read-write",
        "connect_timeout": round(settings.connect_for),
        "application_name": "gateway",
        "client_encoding": "UTF8",
        "keepalives_idle": 5,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": round(settings.patience * 1000) * 2,
    }
    given = known.get("options") or ""
    return {**usual, **known, "options": f"{added} {given}".strip()}


class Link:
    """One connection. One thread at a time uses `call`; any thread may call `sever`.

    Raises `psycopg.OperationalError` if a pooler gives the connection no session of its own.

    limit  seconds that one call may take in all
    """

    def __init__(self, options: dict[str, Any], *, limit: float) -> None:
        self._options = options
        self._limit = limit
        self._guard = threading.Lock()
        self._connection: psycopg.Connection[Any] | None = None
        self._since: float | None = None
        self._closed = False

    @property
    def pid(self) -> int | None:
        """The id of the server's process for the connection; None: there is no connection."""
        connection = self._connection
        return None if connection is None or connection.closed else connection.info.backend_pid

    def call(self, do: Callable[[psycopg.Connection[Any]], T]) -> T:
        """Call `do` with the connection, which is made if there is none. Raises as `do`.

        If the existing connection broke, `do` is called once more with a new one, so `do` must bear
        a repetition after it raised `psycopg.Error`. If a failed `do` leaves a transaction open,
        the connection is closed.
        """
        with self._used():
            known = self._connection
            connection = self._made()
            try:
                return do(connection)
            except psycopg.Error:
                self._tidy(connection)
                if not connection.closed or connection is not known:
                    raise
            except BaseException:
                self._tidy(connection)
                raise
            connection = self._made()
            try:
                return do(connection)
            finally:
                self._tidy(connection)

    @contextmanager
    def _used(self) -> Iterator[None]:
        self._since = time.monotonic()
        try:
            yield
        finally:
            self._since = None

    def _made(self) -> psycopg.Connection[Any]:
        connection = self._connection
        if connection is None or connection.closed:
            connection = self._connect()
            with self._guard:
                self._connection = connection
            if self._closed:
                connection.close()
                raise psycopg.OperationalError("the connection is closed")
        return connection

    def _connect(self) -> psycopg.Connection[Any]:
        connection = psycopg.connect(**self._options, autocommit=True)
        row = connection.execute("SELECT current_setting(%s, true)", (MARK,)).fetchone()
        if row != (MARKED,):
            connection.close()
            raise psycopg.OperationalError(f"{POOLED}s, which somebody has left out")
        return connection

    def _tidy(self, connection: psycopg.Connection[Any]) -> None:
        if not connection.closed and connection.info.transaction_status:
            connection.close()

    def sever(self) -> None:
        """Break the connection, so that a thread that waits for the server gets an error."""
        with self._guard, suppress(psycopg.Error, OSError, ValueError):
            connection = self._connection
            if connection is None or connection.closed:
                return
            with socket.socket(fileno=os.dup(connection.fileno())) as line:
                line.shutdown(socket.SHUT_RDWR)

    def sever_if_late(self) -> bool:
        """Break the connection if a call has passed its limit; returns whether it has."""
        since = self._since
        late = since is not None and time.monotonic() - since > self._limit
        if late:
            self.sever()
        return late

    def close(self) -> None:
        """Close the connection for good."""
        self._closed = True
        with self._guard:
            connection = self._connection
        if connection is not None:
            connection.close()
