"""One key, and the cipher under it: AES-256 in the mode GCM-SIV (RFC 8452), by `cryptography`.

A random nonce of 96 bits would be enough for plain GCM up to some four thousand million values of
one key, which a busy gateway stores within weeks. In this mode a nonce that comes twice tells no
more than whether two values are equal.
"""

from __future__ import annotations

import binascii
import hmac
import os
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV

from gateway_core import Secret

BYTES = 32
"""Of a key."""
FORM = "must be 32 random bytes in base64, as `openssl rand -base64 32` makes them"
_NONCE = 12


class Damaged(Exception):
    """What is sealed cannot be opened: it was changed, or it is another row's."""


class Key:
    """A key. Two others are made of it, so that its name tells nothing of the one that seals.

    id  by which a file names it

    Raises `ValueError` for what is no key, and where the library has no such cipher.
    """

    def __init__(self, secret: Secret) -> None:
        made_of = _bytes_in(secret.reveal())
        self.id = hmac.digest(made_of, b"gateway outbox: id", "sha256")[:4].hex()
        try:
            self._cipher = AESGCMSIV(hmac.digest(made_of, b"gateway outbox: seal", "sha256"))
        except UnsupportedAlgorithm:
            text = (
                "cannot be used: `cryptography` has no OpenSSL 3.2 or later here; install its wheel"
            )
            raise ValueError(text) from None

    def seal(self, content: bytes, place: bytes) -> str:
        """The content sealed, in base64, to be opened with the same place alone."""
        return binascii.b2a_base64(self.seal_bytes(content, place), newline=False).decode()

    def open(self, sealed: str | bytes, place: bytes) -> bytes:
        """The content again. Raises `Damaged`."""
        try:
            return self.open_bytes(binascii.a2b_base64(sealed, strict_mode=True), place)
        except ValueError as error:
            raise Damaged from error

    def seal_bytes(self, content: bytes, place: bytes) -> bytes:
        """The content sealed as bytes: 28 more than it has."""
        nonce = os.urandom(_NONCE)
        return nonce + self._cipher.encrypt(nonce, content, place)

    def open_bytes(self, sealed: bytes, place: bytes) -> bytes:
        """The content again. Raises `Damaged`."""
        try:
            return self._cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], place)
        except (ValueError, InvalidTag) as error:
            raise Damaged from error


def _bytes_in(text: str) -> bytes:
    try:
        found = binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        found = b""
    if len(found) != BYTES:
        raise ValueError(FORM)
    return found


def keys_of(secrets: Sequence[Secret]) -> tuple[Key, ...]:
    """The keys. Raises `ValueError` with the place of what is no key, or is there twice."""
    keys: dict[str, Key] = {}
    for number, secret in enumerate(secrets):
        try:
            key = Key(secret)
        except ValueError as error:
            raise ValueError(f"keys.{number} {error}") from None
        if key.id in keys:
            raise ValueError(f"keys.{number} is the same as an earlier key: remove one")
        keys[key.id] = key
    return tuple(keys.values())
