"""Simulates connections beneath the real sockets: HTTP/1.1 as bytes, and idle ones that die.

The product's own code chooses a connection, writes on it and reads from it. Nobody tells this code
that a connection has died, as with a middlebox that forgot it or a platform that failed over.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Literal, TypeAlias
from unittest.mock import patch

import httpx2
import trio
from simulated.ledger import Ledger

from gateway_core.http.reuse import SILENT
from gateway_core.http.sockets import Sockets
from gateway_core.http.tcp import UNACKNOWLEDGED, TcpStream
from gateway_core.testing import Network

if TYPE_CHECKING:
    from simulated.platforms import Platforms

How: TypeAlias = Literal["silent", "gone", "reset"]
DEATHS: tuple[How, ...] = ("silent", "gone", "reset")
"""Writes are acknowledged, but no answer comes; writes are not acknowledged; a write is reset."""

REPEATS: ContextVar[bool] = ContextVar("repeats", default=False)
"""Whether the running task repeats an attempt, or probes an account; the ports set this."""

NO_BODY = (204, 304)


class Wires:
    """All connections of one world.

    suffering  requests under way on dead connections; the last of them ended at `last`
    """

    def __init__(self, network: Network, platforms: Platforms, ledger: Ledger) -> None:
        self.ledger = ledger
        self.network = network
        self._platforms = platforms
        self._open: dict[str, dict[Wire, None]] = defaultdict(dict)
        self._cuts = 0
        self._known: dict[tuple[Sockets, int], float] = {}
        self.last = 0.0
        self.suffering = 0

    @contextmanager
    def laid(self) -> Iterator[None]:
        """Let all clients use these connections."""
        wires = self

        async def connected(self: Sockets) -> Wire:
            return await wires.connect(self, f"https://{self._host}")

        with patch.object(Sockets, "_connected", connected):
            yield

    async def connect(self, owner: Sockets, origin: str) -> Wire:
        """Open a connection. Raises OSError if nobody is there."""
        host = self.network.host(httpx2.URL(origin))
        assert host is not None
        try:
            await trio.sleep(host.connect())
        except httpx2.ConnectError as error:
            raise OSError(str(error)) from None
        wire = Wire(self, owner, origin)
        self._open[origin][wire] = None
        return wire

    def cut(self, url: str, how: How) -> None:
        """Let every connection to the platform die."""
        self._cuts += 1
        for wire in self._open[_origin(url)]:
            if wire.died is None:
                wire.died, wire.how, wire.cut = trio.current_time(), how, self._cuts
                self._suffers(wire, wire.waits)
                wire.stop()

    def closed(self, wire: Wire) -> None:
        """Note that the gateway has closed the connection."""
        self._open[wire.origin].pop(wire, None)
        if wire.suffers:
            self._suffers(wire, False)
            now = self.last = trio.current_time()
            seen = wire.how == "reset" or now - wire.asked >= SILENT
            if seen and wire.died is not None and wire.asked >= wire.died:
                self._known.setdefault((wire.owner, wire.cut), now)

    def asks(self, wire: Wire) -> None:
        """Note that a request goes out on the connection, and check that it may."""
        ledger, now = self.ledger, trio.current_time()
        if wire.answers and wire.died is None and now < self._sky(wire).resets:
            self._cuts += 1
            wire.died, wire.how, wire.cut = now, "reset", self._cuts
        if wire.died is not None:
            ledger.note("connection", wire.how, f"idle for {now - wire.answered:.2f}")
            ledger.faults += 1
            self._suffers(wire, True)
        again = REPEATS.get() and wire.answers
        ledger.expect(not again, "what is repeated goes out on a connection that was used before")
        known = self._known.get((wire.owner, wire.cut), -math.inf)
        ledger.expect(wire.answered >= known, "another connection is asked that may be as dead")

    def _suffers(self, wire: Wire, suffers: bool) -> None:
        self.suffering += suffers - wire.suffers
        wire.suffers = suffers

    def _sky(self, wire: Wire) -> Any:
        skies = self._platforms.skies.items()
        return next(sky for url, sky in skies if _origin(url) == wire.origin)


class Wire(TcpStream):
    """One connection, as the sockets see it.

    answers   requests that were answered on it; `answered`: when the last of them was
    waits     a request has no answer yet; `suffers`: and never will have one
    died      when it died; `how`, and by which `cut`
    """

    def __init__(self, wires: Wires, owner: Sockets, origin: str) -> None:
        self.sent = 0
        self.owner = owner
        self.origin = origin
        self.answers = 0
        self.asked = self.answered = 0.0
        self.waits = self.suffers = False
        self.died: float | None = None
        self.how: How = "silent"
        self.cut = 0
        self._wires = wires
        self._written = bytearray()
        self._exchange: Any = None
        self._whole = trio.Event()  # the request was written to its end
        self._closed = False
        self._changed = trio.CancelScope()
        self._chunked = False

    # -- what the sockets do

    def send_nowait(self, data: bytes | memoryview) -> int:
        if self._closed:
            raise trio.ClosedResourceError("this connection was closed")
        self._written += data
        self.sent += len(data)
        request = _request(bytes(self._written), self.origin)
        if request is not None:
            self._written.clear()
            self._ask(request)
        return len(data)

    def _ask(self, request: httpx2.Request) -> None:
        wires, self.asked = self._wires, trio.current_time()
        wires.asks(self)
        self.waits = True
        if self.died is None:
            host = wires.network.host(request.url)
            assert host is not None
            self._exchange = wires.network.dispatch(host, request, request.content)
            self._whole.set()

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        self.send_nowait(bytes(data))
        await trio.lowlevel.checkpoint()

    def bear(self, seconds: float) -> None:
        pass

    def discard(self) -> None:
        """What was written has arrived, or never will."""

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        del max_bytes
        if self.died is None:
            self._changed = trio.CancelScope()
            with self._changed:
                return await self._next()
        if self._closed:
            raise trio.ClosedResourceError("this connection was closed")
        return await self._nothing()

    async def _next(self) -> bytes:
        """The bytes of the next event that has some; none: it ended.

        An answer's head comes with its body. By decision, a 2xx that is cut between the two counts
        as delivered; on Slack, which also refuses with 200, that may be wrong.
        """
        head = b""
        await self._whole.wait()
        while True:
            try:
                event = await self._exchange.receive(None)
            except httpx2.ReadError:
                raise trio.BrokenResourceError("connection reset by peer") from None
            if event["type"] == "http.response.start":
                head = self._head(event)
                if not self.waits:
                    return head
                continue
            over = not event.get("more_body", False)
            data = head + self._body(bytes(event.get("body", b"")), over=over)
            head = b""
            if over:
                self._answer()
            if data or over:
                return data

    def _body(self, body: bytes, *, over: bool) -> bytes:
        if not self._chunked:
            return body
        chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
        return chunk + (b"0\r\n\r\n" if over else b"")

    def _answer(self) -> None:
        self.waits = False
        self.answers += 1
        self.answered = trio.current_time()
        self._exchange.hang_up()
        self._exchange = None
        self._whole = trio.Event()

    def _head(self, event: Any) -> bytes:
        status, headers = event["status"], list(event.get("headers", ()))
        named = {name.lower() for name, _ in headers}
        self._chunked = b"content-length" not in named and status not in NO_BODY
        if self._chunked:
            headers.append((b"transfer-encoding", b"chunked"))
        elif status in NO_BODY or (b"content-length", b"0") in headers:
            self._answer()
        fields = b"".join(b"%b: %b\r\n" % (name, value) for name, value in headers)
        return b"HTTP/1.1 %d said\r\n%b\r\n" % (status, fields)

    async def _nothing(self) -> bytes:
        """Wait on a dead connection until it breaks or is closed."""
        self._changed = trio.CancelScope()
        with self._changed:
            if self.how == "silent":
                await trio.sleep_forever()
            lost = max(self.asked, self.died or 0.0)
            await trio.sleep_until(lost + (UNACKNOWLEDGED if self.how == "gone" else 0.0))
            raise trio.BrokenResourceError("the connection broke")
        raise trio.ClosedResourceError("this connection was closed")

    def has_news(self) -> bool:
        return self._closed

    async def aclose(self) -> None:
        if not self._closed:
            self._closed = True
            self._wires.closed(self)
            self.stop()

    def stop(self) -> None:
        """Let the reader get nothing more from the platform, which may go on."""
        if self._exchange is not None:
            self._exchange.hang_up()
        self._changed.cancel()


def _origin(url: str) -> str:
    return "/".join(url.split("/")[:3])


def _request(data: bytes, origin: str) -> httpx2.Request | None:
    """The request, once it is whole."""
    head, found, body = data.partition(b"\r\n\r\n")
    if not found:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ")
    headers = [tuple(line.split(": ", 1)) for line in lines]
    length = next((int(value) for name, value in headers if name == "content-length"), 0)
    if len(body) < length:
        return None
    return httpx2.Request(method, origin + target, headers=headers, content=body)  # type: ignore[arg-type]
