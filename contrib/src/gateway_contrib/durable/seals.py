"""The interface by which every engine seals texts before it stores them, and opens them."""

from __future__ import annotations

from typing import Protocol

from gateway_contrib.durable.rows import Row


class Seals(Protocol):
    """Seals values, each for its own place, and opens them again."""

    @property
    def first(self) -> str:
        """The id of the key that seals; empty: nothing is sealed."""
        ...

    def seal(self, kind: str, of: int | str, text: str) -> str:
        """The text as it is stored.

        kind, of  its place: the kind of text, and the number or id of its envelope or request
        """
        ...

    def open(self, kind: str, of: int | str, stored: str | bytes) -> str | bytes:
        """The text, or its bytes. Raises `Invalid` if it is damaged."""
        ...

    def text(self, kind: str, of: int | str, stored: str) -> str:
        """The text. Raises as `open`."""
        ...

    def anew(self, kind: str, of: int | str, stored: str | bytes | None) -> str | None:
        """The value sealed with the first key; None: it is already, or empty. Raises as `open`."""
        ...

    def seal_bytes(self, place: str, content: bytes) -> bytes:
        """Bytes as they are stored."""
        ...

    def open_bytes(self, name: str, place: str, stored: bytes) -> bytes:
        """The bytes again. Raises as `open`.

        name  the id of the key that they are sealed with; empty: they are not sealed
        """
        ...

    def hashed(self, digest: bytes) -> bytes:
        """The digest of an idempotency key as it is stored; hashed so that nobody can guess it."""
        ...


def sealed_end(seals: Seals, row: Row) -> Row:
    """The row of an ending, sealed. The platform's words are left out; the receipt has them too."""
    if not seals.first:
        return row
    seq, disposition, reason, _, ended_at, receipt = row
    return (seq, disposition, reason, "", ended_at, seals.seal("receipt", seq, receipt))


def sealed_revision(seals: Seals, row: Row) -> Row:
    """The row of a message after an edit, sealed."""
    return (*row[:-1], seals.seal("ref", row[0], row[-1]))
