"""Makes the outbox from a configuration's URL, whose query has our options and the driver's."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import SplitResult, parse_qsl, quote, urlencode, urlsplit, urlunsplit

import psycopg
from psycopg import conninfo

from gateway_contrib.postgres.outbox import PostgresOutbox
from gateway_contrib.postgres.settings import PostgresSettings
from gateway_core.authors import ConfigError, Problem, Secret
from gateway_core.settings import mistakes_in


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"must be a number of seconds, not {text!r}") from None


def _weight(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"must be a number, not {text!r}") from None


OPTIONS: Mapping[str, Callable[[str], Any]] = {
    "schema": str,
    "lease": _seconds,
    "owner_wait": _seconds,
    "poll": _seconds,
    "history_for": _seconds,
    "refs_for": _seconds,
    "key_window": _seconds,
    "connect_for": _seconds,
    "accounts": str,
    "weight": _weight,
}
"""The options in the URL's query that are for the outbox; all others are for the driver."""


_MOST_PORTS = 65_535


def outbox_at(url: str, keys: Sequence[Secret]) -> PostgresOutbox:
    """The outbox in the database that the URL names. Raises `ConfigError`, showing no password."""
    parts = urlsplit(url)
    options, rest, faults = _options(parts.query)
    faults += [f"{fault.place} {fault.text}" for fault in mistakes_in(PostgresSettings, options)]
    theirs = urlunsplit(parts._replace(query=urlencode(rest, quote_via=quote)))
    if not theirs.startswith(f"{parts.scheme}://"):  # without a host they are left out
        theirs = theirs.replace(":", "://", 1)
    if not url[len(parts.scheme) :].startswith("://"):
        faults.append("must have two slashes: postgresql://user@host/database")
    faults += _faults_in(theirs, parts)
    if faults:
        raise ConfigError([Problem("outbox", f"{parts.scheme}: {fault}") for fault in faults])
    try:
        return PostgresOutbox(theirs, PostgresSettings(**options), keys=keys)
    except ModuleNotFoundError as error:
        text = f"{error.name} is missing: install 'gateway-contrib[sealed]'"
        raise ConfigError([Problem("outbox.keys", text)]) from None
    except ValueError as error:  # about the keys
        place, _, text = str(error).partition(" ")
        raise ConfigError([Problem(f"outbox.{place}", text)]) from None


def _faults_in(theirs: str, parts: SplitResult) -> Iterator[str]:
    """What is wrong with the driver's URL."""
    try:
        known = conninfo.conninfo_to_dict(theirs)
    except psycopg.ProgrammingError as error:
        yield _redacted(" ".join(str(error).split()), parts)
        return
    ports = str(known.get("port") or "").split(",")
    hosts = str(known.get("host") or "").split(",")
    if not all(port == "" or _is_port(port) for port in ports):
        yield "must have a port from 1 to 65535"
    if any("@" in host[1:] for host in hosts if not host.startswith("/")):
        yield "has more than one @: write one in a password as %40"
    if not known.get("dbname"):
        yield "names no database: postgresql://user@host/database"


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and 1 <= int(text[:6]) <= _MOST_PORTS


def _redacted(text: str, parts: SplitResult) -> str:
    """The driver's words without a password, which may stand after a `?`, `#` or `/` of its own."""
    if "@" in f"{parts.path}{parts.query}{parts.fragment}":
        text = re.sub(r'"[^"]*"', '"***"', text)
        return f"{text}: write / ? # in a password as %2F %3F %23"
    return text.replace(parts.password, "***") if parts.password else text


def _options(query: str) -> tuple[dict[str, Any], list[tuple[str, str]], list[str]]:
    """The outbox's options that can be read, the driver's options, and the mistakes."""
    options: dict[str, Any] = {}
    rest: list[tuple[str, str]] = []
    faults: list[str] = []
    # The driver does not read a plus as a space, so neither this nor the driver's URL may do so.
    for name, text in parse_qsl(query.replace("+", "%2B"), keep_blank_values=True):
        if name not in OPTIONS:
            rest.append((name, text))
            continue
        try:
            options[name] = OPTIONS[name](text)
        except ValueError as error:
            faults.append(f"{name} {error}")
    return options, rest, faults
