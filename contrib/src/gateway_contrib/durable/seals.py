"""What seals texts before they are stored, as far as every engine needs it."""

from __future__ import annotations

from typing import Protocol

from gateway_contrib.durable.rows import Row


class Seals(Protocol):
    """Seals values, each for its own place, and opens them again."""

    @property
    def first(self) -> str:
        """The id of the key that seals; empty: none does."""
        ...

    def seal(self, kind: str, of: int | str, text: str) -> str:
        """The text as it is stored.

        kind, of  its place: what it is, and the number or the id of its envelope or request
        """
        ...

    def open(self, kind: str, of: int | str, stored: str | bytes) -> str | bytes:
        """The text, or its bytes. Raises `Invalid` where it is damaged."""
        ...

    def text(self, kind: str, of: int | str, stored: str) -> str:
        """The text. Raises as `open`."""
        ...

    def anew(self, kind: str, of: int | str, stored: str | bytes | None) -> str | None:
        """The value sealed with the first key; None: it is that, or empty. Raises as `open`."""
        ...

    def seal_bytes(self, place: str, content: bytes) -> bytes:
        """Bytes as they are stored."""
        ...

    def open_bytes(self, name: str, place: str, stored: bytes) -> bytes:
        """The bytes again. Raises as `open`.

        name  the id of the key that they are sealed with; empty: they are not
        """
        ...

    def hashed(self, digest: bytes) -> bytes:
        """What stands for the digest of an idempotency key where nobody shall guess that."""
        ...


def sealed_end(seals: Seals, row: Row) -> Row:
    """How one ended. A platform's words are in its receipt as well."""
    if not seals.first:
        return row
    seq, disposition, reason, _, ended_at, receipt = row
    return (seq, disposition, reason, "", ended_at, seals.seal("receipt", seq, receipt))


def sealed_revision(seals: Seals, row: Row) -> Row:
    """A message as an edit left it."""
    return (*row[:-1], seals.seal("ref", row[0], row[-1]))
