"""Keys and their cipher: AES-256 in the mode GCM-SIV (RFC 8452), by `cryptography`.

For plain GCM, a random nonce of 96 bits is enough for some four thousand million values of one key,
which a busy gateway stores within weeks. In this mode, a repeated nonce reveals only whether two
values are equal.
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
"""The length of a key."""
FORM = "must be 32 random bytes in base64, as `openssl rand -base64 32` makes them"
_NONCE = 12


class Damaged(Exception):
    """A sealed value cannot be opened: it was changed, or it belongs to another row."""


class Key:
    """A key. Its id and the key that seals are derived apart, so the id reveals nothing about that.

    id  the name of the key in an outbox

    Raises `ValueError` for an invalid key, and if the library lacks the cipher.
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
        """The content sealed, in base64; only the same place opens it."""
        return binascii.b2a_base64(self.seal_bytes(content, place), newline=False).decode()

    def open(self, sealed: str | bytes, place: bytes) -> bytes:
        """The content of a value from `seal`. Raises `Damaged`."""
        try:
            return self.open_bytes(binascii.a2b_base64(sealed, strict_mode=True), place)
        except ValueError as error:
            raise Damaged from error

    def seal_bytes(self, content: bytes, place: bytes) -> bytes:
        """The content sealed as bytes, 28 more than the content has."""
        nonce = os.urandom(_NONCE)
        return nonce + self._cipher.encrypt(nonce, content, place)

    def open_bytes(self, sealed: bytes, place: bytes) -> bytes:
        """The content of bytes from `seal_bytes`. Raises `Damaged`."""
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
    """The keys. Raises `ValueError`, with its place, for an invalid key or one given twice."""
    keys: dict[str, Key] = {}
    for number, secret in enumerate(secrets):
        given: object = secret
        if not isinstance(given, Secret):
            text = f"keys.{number} must be a Secret, not {type(given).__name__}"
            raise ValueError(text)  # noqa: TRY004 - one kind for all that is wrong with keys
        try:
            key = Key(secret)
        except ValueError as error:
            raise ValueError(f"keys.{number} {error}") from None
        if key.id in keys:
            raise ValueError(f"keys.{number} is the same as an earlier key: remove one")
        keys[key.id] = key
    return tuple(keys.values())
