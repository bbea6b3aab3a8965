"""Holds the connections to one origin, and decides which of them carries a request."""

from __future__ import annotations

import ssl
from collections import deque

import trio

from gateway_core.contract.envelopes import repeated
from gateway_core.http.answers import Response
from gateway_core.http.bodies.outgoing import Blocks, SourceError, open_blocks
from gateway_core.http.bodies.uploading import Upload
from gateway_core.http.progress import Progress
from gateway_core.http.reuse import Reuse, Usage
from gateway_core.http.tcp import MOST, UNACKNOWLEDGED, TcpStream
from gateway_core.http.tunnel import NOT_LET_IN, Stream, open_tunnel, secured
from gateway_core.http.urls import Proxy
from gateway_core.http.wire import Reading, Request


class Connection:
    """A connected stream, one request at a time."""

    def __init__(self, stream: Stream) -> None:
        self.usage = Usage(trio.current_time())
        self._stream = stream
        while not isinstance(stream, TcpStream):
            stream = stream.transport_stream
        self._tcp = stream

    def is_stale(self) -> bool:
        """Whether the idle connection has ended, or has received bytes that nobody asked for."""
        return self._tcp.has_news()

    async def ask(
        self, request: Request, progress: Progress, bound: int, blocks: Blocks | None = None
    ) -> Reading:
        """Write the request, with the blocks of its body if it is streamed, and read the answer.

        Raises WireError if no whole answer came, trio.BrokenResourceError if the connection broke,
        and SourceError if the body could not be read.
        """
        self.usage.asked, self.usage.heard = trio.current_time(), False
        await trio.lowlevel.checkpoint_if_cancelled()
        try:
            if blocks is None:
                progress.begins_to_write()
                await self._write(request.encoded(), progress)
                return await self._read(progress, bound)
            return await self._upload(request.encoded(), blocks, progress, bound)
        except trio.BrokenResourceError as error:
            # In TLS 1.3 a server refuses a certificate after the request went out, but unread.
            fresh = self.usage.answered is None
            if fresh and getattr(error.__cause__, "reason", None) in NOT_LET_IN:
                progress.written = False
            raise

    async def _write(self, data: memoryview, progress: Progress) -> None:
        before = self._tcp.sent
        try:
            sent = self._tcp.send_nowait(data) if self._stream is self._tcp else 0
            if sent < len(data):
                progress.enter("write")
                await self._stream.send_all(data[sent:])
        except trio.BrokenResourceError:
            if self._tcp.sent == before:  # the connection had ended before the first byte
                progress.written = False
                raise
            # If a request is refused for its size, the answer may come before the request's end.
        if progress.phase != "read":
            progress.enter("read")

    async def _upload(
        self, head: memoryview, blocks: Blocks, progress: Progress, bound: int
    ) -> Reading:
        """Write the request while the answer is read; an early answer may end the writing."""
        upload = Upload(self._stream, self._tcp, blocks, progress, self.usage)
        reading: Reading | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(upload.run, head, nursery.cancel_scope)
            try:
                reading = await self._read(progress, bound, upload)
            except Exception as error:  # noqa: BLE001 - raised below, not in a group
                upload.failure = upload.failure or error
            nursery.cancel_scope.cancel()
        if reading is None:
            raise upload.failure or trio.BrokenResourceError("the request was not written")
        reading.keep = reading.keep and upload.is_over_for_both(reading.status)
        self._tcp.bear(UNACKNOWLEDGED)
        return reading

    async def _read(self, progress: Progress, bound: int, upload: Upload | None = None) -> Reading:
        reading = Reading(bound)
        while True:
            data = await self._stream.receive_some(MOST)
            self.usage.heard = self.usage.heard or bool(data)
            reading.feed(data)
            progress.status = reading.status
            if reading.complete or reading.refused:
                return reading
            if upload is not None and reading.status is not None:
                upload.answered(reading.status)
            if upload is None or upload.over:
                progress.enter("read")

    async def close(self, *, discard: bool = False) -> None:
        """Close the connection at once, shielded, so that an answer already read is not lost.

        discard  what the other side has not received yet is not sent any more
        """
        if discard:
            self._tcp.discard()
        with trio.CancelScope(shield=True):
            await trio.aclose_forcefully(self._stream)


