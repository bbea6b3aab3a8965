"""Keeps bytes without an outbox: small ones in memory, large ones in a folder of their own."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import attrs
import trio

from gateway_core.contract.errors import OutboxError
from gateway_core.deliveries.delivery import Delivery
from gateway_core.files.looking import in_thread
from gateway_core.outboxes.stored_bytes import BytesDigest, Content, pieces_of

LARGE = 1 << 18
"""Bytes from which on they stand on the disk."""


@attrs.define(eq=False)
class _Kept:
    """Bytes, and how many need them. `content`: None, they are in the folder."""

    content: bytes | None
    uses: int = 1


class Spool:
    """Bytes by their digests, for as long as somebody needs them; all are gone as it is closed."""

    def __init__(self) -> None:
        self._kept: dict[str, _Kept] = {}
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._storing = trio.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    async def store_bytes(self, digest: str, content: Content) -> None:
        """Keep them for one use more. Raises ValueError for others, `OutboxError` for a full disk.

        One file at a time: they wait for the same disk.
        """
        async with self._storing:
            kept = self._kept.get(digest)
            if kept is not None:
                kept.uses += 1
                return
            try:
                self._kept[digest] = await self._take_in(digest, content)
            except OSError as error:
                text = f"cannot store a file: {error.strerror or error}"
                raise OutboxError(text) from error

    async def _take_in(self, digest: str, content: Content) -> _Kept:
        found, small = BytesDigest(), bytearray()
        path: Path | None = None
        try:
            async for piece in pieces_of(content):
                found.update(piece)
                small += piece
                if len(small) >= LARGE:
                    path = path or self._path(digest)
                    await in_thread(partial(_append, path, bytes(small)))
                    small.clear()
            found.check(digest)
            if path is None:
                return _Kept(bytes(small))
            await in_thread(partial(_append, path, bytes(small)))
        except BaseException:
            if path is not None:
                path.unlink(missing_ok=True)
            raise
        return _Kept(None)

    async def read_bytes(self, digest: str, offset: int, limit: int) -> bytes:
        """So many from that offset on. Raises `OutboxError` where they are not there."""
        kept = self._kept.get(digest)
        if kept is None:
            raise OutboxError(f"the bytes {digest} are not there")
        if kept.content is not None:
            await trio.lowlevel.checkpoint()
            return kept.content[offset : offset + limit]
        try:
            return await in_thread(partial(_piece, self._path(digest), offset, limit))
        except OSError as error:
            raise OutboxError(f"the bytes {digest} cannot be read: {error.strerror}") from error

    async def release_bytes(self, digest: str) -> None:
        """A use is over."""
        self.let_go(digest)

    def hold(self, digests: Sequence[str], delivery: Delivery) -> None:
        """An envelope needs them until it ends."""

        def over() -> None:
            for digest in digests:
                self.let_go(digest)

        if delivery.receipt is None:
            delivery.on_end(over)
        else:
            over()

    def let_go(self, digest: str) -> None:
        """The same, at once."""
        kept = self._kept.get(digest)
        if kept is None:
            return
        kept.uses -= 1
        if not kept.uses:
            del self._kept[digest]
            if kept.content is None:
                self._path(digest).unlink(missing_ok=True)

    def close(self) -> None:
        """Everything is gone."""
        self._kept.clear()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def _path(self, digest: str) -> Path:
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="gateway-files-")
        return Path(self._folder.name) / digest


def _append(path: Path, piece: bytes) -> None:
    with path.open("ab") as opened:
        opened.write(piece)


def _piece(path: Path, offset: int, limit: int) -> bytes:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return os.pread(descriptor, limit, offset)
    finally:
        os.close(descriptor)
