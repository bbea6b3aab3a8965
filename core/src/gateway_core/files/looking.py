"""Looks at the files of an envelope: whether they exist, how large and of which type they are.

Small files are read at once. Large files are read only after the channel has accepted their size.
"""

from __future__ import annotations

import mimetypes
import os
import stat
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from functools import partial
from io import BytesIO, FileIO
from types import MappingProxyType
from typing import TypeAlias, TypeVar

import attrs
import trio

from gateway_core.contract.envelopes import MESSAGES, Envelope
from gateway_core.contract.errors import Invalid, Problem
from gateway_core.contract.files import File
from gateway_core.contract.validators import printable
from gateway_core.deliveries.step_files import changed_file
from gateway_core.files.held import PIECE, Allowance, Held
from gateway_core.outboxes.stored_bytes import BytesDigest, Content

T = TypeVar("T")

Fits: TypeAlias = Callable[[Sequence[File]], Sequence[Problem]]
"""Why the channel would refuse these files, whose sizes are known; empty: it accepts them."""

"""The envelopes that may have files."""
MANY = 1 << 20
"""Bytes that are read at once, of a file that is too large to be held."""
TURN = 1 << 23
"""Bytes of such a file that are read before other files get a turn, or a cancellation is seen."""
AT_HAND = 1 << 18
"""Most bytes in memory that are looked at without a thread."""
HEAD = 1 << 18
"""Bytes at a picture's beginning that must hold its width and height, even after a thumbnail."""
AT_ONCE = 4
"""Most threads that read files, so that a disk that hangs blocks no other threads."""
UNKNOWN_TYPE = "application/octet-stream"


class CannotRead(ValueError):
    """Why a file cannot be accepted, in words."""


@attrs.frozen(eq=False)
class FoundFile:
    """A file that was looked at, as envelopes carry it, and where its bytes come from."""

    file: File
    source: Held | bytes | str | None = None

    @property
    def is_unread(self) -> bool:
        """Whether the file's size is known, but not its digest."""
        return not self.file.digest and isinstance(self.source, bytes | str)

    def content(self) -> Content:
        """The file's bytes, piece by piece, from the source that was looked at."""
        if isinstance(self.source, Held):
            return self.source
        if self.source is None:
            return _Gone(self.file)
        return _slices(self.source) if isinstance(self.source, bytes) else _read(self.source)


@attrs.define(eq=False)
class _Gone:
    """Stands for bytes that were accepted before; they are read only if no longer stored."""

    _file: File

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        raise CannotRead(not_stored(self._file))


def not_stored(file: File) -> str:
    """The words for a file whose stored bytes are lost."""
    return f"the bytes of {_named(file.name)} are not stored any more"


def look(file: File, allowance: Allowance | None) -> FoundFile:
    """Look at a file. Waits for the disk. Raises `CannotRead`.

    allowance  memory for the bytes of a file that is small enough, which is read; None: read no
               file. A file that is not read keeps its source, and has no digest yet
    """
    source = file.source
    if not file.is_stored or source is None:
        return FoundFile(file)
    if isinstance(source, bytes):
        return _look_at_bytes(file, source, allowance)
    path = _path_of(source)
    try:
        kind = os.stat(path)  # noqa: PTH116 - for each file, and four times as fast
        if not stat.S_ISREG(kind.st_mode):  # with a pipe, the next line would wait for ever
            what = "a folder" if stat.S_ISDIR(kind.st_mode) else "not a regular file"
            raise CannotRead(f"{_named(path)} is {what}")
        with FileIO(path, opener=_at_once) as opened:
            return _look_into(opened, file, path, allowance)
    except OSError as error:
        raise _unreadable(path, error) from None
    except ValueError as error:
        raise error if isinstance(error, CannotRead) else CannotRead(str(error)) from None


def _path_of(source: str | os.PathLike[str]) -> str:
    """The path as text, asked again, since an application's own class may answer differently."""
    try:
        path: object = os.fspath(source)
    except Exception as error:  # noqa: BLE001 - likewise
        raise CannotRead(f"is not a path ({type(error).__name__})") from None
    if not isinstance(path, str):
        raise CannotRead("must be a path as text, not as bytes")
    return path


