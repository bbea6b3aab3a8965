"""A network in memory: ASGI applications as hosts, reached through httpx2, without sockets.

The server side of a request runs in the network's own nursery, so it goes on after the client gave
up. So tests can have requests that the server accepts although no client hears of it, and requests
that take effect late. Time is trio's: under its mock clock every latency and timeout is exact.
"""

from __future__ import annotations

import math
import socket
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from typing import Any, TypeAlias
from urllib.parse import unquote

import attrs
import httpx2
import trio

from gateway_core.http import transport_factory

RESET = "gateway.reset"
"""The ASGI extension: `scope["extensions"][RESET]()` cuts the connection and ends the task."""

Scope: TypeAlias = MutableMapping[str, Any]
Event: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Event]]
Send: TypeAlias = Callable[[Event], Awaitable[None]]
ASGIApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]
Latency: TypeAlias = Callable[[], tuple[float, float]]

_Origin: TypeAlias = tuple[str, str, int]
_PORTS = {"http": 80, "https": 443}
_WRITING = "http11.send_request_headers.started"
_CUT: Event = {"type": "cut"}
_REFUSED = "connection refused"
_NO_NAME = str(socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"))


def _origin(url: httpx2.URL) -> _Origin:
    return url.scheme, url.host, url.port or _PORTS[url.scheme]


def _nothing() -> float:
    return 0.0


def _no_distance() -> tuple[float, float]:
    return 0.0, 0.0


@attrs.frozen(kw_only=True)
class _Host:
    app: ASGIApp
    latency: Latency
    connect: Callable[[], float]
    write: Callable[[], float]


async def _phase(seconds: float, bound: float | None, late: type[httpx2.TransportError]) -> None:
    """Wait as long as the phase takes, or raise `late` after `bound` seconds."""
    if bound is not None and seconds > bound:
        await trio.sleep(bound)
        raise late("timed out")
    await trio.sleep(seconds)


class _Exchange:
    """One request and its answer: the events that the server sends, and when each arrives."""

    def __init__(self, down: float) -> None:
        self._down = down
        self._coming: deque[tuple[float, Event]] = deque()
        self._sent = trio.Event()
        self.hung_up = trio.Event()
        self.serving = trio.CancelScope()

    async def send(self, event: Event) -> None:
        """The server's `send`: never waits for the client. After `hang_up` the event is lost."""
        self._put(dict(event))
        await trio.lowlevel.checkpoint()

    def cut(self) -> None:
        """Reset the connection and end the server's task."""
        self._put(_CUT)
        self.serving.cancel()

    def _put(self, event: Event) -> None:
        if not self.hung_up.is_set():
            self._coming.append((trio.current_time() + self._down, event))
            self._sent.set()

    async def _next(self) -> Event:
        while not self._coming:
            self._sent = trio.Event()
            await self._sent.wait()
        await trio.sleep_until(self._coming[0][0])
        return self._coming.popleft()[1]

    async def receive(self, bound: float | None) -> Event:
        """The next event for the client. Raises httpx2's ReadTimeout, or ReadError for a reset."""
        event = _CUT
        with trio.move_on_after(math.inf if bound is None else bound) as limit:
            event = await self._next()
        if limit.cancelled_caught:
            raise httpx2.ReadTimeout("timed out")
        if event is _CUT:
            raise httpx2.ReadError("connection reset by peer")
        return event

    def hang_up(self) -> None:
        """The client has hung up. The server may go on; its `receive` reports the disconnect."""
        self._coming.clear()
        self.hung_up.set()


class _Body(httpx2.AsyncByteStream):
    """The body of an answer, event by event."""

    def __init__(self, exchange: _Exchange, bound: float | None) -> None:
        self._exchange = exchange
        self._bound = bound
        self._more = True

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if not self._more:
            raise StopAsyncIteration
        if self._exchange.hung_up.is_set():
            raise httpx2.ReadError("the connection is closed")
        event = await self._exchange.receive(self._bound)
        self._more = event.get("more_body", False)
        return bytes(event.get("body", b""))

    async def aclose(self) -> None:
        self._exchange.hang_up()


def _scope(request: httpx2.Request, exchange: _Exchange) -> Scope:
    raw_path, _, query = request.url.raw_path.partition(b"?")
    scheme, host, port = _origin(request.url)
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": scheme,
        "path": unquote(raw_path.decode("ascii")),
        "raw_path": raw_path,
        "query_string": query,
        "root_path": "",
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
        "client": ("127.0.0.1", 1),
        "server": (host, port),
        "extensions": {RESET: exchange.cut},
    }


def _receive(body: bytes, exchange: _Exchange) -> Receive:
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Event:
        if waiting:
            await trio.lowlevel.checkpoint()
            return waiting.pop()
        await exchange.hung_up.wait()
        return {"type": "http.disconnect"}

    return receive


