"""Opens a tunnel through an HTTP proxy by CONNECT (RFC 9110, 9.3.6), before any request is sent."""

from __future__ import annotations

import re
import ssl
from base64 import b64encode
from typing import Any, TypeAlias

import trio

from gateway_core.contract.instances import redactor
from gateway_core.http.tcp import TcpStream
from gateway_core.http.urls import Proxy, authority
from gateway_core.http.wire import HEAD_BOUND

Stream: TypeAlias = "TcpStream | trio.SSLStream[Any]"
"""A connection: plain, in TLS, or in TLS within a proxy's TLS."""

NOT_LET_IN = frozenset(
    {
        "SSLV3_ALERT_BAD_CERTIFICATE",
        "SSLV3_ALERT_CERTIFICATE_EXPIRED",
        "SSLV3_ALERT_CERTIFICATE_REVOKED",
        "SSLV3_ALERT_CERTIFICATE_UNKNOWN",
        "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE",
        "TLSV13_ALERT_CERTIFICATE_REQUIRED",
        "TLSV1_ALERT_ACCESS_DENIED",
        "TLSV1_ALERT_UNKNOWN_CA",
    }
)
"""OpenSSL's names for the alerts with which a server refuses the client's certificate.

The server then reads nothing of the request (RFC 8446, 4.4.2.4).
"""

_STATUS = re.compile(r"HTTP/1\.[01] ([1-5][0-9]{2})(?: ([^\r\n]*))?\r\n")
_SCHEMES = re.compile(r"^proxy-authenticate:\s*([!-~]+)", re.IGNORECASE | re.MULTILINE)
_WORDS = 200


class ProxyError(Exception):
    """The proxy could not be reached, or made no tunnel; the request was not sent."""


def secrets_of(proxy: Proxy) -> tuple[str, ...]:
    """What no error may show: the credentials, the password alone, and both as they are sent.

    The user's name alone may be a word of the error, such as `proxy`.
    """
    if proxy.credentials is None:
        return ()
    whole = proxy.credentials.reveal()
    password = whole.partition(":")[2]
    return (whole, *filter(None, (password,)), _encoded(whole))


async def open_tunnel(proxy: Proxy, host: str, port: int, tls: ssl.SSLContext | None) -> Stream:
    """A stream to `host` through the proxy; `tls` is the context if the proxy itself speaks TLS.

    Raises ProxyError.
    """
    try:
        tcp = TcpStream(await trio.open_tcp_stream(proxy.host, proxy.port))
    except OSError as error:
        raise ProxyError(f"the proxy {proxy}: {error}") from None
    try:
        stream = tcp if tls is None else await secured(tcp, tls, proxy.host)
        await stream.send_all(_request(proxy, authority(host, port)))
        await _accepted(stream, proxy)
    except (trio.BrokenResourceError, ssl.SSLError) as error:
        await trio.aclose_forcefully(tcp)
        raise ProxyError(f"the proxy {proxy}: {error or error.__cause__}") from None
    except BaseException:
        await trio.aclose_forcefully(tcp)
        raise
    return stream


async def secured(stream: Stream, tls: ssl.SSLContext, host: str) -> trio.SSLStream[Any]:
    """TLS over a stream, which is closed if the handshake fails."""
    inside = trio.SSLStream(stream, tls, server_hostname=host, https_compatible=True)
    try:
        await inside.do_handshake()
    except BaseException:
        await trio.aclose_forcefully(stream)
        raise
    return inside


def _encoded(credentials: str) -> str:
    return b64encode(credentials.encode()).decode()


def _request(proxy: Proxy, origin: str) -> memoryview:
    """The CONNECT request, as a view, whose `repr` does not show the credentials."""
    lines = [f"CONNECT {origin} HTTP/1.1", f"host: {origin}", "user-agent: gateway-core"]
    if proxy.credentials is not None:
        lines.append(f"proxy-authorization: Basic {_encoded(proxy.credentials.reveal())}")
    return memoryview("\r\n".join([*lines, "", ""]).encode("ascii"))


async def _accepted(stream: Stream, proxy: Proxy) -> None:
    """Read the proxy's answer. Raises ProxyError if it is a refusal, or if bytes follow it."""
    head, status = b"", 0
    while status < 200:  # noqa: PLR2004 - 1xx: the answer itself is still to come
        head, rest = await _head(stream, proxy, head)
        found = _STATUS.match(head.decode("latin-1"))
        if found is None:
            raise ProxyError(f"the proxy {proxy}: its answer to CONNECT is not HTTP")
        status = int(found[1])
        answer, head = head, rest
    if status >= 300:  # noqa: PLR2004 - every 2xx is a tunnel
        raise ProxyError(f"the proxy {proxy} answered {_refusal(answer, proxy)}")
    if rest:
        raise ProxyError(f"the proxy {proxy} sent more than its answer to CONNECT")


async def _head(stream: Stream, proxy: Proxy, begun: bytes) -> tuple[bytes, bytes]:
    """The next head, and the bytes that came after it."""
    while b"\r\n\r\n" not in begun:
        more = await stream.receive_some(HEAD_BOUND)
        if not more:
            raise ProxyError(f"the proxy {proxy} closed the connection without an answer")
        begun += more
        if len(begun) > HEAD_BOUND:
            raise ProxyError(f"the proxy {proxy}: its answer to CONNECT has no end")
    head, end, rest = begun.partition(b"\r\n\r\n")
    return head + end, rest


def _refusal(answer: bytes, proxy: Proxy) -> str:
    """The proxy's status line in answer to CONNECT, and which credentials it takes.

    The credentials are removed before the line is cut: the beginning of them is not recognised.
    """
    head = answer.decode(errors="replace")
    line = redactor(secrets_of(proxy))(head.split("\r\n", 1)[0].split(" ", 1)[1])[:_WORDS]
    schemes = ", ".join(dict.fromkeys(_SCHEMES.findall(head)))
    return f"{line} to CONNECT" + (f"; it takes credentials of {schemes}" if schemes else "")
