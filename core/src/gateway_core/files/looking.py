"""Looks at the files of an envelope: whether they are there, how large, and what they are."""

from __future__ import annotations

import mimetypes
import os
import stat
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from functools import partial
from io import BytesIO, FileIO
from typing import TypeVar

import attrs
import trio

from gateway_core.contract.envelopes import Edit, Envelope, Send
from gateway_core.contract.errors import Invalid, Problem
from gateway_core.contract.files import File
from gateway_core.contract.validators import printable
from gateway_core.deliveries.step_files import changed_file
from gateway_core.files.held import PIECE, Allowance, Held
from gateway_core.outboxes.stored_bytes import BytesDigest, Content, digest_of_bytes

T = TypeVar("T")

MESSAGES = (Send, Edit)
"""What may have files."""
MANY = 1 << 20
"""Bytes that are read at once, of at most `AT_ONCE` files that are too large to be held."""
AT_HAND = 1 << 18
"""Bytes in memory that are looked at without a thread."""
HEAD = 1 << 18
"""Bytes at the beginning in which a picture tells its size; more than any thumbnail before it."""
AT_ONCE = 4
"""Threads that read files at the most: a disk that hangs keeps no others."""
UNKNOWN_TYPE = "application/octet-stream"


class CannotRead(ValueError):
    """Why a file cannot be taken, in words."""


@attrs.frozen(eq=False)
class FoundFile:
    """A file that was looked at, as envelopes carry it, and where its bytes come from."""

    file: File
    source: Held | bytes | str | None = None

    def content(self) -> Content:
        """Its bytes, piece by piece, from the place where they were looked at."""
        if isinstance(self.source, Held):
            return self.source
        if self.source is None:
            return _Gone(self.file)
        return _slices(self.source) if isinstance(self.source, bytes) else _read(self.source)


@attrs.define(eq=False)
class _Gone:
    """The bytes of what was accepted before: nobody asks for them while they are stored."""

    _file: File

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        raise CannotRead(f"the bytes of {_named(self._file.name)} are not stored any more")


def look(file: File, allowance: Allowance | None) -> FoundFile:
    """Look at a file. Waits for the disk. Raises `CannotRead`.

    allowance  for the bytes of those that are read once and stay in memory; None: do not read all
               of it; then there is no digest
    """
    source = file.source
    if not file.is_stored or source is None:
        return FoundFile(file)
    if isinstance(source, bytes):
        return _look_at_bytes(file, source, allowance)
    path = os.fspath(source)
    try:
        kind = os.stat(path)  # noqa: PTH116 - for each file, and four times as fast
        if not stat.S_ISREG(kind.st_mode):  # a pipe would let the next line wait for ever
            what = "a folder" if stat.S_ISDIR(kind.st_mode) else "no ordinary file"
            raise CannotRead(f"{_named(path)} is {what}")
        with FileIO(path, opener=_at_once) as opened:
            return _look_into(opened, file, path, allowance)
    except OSError as error:
        raise CannotRead(f"{_named(path)} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise error if isinstance(error, CannotRead) else CannotRead(str(error)) from None


def _look_at_bytes(file: File, whole: bytes, allowance: Allowance | None) -> FoundFile:
    facts = partial(_facts, file, file.name, whole[:HEAD], len(whole))
    if allowance is None:
        return FoundFile(facts(""), whole)
    held = allowance.hold(len(whole))
    if held is None:
        return FoundFile(facts(digest_of_bytes(whole)), whole)
    held.take(whole)
    return FoundFile(facts(held.digest), held)


def _at_once(path: str, flags: int) -> int:
    """Open it without waiting, as a pipe would that came into its place meanwhile."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _look_into(opened: FileIO, file: File, path: str, allowance: Allowance | None) -> FoundFile:
    before = os.fstat(opened.fileno())
    if not stat.S_ISREG(before.st_mode):
        raise CannotRead(f"{_named(path)} is no ordinary file any more")
    size, name = before.st_size, file.name or os.path.basename(path)  # noqa: PTH119 - likewise
    if not size:
        raise CannotRead(f"{_named(path)} is empty")
    if allowance is None:
        return FoundFile(_facts(file, name, opened.read(HEAD), size, ""), path)
    held = allowance.hold(size)
    if held is None:
        head, digest, found = _digested(opened)
    else:
        found = held.read(opened)
        head, digest = b"".join(held.pieces[: 1 + HEAD // PIECE]), held.digest
    after = os.fstat(opened.fileno())
    if found != size or (after.st_size, after.st_mtime_ns) != (size, before.st_mtime_ns):
        raise CannotRead(f"{_named(name)} changed while it was read")
    return FoundFile(_facts(file, name, head[:HEAD], size, digest), held or path)


async def look_at(files: Sequence[File], allowance: Allowance) -> list[FoundFile]:
    """Look at all of them, in threads. Raises `Invalid` with what is wrong with which."""
    found, problems = [], []
    for place, file in enumerate(files):
        if file.is_stored and file.source is not None:
            small = isinstance(file.source, bytes) and len(file.source) <= AT_HAND
            try:
                do = partial(look, file, allowance)
                found.append(do() if small else await in_thread(do))
            except CannotRead as error:
                problems.append(Problem(f"files.{place}", str(error)))
        else:
            found.append(FoundFile(file))
    if problems:
        raise Invalid(problems)
    return found


def seen_at_once(envelope: Envelope) -> tuple[Envelope, list[Problem]]:
    """The envelope with its files as far as they can be seen without reading all of them."""
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
    """What a disk may hold up: a cancelled caller waits for it, as for any other file."""
    return await trio.to_thread.run_sync(do, limiter=_reading())


_LIMITER: trio.lowlevel.RunVar[trio.CapacityLimiter] = trio.lowlevel.RunVar("reading files")


def _reading() -> trio.CapacityLimiter:
    """The threads of this event loop that read files."""
    try:
        return _LIMITER.get()
    except LookupError:
        limiter = trio.CapacityLimiter(AT_ONCE)
        _LIMITER.set(limiter)
        return limiter


def _facts(file: File, name: str, head: bytes, size: int, digest: str) -> File:
    """What envelopes carry of it in place of its bytes."""
    kind = file.media_type or mimetypes.guess_type(name)[0] or UNKNOWN_TYPE
    width, height = _measure(head) if kind.startswith("image/") else (0, 0)
    return changed_file(
        file,
        source=None,
        name=name,
        media_type=kind,
        digest=digest,
        size=size,
        width=width,
        height=height,
    )


def _digested(opened: FileIO) -> tuple[bytes, str, int]:
    """The beginning of a file, its digest, and how many bytes it has."""
    found, head, size = BytesDigest(), b"", 0
    buffer = bytearray(MANY)
    whole = memoryview(buffer)
    while count := opened.readinto(buffer):
        found.update(whole[:count])
        head = head or bytes(whole[: min(count, HEAD)])
        size += count
    return head, found.hexdigest(), size


def _measure(head: bytes) -> tuple[int, int]:
    """Width and height of a picture; (0, 0): it is none, or none that is known."""
    # Here, since it brings a parser of XML: a megabyte that only pictures need.
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
        raise CannotRead(f"{_named(path)} cannot be read: {error.strerror}") from None


def _named(path: str) -> str:
    return f"'{printable(path)}'"
