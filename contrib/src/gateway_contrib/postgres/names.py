"""Texts as the database takes them: NUL escaped, and names short enough for an index. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import sha256

from gateway_contrib.durable.rows import clean

LONGEST = 200
"""Bytes of a name that stands as it is: an index row has room for several of them."""
_MARK = "\x1a"
_ESCAPES = {"\0": f"{_MARK}0", _MARK: f"{_MARK}1"}
_MEANT = {escape: text for text, escape in _ESCAPES.items()}
_TO_ESCAPE = re.compile("[\0\x1a]")
_ESCAPED = re.compile("\x1a[01]")
_HASHED = "#"
ALL = ""
"""In the place of an instance or an account: of all of them together."""
HANDED, ANSWER = "handed", "answer"
"""What is sealed of a row that is handed over: the envelope for its `id`, the answer as below."""


def text_in(text: str) -> str:
    """The text as a column can have it: without NUL, and without lone surrogates."""
    cleaned = clean(text)
    if "\0" in cleaned or _MARK in cleaned:
        return _TO_ESCAPE.sub(lambda found: _ESCAPES[found[0]], cleaned)
    return cleaned


def text_out(stored: str) -> str:
    """The text again."""
    if _MARK in stored:
        return _ESCAPED.sub(lambda found: _MEANT[found[0]], stored)
    return stored


def name_of(name: str) -> str:
    """The name as an index has it: itself, or a hash of one that is long or has odd characters."""
    if name.isprintable() and not name.startswith(_HASHED):
        encoded = clean(name).encode()
        if len(encoded) <= LONGEST:
            return encoded.decode()
    return _HASHED + sha256(name.encode("utf-8", "surrogatepass")).hexdigest()


def members_place(grp: int, first: int) -> str:
    """What a row of a group's members is sealed for."""
    return f"{grp}:{first}"


def answer_place(number: int, own_id: str | None) -> str:
    """What the answer to a row that was handed over is sealed for."""
    return f"{number}" if own_id is None else own_id


def scope_of(scope: Sequence[str]) -> bytes:
    """What stands for an idempotency key within its account."""
    _, *rest = scope
    digest = sha256()
    for part in rest:
        encoded = part.encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(4, "big") + encoded)
    return digest.digest()
