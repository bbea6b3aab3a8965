"""Requests to a platform, and errors that say whether the platform may have got them.

HTTP/1.1 over trio's streams, without a client above them: no redirects, cookies, proxies or logged
URLs (docs/explanation/transport.md has the reasons). Where a transport of httpx2 is put in their
place, as in tests, the same requests go through that.
"""

from __future__ import annotations

import functools
import json as jsonlib
import re
import ssl
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import Protocol
from urllib.parse import quote, urlencode

import httpx2
import trio

from gateway_core.contract.envelopes import Json
from gateway_core.contract.instances import Secret
from gateway_core.contract.redaction import redactor
from gateway_core.http.answers import Response
from gateway_core.http.progress import Progress, Timeouts
from gateway_core.http.replaced import Replaced, transport_factory
from gateway_core.http.sockets import Sockets
from gateway_core.http.urls import DOTS, check_base_url
from gateway_core.http.wire import Request

KEEPALIVE = 20.0
"""Seconds that an idle connection is kept: shorter than the platforms keep theirs."""

_CLOSING = 5.0
_PATHS = 256
"""Checked paths that a client remembers."""

_PATIENCE = Timeouts()
_METHODS = frozenset({"DELETE", "GET", "PATCH", "POST", "PUT"})
_LENGTH_WANTED = frozenset({"PATCH", "POST", "PUT"})  # Also without a body (RFC 9110, 8.6).
_PATH = re.compile(r"/[!$-~]{0,8191}")  # Printable ASCII but space, quote and fragment.
_UNQUOTED = "/%?=&:@!$'()*+,;~[]"  # What stands for itself in a path that is percent-encoded.
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[!-~]([\t -~]*[!-~])?")
_DEFAULT_HEADERS = {
    "accept": "*/*",
    "accept-encoding": "gzip",
    "user-agent": "gateway-core",
}


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


def _body(json: Json, form: Mapping[str, str] | None) -> tuple[bytes, dict[str, str]]:
    if json is not None and form is not None:
        raise ValueError("a request has a body of JSON or of a form, not both")
    if form is not None:
        encoded = urlencode(form).encode()
        return encoded, {"content-type": "application/x-www-form-urlencoded"}
    if json is None:
        return b"", {}
    return _ENCODER.encode(json).encode(), {"content-type": "application/json; charset=utf-8"}


_ENCODER = jsonlib.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


@functools.cache
def _tls_context() -> ssl.SSLContext:
    # A context takes about 800 KB and tens of milliseconds: one serves the process.
    context = httpx2.create_ssl_context(trust_env=False)
    context.set_alpn_protocols(["http/1.1"])
    return context


class _Wire(Protocol):
    """What carries requests to one origin."""

    async def exchange(self, request: Request, progress: Progress, bound: int) -> Response: ...

    async def aclose(self) -> None: ...


def _make_wire(base: httpx2.URL, max_connections: int) -> Callable[[], _Wire]:
    made = transport_factory.get()
    if made is not None:
        origin = f"{base.scheme}://{base.netloc.decode()}"
        return lambda: Replaced(made(), origin)
    secure = base.scheme == "https"
    return lambda: Sockets(
        base.host,
        base.port or (443 if secure else 80),
        tls=_tls_context() if secure else None,
        most=max_connections,
        keepalive=KEEPALIVE,
    )


def _words(error: Exception) -> str:
    """The library's own; where it has none, those of what it goes back to."""
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
    ) -> None:
        base = httpx2.URL(base_url)
        self._root = base.raw_path.decode().rstrip("/")
        host = {"host": base.netloc.decode()}
        self._headers = {**host, **_DEFAULT_HEADERS, **_checked_headers(headers)}
        in_path = [] if path_secret is None else [path_secret.reveal()]
        self._secrets = (*in_path, *_secrets_of(headers))
        self._in_path = quote("".join(in_path), safe=":")
        self._target = functools.lru_cache(_PATHS)(self._target_of)
        self._timeouts = timeouts
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
        request = self._build(method.upper(), path, *_body(json, form), headers)
        progress = Progress(self._timeouts)
        words = ""
        with progress.scope:
            try:
                return await self._opened().exchange(request, progress, self._max_body)
            except Exception as error:  # noqa: BLE001 - whatever it is, it may show a secret
                words = _words(error)
        # Raised out here so that the library's exception is not even its context.
        redact = redactor([*self._secrets, *_secrets_of(headers)])
        raise progress.failure(redact(words or progress.late()))

    def _build(
        self,
        method: str,
        path: str,
        content: bytes,
        described: Mapping[str, str],
        headers: Mapping[str, str | Secret],
    ) -> Request:
        if method not in _METHODS:
            raise ValueError(f"the method is one of {', '.join(sorted(_METHODS))}")
        target = self._target(path)
        every = {**self._headers, **described}
        if headers:
            every |= _checked_headers(headers)
        if content or method in _LENGTH_WANTED:
            every["content-length"] = str(len(content))
        return Request(method, target, every, content)

    def _target_of(self, path: str) -> str:
        if not _PATH.fullmatch(path) or DOTS.search(path):
            raise ValueError("a path begins with '/', is percent-encoded and has no '..' in it")
        target = self._root + path.replace("{secret}", self._in_path)
        return quote(target, safe=_UNQUOTED)

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
    timeouts: Timeouts = _PATIENCE,
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
