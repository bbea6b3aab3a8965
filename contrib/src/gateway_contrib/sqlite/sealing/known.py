"""Which keys a file knows: told at its opening, and never row by row."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import apsw

from gateway_contrib.sqlite.schema import SEALED_FROM
from gateway_contrib.sqlite.sealing.keyring import Keyring
from gateway_core import Secret
from gateway_core.outboxes import OutboxError

if TYPE_CHECKING:  # its library is an extra
    from gateway_contrib.sqlite.sealing.ciphers import Key


def keys_in(secrets: Sequence[Secret]) -> tuple[Key, ...]:
    """The keys. Raises `ValueError` for what is none, and ModuleNotFoundError without the extra."""
    if not secrets:
        return ()
    from gateway_contrib.sqlite.sealing.ciphers import keys_of  # noqa: PLC0415 - an extra

    return keys_of(secrets)


def keyring_at(
    connection: apsw.Connection, keys: Sequence[Key], path: Path, *, owner: bool
) -> Keyring:
    """The keyring of the file. Raises `OutboxError` where one of its keys is not there.

    owner  makes the first key known to the file, and so the file one that no earlier release can
           use; who looks at it seals with what its owner can open, and may meet keys that the owner
           was given since
    """
    rows: list[tuple[str, str]] = connection.execute("SELECT id, secret FROM keyring").fetchall()  # type: ignore[assignment]  # as the table has them
    known = dict(rows)
    given = {key.id: key for key in keys}
    lacking = [name for name in known if name not in given]
    if lacking:
        raise OutboxError(f"outbox {path} cannot be opened: {_told(lacking, given)}")
    secret = b""
    for name, sealed in known.items():
        secret = _secret_in(given[name], sealed, path)
    if owner and keys and keys[0].id not in known:
        secret = secret or secrets.token_bytes(32)
        _introduce(connection, keys[0], secret)
        known[keys[0].id] = ""
    if owner:
        return Keyring(keys, secret)
    usable = [key for key in keys if key.id in known]
    return Keyring(usable, secret, lambda: _ids(connection))


def _told(lacking: Iterable[str], given: Iterable[str]) -> str:
    """What is missing, and what to do."""
    names = ", ".join(lacking)
    others = ", ".join(given)
    if not others:
        return f"its texts are sealed with key {names}: give it in outbox.keys"
    return (
        f"its texts are sealed with key {names}, which is none of those in outbox.keys ({others}): "
        "add it there, after the one that shall seal, until `gateway outbox reseal` has sealed "
        "everything anew"
    )


def _secret_in(key: Key, sealed: str, path: Path) -> bytes:
    from gateway_contrib.sqlite.sealing.ciphers import Damaged  # noqa: PLC0415 - an extra

    try:
        return key.open(sealed, _place(key.id))
    except Damaged:
        told = f"it is damaged: what it says of key {key.id} was changed"
        raise OutboxError(f"outbox {path} cannot be opened: {told}") from None


def _place(name: str) -> bytes:
    return f"keyring:{name}".encode()


def _introduce(connection: apsw.Connection, key: Key, secret: bytes) -> None:
    with connection:
        connection.execute("UPDATE format SET oldest = max(oldest, ?)", (SEALED_FROM,))
        sealed = key.seal(secret, _place(key.id))
        connection.execute("INSERT INTO keyring (id, secret) VALUES (?, ?)", (key.id, sealed))


def _ids(connection: apsw.Connection) -> list[str]:
    return [name for (name,) in connection.execute("SELECT id FROM keyring")]


def forget_others(connection: apsw.Connection, first: str) -> None:
    """Nothing in the file is sealed with another key any more."""
    connection.execute("DELETE FROM keyring WHERE id <> ?", (first,))
