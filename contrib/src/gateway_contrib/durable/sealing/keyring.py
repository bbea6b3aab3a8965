"""Seals an outbox's values, each for its own place, and opens them again."""

from __future__ import annotations

import copy
import hmac
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

from gateway_core import Invalid, Problem
from gateway_core.outboxes import OutboxError

if TYPE_CHECKING:  # its library is an extra
    from gateway_contrib.durable.sealing.ciphers import Key

MARK = "~"
"""The first character of a sealed value; no JSON, id or digest begins with it. The key's id and
base64 follow it."""
_MARKS = (MARK, ord(MARK))
_ID = 8


class Keyring:
    """The keys of an outbox.

    keys    the first one seals, all open; none: values are stored as they are
    secret  the secret for hashing idempotency keys; one for the outbox, the same with all its keys
    known   returns the ids of the keys that the outbox names by now
    """

    def __init__(
        self,
        keys: Sequence[Key] = (),
        secret: bytes = b"",
        known: Callable[[], Collection[str]] = tuple,
    ) -> None:
        self._first = keys[0] if keys else None
        self._keys = {key.id: key for key in keys}
        self._secret = secret
        self._known = known

    @property
    def first(self) -> str:
        """The id of the key that seals; empty: nothing is sealed."""
        return self._first.id if self._first is not None else ""

    def knowing(self, known: Callable[[], Collection[str]]) -> Keyring:
        """A copy that gets the ids of the outbox's keys from another function."""
        other = copy.copy(self)
        other._known = known  # noqa: SLF001 - its own kind
        return other

    def seal(self, kind: str, of: int | str, text: str) -> str:
        """The text as it is stored. Empty texts stay as they are.

        kind, of  its place: the kind of text, and the number or id of its envelope or request
        """
        key = self._first
        if key is None or not text:
            return text
        return f"{MARK}{key.id}{key.seal(text.encode('utf-8', 'replace'), f'{kind}:{of}'.encode())}"

    def open(self, kind: str, of: int | str, stored: str | bytes) -> str | bytes:
        """The text, or its bytes. Raises `Invalid` if it is damaged.

        Raises `OutboxError` if it is sealed with a key that another process has given the outbox
        since.
        """
        if not stored or stored[0] not in _MARKS:
            return stored
        key = self._key(key_in(stored))  # first: the extra may be missing if there are no keys
        from gateway_contrib.durable.sealing.ciphers import Damaged  # noqa: PLC0415 - an extra

        try:
            return key.open(stored[1 + _ID :], f"{kind}:{of}".encode())
        except Damaged:
            raise _changed() from None

    def seal_bytes(self, place: str, content: bytes) -> bytes:
        """Bytes as they are stored: sealed for that place, if there is a key that seals."""
        key = self._first
        return content if key is None else key.seal_bytes(content, place.encode())

    def open_bytes(self, name: str, place: str, stored: bytes) -> bytes:
        """The bytes again.

        name  the id of the key that they are sealed with; empty: they are not sealed

        Raises as `open`.
        """
        if not name:
            return stored
        key = self._key(name)
        from gateway_contrib.durable.sealing.ciphers import Damaged  # noqa: PLC0415 - an extra

        try:
            return key.open_bytes(stored, place.encode())
        except Damaged:
            raise _changed() from None

    def text(self, kind: str, of: int | str, stored: str) -> str:
        """The text. Raises as `open`."""
        opened = self.open(kind, of, stored)
        return opened if isinstance(opened, str) else opened.decode("utf-8", "replace")

    def _key(self, name: str) -> Key:
        key = self._keys.get(name)
        if key is None:
            raise self._without(name)
        return key

    def _without(self, name: str) -> Exception:
        if name in self._known():
            return OutboxError(
                f"the outbox is sealed with key {name}, which another process gave it after this "
                "one began: add that key to outbox.keys, and begin again"
            )
        return Invalid(
            [Problem("", f"the row is damaged (it names a key {name!r} that is unknown)")]
        )

    def anew(self, kind: str, of: int | str, stored: str | bytes | None) -> str | None:
        """The value sealed with the first key; None: it is already, or empty. Raises as `open`."""
        if not stored or not self._keys:
            return None
        plain = stored if isinstance(stored, str) else stored.decode("utf-8", "replace")
        if plain.startswith(f"{MARK}{self.first}"):
            return None
        return self.seal(kind, of, self.text(kind, of, plain))

    def key_of(self, scope: Sequence[str]) -> tuple[str, int]:
        """An idempotency key as it is stored, and whether it is hashed."""
        if not self._keys:
            return scope[-1], 0
        place = "\0".join(scope).encode("utf-8", "surrogatepass")
        return hmac.digest(self._secret, place, "sha256")[:16].hex(), 1

    def hashed(self, digest: bytes) -> bytes:
        """A key's digest as it is stored, for an engine that stores only digests of keys."""
        return hmac.digest(self._secret, digest, "sha256") if self._keys else digest


def key_in(stored: str | bytes) -> str:
    """The id of the key that a sealed value names."""
    name = stored[1 : 1 + _ID]
    return name if isinstance(name, str) else name.decode("ascii", "replace")


def _changed() -> Invalid:
    text = "it is sealed, and cannot be opened with its key: it was changed"
    return Invalid([Problem("", f"the row is damaged ({text})")])
