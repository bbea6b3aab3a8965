"""Rows with their texts sealed, and opened again."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from gateway_contrib.durable.rows import ENTRY_COLUMNS, Row, decode, stream_of
from gateway_contrib.durable.sealing.keyring import MARK, Keyring
from gateway_contrib.durable.seals import Seals
from gateway_core import Invalid

_FINGERPRINT, _ENTRY, _SHAPES = map(ENTRY_COLUMNS.index, ("fingerprint", "entry", "shapes"))
_MARKS = (MARK, MARK.encode())


def is_sealed(*values: str | bytes | None) -> bool:
    """Whether one of these is, as an engine reads them."""
    return any(value[:1] in _MARKS for value in values if value)


def sealed_entry(keyring: Seals, row: Row) -> Row:
    """A row of `ENTRY_COLUMNS` that has no shapes yet."""
    if not keyring.first:
        return row
    seq, sealed = row[0], list(row)
    sealed[_FINGERPRINT] = keyring.seal("fingerprint", seq, row[_FINGERPRINT])
    sealed[_ENTRY] = keyring.seal("entry", seq, row[_ENTRY])
    return tuple(sealed)


def opened_entry(keyring: Seals, row: Row) -> Row:
    """The same again, as `ENTRY_READ` has it. Raises as `Keyring.open`."""
    entry, shapes = row[_ENTRY], row[_SHAPES]
    if not is_sealed(entry, row[_FINGERPRINT], shapes):
        return row
    seq, opened = row[0], list(row)
    opened[_FINGERPRINT] = keyring.open("fingerprint", seq, row[_FINGERPRINT])
    opened[_ENTRY] = keyring.open("entry", seq, entry)
    opened[_SHAPES] = shapes and keyring.open("shapes", seq, shapes)
    return tuple(opened)


def key_row(keyring: Keyring, scope: Sequence[str], seq: int) -> Row:
    """An idempotency key that stands for an unfinished envelope."""
    key, hashed = keyring.key_of(scope)
    return (*scope[:-1], key, seq, None, hashed)


FAILED_READ = "class, CAST(fingerprint AS BLOB), CAST(entry AS BLOB), CAST(shapes AS BLOB)"
"""What is read of a failed one that is to be tried again."""


def retried(keyring: Keyring, seq: int, row: Row) -> tuple[tuple[str | None, ...], int]:
    """Of a row of `FAILED_READ` what is to be sealed anew, None where not; and its stream.

    So all that comes among the unfinished is sealed with the first key. Raises as `Keyring.open`.
    """
    priority, *stored = row
    kinds = ("fingerprint", "entry", "shapes")
    anew = tuple(keyring.anew(kind, seq, it) for kind, it in zip(kinds, stored, strict=True))
    return anew, stream_of(keyring.open("entry", seq, stored[1]), priority)


def described(
    keyring: Seals, seq: int, priority: str | None, entry: str | bytes
) -> tuple[str | None, int | None]:
    """The class and the length of the text, as far as they can be read."""
    try:
        envelope = decode(keyring.open("entry", seq, entry))[0]
        text = envelope.get("text")
        length = len(text) if isinstance(text, str) else None
        return priority or envelope.get("priority", "normal"), length
    except (Invalid, msgspec.DecodeError, LookupError, AttributeError, TypeError):
        return priority, None


def words_of(keyring: Seals, seq: int, raw: str, receipt: str | bytes) -> str:
    """The platform's words: those beside the receipt, or those in it, where it is sealed."""
    if raw or not is_sealed(receipt):
        return raw
    try:
        verdict = decode(keyring.open("receipt", seq, receipt))["verdict"] or {}
        return str(verdict.get("raw", ""))
    except (Invalid, msgspec.DecodeError, LookupError, AttributeError, TypeError):
        return ""
