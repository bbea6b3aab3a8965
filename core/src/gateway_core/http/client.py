"""Requests to a platform, and errors that say whether the platform may have got them.

It uses httpcore2's connections without a client above them: no redirects, cookies, proxies or
logged URLs (docs/explanation/transport.md has the reasons). Where a transport of httpx2 is put in
their place, as in tests, the same requests go through that.
"""

from __future__ import annotations

import functools
import json as jsonlib
import re
import ssl
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any, Protocol
from urllib.parse import quote, urlencode

import attrs
import httpcore2
import httpx2
import trio

from gateway_core.envelopes import Json
from gateway_core.errors import TransportError
from gateway_core.http.answers import Body, Response
from gateway_core.http.sockets import Sockets
from gateway_core.http.urls import DOTS, check_base_url
from gateway_core.instances import Secret
from gateway_core.redaction import redactor

KEEPALIVE = 20.0
"""Seconds that an idle connection is kept: shorter than the platforms keep theirs."""

_CLOSING = 5.0
_WRITING = "send_request_headers.started"  # The trace event before the first byte is written.
_PATH = re.compile(r"/[!$-~]{0,8191}")  # Printable ASCII but space, quote and fragment.
_UNQUOTED = "/%?=&:@!$'()*+,;~[]"  # What stands for itself in a path that is percent-encoded.
_LENGTH_WANTED = frozenset({"PATCH", "POST", "PUT"})  # Also without a body (RFC 9110, 8.6).
_BROKEN = (httpx2.TransportError, httpcore2.NetworkError, httpcore2.ProtocolError)
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[!-~]([\t -~]*[!-~])?")
_DEFAULT_HEADERS = {
    "accept": "*/*",
    "accept-encoding": "gzip",
    "user-agent": "gateway-core",
}

transport_factory: ContextVar[Callable[[], httpx2.AsyncBaseTransport] | None] = ContextVar(
    "transport_factory", default=None
)
"""Makes the transport of clients opened from here on; None: sockets, on the shared TLS context.

A transport of one's own must report `http11.send_request_headers.started` to the request's `trace`
extension before it writes: until then a failure counts as not dispatched.
"""


class UnreadableBody(TransportError):
    """An answer of known `status` whose body could not be read, or was too big.

    After a 2xx the message is there: an adapter answers with an unknown id instead of raising.
    `dispatched` is `no` for 3xx and 4xx, which are refusals, and else `unknown`.
    """

    def __init__(self, text: str, *, status: int) -> None:
        self.status = status
        refused = 300 <= status < 500  # noqa: PLR2004 - the classes of HTTP status
        super().__init__(f"HTTP {status}: {text}", dispatched="no" if refused else "unknown")


@attrs.frozen(kw_only=True)
class Timeouts:
    """Seconds for each phase of a request, and for all of it together.

    connect  name lookup, TCP and TLS
    write    each write of the request
    read     each read of the answer; at least 30 for Telegram, whose server itself sleeps
    pool     waiting for a connection while all are in use
    total    the whole request: what ends an answer of one byte per second
    """

    connect: float = attrs.field(default=10.0, validator=attrs.validators.gt(0))
    write: float = attrs.field(default=30.0, validator=attrs.validators.gt(0))
    read: float = attrs.field(default=35.0, validator=attrs.validators.gt(0))
    pool: float = attrs.field(default=10.0, validator=attrs.validators.gt(0))
    total: float = attrs.field(default=60.0, validator=attrs.validators.gt(0))


def _checked_headers(headers: Mapping[str, str | Secret]) -> dict[str, str]:
    checked = {}
    for name, value in headers.items():
        text = value.reveal() if isinstance(value, Secret) else value
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(text):
            # The value may be a secret: the error names the header only.
            raise ValueError(f"header {name!r} must have a value of printable ASCII")
        checked[name.lower()] = text
    return checked


def _secrets_of(headers: Mapping[str, str | Secret]) -> Iterable[str]:
    for name, value in headers.items():
        if isinstance(value, Secret):
            yield value.reveal()
        elif name.lower() == "authorization":
            yield value


