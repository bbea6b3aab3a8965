"""Requests to a platform, and errors that say whether the platform may have got them.

It uses httpx2's transports without httpx2's client: no redirects, cookies, proxies or logged URLs
(docs/explanation/transport.md has the reasons).
"""

from __future__ import annotations

import functools
import json as jsonlib
import re
import ssl
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any
from urllib.parse import quote, urlencode

import attrs
import httpx2
import trio

from gateway_core.envelopes import Json
from gateway_core.errors import TransportError
from gateway_core.http.answers import Body, Response
from gateway_core.http.redaction import redactor
from gateway_core.http.urls import DOTS, check_base_url
from gateway_core.instances import Secret

KEEPALIVE = 20.0
"""Seconds that an idle connection is kept: shorter than the platforms keep theirs."""

_CLOSING = 5.0
_WRITING = "send_request_headers.started"  # The trace event before the first byte is written.
_PATH = re.compile(r"/[!$-~]{0,8191}")  # Printable ASCII but space, quote and fragment.
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


def _sockets(max_connections: int) -> httpx2.AsyncBaseTransport:
    return httpx2.AsyncHTTPTransport(
        verify=_tls_context(),
        trust_env=False,
        retries=0,
        limits=httpx2.Limits(
            max_connections=max_connections,
            max_keepalive_connections=max_connections,
            keepalive_expiry=KEEPALIVE,
        ),
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


async def _read(response: httpx2.Response, bound: int) -> bytes:
    body = Body(response.headers.get("content-encoding", "").strip().lower(), bound)
    try:
        async for chunk in response.aiter_raw():
            body.add(chunk)
            if body.refusal is not None:
                # The reads that follow fail on the closed connection, and their failure unwinds
                # the library's generators, which it does not close itself.
                await response.aclose()
    except httpx2.TransportError:
        if body.refusal is None:
            raise
    return body.whole()


class HttpClient:
    """Requests to one base URL with one set of secrets; made by `open_client`."""

    def __init__(
        self,
        *,
        base_url: str,
        headers: Mapping[str, str | Secret],
        path_secret: Secret | None,
        timeouts: Timeouts,
        make_transport: Callable[[], httpx2.AsyncBaseTransport],
        max_body: int,
    ) -> None:
        self._base = base_url
        self._headers = {**_DEFAULT_HEADERS, **_checked_headers(headers)}
        in_path = [] if path_secret is None else [path_secret.reveal()]
        self._secrets = (*in_path, *_secrets_of(headers))
        self._in_path = quote("".join(in_path), safe=":")
        self._timeouts = timeouts
        self._phases = {
            phase: getattr(timeouts, phase) for phase in ("connect", "write", "read", "pool")
        }
        self._make_transport = make_transport
        self._max_body = max_body
        self._transport: httpx2.AsyncBaseTransport | None = None
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
        request = self._build(method, path, _body(json, form), headers)
        progress = _Progress()
        request.extensions["trace"] = progress.trace
        words = f"no answer within {self._timeouts.total:g} s"
        with trio.move_on_after(self._timeouts.total):
            try:
                return await self._exchange(request, progress)
            except Exception as error:  # noqa: BLE001 - whatever it is, it may show a secret
                words = f"{type(error).__name__}: {error}"
        # Raised out here so that the library's exception is not even its context.
        redact = redactor([*self._secrets, *_secrets_of(headers)])
        raise progress.failure(redact(words))

    def _build(
        self,
        method: str,
        path: str,
        body: tuple[bytes | None, dict[str, str]],
        headers: Mapping[str, str | Secret],
    ) -> httpx2.Request:
        if not _PATH.fullmatch(path) or DOTS.search(path):
            raise ValueError("a path begins with '/', is percent-encoded and has no '..' in it")
        content, described = body
        return httpx2.Request(
            method,
            self._base + path.replace("{secret}", self._in_path),
            headers={**self._headers, **described, **_checked_headers(headers)},
            content=content,
            extensions={"timeout": self._phases},
        )

    async def _exchange(self, request: httpx2.Request, progress: _Progress) -> Response:
        response = await self._opened().handle_async_request(request)
        progress.status = response.status_code
        try:
            body = await _read(response, self._max_body)
        finally:
            await response.aclose()
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Response(response.status_code, headers, body)

    def _opened(self) -> httpx2.AsyncBaseTransport:
        if self._closed:
            raise trio.ClosedResourceError("the session's client is closed")
        if self._transport is None:
            self._transport = self._make_transport()
        return self._transport

    async def aclose(self) -> None:
        """Close the connections, within a few seconds; requests from now on fail undispatched."""
        self._closed = True
        if self._transport is not None:
            with trio.move_on_after(_CLOSING, shield=True):
                await self._transport.aclose()


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
        make_transport=transport_factory.get() or functools.partial(_sockets, max_connections),
        max_body=max_body,
    )
    try:
        yield client
    finally:
        await client.aclose()
