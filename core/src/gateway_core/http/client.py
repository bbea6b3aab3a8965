"""Makes requests to a platform; its errors say whether the platform may have received them.

It speaks HTTP/1.1 over trio's streams, without a client library: no redirects, cookies or logged
URLs, and no proxy that was not asked for (docs/explanation/transport.md has the reasons). If a
transport of httpx2 replaces the streams, as in tests, it carries the same requests.
"""

from __future__ import annotations

import functools
import json as jsonlib
import re
import ssl
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import Protocol
from urllib.parse import quote, urlencode

import trio

from gateway_core.contract.envelopes import Json
from gateway_core.contract.instances import Secret, redactor
from gateway_core.http.answers import Response
from gateway_core.http.bodies.multipart import Multipart, RawBody, Segment, size_of
from gateway_core.http.bodies.outgoing import SourceError
from gateway_core.http.network import NetworkSettings, proxy_for, system_context, tls_for
from gateway_core.http.progress import Progress, Timeouts
from gateway_core.http.replaced import transport_factory
from gateway_core.http.sockets import Sockets
from gateway_core.http.tunnel import secrets_of
from gateway_core.http.urls import DOTS, Origin, Proxy, check_base_url, origin_of
from gateway_core.http.wire import Request

KEEPALIVE = 20.0
"""Seconds that an idle connection is kept open: shorter than the platforms keep theirs."""

_CLOSING = 5.0
_PATHS = 256
"""Checked paths that a client remembers."""

_PATIENCE = Timeouts()
_DIRECT = NetworkSettings()
_METHODS = frozenset({"DELETE", "GET", "PATCH", "POST", "PUT"})
_LENGTH_WANTED = frozenset({"PATCH", "POST", "PUT"})  # Even without a body (RFC 9110, 8.6).
_PATH = re.compile(r"/[!$-~]{0,8191}")  # Printable ASCII, but no space, quote or fragment.
_UNQUOTED = "/%?=&:@!$'()*+,;~[]"  # What a percent-encoded path keeps unquoted.
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[!-~]([\t -~]*[!-~])?")
_DEFAULT_HEADERS = {
    "accept": "*/*",
    "accept-encoding": "gzip",
    "user-agent": "gateway-core",
}


def _revealed(value: str | Secret) -> str:
    return value.reveal() if isinstance(value, Secret) else value


def _checked_headers(headers: Mapping[str, str | Secret]) -> dict[str, str]:
    for name, value in headers.items():
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(_revealed(value)):
            # The value may be a secret: neither the error nor its frame's locals show it.
            raise ValueError(f"header {name!r} must have a value of printable ASCII")
    return {name.lower(): _revealed(value) for name, value in headers.items()}


def _secrets_of(headers: Mapping[str, str | Secret]) -> Iterable[str]:
    for name, value in headers.items():
        if isinstance(value, Secret):
            yield value.reveal()
        elif name.lower() == "authorization":
            yield value


def _content(
    json: Json, form: Mapping[str, str | Secret] | None, body: Multipart | RawBody | None
) -> tuple[bytes, Sequence[Segment], dict[str, str]]:
    """The content to send as a whole, the segments to stream, and headers that describe them."""
    if sum(one is not None for one in (json, form, body)) > 1:
        raise ValueError("a request must have only one of JSON, a form and a body")
    if body is not None:
        return b"", body.segments(), {"content-type": body.media_type}
    if form is not None:
        encoded = urlencode({name: _revealed(value) for name, value in form.items()}).encode()
        return encoded, (), {"content-type": "application/x-www-form-urlencoded"}
    if json is None:
        return b"", (), {}
    encoded = _ENCODER.encode(json).encode()
    return encoded, (), {"content-type": "application/json; charset=utf-8"}


_ENCODER = jsonlib.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


@functools.cache
def tls_context() -> ssl.SSLContext:
    """The process's TLS context, which trusts the certificates that the system trusts."""
    # A context takes about 800 KB and tens of milliseconds, so one serves the process.
    return _speaking_http(system_context())


def _tls_of(network: NetworkSettings) -> ssl.SSLContext:
    own = tls_for(network)
    return tls_context() if own is None else _speaking_http(own)


def _speaking_http(context: ssl.SSLContext) -> ssl.SSLContext:
    context.set_alpn_protocols(["http/1.1"])
    return context


class _Wire(Protocol):
    """Carries requests to one origin."""

    async def exchange(self, request: Request, progress: Progress, bound: int) -> Response: ...

    async def aclose(self) -> None: ...


def _make_wire(
    base: Origin, proxy: Proxy | None, network: NetworkSettings, max_connections: int
) -> Callable[[], _Wire]:
    made = transport_factory.get()
    if made is not None:
        # Its library comes with an extra, and whoever sets a transport has installed it.
        from gateway_core.http.replaced.exchange import Replaced  # noqa: PLC0415

        return lambda: Replaced(made(), str(base))
    secure, through_tls = base.scheme == "https", proxy is not None and proxy.secure

    def connect() -> Sockets:
        tls = _tls_of(network) if secure or through_tls else None
        return Sockets(
            base.host,
            base.port,
            tls=tls if secure else None,
            most=max_connections,
            keepalive=KEEPALIVE,
            proxy=proxy,
            proxy_tls=tls if through_tls else None,
        )

    return connect


