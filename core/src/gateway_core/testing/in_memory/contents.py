"""Stores the bytes of an outbox in memory, and counts their uses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from gateway_core.outboxes.stored_bytes import BytesLost


class MemoryBytes:
    """Bytes by their digests, stored as long as an entry or a group uses them or is about to.

    A pin keeps bytes for a use that is about to come.
    """

    def __init__(self) -> None:
        self._contents: dict[str, bytes] = {}
        self._used: dict[str, frozenset[str]] = {}
        self._uses: Counter[str] = Counter()
        self._pins: Counter[str] = Counter()

    def open(self) -> None:
        """Begin a process run: remove bytes that no entry or group uses."""
        self._pins.clear()
        for digest in list(self._contents):
            self._tidy(digest)

    def __contains__(self, digest: str) -> bool:
        return digest in self._contents

    def pin(self, digest: str, content: bytes | None = None) -> None:
        """Keep the bytes for one more use; `content`: store them first."""
        if content is not None:
            self._contents[digest] = content
        self._pins[digest] += 1

    def unpin(self, digest: str) -> None:
        """Remove one pin, since its use will not come."""
        if self._pins[digest] > 0:
            self._pins[digest] -= 1
            self._tidy(digest)

    def unused(self, digests: Iterable[str]) -> None:
        """Remove a pin of each, since the entry that was to use them is not wanted any more."""
        for digest in set(digests):
            self.unpin(digest)

    def get(self, digest: str) -> bytes:
        """All bytes of that digest. Raises `BytesLost` if they are not stored."""
        if digest not in self._contents:
            raise BytesLost(f"the bytes {digest} are not there")
        return self._contents[digest]

    def check(self, digests: Iterable[str]) -> None:
        """Raises `BytesLost` unless the bytes of all digests are stored."""
        for digest in digests:
            self.get(digest)

    def use(self, user: str, digests: Iterable[str]) -> None:
        """Note that the entry or group with the id `user` uses the bytes."""
        self._used[user] = frozenset(digests)
        for digest in self._used[user]:
            self._uses[digest] += 1
            self._pins[digest] = max(0, self._pins[digest] - 1)

    def end(self, user: str) -> None:
        """Note that the entry or group with the id `user` no longer uses any bytes."""
        for digest in self._used.pop(user, ()):
            self._uses[digest] -= 1
            self._tidy(digest)

    def _tidy(self, digest: str) -> None:
        if self._uses[digest] <= 0 and self._pins[digest] <= 0:
            self._contents.pop(digest, None)
            del self._uses[digest], self._pins[digest]