def _body(json: Json, form: Mapping[str, str] | None) -> tuple[bytes | None, dict[str, str]]:
    if json is not None and form is not None:
        raise ValueError("a request has a body of JSON or of a form, not both")
    if form is not None:
        encoded = urlencode(form).encode()
        return encoded, {"content-type": "application/x-www-form-urlencoded"}
    if json is None:
        return None, {}
    text = jsonlib.dumps(json, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode(), {"content-type": "application/json; charset=utf-8"}


@functools.cache
def _tls_context() -> ssl.SSLContext:
    # A context takes about 800 KB and tens of milliseconds: one serves the process.
    return httpx2.create_ssl_context(trust_env=False)


class _Wire(Protocol):
    """What carries requests to one origin."""

    def exchange(
        self, request: httpcore2.Request, content: bytes | None
    ) -> AbstractAsyncContextManager[httpcore2.Response]: ...

    async def aclose(self) -> None: ...


@attrs.define(eq=False)
class _Replaced:
    """A transport of httpx2 in the place of sockets."""

    _transport: httpx2.AsyncBaseTransport

    @asynccontextmanager
    async def exchange(
        self, request: httpcore2.Request, content: bytes | None
    ) -> AsyncIterator[httpcore2.Response]:
        response = await self._transport.handle_async_request(
            httpx2.Request(
                request.method.decode(),
                bytes(request.url).decode(),
                headers=request.headers,
                content=content,
                extensions=request.extensions,
            )
        )
        try:
            yield httpcore2.Response(
                response.status_code, headers=response.headers.raw, content=response.stream
            )
        finally:
            await response.aclose()

    async def aclose(self) -> None:
        await self._transport.aclose()


def _make_wire(base: httpx2.URL, max_connections: int) -> Callable[[], _Wire]:
    made = transport_factory.get()
    if made is not None:
        return lambda: _Replaced(made())
    secure = base.scheme == "https"
    origin = httpcore2.Origin(base.raw_scheme, base.raw_host, base.port or (443 if secure else 80))
    return lambda: Sockets(
        origin, tls=_tls_context(), max_connections=max_connections, keepalive=KEEPALIVE
    )


@attrs.define(eq=False)
class _Progress:
    """How far a request came: what its failure means."""

    written: bool = False
    status: int | None = None
    tcp: Any = None

    async def trace(self, event: str, told: Mapping[str, Any]) -> None:
        if event.endswith(_WRITING):
            self.written = True
        elif event == "connection.connect_tcp.complete":
            self.tcp = told["return_value"]
        elif event == "connection.start_tls.failed":
            # The library leaves the socket open where a handshake is cancelled.
            with trio.CancelScope(shield=True):
                await self.tcp.aclose()

    def failure(self, text: str) -> TransportError:
        if self.status is not None:
            return UnreadableBody(text, status=self.status)
        return TransportError(text, dispatched="unknown" if self.written else "no")


async def _read(response: httpcore2.Response, encoding: str, bound: int) -> bytes:
    body = Body(encoding.strip().lower(), bound)
    try:
        async for chunk in response.aiter_stream():
            body.add(chunk)
            if body.refusal is not None:
                # The reads that follow fail on the closed connection, and their failure unwinds
                # the library's generators, which it does not close itself.
                await response.aclose()
    except _BROKEN:
        if body.refusal is None:
            raise
    return body.whole()


def _read_headers(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """By lower-case name; those that are repeated are joined (RFC 9110, 5.3)."""
    headers: dict[str, str] = {}
    for name, value in raw:
        key, text = name.decode("ascii").lower(), value.decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return headers


class HttpClient:
    """Requests to one base URL with one set of secrets; made by `open_client`."""

    def __init__(
        self,
        *,
        base_url: str,
        headers: Mapping[str, str | Secret],
        path_secret: Secret | None,
        timeouts: Timeouts,
        max_connections: int,
        max_body: int,
    ) -> None:
        base = httpx2.URL(base_url)
        self._base = base
        self._root = base.raw_path.decode().rstrip("/")
        host = {"host": base.netloc.decode()}
        self._headers = {**host, **_DEFAULT_HEADERS, **_checked_headers(headers)}
        in_path = [] if path_secret is None else [path_secret.reveal()]
        self._secrets = (*in_path, *_secrets_of(headers))
        self._in_path = quote("".join(in_path), safe=":")
        self._timeouts = timeouts
        self._phases = {
            phase: getattr(timeouts, phase) for phase in ("connect", "write", "read", "pool")
        }
        self._make_wire = _make_wire(base, max_connections)
        self._max_body = max_body
        self._wire: _Wire | None = None
        self._closed = False

    def redact(self, text: str) -> str:
        """The text with every secret of this client replaced, raw and percent-encoded."""
        return redactor(self._secrets)(text)

    async def request(
        self,
        method: str,
        path: str,
        *,
        json: Json | None = None,
        form: Mapping[str, str] | None = None,
        headers: Mapping[str, str | Secret] = MappingProxyType({}),
    ) -> Response:
        """Ask once, and answer with whatever status came back.

        `path` begins with a slash, is percent-encoded and may have a query; `{secret}` in it
        becomes the path secret. Raises ValueError for what cannot be sent, `UnreadableBody` when
        the status came but not the body, and `TransportError` for every other failure.
        """
        content, described = _body(json, form)
        request = self._build(method, path, content, {**described, **headers})
        progress = _Progress()
        request.extensions["trace"] = progress.trace
        words = f"no answer within {self._timeouts.total:g} s"
        with trio.move_on_after(self._timeouts.total):
            try:
                return await self._exchange(request, content, progress)
            except Exception as error:  # noqa: BLE001 - whatever it is, it may show a secret
                words = f"{type(error).__name__}: {error}"
        # Raised out here so that the library's exception is not even its context.
        redact = redactor([*self._secrets, *_secrets_of(headers)])
        raise progress.failure(redact(words))

    def _build(
        self,
        method: str,
        path: str,
        content: bytes | None,
        headers: Mapping[str, str | Secret],
    ) -> httpcore2.Request:
        if not _PATH.fullmatch(path) or DOTS.search(path):
            raise ValueError("a path begins with '/', is percent-encoded and has no '..' in it")
        every = {**self._headers, **_checked_headers(headers)}
        if content is not None or method in _LENGTH_WANTED:
            every["content-length"] = str(len(content or b""))
        target = self._root + path.replace("{secret}", self._in_path)
        return httpcore2.Request(
            method,
            httpcore2.URL(
                scheme=self._base.raw_scheme,
                host=self._base.raw_host,
                port=self._base.port,
                target=quote(target, safe=_UNQUOTED).encode(),
            ),
            headers=list(every.items()),
            content=content,
            extensions={"timeout": self._phases},
        )

    async def _exchange(
        self, request: httpcore2.Request, content: bytes | None, progress: _Progress
    ) -> Response:
        async with self._opened().exchange(request, content) as answer:
            progress.status = answer.status
            headers = _read_headers(answer.headers)
            body = await _read(answer, headers.get("content-encoding", ""), self._max_body)
        return Response(answer.status, headers, body)

    def _opened(self) -> _Wire:
        if self._closed:
            raise trio.ClosedResourceError("the session's client is closed")
        if self._wire is None:
            self._wire = self._make_wire()
        return self._wire

    async def aclose(self) -> None:
        """Close the connections, within a few seconds; requests from now on fail undispatched."""
        self._closed = True
        if self._wire is not None:
            with trio.move_on_after(_CLOSING, shield=True):
                await self._wire.aclose()


@asynccontextmanager
async def open_client(
    *,
    base_url: str,
    headers: Mapping[str, str | Secret] = MappingProxyType({}),
    path_secret: Secret | None = None,
    timeouts: Timeouts = Timeouts(),
    max_connections: int = 64,
    max_body: int = 1 << 20,
) -> AsyncIterator[HttpClient]:
    """A client of `base_url` for the time of the block. Connects at the first request.

    `headers` go with every request. `max_body` bounds an answer in bytes, after decompression.
    Raises ValueError for a URL that `check_base_url` would refuse (private addresses are left to
    the settings) and for a header that cannot be sent.
    """
    client = HttpClient(
        base_url=check_base_url(base_url, allow_private=True),
        headers=headers,
        path_secret=path_secret,
        timeouts=timeouts,
        max_connections=max_connections,
        max_body=max_body,
    )
    try:
        yield client
    finally:
        await client.aclose()
