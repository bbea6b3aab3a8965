"""Seals everything anew while no gateway has the outbox open, as its owner for that time.

The file is then rewritten without the old contents in unused parts of its pages.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import apsw

from gateway_contrib.durable.sealing.known import keys_in
from gateway_contrib.sqlite.beside.byte_files import Folder
from gateway_contrib.sqlite.failing import typed
from gateway_contrib.sqlite.files.log import Log, has_log
from gateway_contrib.sqlite.files.opening import connect
from gateway_contrib.sqlite.files.ownership import Ownership, refusal
from gateway_contrib.sqlite.sealing.anew import Resealing
from gateway_contrib.sqlite.sealing.known import keyring_at
from gateway_core import Secret
from gateway_core.outboxes import OutboxError


def reseal_alone(path: Path, secrets: Sequence[Secret]) -> str:
    """Seal everything anew; returns what was done, in words.

    Raises `OutboxError` if that fails, or if a gateway has the file open.
    """
    path = path.resolve()
    ownership = Ownership(path)
    with typed("cannot be sealed anew", path):
        owner = ownership.take()
        if owner is not None:
            raise refusal(path, owner)
        try:
            return _resealed(path, secrets)
        finally:
            ownership.give_back()


def _resealed(path: Path, secrets: Sequence[Secret]) -> str:
    keys, begun = keys_in(secrets), has_log(path)
    with closing(connect(path, synchronous="FULL")) as connection:
        log = Log(connection, begun=begun)
        log.seal()
        # Files that were not completed may hold old contents, or contents that were to be sealed.
        digests = connection.execute("SELECT digest FROM bytes").fetchall
        Folder(path).tidy(lambda: {str(digest) for (digest,) in digests()})
        resealing = Resealing(connection, keyring_at(connection, keys, path, owner=True))
        while resealing.step():
            log.seal()
        connection.execute("VACUUM")  # pages keep old copies of rows that were moved within them
        log.seal()
        try:
            connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        except apsw.BusyError:
            left = (
                f"another program reads {path}-wal, which still has the old contents; ask again"
                " later"
            )
            raise OutboxError(f"{resealing.told}; but {left}") from None
        return resealing.told
