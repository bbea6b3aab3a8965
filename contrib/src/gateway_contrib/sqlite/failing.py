"""What SQLite and the system say when something fails, in words for people."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import apsw

from gateway_core import OutboxError
from gateway_core.telemetry import OUTBOX_UNREADABLE, Event, tell

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


DAMAGE = (apsw.CorruptError, apsw.NotADBError, UnicodeDecodeError)


def damaged(error: OutboxError) -> bool:
    """Whether it tells of a damaged file."""
    return isinstance(error.__cause__, DAMAGE)


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
        tell(event, error=words(error))


def unreadable(envelope_id: str, error: Exception) -> None:
    """A row that this release cannot read stays where it is."""
    tell(OUTBOX_UNREADABLE, envelope=envelope_id, error=str(error))
