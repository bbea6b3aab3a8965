"""Where the bytes of a request come from: what a source is, and one of bytes in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Protocol, runtime_checkable

import attrs

BLOCK = (1 << 17) - (1 << 12)
"""Bytes that are written at once.

Less than 128 KB, from which on C libraries map each anew, and the system clears that memory.
"""


@runtime_checkable
class ByteSource(Protocol):
    """Bytes whose number is known, and that can be read again from their beginning.

    An exception from a source ends the request as `UnreadableSource`, and so does a source with
    more or fewer bytes than its size. The last piece is sent only once the source has ended, so a
    source that raises there is never sent whole.
    """

    @property
    def size(self) -> int:
        """How many bytes it has."""
        ...

    def open(self) -> AbstractAsyncContextManager[AsyncIterator[bytes | memoryview]]:
        """Its bytes in pieces, from the first on; each opening is independent of the others.

        A piece must not change once it was handed over. Waiting must not block trio's thread.
        """
        ...


@attrs.frozen
class BytesSource:
    """Bytes in memory; they are not copied."""

    content: bytes = attrs.field(repr=False, validator=attrs.validators.instance_of(bytes))

    @property
    def size(self) -> int:
        """How many bytes it has."""
        return len(self.content)

    def open(self) -> AbstractAsyncContextManager[AsyncIterator[bytes | memoryview]]:
        """The bytes, as one piece."""
        return nullcontext(_Once(self.content))


@attrs.define(eq=False)
class _Once:
    """An iterator of one piece."""

    _piece: bytes | None

    def __aiter__(self) -> AsyncIterator[bytes | memoryview]:
        return self

    async def __anext__(self) -> bytes | memoryview:
        piece, self._piece = self._piece, None
        if piece is None:
            raise StopAsyncIteration
        return piece
