"""Reads a body's bytes in blocks to write, with never more than a few blocks in memory."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import attrs

from gateway_core.http.bodies.multipart import Segment, Sourced
from gateway_core.http.bodies.sources import BLOCK


class SourceError(Exception):
    """A source raised, or gave more or fewer bytes than its size; the text names the source."""


@attrs.define(eq=False)
class _Opened:
    """An opened source.

    left  bytes that are still to come; None: the source has ended
    """

    sourced: Sourced
    pieces: AsyncIterator[bytes | memoryview]
    left: int | None

    async def read(self) -> memoryview | None:
        """The next piece; None: there is none. The last piece comes only once the source has ended.

        Raises SourceError.
        """
        if self.left is None:
            return None
        piece, size = None, self.sourced.size
        if self.left:
            piece = await self._next()
            if piece is None:
                ended = f"ended after {size - self.left} of {size} bytes"
                raise SourceError(f"{self.sourced.label}: {ended}")
            self.left -= len(piece)
        if self.left <= 0:
            over, self.left = self.left < 0, None
            if over or await self._next() is not None:
                raise SourceError(f"{self.sourced.label}: has more than its {size} bytes")
        return piece

    async def _next(self) -> memoryview | None:
        """The next piece that is not empty; None: there is none."""
        try:
            while (piece := await anext(self.pieces, None)) is not None:
                if len(piece):
                    return memoryview(piece)
        except Exception as error:
            raise _failure(self.sourced, error) from error
        return None


def _failure(sourced: Sourced, error: Exception) -> SourceError:
    return SourceError(f"{sourced.label}: {type(error).__name__}: {error}")


@attrs.define(eq=False)
class Blocks:
    """The blocks of a body, each for one write; the first block has been read.

    Small pieces are joined to a block, large pieces are cut.
    """

    _segments: Iterator[bytes | _Opened]
    _first: bytes | memoryview | None = attrs.field(default=None, init=False)
    _opened: _Opened | None = attrs.field(default=None, init=False)
    _piece: memoryview = attrs.field(default=memoryview(b""), init=False)
    _gathered: bytearray = attrs.field(factory=bytearray, init=False)

    async def next(self) -> bytes | memoryview | None:
        """The next block; None: there are no more. Raises SourceError."""
        first, self._first = self._first, None
        return first or await self._next()

    async def read_first(self) -> None:
        """Read the first block, for `next` to return. Raises SourceError."""
        self._first = await self._next()

    async def _next(self) -> bytes | memoryview | None:
        while len(self._gathered) < BLOCK:
            if self._piece:
                block, self._piece = self._piece[:BLOCK], self._piece[BLOCK:]
                if len(block) == BLOCK and not self._gathered:
                    return block
                self._gathered += block
            elif self._opened is not None:
                piece = await self._opened.read()
                if piece is None:
                    self._opened = None
                else:
                    self._piece = piece
            elif (one := next(self._segments, None)) is None:
                break
            elif isinstance(one, bytes):
                self._gathered += one
            else:
                self._opened = one
        gathered, self._gathered = self._gathered, bytearray()
        return bytes(gathered) or None


@asynccontextmanager
async def open_blocks(segments: Sequence[Segment]) -> AsyncIterator[Blocks]:
    """Open every source, and read the first block, so that failures come before a byte goes out.

    Raises SourceError.
    """
    async with AsyncExitStack() as stack:
        opened = [
            await _entered(one, stack) if isinstance(one, Sourced) else one for one in segments
        ]
        blocks = Blocks(iter(opened))
        await blocks.read_first()
        yield blocks


async def _entered(sourced: Sourced, stack: AsyncExitStack) -> _Opened:
    try:
        manager = sourced.source.open()
        pieces = await manager.__aenter__()
    except Exception as error:
        raise _failure(sourced, error) from error
    stack.push_async_callback(_leave, manager, pieces)
    return _Opened(sourced, pieces, sourced.size)


async def _leave(manager: AbstractAsyncContextManager[Any], pieces: AsyncIterator[Any]) -> None:
    # An error while a source closes does not change how the request ended.
    with suppress(Exception):
        if isinstance(pieces, AsyncGenerator):
            await pieces.aclose()
    with suppress(Exception):
        await manager.__aexit__(None, None, None)