class _Transport(httpx2.AsyncBaseTransport):
    """A client's transport that sends requests to the network's hosts."""

    def __init__(self, network: Network) -> None:
        self._network = network

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        timeouts = request.extensions.get("timeout", {})
        host = self._network.host(request.url)
        if host is None:
            await trio.lowlevel.checkpoint()
            raise httpx2.ConnectError(self._network.refusal(request.url))
        await _phase(host.connect(), timeouts.get("connect"), httpx2.ConnectTimeout)
        trace = request.extensions.get("trace")
        if trace is not None:
            await trace(_WRITING, {})
        body = await request.aread()
        await _phase(host.write(), timeouts.get("write"), httpx2.WriteTimeout)
        exchange = self._network.dispatch(host, request, body)
        return await self._answer(exchange, timeouts.get("read"))

    async def _answer(self, exchange: _Exchange, read: float | None) -> httpx2.Response:
        try:
            start = await exchange.receive(read)
        except BaseException:
            exchange.hang_up()
            raise
        return httpx2.Response(
            start["status"], headers=start.get("headers", []), stream=_Body(exchange, read)
        )


class Network:
    """Hosts in memory; made by `open_network`.

    errors  exceptions of mounted applications. Each is a mistake in the application; `open_network`
            fails at its end unless the list was emptied
    """

    def __init__(self, nursery: trio.Nursery) -> None:
        self.errors: list[Exception] = []
        self._nursery = nursery
        self._hosts: dict[_Origin, _Host] = {}
        self._unnamed: set[_Origin] = set()

    def mount(
        self,
        base_url: str,
        app: ASGIApp,
        *,
        latency: Latency | None = None,
        connect: Callable[[], float] | None = None,
        write: Callable[[], float] | None = None,
    ) -> None:
        """Let `app` answer at the scheme, host and port of `base_url`, on every path.

        latency         returns, for each request, the seconds of the way there and the way back
        connect, write  return the seconds that this phase takes: 0 by default; `math.inf` means
                        that the phase never ends
        """
        origin = _origin(httpx2.URL(base_url))
        self._unnamed.discard(origin)
        self._hosts[origin] = _Host(
            app=app,
            latency=latency or _no_distance,
            connect=connect or _nothing,
            write=write or _nothing,
        )

    def unmount(self, base_url: str) -> None:
        """Refuse connections to this host from now on; requests under way are still served."""
        origin = _origin(httpx2.URL(base_url))
        self._hosts.pop(origin, None)
        self._unnamed.discard(origin)

    def unname(self, base_url: str) -> None:
        """Do not resolve the host's name, as when DNS fails, until the host is mounted again."""
        self.unmount(base_url)
        self._unnamed.add(_origin(httpx2.URL(base_url)))

    def transport(self) -> httpx2.AsyncBaseTransport:
        """A transport for a client. It has no connection pool: connections are unlimited."""
        return _Transport(self)

    def host(self, url: httpx2.URL) -> _Host | None:
        """The host that answers at the URL's origin; None: no host does."""
        return self._hosts.get(_origin(url))

    def refusal(self, url: httpx2.URL) -> str:
        """The operating system's words for why no host answers at the URL."""
        return _NO_NAME if _origin(url) in self._unnamed else _REFUSED

    def dispatch(self, host: _Host, request: httpx2.Request, body: bytes) -> _Exchange:
        """Send a request off: from now on it is served, even if its client gives up."""
        up, down = host.latency()
        exchange = _Exchange(down)
        scope = _scope(request, exchange)
        self._nursery.start_soon(self._serve, host.app, scope, body, exchange, up)
        return exchange

    async def _serve(
        self, app: ASGIApp, scope: Scope, body: bytes, exchange: _Exchange, up: float
    ) -> None:
        await trio.sleep(up)
        with exchange.serving:
            try:
                await app(scope, _receive(body, exchange), exchange.send)
            except Exception as error:  # noqa: BLE001 - kept, and raised when the network closes
                self.errors.append(error)
        # An answer that is incomplete by now stays so; after a complete one this is not read.
        exchange.cut()


@asynccontextmanager
async def open_network() -> AsyncIterator[Network]:
    """A network for the duration of the block; every client opened in the block uses it.

    If `Network.errors` has exceptions at the end, and nothing else was raised, raises an
    ExceptionGroup of them.
    """
    try:
        async with trio.open_nursery() as nursery:
            network = Network(nursery)
            token = transport_factory.set(network.transport)
            try:
                yield network
            finally:
                transport_factory.reset(token)
                nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        # The nursery wraps exceptions that left the block in a group, even a single one.
        if len(group.exceptions) > 1:
            raise
        raise group.exceptions[0] from None
    if network.errors:
        raise ExceptionGroup("applications mounted in the network failed", network.errors)
