"""Chooses the key of a process that hands over, so that the outbox's owner can open its rows."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeAlias

import psycopg
from psycopg import errors

from gateway_contrib.durable.sealing.keyring import Keyring
from gateway_contrib.durable.sealing.known import handing_keyring, keyring_of
from gateway_contrib.postgres.sealing.known import SEALED_FROM, ids, keyring_at
from gateway_core.outboxes import OutboxError

if TYPE_CHECKING:  # its library is an extra
    from gateway_contrib.durable.sealing.ciphers import Key

Connection: TypeAlias = psycopg.Connection[Any]


class HandingKeys:
    """The keys of a process that hands over; it seals with a key that the owner has as well.

    ids  the ids of its keys, in the order in which they are preferred for sealing
    """

    def __init__(self, keys: Sequence[Key], place: object) -> None:
        self._keys = keys
        self._place = place
        self.ids = [key.id for key in keys]
        self._keyring = Keyring()

    def begin(self, connection: Connection) -> None:
        """Look which keys the schema knows. Raises `OutboxError` if this process lacks one of them.

        Raises it as well if the schema knows none yet, since an owner without keys could not open
        sealed rows. A schema that nobody has owned yet gets the first key here, if this role may
        write it.
        """
        known, oldest = self._look(connection)
        if self._keys and not known:
            with suppress(errors.InsufficientPrivilege):
                _seal_what_is_new(connection, self._keys, self._place)
            known, oldest = self._look(connection)
        keyring_of(known, self._keys, self._place, introduce=None, ids=tuple)
        if self._keys and (not known or oldest < SEALED_FROM):
            raise OutboxError(
                f"outbox {self._place} cannot be opened: the process that owns it does not have "
                f"key {self.ids[0]} yet: add the key to its outbox.keys first"
            )
        self._keyring = handing_keyring(known, self._keys, self._place)

    def look_again(self, connection: Connection) -> None:
        """Look again which keys the schema knows. Raises `OutboxError` if it knows none of them."""
        self._keyring = handing_keyring(self._look(connection)[0], self._keys, self._place)

    def keyring(self, connection: Connection) -> Keyring:
        """The keyring that seals now, and that opens what is read on this connection."""
        return self._keyring.knowing(lambda: self._look(connection)[0])

    def _look(self, connection: Connection) -> tuple[dict[str, str], int]:
        found = dict(connection.execute("SELECT id, secret FROM sealed_with()").fetchall())
        ((oldest,),) = connection.execute("SELECT oldest FROM release()").fetchall()
        return found, oldest


def _seal_what_is_new(connection: Connection, keys: Sequence[Key], place: object) -> None:
    """Give a schema without an owner the first key, so that its first owner needs that key."""
    sql = "SELECT 1 FROM accounts WHERE account = '' AND epoch = 0 FOR UPDATE"
    with connection.transaction():
        if connection.execute(sql).fetchone() and not ids(connection):
            keyring_at(connection, keys, place, owner=True)
