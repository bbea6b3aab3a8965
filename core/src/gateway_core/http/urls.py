"""Which base URLs an adapter may send secrets to. Sans-I/O."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

DOTS = re.compile(r"(^|[/\\])(\.|%2e){1,2}([/\\?]|$)", re.IGNORECASE)
"""A segment of a path that would lead out of it."""

_NUMERIC_HOST = re.compile(r"(.*\.)?(0x[0-9a-f]*|[0-9]+)\.?", re.IGNORECASE)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    # What stands for an IPv4 address is judged as that one; Python's releases differ on it.
    inside = (getattr(address, name, None) for name in ("ipv4_mapped", "sixtofour"))
    return next(filter(None, inside), address)


def _check_host(scheme: str, host: str, *, allow_private: bool) -> None:
    address = _address(host)
    loopback = host == "localhost" or (address is not None and address.is_loopback)
    if scheme != "https" and not (scheme == "http" and loopback):
        raise ValueError("must be https, or http to a loopback address")
    if loopback:
        return
    if address is None and _NUMERIC_HOST.fullmatch(host):
        raise ValueError("an address must be written in full, as in 192.0.2.1")
    if address is None:
        return
    never = address.is_link_local or address.is_multicast
    if never or not (allow_private or address.is_global):
        raise ValueError("private, link-local and reserved addresses are refused")


def check_base_url(url: str, *, allow_private: bool = False) -> str:
    """The URL without its trailing slash, if adapters may send secrets to it.

    https, or http to loopback (127.0.0.0/8, ::1, localhost); no user, query or fragment; an
    address must be public unless `allow_private` (link-local ones, where clouds keep their
    metadata, are refused even then). Raises ValueError saying what is wrong.
    """
    if not isinstance(url, str) or not re.fullmatch(r"[!-~]+", url) or "\\" in url:
        raise ValueError("must be a URL in printable ASCII without spaces")
    split = urlsplit(url)
    _ = split.port  # Raises ValueError for a port out of range.
    if not split.hostname:
        raise ValueError("must name a host, as in https://api.example.org")
    if "@" in split.netloc or "?" in url or "#" in url:
        raise ValueError("must have no user, password, query or fragment")
    _check_host(split.scheme, split.hostname, allow_private=allow_private)
    if DOTS.search(split.path):
        raise ValueError("must have no '.' or '..' in its path")
    return url.rstrip("/")
