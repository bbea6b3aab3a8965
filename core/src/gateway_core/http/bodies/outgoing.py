"""A body's bytes in blocks, as they are written; never more than a few of them in memory."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    aclosing,
    asynccontextmanager,
    suppress,
)
from typing import Any

import attrs

from gateway_core.http.bodies.multipart import Segment, Sourced
from gateway_core.http.bodies.sources import BLOCK


class SourceError(Exception):
    """A source raised, or gave other bytes than its size says; the text names it."""


@attrs.define(eq=False)
class _Opened:
    """A source that was opened."""

    sourced: Sourced
    pieces: AsyncIterator[bytes | memoryview]

    async def read(self) -> AsyncGenerator[memoryview, None]:
        """Its pieces; the last one once the source came to its end. Raises SourceError."""
        size = left = self.sourced.size
        while left:
            piece = await self._next()
            if piece is None:
                ended = f"ended after {size - left} of {size} bytes"
                raise SourceError(f"{self.sourced.label}: {ended}")
            left -= len(piece)
            if left <= 0:
                await self._ends(over=left < 0)
            yield piece
        if not size:
            await self._ends(over=False)

    async def _ends(self, *, over: bool) -> None:
        if over or await self._next() is not None:
            more = f"has more than its {self.sourced.size} bytes"
            raise SourceError(f"{self.sourced.label}: {more}")

    async def _next(self) -> memoryview | None:
        """The next piece that holds something; None: there is none."""
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
    """The blocks of a body, of which the first was read."""

    _first: bytes | memoryview | None
    _rest: AsyncIterator[bytes | memoryview]

    async def next(self) -> bytes | memoryview | None:
        """The next block; None: that was all. Raises SourceError."""
        first, self._first = self._first, None
        return first or await anext(self._rest, None)


@asynccontextmanager
async def open_blocks(segments: Sequence[Segment]) -> AsyncIterator[Blocks]:
    """Open every source, and read the first block: what fails here failed before a byte went out.

    Raises SourceError.
    """
    async with AsyncExitStack() as stack:
        opened: list[bytes | _Opened] = []
        for one in segments:
            if isinstance(one, Sourced):
                opened.append(_Opened(one, await _entered(one, stack)))
            else:
                opened.append(one)
        rest = await stack.enter_async_context(aclosing(_blocks(opened)))
        yield Blocks(await anext(rest, None), rest)


async def _entered(sourced: Sourced, stack: AsyncExitStack) -> AsyncIterator[bytes | memoryview]:
    try:
        manager = sourced.source.open()
        pieces = await manager.__aenter__()
    except Exception as error:
        raise _failure(sourced, error) from error
    stack.push_async_callback(_leave, manager, pieces)
    return pieces


async def _leave(manager: AbstractAsyncContextManager[Any], pieces: AsyncIterator[Any]) -> None:
    # Whatever a source raises as it closes, the request ended as it did.
    with suppress(Exception):
        if isinstance(pieces, AsyncGenerator):
            await pieces.aclose()
    with suppress(Exception):
        await manager.__aexit__(None, None, None)


async def _blocks(opened: Sequence[bytes | _Opened]) -> AsyncGenerator[bytes | memoryview, None]:
    """What is small is put together, what is large is cut: each block is one write."""
    gathered = bytearray()
    for one in opened:
        if isinstance(one, bytes):
            gathered += one
            continue
        async with aclosing(one.read()) as pieces:
            async for piece in pieces:
                for start in range(0, len(piece), BLOCK):
                    block = piece[start : start + BLOCK]
                    if not gathered and len(block) == BLOCK:
                        yield block
                        continue
                    gathered += block
                    if len(gathered) >= BLOCK:
                        yield bytes(gathered)
                        gathered.clear()
    if gathered:
        yield bytes(gathered)
