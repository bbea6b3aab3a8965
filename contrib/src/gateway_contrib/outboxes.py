"""The outbox schemes that this distribution opens: `sqlite:///path`, for `gateway.toml`.

Options stand in the query: `sqlite:///var/lib/app/outbox.db?owner_wait=60&synchronous=NORMAL`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from gateway_core.authors import ConfigError, Problem, hookimpl


def _whether(text: str) -> bool:
    known = {"true": True, "1": True, "false": False, "0": False}
    if text.lower() not in known:
        raise ValueError(f"must be true or false, not {text!r}")
    return known[text.lower()]


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"must be a number of seconds, not {text!r}") from None


def _bytes(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"must be a whole number of bytes, not {text!r}") from None


OPTIONS: Mapping[str, Callable[[str], Any]] = {
    "synchronous": str.upper,
    "integrity_check": _whether,
    "owner_wait": _seconds,
    "history_for": _seconds,
    "history_size": _bytes,
    "refs_for": _seconds,
    "key_window": _seconds,
}


@hookimpl
def open_outbox(url: str) -> Any:
    """An outbox in the file that the URL names; None for another scheme.

    Raises `ConfigError` for an option that is not one, and where the extra is not installed.
    """
    parts = urlsplit(url)
    if parts.scheme != "sqlite":
        return None
    try:
        from gateway_contrib.sqlite import (  # noqa: PLC0415 - its library is an extra
            SqliteOutbox,
            SqliteSettings,
        )
    except ModuleNotFoundError as error:
        text = f"{error.name} is missing: pip install 'gateway-contrib[sqlite]'"
        raise ConfigError([Problem("outbox", text)]) from None
    path = unquote(parts.path)
    if parts.netloc or path.strip("/") in ("", ":memory:"):
        text = f"{url!r} names no file: sqlite:///path/to/file; without `outbox` it is in memory"
        raise ConfigError([Problem("outbox", text)])
    try:
        settings = SqliteSettings(**_options(parts.query))
    except (ValueError, TypeError) as error:
        raise ConfigError([Problem("outbox", f"{url!r}: {error.args[0]}")]) from None
    return SqliteOutbox(Path(path), settings)


def path_of(url: str) -> Path | None:
    """The file that a URL of this scheme names; None for others."""
    parts = urlsplit(url)
    return Path(unquote(parts.path)) if parts.scheme == "sqlite" and parts.path else None


def _options(query: str) -> dict[str, Any]:
    options = {}
    for name, text in parse_qsl(query, keep_blank_values=True):
        if name not in OPTIONS:
            raise ValueError(f"{name!r} is no option; there are {', '.join(OPTIONS)}")
        try:
            options[name] = OPTIONS[name](text)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    return options
