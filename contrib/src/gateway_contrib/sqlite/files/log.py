"""Empties the log beside the database in good time, and refuses the log of another file.

SQLite takes in any log that has the right name. If the file was replaced since (by a backup or a
new file), an old log would destroy it. So the first change in each log is a *seal*: a token that
the file has from then on, together with the token that it had before. The log belongs to the file
if the file, read without the log, has one of the two tokens.
"""

from __future__ import annotations

from contextlib import closing, suppress
from pathlib import Path

import apsw

from gateway_core.outboxes import OutboxError

CHECKPOINT = 4_000
"""Pages in the log after which they are written into the database: 16 MB."""
LONGEST_LOG = 64 << 20
"""Bytes that an emptied log keeps for the next changes; it is longer only while somebody reads."""
HEADER = 32
"""Bytes of an empty log."""

_SEAL = "UPDATE seal SET before = token, token = randomblob(16)"
_ANEW = "UPDATE seal SET before = randomblob(16), token = randomblob(16)"


def log_of(path: Path) -> Path:
    """The log beside the file."""
    return path.with_name(f"{path.name}-wal")


def has_log(path: Path) -> bool:
    """Whether the file has a log that is not empty."""
    try:
        return log_of(path).stat().st_size > HEADER
    except FileNotFoundError:
        return False


def seal_without_log(path: Path) -> bytes | None:
    """The file's seal without its log; None: it has none, or cannot be read without the log.

    No connection of this process may have the file open, since closing this one drops SQLite's
    locks.
    """
    with suppress(apsw.Error), closing(without_log(path)) as connection:
        seal: bytes | None = connection.execute("SELECT token FROM seal").get
        return seal
    return None


def without_log(path: Path) -> apsw.Connection:
    """A connection that reads the file without its log, and takes no lock. It changes nothing.

    No other connection of this process may have the file open, as for `seal_without_log`.
    """
    name = str(path.absolute()).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
    return apsw.Connection(f"file:{name}?immutable=1", flags=flags)


def check_log(connection: apsw.Connection, path: Path, without: bytes | None) -> None:
    """Raises `OutboxError` if the log belongs to another file, and leaves both as they are.

    without  the file's seal without the log; None: it is unknown
    """
    if without is None:
        return
    connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    try:
        seals = connection.execute("SELECT token, before FROM seal").get
    except (apsw.SQLError, apsw.CorruptError, apsw.NotADBError):
        seals = ()
    if seals is None or without not in seals:
        raise foreign(path)
    connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0)


def foreign(path: Path) -> OutboxError:
    """The error about a log that belongs to another file."""
    log = log_of(path)
    return OutboxError(
        f"{log} does not belong to {path}, but to a file that was there before. Put that file "
        f"back, or move {log.name} away and keep it: only it has what was accepted last"
    )


class Log:
    """Empties the log from time to time, and seals each log that is begun."""

    def __init__(self, connection: apsw.Connection, *, begun: bool) -> None:
        self._db = connection
        self._pages = 0
        self._unsealed = not begun
        connection.execute(f"PRAGMA journal_size_limit = {LONGEST_LOG}")
        connection.set_wal_hook(self._grown)

    def _grown(self, connection: apsw.Connection, name: str, pages: int) -> int:
        """Called after each transaction, in place of SQLite's own hook.

        The transaction is committed, so an error here must not look like its failure. A full disk
        may have space in the log and none in the file; the next transaction tries again.
        """
        if pages < self._pages:
            self._unsealed = True
        self._pages = pages
        if pages >= CHECKPOINT:
            with suppress(apsw.Error):
                connection.wal_checkpoint(name, apsw.SQLITE_CHECKPOINT_PASSIVE)
        return apsw.SQLITE_OK

    def seal(self) -> None:
        """Seal a log that was begun since. If it raises `apsw.Error`, the next call tries again."""
        if self._unsealed:
            self._db.execute(_SEAL)
            self._unsealed = False

    def rescue(self) -> None:
        """Write the whole log into the database, since nobody else can read the log any more."""
        self._db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)


def seal_anew(connection: apsw.Connection) -> None:
    """Give a copy a seal of its own, so that no log of the original belongs to it."""
    connection.execute(_ANEW)
