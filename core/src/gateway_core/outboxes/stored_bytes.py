"""Names bytes that outboxes store by a digest of their content, and gives them in pieces."""

from __future__ import annotations

import re
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from typing import TypeAlias

import attrs
from blake3 import blake3

from gateway_core.contract.errors import OutboxError

Content: TypeAlias = Iterable[bytes] | AsyncIterable[bytes]
"""Bytes piece by piece. A plain iterable is read on trio's thread: it must not wait for a disk.

The caller closes an asynchronous generator that it gives: a cancelled call may leave it half-read.
"""

DIGEST = re.compile(r"[0-9a-f]{64}")


class BytesLost(OutboxError):
    """Stored bytes are not there, or are damaged: reading them again would not help."""


class BytesDigest:
    """The digest of bytes that come piece by piece: BLAKE3's 32 bytes, in hexadecimal."""

    def __init__(self) -> None:
        self._hash = blake3()

    def update(self, piece: bytes | bytearray | memoryview) -> None:
        """Add a piece."""
        self._hash.update(piece)

    def hexdigest(self) -> str:
        """The digest of all pieces so far."""
        return self._hash.hexdigest()

    def check(self, digest: str) -> None:
        """Raises ValueError unless `digest` is the digest of all pieces so far."""
        found = self.hexdigest()
        if found != digest:
            raise ValueError(f"the bytes have the digest {found}, not {digest}")


def digest_of_bytes(content: bytes) -> str:
    """The digest under which an outbox stores these bytes."""
    return blake3(content).hexdigest()


def check_digest(digest: str) -> None:
    """Raises ValueError for an invalid digest, since an engine may name a file by it."""
    if not isinstance(digest, str) or DIGEST.fullmatch(digest) is None:
        raise ValueError(f"{digest!r} is not a digest: it must have 64 hexadecimal digits")


def pieces_of(content: Content) -> AsyncIterator[bytes]:
    """The pieces, from either kind of iterable."""
    if isinstance(content, AsyncIterable):
        return aiter(content)
    return _Plain(iter(content))


@attrs.define(eq=False)
class _Plain:
    """An iterator as an asynchronous one."""

    _pieces: Iterator[bytes]

    def __aiter__(self) -> _Plain:
        return self

    async def __anext__(self) -> bytes:
        try:
            return next(self._pieces)
        except StopIteration:
            raise StopAsyncIteration from None