class Sockets:
    """At most `most` connections to an origin; an idle one is used again for `keepalive` seconds.

    tls        the TLS context for https; None: plain http
    proxy      the proxy that leads to the origin; None: none does
    proxy_tls  the TLS context for a proxy that speaks TLS itself
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        tls: ssl.SSLContext | None,
        most: int,
        keepalive: float,
        proxy: Proxy | None = None,
        proxy_tls: ssl.SSLContext | None = None,
    ) -> None:
        self.tls = tls
        self._proxy, self._proxy_tls = proxy, proxy_tls
        self._host = host
        self._port = port
        self._reuse = Reuse(keepalive)
        self._seats = trio.Semaphore(most)
        # Invariant: the newest is at the right and is reused first, so that the oldest expire.
        self._idle: deque[Connection] = deque()
        self._busy: set[Connection] = set()
        self._closed = False

    async def exchange(self, request: Request, progress: Progress, bound: int) -> Response:
        """Send the request, and read its answer with at most `bound` bytes of body."""
        await self._seat(progress)
        try:
            if not request.segments:
                return await self._carried(request, None, progress, bound)
            progress.enter("source")
            async with open_blocks(request.segments) as blocks:
                return await self._carried(request, blocks, progress, bound)
        finally:
            self._seats.release()

    async def _seat(self, progress: Progress) -> None:
        try:
            self._seats.acquire_nowait()
        except trio.WouldBlock:
            progress.enter("pool")
            await self._seats.acquire()

    async def _connection(self, progress: Progress) -> Connection:
        """The idle connection that was used last, if it may be reused; else a new connection."""
        while self._idle and not repeated.get():
            choice = self._reuse.choose(self._idle[-1].usage, trio.current_time())
            if choice == "leave":
                break
            connection = self._idle.pop()
            if choice == "take" and not connection.is_stale():
                return connection
            self._reuse.unused(connection.usage)
            await connection.close()
        return await self._new(progress)

    async def _new(self, progress: Progress) -> Connection:
        while len(self._idle) > self._seats.value:  # each taken seat has a connection of its own
            await self._idle.popleft().close()
        progress.enter("connect")
        progress.through = "" if self._proxy is None else f" through the proxy {self._proxy}"
        connection = Connection(await self._connected())
        if self._closed:  # meanwhile
            await connection.close()
            raise trio.ClosedResourceError("the session's client is closed")
        return connection

    async def _connected(self) -> Stream:
        stream: Stream
        if self._proxy is None:
            stream = TcpStream(await trio.open_tcp_stream(self._host, self._port))
        else:
            stream = await open_tunnel(self._proxy, self._host, self._port, self._proxy_tls)
        return stream if self.tls is None else await secured(stream, self.tls, self._host)

    async def _carried(
        self, request: Request, blocks: Blocks | None, progress: Progress, bound: int
    ) -> Response:
        """Invariant: afterwards the connection is idle and whole, or closed."""
        connection = await self._connection(progress)
        self._busy.add(connection)
        keep = broke = answered = False
        try:
            reading = await connection.ask(request, progress, bound, blocks)
            answered = True
            keep = reading.complete and reading.keep and not self._closed
            return reading.response()
        except SourceError:
            raise
        except Exception:
            broke = True
            raise
        finally:
            now = trio.current_time()
            usage = connection.usage
            self._busy.discard(connection)
            doubtful = self._reuse.ended(usage, now, broke=broke or now >= progress.scope.deadline)
            if keep:
                usage.answered = now
                self._idle.append(connection)
                await self._drop_expired(now)
            else:
                await connection.close(discard=not answered)
            if doubtful:
                await self._drop_doubtful(usage)

    async def _drop_expired(self, now: float) -> None:
        """Close the oldest of several connections if it has expired, since nobody else would."""
        if len(self._idle) > 1 and self._reuse.is_expired(self._idle[0].usage, now):
            await self._idle.popleft().close()

    async def _drop_doubtful(self, failed: Usage) -> None:
        """Close idle connections that were not seen alive since the failed one's request."""
        doubtful = [one for one in self._idle if self._reuse.is_doubtful(one.usage, failed)]
        self._idle = deque(one for one in self._idle if one not in doubtful)
        for connection in doubtful:
            await connection.close()

    async def aclose(self) -> None:
        """Close every connection, even those in use."""
        self._closed = True
        connections = (*self._idle, *self._busy)
        self._idle.clear()
        for connection in connections:
            await connection.close()
