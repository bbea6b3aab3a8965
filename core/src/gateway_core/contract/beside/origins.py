"""Reads the origins from which files may be fetched, exactly as an application names them."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

import attrs

from gateway_core.contract.errors import GatewayError

_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
_NAMED = re.compile(r"(https?://)?([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?")
_PORTS = {"https": 443, "http": 80}
_WANTED = "a host such as cdn.example.com or cdn.example.com:8443, without user, path or query"


class FetchError(GatewayError):
    """Why a file was not fetched, in words that show no query of its URL."""


@attrs.frozen
class Origin:
    """Scheme, host and port of a URL. `host` has no brackets and only lower-case letters."""

    scheme: str
    host: str
    port: int

    @property
    def is_address(self) -> bool:
        """Whether the host is an address, which needs no name resolution."""
        return _address(self.host) is not None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == _PORTS.get(self.scheme) else f":{self.port}"
        return f"{self.scheme}://{host}{port}"


def read_origin(text: object) -> Origin:
    """An origin as a setting names it: a host means https, `http://` is for loopback addresses.

    Raises ValueError for anything else.
    """
    if not isinstance(text, str) or not _NAMED.fullmatch(text):
        raise ValueError(f"must be {_WANTED}, not {text!r}")
    found = origin_of(text if "://" in text else f"https://{text}")
    if found is None:
        raise ValueError(f"must be {_WANTED}, not {text!r}")
    address = _address(found.host)
    if address is None and (not _NAME.fullmatch(found.host) or found.host[-1].isdigit()):
        raise ValueError(f"must be {_WANTED}, not {text!r}")
    if found.scheme != "https" and not (address is not None and address.is_loopback):
        raise ValueError(f"must be https, or http to a loopback address, not {text!r}")
    return found


def origin_of(url: str) -> Origin | None:
    """The origin of a URL without user and password; None: it is no such URL."""
    try:
        split = urlsplit(url)
        host, port = split.hostname, split.port
    except ValueError:
        return None
    if split.scheme not in _PORTS or not host or "@" in split.netloc or "\\" in url:
        return None
    return Origin(split.scheme, host, port or _PORTS[split.scheme])


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
