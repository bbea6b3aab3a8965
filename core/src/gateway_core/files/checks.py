"""Checks what core itself requires of a file, before the file is read. Sans-I/O."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from gateway_core.contract.errors import Problem
from gateway_core.contract.files import URLS, File
from gateway_core.contract.validators import (
    UNSENDABLE,
    is_sendable,
    is_whole,
    name_fault,
    shown,
)
from gateway_core.outboxes.stored_bytes import DIGEST, check_digest

LONGEST_FILE_NAME = 255
"""Bytes: the most that file systems accept."""
LONGEST_URL = 2048
"""Characters."""
LONGEST_ALT = 4096
"""Characters; channels may allow fewer."""
_OTHER_URL = re.compile(r"[A-Za-z][\w.+-]*://", re.ASCII)
_NOT_IN_NAMES = re.compile(r"[/\\\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
"""Slashes, control characters, ends of lines, and characters that turn the direction of writing, by
which programs pose as pictures. Spaces of all widths and joined emoji are allowed, since real file
names have them."""
_MEDIA_NAME = r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}"
_MEDIA_TYPE = re.compile(f"{_MEDIA_NAME}/{_MEDIA_NAME}")
"""Two names of up to 127 characters each (RFC 6838, 4.2), and no parameters."""


def are_plain(files: object) -> bool:
    """Whether `file_problems` would find nothing, by a few comparisons: the common case."""
    return type(files) is tuple and all(map(_is_plain, files))


def _is_plain(file: Any) -> bool:
    if type(file) is not File or file.id is not None or type(file.digest) is not str:
        return False
    name, alt = file.name, file.alt
    return (
        _is_plain_source(file)
        and type(name) is type(alt) is str
        and len(name) <= LONGEST_FILE_NAME
        and len(alt) <= LONGEST_ALT
        and (words := name + alt).isascii()
        and (words.isprintable() or not words)
        and name not in {".", ".."}
        and "/" not in name
        and "\\" not in name
        and type(file.media_type) is str
        and (not file.media_type or _MEDIA_TYPE.fullmatch(file.media_type) is not None)
        and type(file.spoiler) is type(file.as_document) is bool
        and type(file.size) is type(file.width) is type(file.height) is int
        and file.size >= 0 <= file.width
        and file.height >= 0
    )


def _is_plain_source(file: File) -> bool:
    """Whether the source is a path as text, bytes with a name, or stored bytes."""
    source = file.source
    if source is None:
        return DIGEST.fullmatch(file.digest) is not None
    if file.digest:
        return False
    if type(source) is bytes:
        return bool(source and file.name)
    return type(source) is str and _source_fault(source) is None


def file_problems(place: str, file: object) -> Iterator[Problem]:
    """Every mistake in a file of an envelope, each with its place."""
    if not isinstance(file, File):
        given, module = type(file).__qualname__, type(file).__module__
        given = given if module == "builtins" else f"{module}.{given}"
        yield Problem(place, f"must be a File, not {given}")
        return
    yield from _source(place, file)
    yield from _name(f"{place}.name", file.name)
    kind: object = file.media_type
    if kind != "" and not (isinstance(kind, str) and _MEDIA_TYPE.fullmatch(kind)):
        wanted = "such as image/png: two names of up to 127 characters"
        yield Problem(f"{place}.media_type", f"must be {wanted}, not {shown(kind)}")
    alt: object = file.alt
    if not isinstance(alt, str):
        yield Problem(f"{place}.alt", f"must be a text, not {type(alt).__name__}")
    elif len(alt) > LONGEST_ALT:
        yield Problem(f"{place}.alt", f"has {len(alt)} characters, at most {LONGEST_ALT}")
    elif not is_sendable(alt):
        yield Problem(f"{place}.alt", UNSENDABLE)
    for flag in ("spoiler", "as_document"):
        value = getattr(file, flag)
        if not isinstance(value, bool):
            yield Problem(f"{place}.{flag}", f"must be true or false, not {shown(value)}")
    for number in ("size", "width", "height"):
        value = getattr(file, number)
        if not is_whole(value) or value < 0:
            yield Problem(f"{place}.{number}", f"must be a whole number, not {shown(value)}")


def _source(place: str, file: File) -> Iterator[Problem]:
    """Problems of the source, which must be one of: path, bytes, URL, id, or stored bytes."""
    source: object = file.source
    try:
        if file.digest:
            check_digest(file.digest)
    except ValueError:
        yield Problem(f"{place}.digest", "must be left out: the gateway writes it")
    if file.id is not None and (fault := name_fault(file.id)) is not None:
        yield Problem(f"{place}.id", fault)
    ways = [source is not None, file.id is not None, bool(file.digest)]
    if not any(ways):
        yield Problem(place, "must have a path, bytes, a URL, or the platform's id")
    elif source is not None and sum(ways) > 1:
        yield Problem(place, "has a source and an id or a digest: give only one of them")
    elif isinstance(source, bytes):
        yield from _bytes(place, source, file.name)
    elif source is not None and (fault := _source_fault(source)) is not None:
        yield Problem(place, fault)


def _bytes(place: str, content: bytes, name: str) -> Iterator[Problem]:
    if not content:
        yield Problem(place, "is empty")
    if not name:
        yield Problem(f"{place}.name", "bytes need a name, such as picture.png")


def _source_fault(source: object) -> str | None:
    """What is wrong with a path or a URL; None: nothing."""
    if not isinstance(source, str | os.PathLike):
        return f"must be a path, bytes or a URL, not {type(source).__name__}"
    if isinstance(source, str):
        if source.startswith(URLS):
            return _url_fault(source)
        if _OTHER_URL.match(source):
            return "has a URL that begins neither with https:// nor with http://"
    try:
        text: object = os.fspath(source)
    except Exception as error:  # noqa: BLE001 - a class of the application's own
        return f"is not a path ({type(error).__name__})"
    if not isinstance(text, str):
        return "must be a path as text, not as bytes"
    return None if text and "\0" not in text else "is not a path"


def _url_fault(url: str) -> str | None:
    if len(url) > LONGEST_URL:
        return f"has a URL of {len(url)} characters, at most {LONGEST_URL}"
    if not url.isascii() or not url.isprintable() or " " in url:
        return "has a URL with a character that must be written as %XX"
    return None if _has_host(url) else "has a URL without a host"


def _has_host(url: str) -> bool:
    try:
        return bool(urlsplit(url).hostname)
    except ValueError:  # a bracket that is not closed
        return False


def _name(place: str, name: object) -> Iterator[Problem]:
    if name == "":
        return
    if not isinstance(name, str):
        yield Problem(place, f"must be a text, not {type(name).__name__}")
    elif not is_sendable(name):
        yield Problem(place, UNSENDABLE)
    elif len(name.encode()) > LONGEST_FILE_NAME:
        yield Problem(place, f"has {len(name.encode())} bytes, at most {LONGEST_FILE_NAME}")
    elif name in {".", ".."} or _NOT_IN_NAMES.search(name):
        yield Problem(place, "must be a name alone: no slash and no control character")
