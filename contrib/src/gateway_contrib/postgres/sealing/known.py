"""The keys that a schema knows, in a table of it."""

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
    """The keyring of the schema. Raises `OutboxError` where one of its keys is not there.

    owner  makes the first key known to the schema, and so the schema one that no release can use
           which does not know of keys; within a transaction
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
    """Of the keys that the schema names."""
    return [name for (name,) in connection.execute("SELECT id FROM keyring").fetchall()]


def forget_others(connection: Connection, first: str) -> None:
    """Nothing in the schema is sealed with another key any more."""
    connection.execute("DELETE FROM keyring WHERE id <> %s", (first,))
