# ruff: noqa: ASYNC109 - parameters named `timeout` are httpcore2's interface.
"""Connections to one origin: httpcore2's, kept in a pool of our own that has one origin to serve.

httpcore2's own pool looks at every idle connection for every request, and its connections write
head and body apart; at 64 connections that is most of a request's CPU
(docs/explanation/dependencies.md has the figures).
"""

from __future__ import annotations

import ssl
from collections import deque
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import httpcore2
import trio


class _OneWrite(httpcore2.AsyncNetworkStream):
    """A stream that sends a request's head and body together.

    What is written waits for the empty write with which the library ends a body of known length,
    or at the latest for the next read.
    """

    def __init__(self, stream: httpcore2.AsyncNetworkStream) -> None:
        self._stream = stream
        self._waiting: list[bytes] = []

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if self._waiting:
            await self._flush(timeout)
        return await self._stream.read(max_bytes, timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        if buffer:
            self._waiting.append(buffer)
        elif self._waiting:
            await self._flush(timeout)

    async def _flush(self, timeout: float | None) -> None:
        joined = b"".join(self._waiting)
        self._waiting.clear()
        await self._stream.write(joined, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        return _OneWrite(await self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _Backend(httpcore2.TrioBackend):
    """trio's sockets, with those streams."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        stream = await super().connect_tcp(host, port, timeout, local_address, socket_options)
        return _OneWrite(stream)


class Sockets:
    """At most `max_connections` to `origin`; an idle one is used again for `keepalive` seconds."""

    def __init__(
        self,
        origin: httpcore2.Origin,
        *,
        tls: ssl.SSLContext,
        max_connections: int,
        keepalive: float,
    ) -> None:
        self.tls = tls
        self._origin = origin
        self._keepalive = keepalive
        self._backend = _Backend()
        self._seats = trio.Semaphore(max_connections)
        # Invariant: the newest is at the right and is used first, so that the oldest expire.
        self._idle: deque[httpcore2.AsyncHTTPConnection] = deque()
        self._busy: dict[int, httpcore2.AsyncHTTPConnection] = {}

    @asynccontextmanager
    async def exchange(
        self, request: httpcore2.Request, _content: bytes | None
    ) -> AsyncIterator[httpcore2.Response]:
        """Send the request, and hand out the response for the time of the block."""
        await self._seat(request.extensions["timeout"]["pool"])
        try:
            connection = await self._connection()
            self._busy[id(connection)] = connection
            try:
                response = await connection.handle_async_request(request)
                try:
                    yield response
                finally:
                    # Shielded: a connection that is neither closed nor idle would be lost.
                    with trio.CancelScope(shield=True):
                        await response.aclose()
                    await self._keep(connection)
            finally:
                self._busy.pop(id(connection), None)
        finally:
            self._seats.release()

    async def aclose(self) -> None:
        """Close every connection, also those in use."""
        for connection in (*self._idle, *self._busy.values()):
            await connection.aclose()
        self._idle.clear()

    async def _seat(self, seconds: float) -> None:
        with trio.move_on_after(seconds) as scope:
            await self._seats.acquire()
        if scope.cancelled_caught:
            raise httpcore2.PoolTimeout("all connections are in use")

    async def _connection(self) -> httpcore2.AsyncHTTPConnection:
        """The idle connection that was used last, or a new one; connects at its first request."""
        while self._idle:
            connection = self._idle.pop()
            if not connection.has_expired():
                return connection
            await connection.aclose()
        return httpcore2.AsyncHTTPConnection(
            origin=self._origin,
            ssl_context=self.tls,
            keepalive_expiry=self._keepalive,
            network_backend=self._backend,
        )

    async def _keep(self, connection: httpcore2.AsyncHTTPConnection) -> None:
        """Put it with the idle ones if it can serve again, and drop the oldest if that expired."""
        if connection.is_available():
            self._idle.append(connection)
        if len(self._idle) > 1 and self._idle[0].has_expired():
            with trio.CancelScope(shield=True):
                await self._idle.popleft().aclose()
