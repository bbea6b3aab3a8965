"""Stores the bytes of files in memory by digest; the oldest are dropped to make room."""

from __future__ import annotations

import hashlib
from collections import OrderedDict

import attrs

MOST_BYTES = 256 * 1024 * 1024
"""Most bytes that a store holds by default."""


@attrs.frozen(kw_only=True)
class File:
    """A file of a message, as its readers see it.

    name        as the platform shows it
    media_type  as the platform says; it may be wrong, or empty
    size        in bytes; 0 if the platform has only an address
    digest      names the bytes in the store; None: there are no bytes, only an address
    url         the address of a file that the platform is to fetch
    alt         what the picture shows, for people who do not see it
    spoiler     shown only to readers who ask for it
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

    most_bytes  how many bytes are held at most. The bytes that were stored longest ago are dropped
                to make room; their messages stay, and a request for the bytes gets a 404.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self.used = 0
        self.most_bytes = most_bytes
        self._files: OrderedDict[str, bytes] = OrderedDict()

    def put(self, data: bytes) -> str:
        """Store the bytes, unless they alone exceed the bound; returns their digest."""
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
        """The bytes; None if they are gone or were never there."""
        return None if digest is None else self._files.get(digest)
