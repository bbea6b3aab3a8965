"""Allows one owner at a time, by a lock that the system releases when its process dies in any way.

A file beside the database is locked, and names the owner, for processes that are refused. If the
system keeps its two kinds of locks apart (as Linux does), the database itself is locked as well,
since somebody may delete the other file.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import sys
from pathlib import Path
from weakref import WeakSet

import attrs

from gateway_contrib.sqlite.files.presence import identity
from gateway_core.outboxes import OutboxError

_BOTH = sys.platform == "linux"
"""Whether a lock on the database does not conflict with SQLite's own locks."""
_LOCKS = Path("/proc/locks")


@attrs.frozen
class Owner:
    """The process that has the outbox open; `pid` 0: it is not known which."""

    pid: int
    host: str = attrs.field(factory=socket.gethostname)

    def __str__(self) -> str:
        if not self.pid:
            return "another process"
        return f"process {self.pid} on {self.host}{'' if self._lives() else _ENDED}"

    @property
    def is_this_process(self) -> bool:
        """Whether the owner is the process that asks."""
        return (self.pid, self.host) == (os.getpid(), socket.gethostname())

    def _lives(self) -> bool:
        if self.host != socket.gethostname():
            return True
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except OSError:
            pass
        return True


_ENDED = " (it has ended, but a process that it started still has the file open)"


class Ownership:
    """The right to write to the outbox at `path`, under any name of the file."""

    def __init__(self, path: Path) -> None:
        path = self._path = path.resolve()
        self._file = path.with_name(path.name + ".owner")
        self._handle: int | None = None
        self._database: tuple[int, tuple[int, int]] | None = None
        _ALL.add(self)

    def take(self) -> Owner | None:
        """Become the owner; returns the current owner if there is one already.

        Raises `OSError` if the file that names the owner cannot be made.
        """
        handle = _locked(self._file, os.O_RDWR | os.O_CREAT)
        if isinstance(handle, Owner):
            return handle
        self._handle = handle
        try:
            owner = self.lock() if self._path.exists() else None
            if owner is None:
                _name(handle)
        except OSError:
            self.give_back()
            raise
        if owner is not None:
            self.give_back()
        return owner

    def lock(self) -> Owner | None:
        """Lock the existing database; returns the owner if another one has locked it.

        No connection of this process may have it open, since closing this handle drops SQLite's
        locks.
        """
        if not _BOTH or self._database is not None:
            return None
        which = identity(self._path)
        if which is None or any(which == other.locked for other in _ALL):
            return None if which is None else Owner(os.getpid())
        handle = _locked(self._path, os.O_RDONLY)
        if isinstance(handle, Owner):
            return Owner(_locker(which[1]))
        self._database = (handle, which)
        return None

    @property
    def locked(self) -> tuple[int, int] | None:
        """The identity of the file that is locked as the database; None: none is."""
        return self._database[1] if self._database is not None else None

    def present(self) -> Owner | None:
        """The current owner, if there is one; this does not take the ownership."""
        try:
            handle = os.open(self._file, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _read(handle)
        finally:
            os.close(handle)
        return None

    def renew(self) -> bool:
        """Make the file that names the owner again if it is gone; returns whether it was."""
        if self._handle is None or identity(self._file) == _identity_of(self._handle):
            return False
        handle = _locked(self._file, os.O_RDWR | os.O_CREAT)
        if isinstance(handle, Owner):  # a process that is just being refused has locked it
            return False
        _name(handle)
        os.close(self._handle)
        self._handle = handle
        return True

    def give_back(self) -> None:
        """Release the outbox, whose connections are closed, for another owner."""
        handle, self._handle = self._handle, None
        database, self._database = self._database, None
        if handle is not None:
            os.close(handle)
        if database is not None:
            os.close(database[0])


_ALL: WeakSet[Ownership] = WeakSet()


def _leave_to_parent() -> None:
    """A forked process owns nothing: its copies of the locks would outlive the owner's."""
    for ownership in list(_ALL):
        ownership.give_back()


os.register_at_fork(after_in_child=_leave_to_parent)


def _locked(file: Path, how: int) -> int | Owner:
    """A handle of the file, locked; or the owner that has locked it."""
    handle = os.open(file, how | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = _read(handle) if how & os.O_RDWR else Owner(0)
        os.close(handle)
        return owner
    except OSError:
        os.close(handle)
        raise
    return handle


def _name(handle: int) -> None:
    content = json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode()
    os.ftruncate(handle, 0)
    os.pwrite(handle, content, 0)


def _read(handle: int) -> Owner:
    try:
        content = json.loads(os.pread(handle, 1024, 0))
        return Owner(int(content["pid"]), str(content["host"]))
    except (ValueError, KeyError, TypeError):
        return Owner(0)


def _identity_of(handle: int) -> tuple[int, int]:
    found = os.fstat(handle)
    return found.st_dev, found.st_ino


def _locker(inode: int) -> int:
    """The process that has locked the file, according to the system; 0: it does not say."""
    try:
        lines = _LOCKS.read_text().splitlines()
    except OSError:
        return 0
    for line in lines:
        words = line.split()
        if "FLOCK" in words:
            pid, file = words[words.index("FLOCK") + 3 :][:2]
            if file.rpartition(":")[2] == str(inode):
                return max(0, int(pid))
    return 0


def refusal(path: Path, owner: Owner) -> OutboxError:
    """The error that a second gateway gets."""
    if owner.is_this_process:
        return OutboxError(f"outbox {path} is open in this process already: share that gateway")
    return OutboxError(
        f"outbox {path} is owned by {owner}; stop that gateway, or wait for it (owner_wait)"
    )
