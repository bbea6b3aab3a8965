"""The outbox schemes that this distribution opens, for `gateway.toml`.

`sqlite:///path` is a file, `postgresql://user@host/database` a schema in a database. Options stand
in the query: `sqlite:///var/lib/app/outbox.db?owner_wait=60&synchronous=NORMAL`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from gateway_core.authors import ConfigError, Problem, Secret, hookimpl
from gateway_core.settings import mistakes_in

GATEWAY_CONTRACT = 1


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


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"must be a whole number, not {text!r}") from None


OPTIONS: Mapping[str, Callable[[str], Any]] = {
    "synchronous": str.upper,
    "integrity_check": _whether,
    "owner_wait": _seconds,
    "slots": _number,
    "history_for": _seconds,
    "history_size": _bytes,
    "large_bytes": _bytes,
    "refs_for": _seconds,
    "key_window": _seconds,
}


@hookimpl
def open_outbox(url: str, keys: Sequence[Secret]) -> Any:
    """An outbox in the file that the URL names; None for another scheme.

    Raises `ConfigError` for an option that is not one, and where the extra is not installed.
    """
    scheme = urlsplit(url).scheme
    if scheme in ("postgresql", "postgres"):
        return _in_postgres(url, keys)
    if scheme != "sqlite":
        return None
    try:
        from gateway_contrib.sqlite import (  # noqa: PLC0415 - its library is an extra
            SqliteOutbox,
            SqliteSettings,
            fault_of_slots,
        )
    except ModuleNotFoundError as error:
        text = f"{error.name} is missing: install 'gateway-contrib[sqlite]'"
        raise ConfigError([Problem("outbox", text)]) from None
    path, fault = _path_in(url)
    options, problems = _options(urlsplit(url).query)
    problems += mistakes_in(SqliteSettings, options)
    faults = [fault] if fault else []
    if (fault_of := fault_of_slots(path, options.get("slots"))) is not None:
        faults.append(f"slots {fault_of}")
    faults += [f"{problem.place} {problem.text}" for problem in problems]
    if faults:
        shown = re.sub(r"//[^/]*@", "//***@", url)  # somebody's password, in a URL of a file
        raise ConfigError([Problem("outbox", f"{shown!r}: {fault}") for fault in faults])
    try:
        return SqliteOutbox(path, SqliteSettings(**options), keys=keys)
    except ModuleNotFoundError as error:
        text = f"{error.name} is missing: install 'gateway-contrib[sealed]'"
        raise ConfigError([Problem("outbox.keys", text)]) from None
    except ValueError as error:  # of the keys
        place, _, text = str(error).partition(" ")
        raise ConfigError([Problem(f"outbox.{place}", text)]) from None


def _in_postgres(url: str, keys: Sequence[Secret]) -> Any:
    try:
        from gateway_contrib.postgres.opening import outbox_at  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        text = f"{error.name} is missing: install 'gateway-contrib[postgres]'"
        raise ConfigError([Problem("outbox", text)]) from None
    return outbox_at(url, keys)


def path_of(url: str) -> Path | None:
    """The file that a URL of this scheme names; None for others."""
    path, fault = _path_in(url)
    return None if fault else path


def _path_in(url: str) -> tuple[Path, str]:
    """The file, and what is wrong with the URL; empty: nothing."""
    parts = urlsplit(url)
    path = "/" + unquote(parts.path).lstrip("/")  # sqlite:////path is as others write it
    fault = ""
    if "#" in url:
        fault = "'#' would end the path: write %23"
    elif not url.startswith("sqlite:///") or path.strip("/") in ("", ":memory:"):
        fault = (
            "names no file: write sqlite:///path/to/file, or leave `outbox` out to keep it in"
            " memory"
        )
    elif not path.isprintable():
        fault = "has a character in its path that cannot be printed"
    elif os.path.isdir(path):  # noqa: PTH112 - Path's own raises for a name that is too long
        fault = "is a folder, not a file"
    return Path(path), fault


def _options(query: str) -> tuple[dict[str, Any], list[Problem]]:
    """The options that can be read, and what is wrong with the others."""
    options, problems = {}, []
    for name, text in parse_qsl(query, keep_blank_values=True):
        if name not in OPTIONS:
            problems.append(Problem(name, f"is not an option; there are {', '.join(OPTIONS)}"))
            continue
        try:
            options[name] = OPTIONS[name](text)
        except ValueError as error:
            problems.append(Problem(name, str(error)))
    return options, problems
