"""Reads and writes which keys a schema knows, in a table of the schema."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import psycopg

from gateway_contrib.durable.sealing.keyring import Keyring
from gateway_contrib.durable.sealing.known import keyring_of

if TYPE_CHECKING:  # its library is an extra
    from gateway_contrib.durable.sealing.ciphers import Key

Connection: TypeAlias = psycopg.Connection[Any]

_OLDEST = "UPDATE format SET oldest = %(oldest)s WHERE oldest < %(oldest)s"

SEALED_FROM = 7
"""The first version of the schema whose releases can open all that is sealed."""


def keyring_at(
    connection: Connection, keys: Sequence[Key], place: object, *, owner: bool
) -> Keyring:
    """The schema's keyring. Raises `OutboxError` if one of the schema's keys is not among `keys`.

    owner  whether to make the first key known to the schema; a release that knows no keys then
           cannot use the schema any more. Call it in a transaction
    """
    if owner and keys:
        connection.execute(_OLDEST, {"oldest": SEALED_FROM})
    rows = connection.execute("SELECT id, secret FROM keyring").fetchall()
    return keyring_of(
        dict(rows),
        keys,
        place,
        introduce=partial(_introduce, connection) if owner else None,
        ids=partial(ids, connection),
    )


def _introduce(connection: Connection, name: str, sealed: str) -> None:
    connection.execute("INSERT INTO keyring (id, secret) VALUES (%s, %s)", (name, sealed))


def ids(connection: Connection) -> list[str]:
    """The ids of the keys that the schema knows."""
    return [name for (name,) in connection.execute("SELECT id FROM keyring").fetchall()]


def forget_others(connection: Connection, first: str) -> None:
    """Forget all keys but the first, since nothing is sealed with the others any more."""
    connection.execute("DELETE FROM keyring WHERE id <> %s", (first,))
