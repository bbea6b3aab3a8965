"""Makes temporary folders; if their process is killed, a later one deletes them.

A process locks its folder as long as it uses the folder. The system ends the lock with the process,
however the process ends. So a folder that anybody can lock is not in use. On Windows nothing is
locked, and the folders of killed processes stay.
"""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

if sys.platform != "win32":
    import fcntl

PREFIX = "gateway-files-"
MOST = 100
"""Most folders that are deleted at once."""


class TemporaryFolder:
    """A folder of files, without folders in it. Waits for the disk. Raises `OSError`."""

    def __init__(self) -> None:
        self._folder, self._lock = _locked()
        self.path = Path(self._folder.name)

    def close(self) -> None:
        """Delete the folder with its files."""
        self._folder.cleanup()
        if self._lock is not None:
            os.close(self._lock)


def _locked() -> tuple[tempfile.TemporaryDirectory[str], int | None]:
    """A new folder, and its lock, which is a descriptor; None: it has none.

    Before it is locked, another process may delete it; then another one is made.
    """
    while True:
        folder = tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True)
        if sys.platform == "win32":
            return folder, None
        with suppress(FileNotFoundError):
            lock = _opened(folder.name)
            with suppress(OSError):  # a file system without locks: nobody can lock the folder
                fcntl.flock(lock, fcntl.LOCK_EX)
            if _is_at(folder.name, lock):
                return folder, lock
            os.close(lock)
        folder.cleanup()


def _opened(path: str) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)


def _is_at(path: str, opened: int) -> bool:
    """Whether the path still leads to the opened folder."""
    try:
        return os.path.samestat(os.lstat(path), os.fstat(opened))
    except FileNotFoundError:
        return False


def delete_unused_folders() -> int:
    """Delete folders of this user that no process uses; returns how many. Waits for the disk."""
    count = 0
    with suppress(OSError), os.scandir(tempfile.gettempdir()) as entries:
        for entry in entries:
            if count < MOST and entry.name.startswith(PREFIX):
                count += _deleted(entry.path)
    return count


def _deleted(path: str) -> bool:
    """Delete the folder, unless it is in use or another user's."""
    if sys.platform == "win32":
        return False
    try:
        folder = _opened(path)
    except OSError:
        return False
    try:
        if os.fstat(folder).st_uid != os.geteuid():
            return False
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for name in os.listdir(folder):  # noqa: PTH208 - by the locked folder, not by its path
            os.unlink(name, dir_fd=folder)
        os.rmdir(path)  # noqa: PTH106 - as above
    except OSError:
        return False
    finally:
        os.close(folder)
    return True
