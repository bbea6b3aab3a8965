"""Checks the base URLs that an adapter may send secrets to, and reads proxies' URLs. Sans-I/O."""

from __future__ import annotations

import ipaddress
import re
from typing import Any
from urllib.parse import unquote, urlsplit

import attrs

from gateway_core.contract.instances import Secret

DOTS = re.compile(r"(^|[/\\])(\.|%2e){1,2}([/\\?]|$)", re.IGNORECASE)
"""A segment of a path (`.` or `..`) that could lead out of the path."""

_BRACKETED = re.compile(r"\[([^\[\]]*)\](?::([0-9]+))?")
"""An IPv6 address in brackets, as in URLs, perhaps with a port."""
_NUMERIC_HOST = re.compile(r"(.*\.)?(0x[0-9a-f]*|[0-9]+)\.?", re.IGNORECASE)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    # An address that stands for an IPv4 address is judged as that; Python's releases differ here.
    inside = (getattr(address, name, None) for name in ("ipv4_mapped", "sixtofour"))
    return next(filter(None, inside), address)


def is_loopback(host: str) -> bool:
    """Whether the host is this machine, by name or by address."""
    address = _address(host)
    return host == "localhost" or (address is not None and address.is_loopback)


_TRANSLATED = ipaddress.ip_network("64:ff9b::/32")
"""Addresses that stand for IPv4 addresses, even private ones, in networks that translate them."""


def is_public(host: str) -> bool:
    """Whether the host is an address that anybody may reach: not private, loopback, link-local."""
    address = _address(host)
    if address is None or address.is_multicast or not address.is_global:
        return False
    return not (address.version == 6 and address in _TRANSLATED)  # noqa: PLR2004 - its own number


def _check_host(scheme: str, host: str, *, allow_private: bool) -> None:
    address, loopback = _address(host), is_loopback(host)
    if scheme != "https" and not (scheme == "http" and loopback):
        raise ValueError("must be https, or http to a loopback address")
    if loopback:
        return
    if address is None and _NUMERIC_HOST.fullmatch(host):
        raise ValueError("must have an address in full, as in 192.0.2.1")
    if address is None:
        return
    never = address.is_link_local or address.is_multicast
    if never or not (allow_private or address.is_global):
        raise ValueError("must have no private, link-local or reserved address")


def check_base_url(url: str, *, allow_private: bool = False) -> str:
    """The URL without its trailing slash, if adapters may send secrets to it.

    It must be https, or http to loopback (127.0.0.0/8, ::1, localhost), without user, query or
    fragment. An address must be public unless `allow_private`; link-local addresses, where clouds
    keep their metadata, are refused even then. Raises ValueError that says what is wrong.
    """
    if not isinstance(url, str) or not re.fullmatch(r"[!-~]+", url) or "\\" in url:
        raise ValueError("must be a URL in printable ASCII without spaces")
    try:
        split = urlsplit(url)
        port = split.port
    except ValueError as error:
        raise ValueError(f"must be a URL: {error}") from None
    if port == 0:
        raise ValueError("must be a URL with a port from 1 to 65535")
    if not split.hostname:
        raise ValueError("must name a host, as in https://api.example.org")
    if "@" in split.netloc or "?" in url or "#" in url:
        raise ValueError("must have no user, password, query or fragment")
    _check_host(split.scheme, split.hostname, allow_private=allow_private)
    if DOTS.search(split.path):
        raise ValueError("must have no '.' or '..' in its path")
    return url.rstrip("/")


@attrs.frozen
class Proxy:
    """Where a proxy is. `secure`: the proxy itself speaks TLS; `credentials`: `user:password`."""

    secure: bool
    host: str
    port: int
    credentials: Secret | None = None

    def __str__(self) -> str:
        return authority(self.host, self.port)


def authority(host: str, port: int) -> str:
    """Host and port as they stand in a URL."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def read_proxy(url: str) -> Proxy | None:
    """The proxy at this URL, with the URL's credentials; None: it is no proxy's URL.

    The function never raises, since the URL may hold a password, and tracebacks could show it.
    """
    try:
        split = urlsplit(url)
        port = split.port
    except ValueError:
        return None
    beyond = split.path not in {"", "/"} or "?" in url or "#" in url or "\\" in url
    if split.scheme not in {"http", "https"} or not split.hostname or not port or beyond:
        return None
    user, at, _ = split.netloc.rpartition("@")
    credentials = unquote(user) if at else None
    if not re.fullmatch(r"[!-~]+", url) or not (
        credentials is None or are_credentials(credentials)
    ):
        return None
    secret = None if credentials is None else Secret(credentials)
    return Proxy(split.scheme == "https", split.hostname, port, secret)


def are_credentials(text: str) -> bool:
    """Whether the text is a user and a password, as in `user:password`."""
    return ":" in text[1:] and text.isprintable()


@attrs.frozen
class Origin:
    """Where requests go. `authority` is the host for headers, without the scheme's usual port."""

    scheme: str
    host: str
    port: int
    authority: str

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"


def origin_of(base_url: str) -> tuple[Origin, str]:
    """The origin of a URL that passed `check_base_url`, and its path without a trailing slash."""
    split = urlsplit(base_url)
    host, usual = split.hostname or "", _USUAL_PORTS[split.scheme]
    port = split.port or usual
    shown = f"[{host}]" if ":" in host else host
    authority = shown if port == usual else f"{shown}:{port}"
    return Origin(split.scheme, host, port, authority), split.path.rstrip("/")


_USUAL_PORTS = {"http": 80, "https": 443}


def is_excepted(host: str, port: int, no_proxy: str) -> bool:
    """Whether `NO_PROXY` names the host: a domain with subdomains, an address, a network, `*`."""
    return any(_names(entry.strip(), host, port) for entry in no_proxy.split(","))


def _names(entry: str, host: str, port: int) -> bool:
    if entry in {"", "*"}:
        return entry == "*"
    address = _address(host)
    if bracketed := _BRACKETED.fullmatch(entry):
        return address == _address(bracketed[1]) is not None and bracketed[2] in {None, str(port)}
    if address is not None and ("/" in entry or _address(entry) is not None):
        try:
            return address in ipaddress.ip_network(entry, strict=False)
        except ValueError:
            return False
    name, _, its_port = entry.lower().partition(":")
    domain = name.removeprefix("*").removeprefix(".").rstrip(".")
    fits = host == domain or host.endswith(f".{domain}")
    return bool(domain) and fits and its_port in {"", str(port)}


def base_url(_: object, attribute: attrs.Attribute[Any], url: str) -> None:
    """A validator for a setting that is a base URL, with the rules of `check_base_url`."""
    try:
        check_base_url(url)
    except ValueError as error:
        raise ValueError(f"'{attribute.name}' {error}") from None
