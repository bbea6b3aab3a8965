"""Defines what a source of a request's bytes is, and a source of bytes in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Protocol, runtime_checkable

import attrs

BLOCK = (1 << 17) - (1 << 12)
"""Bytes that are written at once.

It is less than 128 KB, since C libraries map each larger buffer anew, and the system clears it.
"""


@runtime_checkable
class ByteSource(Protocol):
    """Bytes whose number is known, and that can be read again from their beginning.

    If a source raises, or has more or fewer bytes than its size, the request ends with
    `UnreadableSource`. The last piece is sent only once the source has ended, so a source that
    raises at its end is never sent completely.
    """

    @property
    def size(self) -> int:
        """How many bytes the source has."""
        ...

    def open(self) -> AbstractAsyncContextManager[AsyncIterator[bytes | memoryview]]:
        """The source's bytes in pieces, from the first on; each call is independent of the others.

        A piece must not change after it was handed over. Waiting must not block trio's thread.
        """
        ...


@attrs.frozen
class BytesSource:
    """Bytes in memory; they are not copied."""

    content: bytes = attrs.field(repr=False, validator=attrs.validators.instance_of(bytes))

    @property
    def size(self) -> int:
        """How many bytes there are."""
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
