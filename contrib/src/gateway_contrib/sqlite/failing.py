"""What SQLite and the system say when something fails, in words for people."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw

from gateway_core.outboxes import OUTBOX_FAILED, OUTBOX_UNREADABLE, Event, OutboxError, log_event

WORDS: tuple[tuple[type[Exception], str], ...] = (
    (apsw.FullError, "the disk is full"),
    (apsw.ReadOnlyError, "the file is read-only"),
    (apsw.CantOpenError, "the file cannot be opened"),
    (apsw.PermissionsError, "access is denied"),
    (apsw.BusyError, "the file is locked by another connection"),
    (apsw.LockedError, "the file is locked by another connection"),
    (apsw.NotADBError, "the file is damaged, or no database"),
    (apsw.CorruptError, "the file is damaged"),
    (UnicodeDecodeError, "the file is damaged"),
    (apsw.IOError, "reading or writing failed"),
)


BUSY = 5_000
"""Milliseconds that a connection waits for another's transaction."""

DAMAGE = (apsw.CorruptError, apsw.NotADBError, UnicodeDecodeError)


def words(error: Exception) -> str:
    """What it means."""
    for kind, text in WORDS:
        if isinstance(error, kind):
            return f"{text} ({error})"
    return f"{type(error).__name__}: {error}"


@contextmanager
def typed(what: str) -> Iterator[None]:
    """What SQLite or the system raises becomes an `OutboxError`."""
    try:
        yield
    except (apsw.Error, OSError, UnicodeDecodeError) as error:
        raise OutboxError(f"{what}: {words(error)}") from error


@contextmanager
def logged(event: Event) -> Iterator[None]:
    """What SQLite or the system raises is logged, where nobody could do anything about it."""
    try:
        yield
    except (apsw.Error, OSError, UnicodeDecodeError, OutboxError) as error:
        log_event(event, error=words(error))


class Damage:
    """Whether the file may take more in: not once it is damaged, nor when it was taken away."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: tuple[int, int] | None = None
        self._why = ""

    def check(self) -> None:
        """Raises `OutboxError` where it may not."""
        if self._why:
            raise OutboxError(f"the outbox takes no more: {self._why}")

    def opened(self) -> None:
        """The file that is there now is the one in use."""
        self._file = _identity(self._path)

    def look(self) -> None:
        """See that it is still there."""
        if not self._why and _identity(self._path) != self._file:
            self._why = f"{self._path} was taken away while it was in use"
            log_event(OUTBOX_FAILED, error=self._why)

    @contextmanager
    def typed(self, what: str) -> Iterator[None]:
        """As the function; damage is remembered."""
        try:
            with typed(what):
                yield
        except OutboxError as error:
            if isinstance(error.__cause__, DAMAGE):
                self._why = str(error)
            raise


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file is there; None: none is."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def unreadable(envelope_id: str, error: Exception) -> None:
    """A row that this release cannot read stays where it is."""
    log_event(OUTBOX_UNREADABLE, envelope=envelope_id, error=str(error))
