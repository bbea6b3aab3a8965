"""Stores bytes as files beside the database; a file gets its name once it is on the disk.

A file begins with the id of the key that it is sealed with. A sealed file is a sequence of
segments, each sealed for its place, so that reading can start anywhere, and that nobody can shorten
or reorder the file unnoticed.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path

from gateway_contrib.durable.sealing.keyring import Keyring
from gateway_core.outboxes import BytesDigest, BytesLost

SEGMENT = 1 << 16
"""Bytes that are sealed together."""
SEALING = 28
"""Bytes by which sealing makes a segment longer."""
_MAGIC = b"gateway\0"
HEADER = 16
_OURS = re.compile(r"[0-9a-f]{64}(\.[0-9a-f]+\.new)?")


def place_of(digest: str, segment: int, *, last: bool) -> str:
    """The place for which a segment is sealed."""
    return f"bytes:{digest}:{segment}:{'last' if last else 'more'}"


def folder_of(path: Path) -> Path:
    """The folder beside a database."""
    return path.with_name(f"{path.name}.bytes")


class Folder:
    """The folder of one database; made at first use."""

    def __init__(self, path: Path) -> None:
        self.path = folder_of(path)

    def new(self, digest: str) -> tuple[int, Path]:
        """A file for these bytes under a name of its own, open for writing."""
        with suppress(FileExistsError):
            self.path.mkdir(mode=0o700)
            synced(self.path.parent)
        path = self.path / f"{digest}.{secrets.token_hex(4)}.new"
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), path

    def name(self, new: Path, digest: str) -> None:
        """Give the file, which is already on the disk, the name of its bytes."""
        new.replace(self.path / digest)
        synced(self.path)

    def open(self, digest: str) -> int:
        """Open the file of these bytes for reading. Raises `OSError`."""
        return os.open(self.path / digest, os.O_RDONLY | os.O_CLOEXEC)

    def is_whole(self, digest: str, size: int) -> bool:
        """Whether the file of so many bytes is there, as long as it should be. Raises `OSError`."""
        try:
            file = self.open(digest)
        except FileNotFoundError:
            return False
        try:
            sealing = SEALING * segments_of(size) if key_in(file) else 0
            return os.fstat(file).st_size == HEADER + size + sealing
        except BytesLost:
            return False
        finally:
            os.close(file)

    def remove(self, digest: str) -> None:
        """Delete the file of these bytes."""
        (self.path / digest).unlink(missing_ok=True)

    def tidy(self, known: Callable[[], Collection[str]]) -> None:
        """Delete files that an outbox of this gateway has left there and that nobody knows."""
        with suppress(FileNotFoundError):
            names = [name for name in os.listdir(self.path) if _OURS.fullmatch(name)]  # noqa: PTH208 - names alone
            wanted = known() if names else ()
            for name in names:
                if name not in wanted:
                    (self.path / name).unlink(missing_ok=True)


class NewBytes:
    """Bytes on their way into the outbox. Blocks: it is used in worker threads.

    content  small bytes, once they are finished; None: they are in a file
    key      id of the key that they are sealed with; empty: none

    `large` is how many bytes there may be before they are written to a file.
    """

    def __init__(self, folder: Folder, keyring: Keyring, digest: str, *, large: int) -> None:
        self.digest, self.key = digest, keyring.first
        self.size = 0
        self.content: bytes | None = None
        self._folder, self._keyring, self._large = folder, keyring, large
        self._found, self._rest = BytesDigest(), bytearray()
        self._segments = 0
        self._file: tuple[int, Path] | None = None

    def write(self, block: bytes) -> None:
        """Add the next bytes. Raises `OSError`."""
        self._found.update(block)
        self.size += len(block)
        self._rest += block
        if self.size > self._large:
            self._begin()
            self._write_segments()

    def finish(self) -> None:
        """End the bytes; a file is then on the disk. Raises `OSError`, ValueError: other digest."""
        self._found.check(self.digest)
        if self._file is None:
            place = place_of(self.digest, 0, last=True)
            self.content = self._keyring.seal_bytes(place, bytes(self._rest))
            return
        self._write_segment(len(self._rest), last=True)
        os.fsync(self._file[0])

    def settle(self) -> None:
        """Give the file its name, if there is a file."""
        if self._file is not None:
            self._folder.name(self._file[1], self.digest)

    def close(self) -> None:
        """Close the file, and delete it unless it has its name."""
        if self._file is not None:
            os.close(self._file[0])
            self._file[1].unlink(missing_ok=True)
            self._file = None

    def _begin(self) -> None:
        if self._file is None:
            self._file = self._folder.new(self.digest)
            write_all(self._file[0], header(self.key))

    def _write_segments(self) -> None:
        """Write all full segments but the last, since only the end shows which one is the last."""
        while len(self._rest) > SEGMENT:
            self._write_segment(SEGMENT, last=False)

    def _write_segment(self, size: int, *, last: bool) -> None:
        assert self._file is not None  # noqa: S101 - begun
        place = place_of(self.digest, self._segments, last=last)
        sealed = self._keyring.seal_bytes(place, bytes(memoryview(self._rest)[:size]))
        write_all(self._file[0], sealed)
        del self._rest[:size]
        self._segments += 1


def header(key: str) -> bytes:
    """The first bytes of a file that is sealed with that key, or with none (empty)."""
    return _MAGIC + key.encode().ljust(HEADER - len(_MAGIC))


def key_in(file: int) -> str:
    """The id of the key that an open file is sealed with. Raises `BytesLost`."""
    begin = os.pread(file, HEADER, 0)
    if len(begin) < HEADER or not begin.startswith(_MAGIC):
        raise BytesLost("the file is damaged: it does not begin as those of an outbox do")
    return begin[len(_MAGIC) :].decode("ascii", "replace").strip()


def segments_of(size: int) -> int:
    """The number of segments for so many bytes."""
    return max(1, -(-size // SEGMENT))


def segment_at(file: int, keyring: Keyring, key: str, digest: str, size: int, which: int) -> bytes:
    """A segment, opened. Raises `OSError`, and as `Keyring.open`."""
    width = SEGMENT + (SEALING if key else 0)
    sealed = os.pread(file, width, HEADER + which * width)
    last = which == segments_of(size) - 1
    opened = keyring.open_bytes(key, place_of(digest, which, last=last), sealed)
    if len(opened) != min(SEGMENT, size - which * SEGMENT):
        raise BytesLost("the file is damaged: it is too short")
    return opened


def write_all(file: int, content: bytes) -> None:
    """Write the whole content."""
    left = memoryview(content)
    while left:
        left = left[os.write(file, left) :]


def synced(path: Path) -> None:
    """Wait until a file or a folder is on the disk, and not only on its way there."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
