"""Seals the texts in rows, and opens them again."""

from __future__ import annotations

from collections.abc import Sequence

from gateway_contrib.durable.rows import ENTRY_COLUMNS, Row, decode, stream_of
from gateway_contrib.durable.sealing.keyring import MARK, Keyring
from gateway_contrib.durable.seals import Seals
from gateway_core import Invalid

_FINGERPRINT, _ENTRY, _SHAPES = map(ENTRY_COLUMNS.index, ("fingerprint", "entry", "shapes"))
_MARKS = (MARK, MARK.encode())


def is_sealed(*values: str | bytes | None) -> bool:
    """Whether one of these values, as an engine reads them, is sealed."""
    return any(value[:1] in _MARKS for value in values if value)


def sealed_entry(keyring: Seals, row: Row) -> Row:
    """Seal a row of `ENTRY_COLUMNS` that has no shapes yet."""
    if not keyring.first:
        return row
    seq, sealed = row[0], list(row)
    sealed[_FINGERPRINT] = keyring.seal("fingerprint", seq, row[_FINGERPRINT])
    sealed[_ENTRY] = keyring.seal("entry", seq, row[_ENTRY])
    return tuple(sealed)


def opened_entry(keyring: Seals, row: Row) -> Row:
    """Open such a row, with its shapes, as an engine has read it. Raises as `Keyring.open`."""
    entry, shapes = row[_ENTRY], row[_SHAPES]
    if not is_sealed(entry, row[_FINGERPRINT], shapes):
        return row
    seq, opened = row[0], list(row)
    opened[_FINGERPRINT] = keyring.open("fingerprint", seq, row[_FINGERPRINT])
    opened[_ENTRY] = keyring.open("entry", seq, entry)
    opened[_SHAPES] = shapes and keyring.open("shapes", seq, shapes)
    return tuple(opened)


def key_row(keyring: Keyring, scope: Sequence[str], seq: int) -> Row:
    """The row of an idempotency key that stands for an unfinished envelope."""
    key, hashed = keyring.key_of(scope)
    return (*scope[:-1], key, seq, None, hashed)


FAILED_READ = "class, CAST(fingerprint AS BLOB), CAST(entry AS BLOB), CAST(shapes AS BLOB)"
"""The columns that are read of a failed envelope that is to be tried again."""


def retried(keyring: Keyring, seq: int, row: Row) -> tuple[tuple[str | None, ...], int]:
    """The texts of a row of `FAILED_READ` sealed anew, None: text stays as it is; and its stream.

    So every text of an unfinished envelope is sealed with the first key. Raises as `Keyring.open`.
    """
    priority, *stored = row
    kinds = ("fingerprint", "entry", "shapes")
    anew = tuple(keyring.anew(kind, seq, it) for kind, it in zip(kinds, stored, strict=True))
    return anew, stream_of(keyring.open("entry", seq, stored[1]), priority)


def described(
    keyring: Seals, seq: int, priority: str | None, entry: str | bytes
) -> tuple[str | None, int | None]:
    """The envelope's class and the length of its text, as far as they can be read."""
    try:
        envelope = decode(keyring.open("entry", seq, entry))[0]
        text = envelope.get("text")
        length = len(text) if isinstance(text, str) else None
        return priority or envelope.get("priority", "normal"), length
    except (Invalid, ValueError, LookupError, AttributeError, TypeError):
        return priority, None


def words_of(keyring: Seals, seq: int, raw: str, receipt: str | bytes) -> str:
    """The platform's words: from their own column, or from the receipt if that is sealed."""
    if raw or not is_sealed(receipt):
        return raw
    try:
        verdict = decode(keyring.open("receipt", seq, receipt))["verdict"] or {}
        return str(verdict.get("raw", ""))
    except (Invalid, ValueError, LookupError, AttributeError, TypeError):
        return ""
