"""Fetches one file by its URL, from an origin that the application has allowed.

It follows no redirect and asks no proxy. It checks the addresses of the host's name, and connects
to exactly these. So the owner of the name cannot make the gateway fetch what only the gateway can
reach.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

import trio

from gateway_core.contract.beside.origins import FetchError, Origin
from gateway_core.http.client import tls_context, words_of
from gateway_core.http.progress import Progress, Timeouts
from gateway_core.http.tcp import MOST, TcpStream
from gateway_core.http.tunnel import Stream, secured
from gateway_core.http.urls import is_public
from gateway_core.http.wire import Reading, Request, WireError

OK = 200
_UNBOUND = 1 << 62
"""No bound in bytes: the receiver of the pieces bounds them."""


class _Pieces:
    """A body that is handed on as it comes; nothing in it is decompressed."""

    def __init__(self, encoding: str) -> None:
        plain = encoding.strip().lower() in ("", "identity")
        self.refusal = None if plain else "it is compressed, which was not asked for"
        self.there: list[bytes] = []

    def add(self, chunk: bytes) -> None:
        """Add a piece."""
        self.there.append(chunk)

    def taken(self) -> bytes:
        """The bytes that came since the last call."""
        whole = b"".join(self.there)
        self.there.clear()
        return whole


class _Answer(Reading):
    """An answer whose body is not gathered."""

    pieces: _Pieces | None = None

    @property
    def headers(self) -> dict[str, str]:
        return self._headers

    def on_headers_complete(self) -> None:
        """The head is complete, and says whether the body is wanted."""
        super().on_headers_complete()
        if self._body is not None and self.pieces is None:
            self.pieces = self._body = _Pieces(self._headers.get("content-encoding", ""))  # type: ignore[assignment]  # all that is asked of one


async def fetch(
    url: str,
    origin: Origin,
    begun: Callable[[int | None, str], None],
    take: Callable[[bytes], Awaitable[Any]],
    timeouts: Timeouts | None = None,
) -> None:
    """Fetch a file whose origin was allowed. There is no timeout as long as bytes arrive.

    begun  called before the body is read, with the announced size (None: none was announced) and
           the media type
    take   called with the bytes, piece by piece; an exception from either ends the fetch

    Raises `FetchError`.
    """
    progress, words = Progress(timeouts or Timeouts()), ""
    with progress.scope:
        try:
            await _fetched(url, origin, progress, begun, take)
        except (OSError, WireError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
            words = words_of(error)
    if progress.scope.cancelled_caught:
        words = progress.late()
    if words:
        raise FetchError(words)


async def _fetched(
    url: str,
    origin: Origin,
    progress: Progress,
    begun: Callable[[int | None, str], None],
    take: Callable[[bytes], Awaitable[Any]],
) -> None:
    progress.enter("connect")
    stream = await _connected(origin)
    try:
        progress.enter("write")
        await stream.send_all(_request(url, origin).encoded())
        progress.enter("read")
        answer, told = _Answer(_UNBOUND), False
        while not answer.complete:
            answer.feed(await stream.receive_some(MOST))
            if answer.status is None or answer.pieces is None:
                continue
            if not told:
                _check(answer, answer.pieces)
                begun(_announced(answer.headers), _media_type(answer.headers))
                progress.streams()
                told = True
            progress.enter("source")  # `take` may wait for the disk
            await take(answer.pieces.taken())
            progress.enter("read")
    finally:
        with trio.CancelScope(shield=True):
            await trio.aclose_forcefully(stream)


def _request(url: str, origin: Origin) -> Request:
    split = urlsplit(url)
    target = (split.path or "/") + (f"?{split.query}" if split.query else "")
    host = str(origin).partition("://")[2]
    headers = {"host": host, "accept": "*/*", "accept-encoding": "identity"}
    headers |= {"user-agent": "gateway-core", "connection": "close"}
    return Request("GET", target, headers, b"")


def _check(answer: _Answer, pieces: _Pieces) -> None:
    """Raises `FetchError` unless the answer is a file; a redirect is not, wherever it leads."""
    if answer.status != OK:
        where = " and redirects: give the file's final URL" if "location" in answer.headers else ""
        raise FetchError(f"its host answers HTTP {answer.status}{where}")
    if pieces.refusal is not None:
        raise FetchError(pieces.refusal)


def _announced(headers: dict[str, str]) -> int | None:
    size = headers.get("content-length", "")
    return int(size) if size.isdecimal() and len(size) < 20 else None  # noqa: PLR2004 - of 64 bits


def _media_type(headers: dict[str, str]) -> str:
    return headers.get("content-type", "").partition(";")[0].strip().lower()


async def _connected(origin: Origin) -> Stream:
    """A connection to a host's address that anybody may reach, or that the URL itself names."""
    found = await trio.socket.getaddrinfo(origin.host, origin.port, type=trio.socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
    if not origin.is_address and not all(map(is_public, addresses)):
        raise FetchError(f"the name {origin.host} leads to an address that is not public")
    stream: Stream = TcpStream(await _opened(addresses, origin.port))
    if origin.scheme != "https":
        return stream
    return await secured(stream, tls_context(), origin.host)


async def _opened(addresses: list[str], port: int) -> trio.SocketStream:
    """A connection to the first address that answers."""
    for address in addresses[:-1]:
        try:
            return await trio.open_tcp_stream(address, port)
        except OSError:
            continue
    return await trio.open_tcp_stream(addresses[-1], port)
