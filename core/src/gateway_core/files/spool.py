"""Stores bytes without an outbox: small files in memory, large ones in a temporary folder."""

from __future__ import annotations

import os
import sys
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TypeGuard

import attrs
import trio

from gateway_core.contract.errors import OutboxError
from gateway_core.deliveries.delivery import Delivery
from gateway_core.files.held import Held, cut
from gateway_core.files.looking import in_thread
from gateway_core.files.temporary import TemporaryFolder, delete_unused_folders
from gateway_core.outboxes.stored_bytes import BytesDigest, BytesLost, Content, pieces_of

LARGE = 1 << 18
"""Bytes from which on a file is stored on the disk."""
OPEN = 64
"""Most files that are held open: mostly files that attempts are reading."""


@attrs.define(eq=False)
class _Kept:
    """Bytes, and how many uses they have. `content` None: `size` bytes are in the folder."""

    content: bytes | Held | None
    size: int = 0
    uses: int = 1


class Spool:
    """Bytes by their digests, as long as somebody needs them; closing the spool deletes all.

    Bytes that are held in memory stay there, and are not copied.
    """

    def __init__(self) -> None:
        self._kept: dict[str, _Kept] = {}
        self._folder: TemporaryFolder | None = None
        self._storing = trio.Lock()
        self._open: OrderedDict[str, int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    async def store_bytes(self, digest: str, content: Content) -> None:
        """Store bytes for one more use.

        One file at a time, since all wait for the same disk. Bytes held in memory do not wait. If
        the stored bytes have another size than theirs, they are stored anew, for their other uses
        as well.

        Raises ValueError if the digest is not that of the bytes, `OutboxError` if the disk is full.
        """
        kept = self._kept.get(digest)
        is_on_disk = kept is not None and kept.content is None
        if _are_held(content, digest) and not is_on_disk and not self._storing.locked():
            self._kept.setdefault(digest, _Kept(content, uses=0)).uses += 1
            return
        async with self._storing:
            kept = self._kept.get(digest)
            if kept is not None:
                kept.uses += 1
                if self._is_whole(digest, kept):
                    return
                self._remove(digest)
            try:
                taken = await self._take_in(digest, content)
            except BaseException as error:
                self.let_go(digest)
                if not isinstance(error, OSError):
                    raise
                text = f"cannot store a file: {error.strerror or error}"
                raise OutboxError(text) from error
            if kept is None:
                self._kept[digest] = taken
            else:
                kept.content, kept.size = taken.content, taken.size

    def _is_whole(self, digest: str, kept: _Kept) -> bool:
        """Whether the bytes are in memory, or the folder has as many as it should."""
        if kept.content is not None:
            return True
        try:
            return self._path(digest).stat().st_size == kept.size
        except OSError:
            return False

    async def _take_in(self, digest: str, content: Content) -> _Kept:
        if _are_held(content, digest):
            return _Kept(content)
        found, small, size = BytesDigest(), bytearray(), 0
        path: Path | None = None
        try:
            async for piece in pieces_of(content):
                small += piece
                size += len(piece)
                if len(small) >= LARGE:
                    path = path or await self._new_path(digest)
                    small, block = bytearray(), small
                    await in_thread(partial(_append, path, block, found))
            if path is None:
                found.update(small)
            elif small:
                await in_thread(partial(_append, path, small, found))
            found.check(digest)
            if path is None:
                return _Kept(bytes(small))
        except BaseException:
            if path is not None:
                path.unlink(missing_ok=True)
            raise
        return _Kept(None, size)

    async def read_bytes(self, digest: str, offset: int, limit: int) -> bytes:
        """Up to `limit` bytes from `offset` on. Raises `BytesLost` and `OutboxError`."""
        kept = self._kept.get(digest)
        if kept is None:
            raise BytesLost(f"the bytes {digest} are not there")
        if kept.content is not None:
            await trio.lowlevel.checkpoint()
            whole = kept.content
            whole = whole if isinstance(whole, bytes) else b"".join(whole.pieces)
            return whole[offset : offset + limit]
        try:
            return await self._read(digest, offset, limit)
        except FileNotFoundError:
            raise BytesLost(f"the bytes {digest} are not there") from None
        except OSError as error:
            raise OutboxError(f"the bytes {digest} cannot be read: {error.strerror}") from error

    def at_hand(self, digest: str) -> Iterator[memoryview] | None:
        """The pieces of the bytes; None: they are not in memory."""
        kept = self._kept.get(digest)
        if kept is None or kept.content is None:
            return None
        held = kept.content
        return iter(held.pieces if isinstance(held, Held) else cut(held))

    async def _read(self, digest: str, offset: int, limit: int) -> bytes:
        """Read at once if the system has the bytes in memory and can say so; else in a thread.

        The thread opens the file for itself, since another task may close this one meanwhile.
        """
        path = self._path(digest)
        if digest not in self._open:
            opened = await in_thread(partial(os.open, path, os.O_RDONLY | os.O_CLOEXEC))
            self._shut(digest)
            self._open[digest] = opened
            while len(self._open) > OPEN:
                self._shut(next(iter(self._open)))
        self._open.move_to_end(digest)
        piece = _piece_nowait(self._open[digest], offset, limit)
        if piece:
            await trio.lowlevel.checkpoint()
            return piece
        return await in_thread(partial(_piece, path, offset, limit))

    def _shut(self, digest: str) -> None:
        opened = self._open.pop(digest, None)
        if opened is not None:
            os.close(opened)

    async def release_bytes(self, digest: str) -> None:
        """End one use of the bytes."""
        self.let_go(digest)

    def hold(self, digests: Sequence[str], delivery: Delivery) -> None:
        """End one use of the bytes when the envelope of `delivery` ends."""

        def over() -> None:
            for digest in digests:
                self.let_go(digest)

        if delivery.receipt is None:
            delivery.on_end(over)
        else:
            over()

    def let_go(self, digest: str) -> None:
        """End one use of the bytes, at once; after the last use they are deleted."""
        kept = self._kept.get(digest)
        if kept is None:
            return
        kept.uses -= 1
        if not kept.uses:
            del self._kept[digest]
            if kept.content is None:
                self._remove(digest)

    def _remove(self, digest: str) -> None:
        """Delete the file of these bytes."""
        self._shut(digest)
        self._path(digest).unlink(missing_ok=True)

    def close(self) -> None:
        """Delete everything."""
        self._kept.clear()
        for digest in list(self._open):
            self._shut(digest)
        if self._folder is not None:
            self._folder.close()
            self._folder = None

    async def _new_path(self, digest: str) -> Path:
        """The path for new bytes; the first call makes the folder. Raises `OSError`."""
        if self._folder is None:
            await in_thread(delete_unused_folders)
            self._folder = await in_thread(TemporaryFolder)
        return self._path(digest)

    def _path(self, digest: str) -> Path:
        assert self._folder is not None  # noqa: S101 - it has bytes
        return self._folder.path / digest


def _are_held(content: Content, digest: str) -> TypeGuard[Held]:
    """Whether the content is held in memory and has this digest."""
    return isinstance(content, Held) and content.digest == digest


def _append(path: Path, block: bytearray, found: BytesDigest) -> None:
    found.update(block)
    with path.open("ab", buffering=0) as opened:
        written = 0
        while written < len(block):
            written += opened.write(memoryview(block)[written:])


def _piece_nowait(descriptor: int, offset: int, limit: int) -> bytes:
    """Bytes that the system has in memory; none if there are none, or if it cannot say so."""
    if sys.platform != "linux":
        return b""
    piece = bytearray(limit)
    try:
        size = os.preadv(descriptor, [piece], offset, os.RWF_NOWAIT)
    except OSError:  # reading would wait, or the file system cannot say: a thread reads
        return b""
    return bytes(memoryview(piece)[:size])


def _piece(path: Path, offset: int, limit: int) -> bytes:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return os.pread(descriptor, limit, offset)
    finally:
        os.close(descriptor)
