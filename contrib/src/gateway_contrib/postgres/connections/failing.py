"""Says errors of the server and its driver in words for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import psycopg
from psycopg import conninfo

from gateway_contrib.postgres.connections.connecting import POOLED
from gateway_core.outboxes import OutboxError, OutboxForbidden

FENCED, COMMITTED = "GW001", "GW002"
"""SQLSTATEs of `begin_batch`: another member is the owner; the transaction is committed already."""
NOT_COMMON = "GW004"
"""SQLSTATE of `begin_share`: another member does the work that is common to all accounts."""
ANOTHER_KEY = "GW003"
"""SQLSTATE of handing over: the outbox now expects another key to seal with."""
FORBIDDEN = "42501"
"""SQLSTATE: the role lacks a privilege."""
_WORDS: Mapping[str, str] = {
    "25006": "the server is read-only",
    POOLED: "the address is that of a pooler, and this needs sessions of its own: give the address"
    " of the server itself (only a process with serve=False can use the pooler)",
    "28000": "the role may not log in",
    "28P01": "the password is wrong, or the role does not exist",
    "3D000": "the database does not exist; create it",
    "3F000": "the schema does not exist",
    FORBIDDEN: "the role lacks a privilege; grant it",
    "53100": "the server's disk is full; make room on it",
    "53200": "the server is out of memory",
    "53300": "the server has too many connections; raise max_connections or close some",
    "55P03": "another transaction held a lock for too long",
    "57014": "the server took too long, or somebody cancelled the statement",
    "57P01": "the server closed the connection: it is shutting down, or an administrator ended it",
    "57P02": "the server crashed",
    "57P03": "the server is starting up or shutting down",
    "57P05": "the server closed the connection: it was idle",
    "25P03": "the server closed the connection: a transaction was idle",
    "40001": "another transaction got in the way",
    "40P01": "another transaction got in the way",
}
_OF_ITS_ROW = ("21", "22", "23", "54")
"""Classes of SQLSTATEs that are about the written rows, not about the server."""
_SAID = {
    "password authentication failed": "28P01", "read-only": "25006", "FATAL: database": "3D000",
    "FATAL: role": "28000", POOLED: POOLED,
}  # fmt: skip
"""If a connection cannot be opened, the driver has only the server's words, no SQLSTATE."""


class Place:
    """Where the database is, in a text without the password.

    url  the URL of the connection
    """

    def __init__(self, url: str, schema: str) -> None:
        known = conninfo.conninfo_to_dict(url)
        self._secrets = [
            str(known[name]) for name in ("password", "sslpassword") if known.get(name)
        ]
        hosts = []
        for host in str(known.get("host") or "localhost").split(","):
            rest, _, name = ("", "", host) if host.startswith(("/", "@")) else host.rpartition("@")
            hosts.append(name)
            self._secrets += [rest] if rest else []  # of a password with an @
        ports = str(known.get("port") or "").split(",")
        ports = ports * len(hosts) if len(ports) == 1 else ports  # one is for all hosts
        pairs = zip(hosts, ports, strict=False)
        where = ",".join(f"{host}:{port}" if port else host for host, port in pairs)
        self.text = f"postgresql://{where}/{known.get('dbname') or known.get('user') or ''}"
        if schema != "gateway":
            self.text += f" (schema {schema})"

    def __str__(self) -> str:
        return self.text

    def failed(self, what: str, error: BaseException) -> OutboxError:
        """The error that callers get.

        what  what failed, in words that follow the place: "cannot be opened"
        """
        forbidden = getattr(error, "sqlstate", None) == FORBIDDEN
        kind = OutboxForbidden if forbidden else OutboxError
        return kind(f"outbox {self} {what}: {self.words(error)}")

    def words(self, error: BaseException) -> str:
        """What the error means, and the server's own words, in one line."""
        said = " ".join(str(error).split()) or type(error).__name__
        for secret in self._secrets:
            said = said.replace(secret, "***")
        state = getattr(error, "sqlstate", None)
        for part, meant in _SAID.items():
            if state is None and part in said:
                state = meant
        text = _WORDS.get(state or "")
        return f"{text} ({said})" if text else said


def is_of_its_row(error: psycopg.Error) -> bool:
    """Whether the database refuses the written row, and would refuse it again each time."""
    return (error.sqlstate or "")[:2] in _OF_ITS_ROW


@contextmanager
def typed(place: Place, what: str) -> Iterator[None]:
    """Turn the driver's errors into an `OutboxError`."""
    try:
        yield
    except (psycopg.Error, OSError) as error:
        raise place.failed(what, error) from error
