"""Looks at the files of an envelope: whether they are there, how large, and what they are."""

from __future__ import annotations

import io
import mimetypes
import os
import stat
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import attrs
import imagesize  # type: ignore[import-untyped]  # it has no types
import trio

from gateway_core.contract.envelopes import Edit, Envelope, Send
from gateway_core.contract.errors import Invalid, Problem
from gateway_core.contract.files import File
from gateway_core.contract.validators import printable
from gateway_core.outboxes.stored_bytes import BytesDigest, Content

T = TypeVar("T")

MESSAGES = (Send, Edit)
"""What may have files."""
PIECE = 1 << 20
"""Bytes that are read at once, of at most `AT_ONCE` files."""
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
    source: bytes | str | None = None

    def content(self) -> Content:
        """Its bytes, piece by piece, from the place where they were looked at."""
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


def look(file: File, *, digest: bool = True) -> FoundFile:
    """Look at a file. Waits for the disk. Raises `CannotRead`.

    digest  False: do not read all of it; then there is no digest
    """
    source = file.source
    if not file.is_stored or source is None:
        return FoundFile(file)
    if isinstance(source, bytes):
        found = _facts(file, io.BytesIO(source), len(source), digest=digest)
        return FoundFile(found, source)
    path = os.fspath(source)
    try:
        kind = Path(path).stat()
        if not stat.S_ISREG(kind.st_mode):  # a pipe would let the next line wait for ever
            what = "a folder" if stat.S_ISDIR(kind.st_mode) else "no ordinary file"
            raise CannotRead(f"{_named(path)} is {what}")
        with Path(path).open("rb", buffering=0) as opened:
            size = os.fstat(opened.fileno()).st_size
            if not size:
                raise CannotRead(f"{_named(path)} is empty")
            named = file if file.name else attrs.evolve(file, name=Path(path).name)
            return FoundFile(_facts(named, opened, size, digest=digest), path)
    except OSError as error:
        raise CannotRead(f"{_named(path)} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise error if isinstance(error, CannotRead) else CannotRead(str(error)) from None


async def look_at(files: Sequence[File]) -> list[FoundFile]:
    """Look at all of them, in threads. Raises `Invalid` with what is wrong with which."""
    found, problems = [], []
    for place, file in enumerate(files):
        if file.is_stored and file.source is not None:
            small = isinstance(file.source, bytes) and len(file.source) <= AT_HAND
            try:
                found.append(look(file) if small else await in_thread(partial(look, file)))
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
            found.append(look(file, digest=False).file)
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


def _facts(file: File, opened: Any, size: int, *, digest: bool) -> File:
    """What envelopes carry of it in place of its bytes."""
    head = opened.read(HEAD)
    width, height = _measure(head)
    found = BytesDigest()
    if digest:
        found.update(head)
        whole = len(head)
        while piece := opened.read(PIECE):
            found.update(piece)
            whole += len(piece)
        if whole != size:
            raise CannotRead(f"{_named(file.name)} changed while it was read")
    kind = file.media_type or mimetypes.guess_type(file.name)[0] or UNKNOWN_TYPE
    return attrs.evolve(
        file,
        source=None,
        media_type=kind,
        digest=found.hexdigest() if digest else "",
        size=size,
        width=width,
        height=height,
    )


def _measure(head: bytes) -> tuple[int, int]:
    """Width and height of a picture; (0, 0): it is none, or none that is known."""
    try:
        width, height = imagesize.get(io.BytesIO(head))
    except Exception:  # noqa: BLE001 - whatever a garbled file lets the parser stumble over
        return 0, 0
    return (width, height) if width > 0 and height > 0 else (0, 0)


def _slices(whole: bytes) -> Iterator[bytes]:
    view = memoryview(whole)
    for start in range(0, len(whole), PIECE):
        yield bytes(view[start : start + PIECE])


async def _read(path: str) -> AsyncIterator[bytes]:
    """The pieces of a file, each read in a thread. Raises `CannotRead`."""
    try:
        opened = await in_thread(lambda: Path(path).open("rb", buffering=0))  # noqa: SIM115 - closed below
        try:
            while piece := await in_thread(lambda: opened.read(PIECE)):
                yield piece
        finally:
            opened.close()
    except OSError as error:
        raise CannotRead(f"{_named(path)} cannot be read: {error.strerror}") from None


def _named(path: str) -> str:
    return f"'{printable(path)}'"
