"""The bytes of files, by their digest, in memory; the oldest go when there are too many."""

from __future__ import annotations

import hashlib
from collections import OrderedDict

import attrs

MOST_BYTES = 256 * 1024 * 1024
"""Bytes that a store holds unless told otherwise."""


@attrs.frozen(kw_only=True)
class File:
    """A file of a message, as its readers see it.

    name        as the platform shows it
    media_type  as the platform says; it may be wrong, or empty
    size        in bytes; 0 where the platform has only an address
    digest      names the bytes in the store; None: there are none, only an address
    url         the address, of a file that the platform is to fetch
    alt         what the picture shows, for those who do not see it
    spoiler     shown only to those who ask
    """

    name: str
    media_type: str = ""
    size: int = 0
    digest: str | None = None
    url: str = ""
    alt: str = ""
    spoiler: bool = False


class FileStore:
    """Bytes by digest; the same bytes are held once. Several emulators may share one.

    most_bytes  held at most. What was stored longest ago is forgotten to make room; its messages
                stay, and whoever asks for the bytes is told that they are gone.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self.used = 0
        self.most_bytes = most_bytes
        self._files: OrderedDict[str, bytes] = OrderedDict()

    def put(self, data: bytes) -> str:
        """Hold the bytes; their digest. Bytes that alone are too many are not held."""
        digest = hashlib.sha256(data).hexdigest()
        if digest in self._files:
            self._files.move_to_end(digest)
        elif len(data) <= self.most_bytes:
            self._files[digest] = data
            self.used += len(data)
        while self.used > self.most_bytes:
            _, oldest = self._files.popitem(last=False)
            self.used -= len(oldest)
        return digest

    def get(self, digest: str | None) -> bytes | None:
        """The bytes; None where they are gone or never were there."""
        return None if digest is None else self._files.get(digest)
