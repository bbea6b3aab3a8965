"""Makes texts fit for the database: escapes NUL, and shortens names for an index. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import sha256
from typing import get_args

from gateway_contrib.durable.rows import clean
from gateway_core.outboxes import Priority

LONGEST = 200
"""Bytes that a name may have to be stored as it is: several such names fit an index row."""
_MARK = "\x1a"
_ESCAPES = {"\0": f"{_MARK}0", _MARK: f"{_MARK}1"}
_MEANT = {escape: text for text, escape in _ESCAPES.items()}
_TO_ESCAPE = re.compile("[\0\x1a]")
_ESCAPED = re.compile("\x1a[01]")
_HASHED = "#"
ALL = ""
"""Used in place of an instance or an account; means all of them together."""
PRIORITIES: tuple[Priority, ...] = get_args(Priority)
"""The classes, in the order of a member's counts."""
HANDED, ANSWER = "handed", "answer"
"""The kinds of sealed values in a handed-over row: its envelope, whose place is the row's `id`, and
its answer, whose place is `answer_place`."""


def text_in(text: str) -> str:
    """The text as a column can store it: without NUL, and without lone surrogates."""
    cleaned = clean(text)
    if "\0" in cleaned or _MARK in cleaned:
        return _TO_ESCAPE.sub(lambda found: _ESCAPES[found[0]], cleaned)
    return cleaned


def text_out(stored: str) -> str:
    """The text that `text_in` was given."""
    if _MARK in stored:
        return _ESCAPED.sub(lambda found: _MEANT[found[0]], stored)
    return stored


def name_of(name: str) -> str:
    """The name as an index stores it: unchanged, or hashed if it is long or has odd characters."""
    if name.isprintable() and not name.startswith(_HASHED):
        encoded = clean(name).encode()
        if len(encoded) <= LONGEST:
            return encoded.decode()
    return _HASHED + sha256(name.encode("utf-8", "surrogatepass")).hexdigest()


def members_place(grp: int, first: int) -> str:
    """The place for which a row of a group's members is sealed."""
    return f"{grp}:{first}"


def answer_place(number: int, own_id: str | None) -> str:
    """The place for which the answer to a handed-over row is sealed."""
    return f"{number}" if own_id is None else own_id


def scope_of(scope: Sequence[str]) -> bytes:
    """The digest that stands for an idempotency key within its account."""
    _, *rest = scope
    digest = sha256()
    for part in rest:
        encoded = part.encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(4, "big") + encoded)
    return digest.digest()
