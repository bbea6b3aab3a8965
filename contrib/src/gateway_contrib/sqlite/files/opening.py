"""Opens the file for its owner, makes it if there is none, or says why it cannot be used."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import apsw

from gateway_contrib.sqlite.failing import BUSY, failed, typed
from gateway_contrib.sqlite.files.log import (
    check_log,
    has_log,
    log_of,
    seal_without_log,
    without_log,
)
from gateway_contrib.sqlite.files.ownership import Ownership
from gateway_contrib.sqlite.schema import APPLICATION_ID, check_beside, check_kind, number, prepare
from gateway_core.outboxes import OutboxError

_BESIDE = ("-wal", "-shm", ".owner", ".bytes")
"""Endings of the names of files that belong to the database file."""
_DENIED = (apsw.CantOpenError, apsw.ReadOnlyError, apsw.PermissionsError, PermissionError)
_MADE = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE


def check_place(path: Path) -> None:
    """Raises `OSError` or `OutboxError` if no outbox can be at the path. Changes nothing."""
    folder = path.parent.stat()  # raises an error that says why it is not there
    if not stat.S_ISDIR(folder.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    try:
        found = path.stat()
    except FileNotFoundError:
        if has_log(path):
            raise OutboxError(
                f"{path} does not exist, but {log_of(path)} does, and has what was accepted last. "
                f"Put the file back beside it, or move {log_of(path).name} away and keep it"
            ) from None
        _check_rights(path, {path.parent: "its folder cannot be written to by"})
        return
    if not stat.S_ISREG(found.st_mode):
        raise OutboxError(f"outbox {path} cannot be opened: it is not a regular file")
    if found.st_nlink > 1:
        raise OutboxError(
            f"outbox {path} cannot be opened: the file has {found.st_nlink} names (hard links), "
            "and each would get a log of its own; remove the others (find -samefile)"
        )
    if found.st_size == 0:
        raise OutboxError(
            f"outbox {path} is an empty file: put the outbox back, or remove the file to begin anew"
        )
    beside = (path.with_name(path.name + part) for part in _BESIDE)
    _check_rights(path, {
        path: "the file is read-only for",
        path.parent: "its folder, where its log stands, cannot be written to by",
        **{each: "what belongs to it is read-only for" for each in beside if each.exists()},
    })  # fmt: skip


def check_file(path: Path) -> None:
    """Raises an error if the file there is no outbox that this release opens. Changes nothing.

    No connection of this process may have the file open.
    """
    if path.exists():
        with closing(without_log(path.resolve())) as connection:
            _telling_path(check_kind, connection, path)


def _check_rights(path: Path, wanted: Mapping[Path, str]) -> None:
    """Raises `OutboxError` or `OSError` unless this process may read and write all that is wanted.

    wanted  what each file means for the outbox if this process may not
    """
    lacking = [f"{else_} {_whose(what)}" for what, else_ in wanted.items() if not _may(what)]
    if lacking:
        raise OutboxError(f"outbox {path} cannot be opened: {'; '.join(lacking)}")


def _may(what: Path) -> bool:
    """Whether this process may read and write the file. Raises `OSError`: nobody may."""
    how = os.R_OK | os.W_OK | (os.X_OK if what.is_dir() else 0)
    if os.access(what, how, effective_ids=os.access in os.supports_effective_ids):
        return True
    if os.statvfs(what).f_flag & os.ST_RDONLY:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))
    return False


def _whose(what: Path) -> str:
    found = what.stat()
    return (
        f"user {os.geteuid()} ({what} is of user {found.st_uid},"
        f" mode {stat.filemode(found.st_mode)})"
    )


@contextmanager
def _examined(path: Path) -> Iterator[None]:
    """As `typed`; if a right may be missing, the error says which, as at a gateway's start."""
    with typed("cannot be opened", path):
        try:
            yield
        except (*_DENIED, OutboxError) as error:
            if isinstance(error.__cause__ or error, _DENIED):
                check_place(path)
            raise


def connect_beside(path: Path) -> apsw.Connection:
    """Open the file beside its owner, if it has one. Raises `OutboxError` if it is no outbox."""
    with _examined(path):
        if not path.exists():
            makes = "start a gateway, which makes it"
            if not path.parent.exists():
                makes = "make its folder, and start a gateway"
            raise OutboxError(f"there is no outbox at {path}: correct the path, or {makes}")
        path = path.resolve()
        owned = Ownership(path).present() is not None
        without = seal_without_log(path) if has_log(path) and not owned else None
        with _opened(path, apsw.SQLITE_OPEN_READWRITE) as connection:
            connection.set_busy_timeout(BUSY)
            check_log(connection, path, without)
            if number(connection, "PRAGMA application_id") != APPLICATION_ID:
                raise OutboxError(f"{path} is not an outbox of this gateway")
            check_beside(connection)
    return connection


def connect(path: Path, *, synchronous: str) -> apsw.Connection:
    """Open the existing file for its owner. Raises `OutboxError` if it cannot be opened."""
    without = seal_without_log(path) if has_log(path) else None
    with _opened(path) as connection:
        connection.set_busy_timeout(BUSY)
        check_log(connection, path, without)
        if connection.readonly("main"):
            raise OutboxError(f"outbox {path} cannot be opened: the file is read-only")
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        connection.execute("PRAGMA secure_delete = ON")  # what an erasure removes leaves no trace
        _log_ahead(connection, path)
        _telling_path(prepare, connection, path)
    return connection


@contextmanager
def _opened(path: Path, flags: int = _MADE) -> Iterator[apsw.Connection]:
    """A connection, which is closed if something fails; the error then says the cause."""
    connection = apsw.Connection(str(path), flags=flags)
    try:
        yield connection
    except (apsw.Error, OSError, UnicodeDecodeError) as error:
        told = failed("cannot be opened", error, path, connection)
        connection.close()
        raise told from error
    except BaseException:
        connection.close()
        raise


def make(path: Path) -> None:
    """Make the file, readable for its user alone, and under another name at first.

    So a kill or a full disk meanwhile leaves no file that looks like a damaged outbox.
    """
    new = path.with_name(f"{path.name}.new")
    for left in (new, new.with_name(f"{new.name}-journal")):
        left.unlink(missing_ok=True)
    os.close(os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        with _opened(new) as connection:
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            prepare(connection)
        connection.close()
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


def _log_ahead(connection: apsw.Connection, path: Path) -> None:
    mode = connection.execute("PRAGMA journal_mode = WAL").get
    if mode != "wal":
        raise OutboxError(
            f"outbox {path}: its file system allows no write-ahead log ({mode}); put the file on a"
            " local disk"
        )


def _telling_path(
    check: Callable[[apsw.Connection], None], connection: apsw.Connection, path: Path
) -> None:
    try:
        check(connection)
    except OutboxError as error:
        raise OutboxError(f"outbox {path} cannot be opened: {error}") from None
