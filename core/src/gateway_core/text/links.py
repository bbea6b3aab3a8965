"""Decides which addresses can be links on chat platforms, and writes out the others."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import quote

LONGEST: Final = 1000
"""Most characters of a link's address; a longer one is written out, since it might not fit."""

_LABEL: Final = r"[^\s/?#@:.\\%\[\]<>\"^`{|}\x00-\x20\x7f]"
_PORT: Final = r"[1-9]\d{0,3}|[1-5]\d{4}|6[0-4]\d{3}|65[0-4]\d{2}|655[0-2]\d|6553[0-5]"
_WEB: Final = re.compile(
    rf"https?://(?:{_LABEL}++\.)++{_LABEL}*+(?::(?:{_PORT}))?(?=[/?#]|\Z)", re.ASCII | re.IGNORECASE
)
"""An address whose host has a dot and whose port is valid. Telegram refuses a message with any
other link (tdlib, LinkManager::check_link), such as `http://localhost`."""
_SCHEME: Final = re.compile(r"https?\Z", re.IGNORECASE)
_BARE: Final = re.compile(r"https?://(?:\([^\s<>()]*+\)|[^\s<>()]++)*+", re.IGNORECASE)
_SIGN: Final = r"[^\s<>()\[\]|`\\\x00-\x20\x7f-\U0010ffff]"
_WRITTEN: Final = re.compile(rf"https?://(?:\({_SIGN}*+\)|{_SIGN}++)*+", re.ASCII | re.IGNORECASE)
"""An address as it is written in Markdown: ASCII, up to a bracket, a bar, code or a backslash."""
_TARGET: Final = re.compile(r"(?:<|\]\(\s*|\]:\s*)\Z")
"""What stands before an address that is a link's target or in angle brackets."""
_NEAR: Final = 16
"""Characters before an address in which that is looked for."""
_RUN: Final = re.compile(r"(?:\*+|_+|~+)\Z")
_TRAILING: Final = ".,:;!?\"'`*_~|\\[]"
_UNSAFE: Final = re.compile(r"[\x00-\x20<>\"|\\^`{}\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


def bare_addresses(text: str) -> Iterator[tuple[int, int]]:
    """The bare addresses in a text, without a full stop or bracket that follows."""
    mark = text.find("://")
    while mark >= 0:
        scheme = _SCHEME.search(text, max(mark - 5, 0), mark)
        found = _BARE.match(text, scheme.start()) if scheme else None
        if found:
            address = found.group().rstrip(_TRAILING)
            if len(address) <= LONGEST and web_address(address) == address:
                yield found.start(), found.start() + len(address)
        mark = text.find("://", found.end() if found else mark + 3)


def written_addresses(source: str) -> Iterator[tuple[int, int]]:
    """The bare addresses in a Markdown text that have signs of markup in them.

    An address that stands in such signs, as in `**https://example.org**`, ends before them.
    """
    mark = source.find("://")
    while mark >= 0:
        scheme = _SCHEME.search(source, max(mark - 5, 0), mark)
        found = _WRITTEN.match(source, scheme.start()) if scheme else None
        if found:
            start = found.start()
            before = source[max(start - _NEAR, 0) : start]
            address = found.group()
            if around := _RUN.search(before):
                address = address.partition(around.group())[0]
            address = address.rstrip(_TRAILING)
            signs = not {"*", "_", "~"}.isdisjoint(address)
            if signs and not _TARGET.search(before) and _WEB.match(address):
                yield start, start + len(address)
        mark = source.find("://", found.end() if found else mark + 3)


def web_address(destination: str) -> str:
    """The address as a link's target, with unsafe characters escaped.

    Empty if some platform does not accept it as a link; then all platforms write it out.
    """
    if not _WEB.match(destination):
        return ""
    address = _UNSAFE.sub(lambda found: quote(found.group()), destination)
    return address if len(address) <= LONGEST else ""


def written_out(text: str, destination: str) -> str:
    """What to write after a link's text if it cannot be a link; nothing for an anchor."""
    bare = destination.removeprefix("mailto:")
    if not bare or bare.startswith("#") or bare == text:
        return ""
    return f" ({bare})" if text else bare