def _look_at_bytes(file: File, whole: bytes, allowance: Allowance | None) -> FoundFile:
    held = None if allowance is None else allowance.hold(len(whole))
    if held is None:
        return FoundFile(_facts(file, file.name, whole[:HEAD], len(whole)), whole)
    held.take(whole)
    return FoundFile(_facts(file, file.name, whole[:HEAD], len(whole), held.digest), held)


def _at_once(path: str, flags: int) -> int:
    """Open the file without waiting, in case a pipe has replaced it meanwhile."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _look_into(opened: FileIO, file: File, path: str, allowance: Allowance | None) -> FoundFile:
    before = os.fstat(opened.fileno())
    if not stat.S_ISREG(before.st_mode):
        raise CannotRead(f"{_named(path)} is not a regular file any more")
    size, name = before.st_size, file.name or os.path.basename(path)  # noqa: PTH119 - likewise
    if not size:
        raise CannotRead(f"{_named(path)} is empty")
    held = None if allowance is None else allowance.hold(size)
    if held is None:
        head = opened.read(HEAD) if _is_picture(_type_of(file, name)) else b""
        return FoundFile(_facts(file, name, head, size), path)
    found = held.read(opened)
    _check_unchanged(opened, name, before, found)
    head = b"".join(held.pieces[: 1 + HEAD // PIECE])[:HEAD]
    return FoundFile(_facts(file, name, head, size, held.digest), held)


def _check_unchanged(opened: FileIO, name: str, before: os.stat_result, read: int) -> None:
    """Raises `CannotRead` unless the file has, and had, exactly the bytes that were read."""
    after = os.fstat(opened.fileno())
    times = before.st_mtime_ns, after.st_mtime_ns
    if {read, before.st_size, after.st_size} != {read} or len({*times}) > 1:
        raise CannotRead(f"{_named(name)} changed while it was read")


NONE_KNOWN: Mapping[File, FoundFile] = MappingProxyType({})
"""No file was looked at before."""


async def look_at(
    files: Sequence[File],
    allowance: Allowance,
    fits: Fits,
    known: Mapping[File, FoundFile] = NONE_KNOWN,
) -> list[FoundFile]:
    """Look at all files, in threads; read the large ones if `fits` finds no problem.

    known  the files that were looked at before

    Raises `Invalid` with the problems and their places.
    """
    found, problems = [], []
    for place, file in enumerate(files):
        try:
            there = known.get(file) if known else None
            found.append(there or await _look(file, allowance))
        except CannotRead as error:
            problems.append(Problem(f"files.{place}", str(error)))
    if any(each.is_unread for each in found):
        problems += () if problems else fits([each.file for each in found])
    if problems:
        raise Invalid(problems)
    for place, each in enumerate(found):
        if each.is_unread:
            found[place] = await _read_at(place, each)
    return found


async def _look(file: File, allowance: Allowance) -> FoundFile:
    if not file.is_stored or file.source is None:
        return FoundFile(file)
    do = partial(look, file, allowance)
    small = isinstance(file.source, bytes) and len(file.source) <= AT_HAND
    return do() if small else await in_thread(do)


async def _read_at(place: int, found: FoundFile) -> FoundFile:
    try:
        return await read(found)
    except CannotRead as error:
        raise Invalid([Problem(f"files.{place}", str(error))]) from None


async def read(found: FoundFile) -> FoundFile:
    """Read a file to find its digest. A cancelled caller waits for at most `TURN` more bytes.

    Raises `CannotRead`.
    """
    digest, source = BytesDigest(), found.source
    if isinstance(source, bytes):
        whole = memoryview(source)
        for start in range(0, len(whole), TURN):
            await in_thread(partial(digest.update, whole[start : start + TURN]))
    elif isinstance(source, str):
        try:
            opened = await in_thread(lambda: FileIO(source, opener=_at_once))
            with opened:
                await _read_into(digest, opened, found.file)
        except OSError as error:
            raise _unreadable(source, error) from None
    return FoundFile(changed_file(found.file, source=None, digest=digest.hexdigest()), source)


async def _read_into(digest: BytesDigest, opened: FileIO, file: File) -> None:
    before, size = os.fstat(opened.fileno()), 0
    while size <= file.size and (count := await in_thread(partial(_take_turn, digest, opened))):
        size += count
    _check_unchanged(opened, file.name, before, size if size == file.size else -1)


def _take_turn(digest: BytesDigest, opened: FileIO) -> int:
    """Read up to `TURN` bytes, and return how many there were."""
    buffer = memoryview(bytearray(MANY))
    read = 0
    while read < TURN and (count := opened.readinto(buffer)):
        digest.update(buffer[:count])
        read += count
    return read


def seen_at_once(envelope: Envelope) -> tuple[Envelope, list[Problem]]:
    """The envelope with the facts about its files that can be found without reading them fully."""
    if not isinstance(envelope, MESSAGES) or not envelope.files:
        return envelope, []
    found, problems = [], []
    for place, file in enumerate(envelope.files):
        try:
            found.append(look(file, None).file)
        except CannotRead as error:
            problems.append(Problem(f"files.{place}", str(error)))
    return envelope if problems else attrs.evolve(envelope, files=tuple(found)), problems


async def in_thread(do: Callable[[], T]) -> T:
    """Do work that may wait for a disk, in a thread; a cancelled caller waits for it as well."""
    return await trio.to_thread.run_sync(do, limiter=_reading())


_LIMITER: trio.lowlevel.RunVar[trio.CapacityLimiter] = trio.lowlevel.RunVar("reading files")


def _reading() -> trio.CapacityLimiter:
    """The limiter of this event loop's threads that read files."""
    try:
        return _LIMITER.get()
    except LookupError:
        limiter = trio.CapacityLimiter(AT_ONCE)
        _LIMITER.set(limiter)
        return limiter


