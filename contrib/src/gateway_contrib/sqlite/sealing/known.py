"""Reads and writes which keys a file knows, in a table of the file."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import apsw

from gateway_contrib.durable.sealing.keyring import Keyring
from gateway_contrib.durable.sealing.known import keyring_of
from gateway_contrib.sqlite.schema import SEALED_FROM

if TYPE_CHECKING:  # its library is an extra
    from gateway_contrib.durable.sealing.ciphers import Key


def keyring_at(
    connection: apsw.Connection, keys: Sequence[Key], path: Path, *, owner: bool
) -> Keyring:
    """The file's keyring. Raises `OutboxError` if one of the file's keys is not among `keys`.

    owner  whether to make the first key known to the file; a release that knows no keys then cannot
           use the file any more
    """
    rows: list[tuple[str, str]] = connection.execute("SELECT id, secret FROM keyring").fetchall()  # type: ignore[assignment]  # as the table has them
    return keyring_of(
        dict(rows),
        keys,
        path,
        introduce=partial(_introduce, connection) if owner else None,
        ids=lambda: _ids(connection),
    )


def _introduce(connection: apsw.Connection, name: str, sealed: str) -> None:
    with connection:
        connection.execute("UPDATE format SET oldest = max(oldest, ?)", (SEALED_FROM,))
        connection.execute("INSERT INTO keyring (id, secret) VALUES (?, ?)", (name, sealed))


def _ids(connection: apsw.Connection) -> list[str]:
    return [name for (name,) in connection.execute("SELECT id FROM keyring")]


def forget_others(connection: apsw.Connection, first: str) -> None:
    """Forget all keys but the first, since nothing is sealed with the others any more."""
    connection.execute("DELETE FROM keyring WHERE id <> ?", (first,))
