"""Says errors of SQLite and of the operating system in words for people."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import apsw

from gateway_core.outboxes import Event, OutboxError, log_event

FULL = "the disk is full; make room on it"
NO_INODES = "the file system has no free inodes; delete files on it"
WORDS: tuple[tuple[type[Exception], str], ...] = (
    (apsw.FullError, FULL),
    (apsw.ReadOnlyError, "the file is read-only"),
    (apsw.CantOpenError, "the file cannot be opened"),
    (apsw.PermissionsError, "access is denied"),
    (apsw.BusyError, "the file is locked by another connection"),
    (apsw.LockedError, "the file is locked by another connection"),
    (apsw.NotADBError, "the file is damaged, or not a database"),
    (apsw.CorruptError, "the file is damaged"),
    (UnicodeDecodeError, "the file is damaged"),
    (apsw.IOError, "reading or writing failed"),
)
SYSTEM: Mapping[int, str] = {
    errno.ENOENT: "its folder is not there; make it, or correct the path",
    errno.ENOTDIR: "what should be its folder is a file; correct the path",
    errno.EACCES: "this user lacks the permission; see who owns the file and its folder",
    errno.EPERM: "this user lacks the permission; see who owns the file and its folder",
    errno.EROFS: "its file system is read-only",
    errno.ENOSPC: FULL,
    errno.EDQUOT: "this user's quota of the disk is used up; make room on it",
    errno.EFBIG: "the file is larger than this process may write; raise its limit (ulimit -f)",
    errno.EMFILE: "this process has too many files open; raise its limit (ulimit -n)",
    errno.EIO: "the disk is failing; look at the system's log",
}
_NO_WORDS = "not an error"
"""SQLite's text for a failure whose real words are at another connection than the asked one."""
LEAST = 64 << 10
"""Free bytes that a disk must have to count as not full; the log's index takes half of them."""

BUSY = 5_000
"""Milliseconds that a connection waits for another's transaction."""

DAMAGE = (apsw.CorruptError, apsw.NotADBError, UnicodeDecodeError)


def words(
    error: Exception, path: Path | None = None, connection: apsw.Connection | None = None
) -> str:
    """What the error means; for some failures, SQLite or the system also knows the cause.

    path        the file in which it happened
    connection  the connection that raised it
    """
    if isinstance(error, apsw.SQLError) and isinstance(error.__context__, apsw.Error):
        error = error.__context__  # SQLite itself rolled back, so apsw had nothing to roll back
    if isinstance(error, OSError) and error.errno is not None and error.errno in SYSTEM:
        return f"{_cause(error.errno, path)} ({error.strerror})"
    if isinstance(error, apsw.IOError | apsw.CantOpenError):
        cause = connection.system_errno if connection is not None else 0
        if cause in SYSTEM and cause != errno.ENOENT:
            return f"{_cause(cause, path)} ({error}: {os.strerror(cause)})"
        if lacking := _lacking(path):
            return f"{lacking} ({error})"
    for kind, text in WORDS:
        if isinstance(error, kind):
            return text if str(error) == _NO_WORDS else f"{text} ({error})"
    return f"{type(error).__name__}: {error}"


def _cause(cause: int, path: Path | None) -> str:
    """The words for the system's error; for it, a file system without inodes is full as well."""
    return (_lacking(path) if cause == errno.ENOSPC else "") or SYSTEM[cause]


def _lacking(path: Path | None) -> str:
    """What the file's disk has none of, in words; empty: nothing, or that is not known."""
    try:
        disk = os.statvfs(path.parent) if path is not None else None
    except OSError:
        disk = None
    if disk is None:
        return ""
    if disk.f_bavail * disk.f_frsize < LEAST:
        return FULL
    return NO_INODES if disk.f_files and not disk.f_favail else ""


def failed(
    what: str, error: Exception, path: Path, connection: apsw.Connection | None = None
) -> OutboxError:
    """The error that callers get.

    what  what failed, in words that follow the path: "cannot be opened"
    """
    return OutboxError(f"outbox {path} {what}: {words(error, path, connection)}")


@contextmanager
def typed(
    what: str, path: Path | None = None, connection: apsw.Connection | None = None
) -> Iterator[None]:
    """Turn errors of SQLite or the system into an `OutboxError`.

    what  what failed, in words that follow the path, if there is one
    """
    try:
        yield
    except (apsw.Error, OSError, UnicodeDecodeError) as error:
        if path is None:
            raise OutboxError(f"{what}: {words(error)}") from error
        raise failed(what, error, path, connection) from error


@contextmanager
def logged(event: Event, fails: Callable[[str], int | None] | None = None) -> Iterator[None]:
    """Log errors of SQLite or the system if no caller could do anything about them.

    fails  gets the error's words; returns how often it has failed so, or None: it is not logged
    """
    try:
        yield
    except (apsw.Error, OSError, UnicodeDecodeError, OutboxError) as error:
        text = words(error) if not isinstance(error, OutboxError) else str(error)
        if fails is None:
            log_event(event, error=text)
        elif times := fails(text):
            log_event(event, error=text, times=times)