def _type_of(file: File, name: str) -> str:
    return file.media_type or mimetypes.guess_type(name)[0] or UNKNOWN_TYPE


def _is_picture(kind: str) -> bool:
    return kind.startswith("image/")


def _facts(file: File, name: str, head: bytes, size: int, digest: str = "") -> File:
    """The file as envelopes carry it; once there is a digest, the digest replaces the bytes."""
    kind = _type_of(file, name)
    width, height = _measure(head) if _is_picture(kind) else (0, 0)
    return changed_file(
        file,
        source=None if digest else file.source,
        name=name,
        media_type=kind,
        digest=digest,
        size=size,
        width=width,
        height=height,
    )


def _measure(head: bytes) -> tuple[int, int]:
    """Width and height of a picture; (0, 0): it is no picture, or of an unknown format."""
    # Imported here, since it brings an XML parser: a megabyte that only pictures need.
    import imagesize  # type: ignore[import-untyped]  # noqa: PLC0415 - it has no types

    try:
        width, height = map(round, imagesize.get(BytesIO(head)))  # an SVG's need not be whole
    except Exception:  # noqa: BLE001 - whatever a garbled file lets the parser stumble over
        return 0, 0
    return (width, height) if width > 0 and height > 0 else (0, 0)


def _slices(whole: bytes) -> Iterator[bytes]:
    view = memoryview(whole)
    for start in range(0, len(whole), MANY):
        yield bytes(view[start : start + MANY])


async def _read(path: str) -> AsyncIterator[bytes]:
    """The pieces of a file, each read in a thread. Raises `CannotRead`."""
    try:
        opened = await in_thread(lambda: FileIO(path, opener=_at_once))
        try:
            while piece := await in_thread(lambda: opened.read(MANY)):
                yield piece
        finally:
            opened.close()
    except OSError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: str, error: OSError) -> CannotRead:
    return CannotRead(f"{_named(path)} cannot be read: {error.strerror}")


def _named(path: str) -> str:
    return f"'{printable(path)}'"