def words_of(error: Exception) -> str:
    """The error's own words; if it has none, those of its cause."""
    text = f"{type(error).__name__}: {error}"
    return text if str(error) or error.__cause__ is None else f"{text}{error.__cause__}"


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
        max_upload: int,
        network: NetworkSettings,
    ) -> None:
        base, self._root = origin_of(base_url)
        proxy = proxy_for(network, base.scheme, base.host, base.port)
        host = {"host": base.authority}
        self._headers = {**host, **_DEFAULT_HEADERS, **_checked_headers(headers)}
        in_path = [] if path_secret is None else [path_secret.reveal()]
        hidden = () if proxy is None else secrets_of(proxy)
        self._secrets = (*in_path, *_secrets_of(headers), *hidden)
        self._in_path = quote("".join(in_path), safe=":")
        self._target = functools.lru_cache(_PATHS)(self._target_of)
        self._timeouts = timeouts
        self._make_wire = _make_wire(base, proxy, network, max_connections)
        self._max_body = max_body
        self._max_upload = max_upload
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
        form: Mapping[str, str | Secret] | None = None,
        body: Multipart | RawBody | None = None,
        headers: Mapping[str, str | Secret] = MappingProxyType({}),
    ) -> Response:
        """Make one request and return the response, whatever its status.

        `path` begins with a slash, is percent-encoded and may have a query; `{secret}` in it
        becomes the path secret. A `body` is written while it is read from its sources; if the
        answer comes earlier, the rest is not written. Raises ValueError for a request that cannot
        be sent, `UnreadableBody` if the status arrived but not the answer's body,
        `UnreadableSource` if a source of `body` failed, and `TransportError` for every other
        failure.
        """
        request = self._build(method.upper(), path, *_content(json, form, body), headers)
        progress = Progress(self._timeouts)
        words, of_source = "", False
        with progress.scope:
            try:
                return await self._opened().exchange(request, progress, self._max_body)
            except Exception as error:  # noqa: BLE001 - whatever it is, it may show a secret
                words = self._told(error, {**headers, **(form or {})})
                of_source = isinstance(error, SourceError)
        if not words:
            words, of_source = progress.late(), progress.phase == "source"
        # Raised outside `except`, so that the library's exception is not even its context.
        raise progress.failure(words, of_source=of_source)

    def _told(self, error: Exception, fields: Mapping[str, str | Secret]) -> str:
        """The error's words without secrets; made here, since a traceback may show the locals."""
        return redactor([*self._secrets, *_secrets_of(fields)])(words_of(error))

    def _build(
        self,
        method: str,
        path: str,
        content: bytes,
        segments: Sequence[Segment],
        described: Mapping[str, str],
        headers: Mapping[str, str | Secret],
    ) -> Request:
        if method not in _METHODS:
            raise ValueError(f"the method must be one of {', '.join(sorted(_METHODS))}")
        target = self._target(path)
        every = {**self._headers, **described}
        if headers:
            every |= _checked_headers(headers)
        size = len(content) + size_of(segments)
        if size > self._max_upload:
            most = f"at most {self._max_upload} bytes"
            raise ValueError(f"a request's body must have {most}, not {size}")
        if size or method in _LENGTH_WANTED:
            every["content-length"] = str(size)
        return Request(method, target, every, content, segments)

    def _target_of(self, path: str) -> str:
        if not _PATH.fullmatch(path) or DOTS.search(path):
            text = "a path must begin with '/', be percent-encoded and have no '..' in it"
            raise ValueError(text)
        target = self._root + path.replace("{secret}", self._in_path)
        return quote(target, safe=_UNQUOTED)

    def _opened(self) -> _Wire:
        if self._closed:
            raise trio.ClosedResourceError("the session's client is closed")
        if self._wire is None:
            self._wire = self._make_wire()
        return self._wire

    async def aclose(self) -> None:
        """Close the connections within a few seconds; later requests fail undispatched."""
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
    timeouts: Timeouts = _PATIENCE,
    max_connections: int = 64,
    max_body: int = 1 << 20,
    max_upload: int = 1 << 30,
    network: NetworkSettings = _DIRECT,
) -> AsyncIterator[HttpClient]:
    """Open a client of `base_url` for the time of the block. It connects at the first request.

    `headers` go with every request. `max_body` bounds an answer in bytes, after decompression, and
    `max_upload` a request's body. `network` configures the connection: a channel's own settings, if
    they inherit from `NetworkSettings`. Raises ValueError for a URL that `check_base_url` would
    refuse (private addresses are left to the settings), for a header that cannot be sent, and for a
    bad environment variable if `network` trusts the environment.
    """
    client = HttpClient(
        base_url=check_base_url(base_url, allow_private=True),
        headers=headers,
        path_secret=path_secret,
        timeouts=timeouts,
        max_connections=max_connections,
        max_body=max_body,
        max_upload=max_upload,
        network=network,
    )
    try:
        yield client
    finally:
        await client.aclose()
