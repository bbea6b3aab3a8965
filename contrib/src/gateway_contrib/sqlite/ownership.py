"""One owner at a time: a lock that the system gives back when its process dies, however it dies.

The lock is on a file of its own beside the database: closing any handle of the database itself
would drop locks that SQLite holds on it. The file names the owner for whoever is refused.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
from pathlib import Path

import attrs

from gateway_core.outboxes import OutboxError


@attrs.frozen
class Owner:
    """Which process has the outbox open."""

    pid: int
    host: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


class Ownership:
    """The right to write to the outbox at `path`, by whatever name it is called."""

    def __init__(self, path: Path) -> None:
        path = path.resolve()
        self._file = path.with_name(path.name + ".owner")
        self._handle: int | None = None

    def take(self) -> Owner | None:
        """Become the owner: None; or who is it. Raises `OSError` where no file can be made."""
        handle = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = _read(handle)
            os.close(handle)
            return owner
        content = json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode()
        try:
            os.ftruncate(handle, 0)
            os.pwrite(handle, content, 0)
        except OSError:
            os.close(handle)
            raise
        self._handle = handle
        return None

    def present(self) -> Owner | None:
        """Who owns it now, if anybody does; takes nothing."""
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

    def give_back(self) -> None:
        """Let another one own it."""
        handle, self._handle = self._handle, None
        if handle is not None:
            os.close(handle)


def _read(handle: int) -> Owner:
    try:
        content = json.loads(os.pread(handle, 1024, 0))
        return Owner(int(content["pid"]), str(content["host"]))
    except (ValueError, KeyError, TypeError):
        return Owner(0, "an unknown host")


def refusal(path: Path, owner: Owner) -> OutboxError:
    """What a second gateway is told."""
    return OutboxError(
        f"outbox {path} is owned by {owner}; stop that gateway, or wait for it (owner_wait)"
    )
