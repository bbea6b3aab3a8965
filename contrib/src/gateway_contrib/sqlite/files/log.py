"""The log beside the database: emptied in good time, and never taken for that of another file.

SQLite takes in whatever log has the right name: beside a file that was put there since (a backup,
a new one) an old log makes a wreck of it. So the first change in each log is a *seal*: a word that
the file has from then on, with the word that it had before. A log is the file's own if the file,
read without the log, has one of the two.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import apsw

from gateway_core.outboxes import OutboxError

CHECKPOINT = 4_000
"""Pages of the log after which they are written to where they belong: 16 MB."""
LONGEST_LOG = 64 << 20
"""Bytes of the log that are kept for the next changes: it is longer only while somebody reads."""
HEADER = 32
"""Bytes of a log in which nothing is."""

_SEAL = "UPDATE seal SET before = token, token = randomblob(16)"
_ANEW = "UPDATE seal SET before = randomblob(16), token = randomblob(16)"


def log_of(path: Path) -> Path:
    """The log beside the file."""
    return path.with_name(f"{path.name}-wal")


def has_log(path: Path) -> bool:
    """Whether the file has a log in which something is."""
    try:
        return log_of(path).stat().st_size > HEADER
    except FileNotFoundError:
        return False


def seal_without_log(path: Path) -> bytes | None:
    """The file's seal as it is without its log; None: it has none, or cannot be read so.

    No connection of this process has it open: closing this one drops SQLite's own locks.
    """
    name = str(path.absolute()).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
    with suppress(apsw.Error):
        connection = apsw.Connection(f"file:{name}?immutable=1", flags=flags)
        try:
            seal: bytes | None = connection.execute("SELECT token FROM seal").get
        finally:
            connection.close()
        return seal
    return None


def check_log(connection: apsw.Connection, path: Path, without: bytes | None) -> None:
    """Raises `OutboxError` for a log of another file, and leaves both as they are.

    without  the file's seal as it is without the log; None: nobody can tell
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
    """What is said of a log of another file."""
    log = log_of(path)
    return OutboxError(
        f"{log} does not belong to {path}, but to a file that was there before. Put that file "
        f"back, or move {log.name} away and keep it: only it has what was accepted last"
    )


class Log:
    """Empties the log from time to time, and seals each that is begun."""

    def __init__(self, connection: apsw.Connection, *, begun: bool) -> None:
        self._db = connection
        self._pages = 0
        self._unsealed = not begun
        connection.execute(f"PRAGMA journal_size_limit = {LONGEST_LOG}")
        connection.set_wal_hook(self._grown)

    def _grown(self, connection: apsw.Connection, name: str, pages: int) -> int:
        """After each transaction, as SQLite's own hook, which this one replaces.

        That one is committed: what fails here must not look like a failure of it. A full disk may
        have room in the log and none in the file; the next transaction's turn comes.
        """
        if pages < self._pages:
            self._unsealed = True
        self._pages = pages
        if pages >= CHECKPOINT:
            with suppress(apsw.Error):
                connection.wal_checkpoint(name, apsw.SQLITE_CHECKPOINT_PASSIVE)
        return apsw.SQLITE_OK

    def seal(self) -> None:
        """Seal a log that was begun since. Raises `apsw.Error`: then it is tried again."""
        if self._unsealed:
            self._db.execute(_SEAL)
            self._unsealed = False

    def rescue(self) -> None:
        """Write all of it to where it belongs: nobody else can read it any more."""
        self._db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)


def seal_anew(connection: apsw.Connection) -> None:
    """Make a copy a file of its own: no log of the other one belongs to it."""
    connection.execute(_ANEW)
