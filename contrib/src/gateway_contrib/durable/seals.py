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


class Unsealed:
    """Stores every text as it is."""

    first = ""

    def seal(self, kind: str, of: int | str, text: str) -> str:
        """The same text."""
        del kind, of
        return text

    def open(self, kind: str, of: int | str, stored: str | bytes) -> str | bytes:
        """The same again."""
        del kind, of
        return stored

    def text(self, kind: str, of: int | str, stored: str) -> str:
        """The same again."""
        del kind, of
        return stored


def sealed_end(seals: Seals, row: Row) -> Row:
    """How one ended. A platform's words are in its receipt as well."""
    if not seals.first:
        return row
    seq, disposition, reason, _, ended_at, receipt = row
    return (seq, disposition, reason, "", ended_at, seals.seal("receipt", seq, receipt))


def sealed_revision(seals: Seals, row: Row) -> Row:
    """A message as an edit left it."""
    return (*row[:-1], seals.seal("ref", row[0], row[-1]))
