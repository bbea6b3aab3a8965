"""Reads a file as a source of bytes, without holding up trio's thread.

Bytes that the system has in memory are copied at once, if the system can say so (Linux); otherwise
a thread waits for the disk. If a thread waits for long, for example for a lost file server, the
request still times out: the thread is abandoned, and closes the file when it comes back.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TypeVar

import attrs
import trio

from gateway_core.contract.errors import UnreadableSource
from gateway_core.http.bodies.sources import BLOCK

PIECE = BLOCK
"""Most bytes that are copied at once from the system's memory."""
WAITED = BLOCK
"""Most bytes that a thread reads at once."""
THREADS = 8
"""Most threads that wait for disks, so that a disk that hangs leaves some for name look-ups."""

T = TypeVar("T")

_limiter: trio.lowlevel.RunVar[trio.CapacityLimiter] = trio.lowlevel.RunVar("disk threads")


@attrs.frozen
class FileSource:
    """A file as it was when `at` looked at it; a file that has changed since is refused.

    size         bytes
    modified_ns  when the file was last written to, according to the file system. A change that
                 leaves size and time the same is not noticed
    """

    path: Path
    size: int
    modified_ns: int

    @classmethod
    async def at(cls, path: str | os.PathLike[str]) -> FileSource:
        """The file at that path. Raises `UnreadableSource` if it is no file or not readable."""
        file = _File(Path(path))
        try:
            found = await _in_thread(file.open)
        except OSError as error:
            text = f"{path} cannot be read: {error.strerror}"
            raise UnreadableSource(text, dispatched="no") from None
        finally:
            file.close()
        return cls(Path(path), found.st_size, found.st_mtime_ns)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[AsyncIterator[bytes | memoryview]]:
        """The file's bytes. Raises OSError if the file cannot be read or has changed."""
        file = _File(self.path)
        try:
            _check(self, await _in_thread(file.open))
            yield _Pieces(self, file)
        finally:
            file.close()


def _check(source: FileSource, found: os.stat_result) -> None:
    """Raises OSError unless the file's size and time are as they were."""
    if (found.st_size, found.st_mtime_ns) != (source.size, source.modified_ns):
        raise OSError(errno.ESTALE, "the file changed since its size was read", str(source.path))


def _read(source: FileSource, file: _File, offset: int) -> bytes:
    """Read the next piece; with the last one, check that the file has not changed. Blocks."""
    piece = file.read(offset, min(WAITED, source.size - offset))
    if not piece or offset + len(piece) == source.size:
        _check(source, file.stat())
    return piece


@attrs.define(eq=False)
class _Pieces:
    """The bytes of an open file, one piece after the other."""

    _source: FileSource
    _file: _File
    _offset: int = 0

    def __aiter__(self) -> AsyncIterator[bytes | memoryview]:
        return self

    async def __anext__(self) -> bytes | memoryview:
        left = self._source.size - self._offset
        piece: bytes | memoryview = b""
        if left > PIECE:  # a thread reads the last piece, and checks the file
            piece = self._file.read_nowait(self._offset, PIECE)
        if left and not piece:
            piece = await _in_thread(lambda: _read(self._source, self._file, self._offset))
        if not piece:
            raise StopAsyncIteration
        self._offset += len(piece)
        return piece


class _File:
    """An open file that one thread uses at a time; it is closed once no thread uses it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._number = -1
        self._closed = False

    def open(self) -> os.stat_result:
        """Open the file. Raises OSError, also if it is no regular file."""
        with self._using():
            # Non-blocking, since a pipe that nobody writes to would never open.
            flags = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
            self._number = os.open(self._path, os.O_RDONLY | flags)
            found = os.fstat(self._number)
        if not stat.S_ISREG(found.st_mode):
            what = "is a folder" if stat.S_ISDIR(found.st_mode) else "is not a regular file"
            raise OSError(errno.EINVAL, what, str(self._path))
        return found

    def stat(self) -> os.stat_result:
        """The file's size and times, from the file system."""
        with self._using():
            return os.fstat(self._number)

    def read(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes from `offset` on; no bytes: the file ends there."""
        with self._using():
            os.lseek(self._number, offset, os.SEEK_SET)
            return os.read(self._number, size)

    def read_nowait(self, offset: int, size: int) -> memoryview:
        """Up to `size` bytes that are in memory; no bytes: reading them would wait."""
        piece = bytearray(size)
        return memoryview(piece)[: _read_nowait(self._number, piece, offset)].toreadonly()

    def close(self) -> None:
        """Close the file; if a thread uses it, that thread closes it afterwards."""
        self._closed = True
        self._close_unused()

    @contextmanager
    def _using(self) -> Iterator[None]:
        with self._lock:
            yield
        # Invariant: a thread that holds the lock while `close` is called comes by here afterwards.
        self._close_unused()

    def _close_unused(self) -> None:
        if self._closed and self._lock.acquire(blocking=False):
            number, self._number = self._number, -1
            self._lock.release()
            if number != -1:
                os.close(number)


def _read_nowait(number: int, piece: bytearray, offset: int) -> int:
    """How many bytes were read; 0 if the system would have to wait, or cannot say so."""
    if sys.platform != "linux":
        return 0
    try:
        return os.preadv(number, [piece], offset, os.RWF_NOWAIT)
    except OSError:  # reading would wait, or the file system does not know this flag
        return 0


async def _in_thread(do: Callable[[], T]) -> T:
    try:
        limiter = _limiter.get()
    except LookupError:
        limiter = trio.CapacityLimiter(THREADS)
        _limiter.set(limiter)
    return await trio.to_thread.run_sync(do, limiter=limiter, abandon_on_cancel=True)
