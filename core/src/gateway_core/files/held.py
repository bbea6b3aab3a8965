"""Holds bytes of files in memory, up to a bound for all of them together. Sans-I/O."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from functools import partial
from io import FileIO

import attrs

from gateway_core.outboxes.stored_bytes import BytesDigest

MOST = 1 << 24
"""Most bytes of all files of a gateway that are in memory together."""
LARGEST = 1 << 22
"""Most bytes of one such file. A larger file is read in pieces, each time that it is needed."""
PIECE = (1 << 17) - (1 << 12)
"""Bytes that are read and sent at once: as many as `gateway_core.http` writes at once."""
SPARE = 64
"""Buffers of `PIECE` bytes kept for the next file, since the system must clear new memory."""


@attrs.define(eq=False)
class Allowance:
    """How many more bytes may be in memory, and buffers for them. Several threads use it."""

    _left: int = MOST
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False)
    # A queue, not the number itself: a destructor may run in the middle of `hold`, and would wait
    # for its lock.
    _returned: deque[int] = attrs.field(factory=deque, init=False)
    _spare: deque[bytearray] = attrs.field(factory=partial(deque, maxlen=SPARE), init=False)

    def hold(self, size: int) -> Held | None:
        """Memory for `size` bytes; None: they are too many."""
        if size > LARGEST:
            return None
        with self._lock:
            while self._returned:
                self._left += self._returned.popleft()
            if size > self._left:
                return None
            self._left -= size
        return Held(size, self)

    def buffer(self) -> bytearray:
        """A buffer of which nobody has a view."""
        try:
            return self._spare.pop()
        except IndexError:
            return bytearray(PIECE)

    def give_back(self, size: int, buffers: Sequence[bytearray]) -> None:
        """Take back `size` bytes, and the buffers that can be used again. For destructors too."""
        self._returned.append(size)
        self._spare.extend(filter(_unseen, buffers))


def _unseen(buffer: bytearray) -> bool:
    """Whether nobody has a view of the buffer; Python forbids resizing if somebody has."""
    try:
        buffer.append(buffer.pop())
    except BufferError:
        return False
    return True


class Held:
    """The bytes of a file, in pieces. Its share of the memory is free once nobody has this object.

    A view of a piece stays valid as long as somebody has it.

    pieces  all pieces, in order
    digest  the digest of the bytes
    size    bytes of memory that were allowed
    """

    __slots__ = ("_allowance", "_buffers", "digest", "pieces", "size")

    def __init__(self, size: int, allowance: Allowance) -> None:
        self.pieces: Sequence[memoryview] = ()
        self.digest = ""
        self.size = size
        self._buffers: list[bytearray] = []
        self._allowance = allowance

    def read(self, opened: FileIO) -> int:
        """Read the file's bytes, up to `size` or slightly more, and return how many came."""
        read, pieces = 0, []
        while read < self.size:
            buffer = self._allowance.buffer()
            self._buffers.append(buffer)
            count = opened.readinto(buffer)
            if not count:
                break
            pieces.append(memoryview(buffer).toreadonly()[:count])
            read += count
        self._fill(pieces)
        return read

    def take(self, whole: bytes) -> None:
        """Take bytes that are in memory, without copying them."""
        self._fill(cut(whole))

    def _fill(self, pieces: Sequence[memoryview]) -> None:
        found = BytesDigest()
        for piece in pieces:
            found.update(piece)
        self.pieces, self.digest = pieces, found.hexdigest()

    def __iter__(self) -> Iterator[bytes]:
        return map(bytes, self.pieces)

    def __del__(self) -> None:
        self.pieces = ()
        self._allowance.give_back(self.size, self._buffers)


def cut(whole: bytes) -> list[memoryview]:
    """The bytes cut in pieces, without copying them."""
    view = memoryview(whole)
    return [view[start : start + PIECE] for start in range(0, len(whole), PIECE)]
