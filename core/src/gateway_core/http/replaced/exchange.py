"""Carries requests and answers through a transport of httpx2, in place of the sockets."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator

import attrs
import httpx2

from gateway_core.http.answers import Body, Response
from gateway_core.http.bodies.outgoing import Blocks, open_blocks
from gateway_core.http.progress import Progress
from gateway_core.http.wire import Request, add_header


@attrs.define(eq=False)
class Replaced:
    """Carries requests to the origin `base`, a URL without a path, through a transport."""

    _transport: httpx2.AsyncBaseTransport
    _base: str

    async def exchange(self, request: Request, progress: Progress, bound: int) -> Response:
        """Send the request and read its answer, like `Sockets.exchange`."""
        if not request.segments:
            progress.enter("total")
            return await self._asked(request, request.content, progress, bound)
        progress.enter("source")
        async with open_blocks(request.segments) as blocks:
            return await self._asked(request, _Taken(blocks, progress), progress, bound)

    async def _asked(
        self, request: Request, content: bytes | _Taken, progress: Progress, bound: int
    ) -> Response:
        phases = attrs.asdict(progress.timeouts)
        phases.pop("total")
        answer = await self._transport.handle_async_request(
            httpx2.Request(
                request.method,
                self._base + request.target,
                headers=list(request.headers.items()),
                content=content,
                extensions={"timeout": phases, "trace": progress.trace},
            )
        )
        try:
            progress.status = answer.status_code
            return await _read(answer, bound)
        finally:
            await answer.aclose()

    async def aclose(self) -> None:
        """Close the transport."""
        await self._transport.aclose()


@attrs.define(eq=False)
class _Taken:
    """An iterator of a body's blocks for the transport."""

    _blocks: Blocks
    _progress: Progress

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        self._progress.enter("source")
        block = await self._blocks.next()
        self._progress.moved()
        if block is None:
            raise StopAsyncIteration
        self._progress.goes_on_writing()
        return bytes(block)


async def _read(answer: httpx2.Response, bound: int) -> Response:
    headers: dict[str, str] = {}
    for name, value in answer.headers.raw:
        add_header(headers, name, value)
    body = Body(headers.get("content-encoding", ""), bound)
    try:
        async for chunk in _stream(answer):
            body.add(chunk)
            if body.refusal is not None:
                # The reads that follow fail on the closed connection, and their failure unwinds
                # the transport's generators, which would else be left to the garbage collector.
                await answer.aclose()
    except httpx2.TransportError:
        if body.refusal is None:
            raise
    return Response(answer.status_code, headers, body.whole())


def _stream(answer: httpx2.Response) -> AsyncIterable[bytes]:
    if not isinstance(answer.stream, httpx2.AsyncByteStream):
        raise TypeError("the transport's answer has no asynchronous body")
    return answer.stream
