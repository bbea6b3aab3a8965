"""The part of an outbox in a file that stores groups and bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import TypeVar

import apsw
import trio

from gateway_contrib.durable.group_rows import Claim, group_row, place_at, seq_of
from gateway_contrib.durable.recording import Recording
from gateway_contrib.durable.sealing.contents import key_row
from gateway_contrib.durable.sealing.keyring import Keyring
from gateway_contrib.sqlite.beside.byte_files import Folder, NewBytes
from gateway_contrib.sqlite.beside.contents import Contents
from gateway_contrib.sqlite.beside.desk import BesideDesk
from gateway_contrib.sqlite.beside.groups import Groups
from gateway_contrib.sqlite.files.presence import Presence
from gateway_contrib.sqlite.reading import Reader
from gateway_contrib.sqlite.settings import SqliteSettings
from gateway_contrib.sqlite.writing import Writer
from gateway_core.outboxes import (
    BytesDigest,
    BytesLost,
    Content,
    Group,
    GroupState,
    Member,
    Receipt,
    StoredEntry,
    check_digest,
    pieces_of,
    position_of,
)

T = TypeVar("T")

BLOCK = 1 << 18
"""Bytes, at least, that are passed to a thread at once."""
AT_ONCE = 4
"""Threads, at most, that write bytes into files."""


class Storing(Recording):
    """Stores groups and bytes; it stores messages as `Recording` does."""

    settings: SqliteSettings
    _keyring: Keyring
    _presence: Presence
    _reader: Reader
    _groups: Groups
    _contents: Contents
    _folder: Folder
    _writing: trio.CapacityLimiter
    _storing: trio.CapacityLimiter
    _connection: apsw.Connection
    _writer: Writer
    _desk: BesideDesk
    _wall: Callable[[], float]
    _reading: trio.CapacityLimiter

    async def _in_thread(self, do: Callable[[], T], limiter: trio.CapacityLimiter) -> T:
        raise NotImplementedError

    async def _read(self, do: Callable[[], T]) -> T:
        raise NotImplementedError

    # -- groups

    async def append_group(
        self,
        group: Group,
        members: Iterable[Sequence[Member]],
        on_stored: Callable[[], None],
    ) -> None:
        """Store the group's members row by row, then make all of it visible in one write."""
        self._presence.check()
        seq, row = position_of(group.id), group_row(self._keyring, group)
        await self._write_apart(lambda: self._groups.begin(row))
        try:
            await self._add_members(group, members)
            key = group.scope and key_row(self._keyring, group.scope, seq)
            claim = Claim(seq, None, group.files)
            await self._committer.stored(None, key, on_stored, claim)
        except BaseException:
            self._committer.batch.drop_group(seq)
            self._committer.wake()
            raise

    async def _add_members(self, group: Group, members: Iterable[Sequence[Member]]) -> None:
        seq, count = position_of(group.id), 0
        for chunk in members:
            await self._write_apart(partial(self._groups.add, seq, count, chunk))
            count += len(chunk)
        if count != group.size:
            raise ValueError(f"group {group.id} has {count} members, not {group.size}")

    async def members(
        self, group_id: str, *, after: int = -1, limit: int = 1000
    ) -> Sequence[tuple[int, Member]]:
        """Members without an entry, by their numbers."""
        return await self._read(lambda: self._reader.beside.members(group_id, after, limit))

    async def groups(
        self, instance_id: str, *, after: str = "", limit: int = 1000
    ) -> Sequence[GroupState]:
        """The account's groups, by their ids."""
        return await self._read(lambda: self._reader.beside.states(instance_id, after, limit))

    async def failed(
        self, group_id: str, *, after: str = "", limit: int = 1000
    ) -> Sequence[Receipt]:
        """How members failed, by the ids of their envelopes."""
        return await self._read(lambda: self._reader.beside.failed(group_id, after, limit))

    async def retry(self, group_id: str) -> int:
        """Mark the group's failed members in one write."""
        if not self._committer.idle:
            await self.flush()
        return await self._write_apart(lambda: self._groups.retry(seq_of(group_id)))

    async def reopen(
        self, group_id: str, *, after: str = "", limit: int = 1000
    ) -> tuple[str, Sequence[StoredEntry]]:
        """Make the next marked members unfinished, all of them in one write."""
        place, wall = seq_of(after) if after else 0, self._wall()
        if not self._committer.idle:
            await self.flush()
        last, stored = await self._write_apart(
            lambda: self._desk.reopen(seq_of(group_id), place, limit, wall)
        )
        return place_at(last) if last else "", stored

    # -- bytes

    async def store_bytes(self, digest: str, content: Content) -> None:
        """Store small bytes in the database, and large ones in a file beside it."""
        check_digest(digest)
        self._presence.check()
        await self._check(digest)
        if await self._write_apart(lambda: self._contents.pin_if_there(digest)):
            return
        large = self.settings.large_bytes
        new = NewBytes(self._folder, self._keyring, digest, large=large)
        try:
            await self._take_in(new, content)
            await self._write_apart(lambda: self._contents.add(new))
        finally:
            new.close()

    async def _take_in(self, new: NewBytes, content: Content) -> None:
        block = bytearray()
        async for piece in pieces_of(content):
            block += piece
            if len(block) >= BLOCK:
                await self._write_bytes(partial(new.write, bytes(block)))
                block.clear()
        await self._write_bytes(partial(new.write, bytes(block)))
        await self._write_bytes(new.finish)

    async def _write_bytes(self, do: Callable[[], object]) -> None:
        with self._committer.logged(), self._presence.typed("cannot store bytes"):
            await self._in_thread(do, self._storing)

    async def release_bytes(self, digest: str) -> None:
        """End the use, in a transaction of its own that may delete the bytes."""
        await self._write_apart(lambda: self._contents.unpin(digest))
        await self._write_apart(self._contents.committed)

    async def read_bytes(self, digest: str, offset: int, limit: int) -> bytes:
        """Read the bytes from the database, or from their file."""
        await self._check(digest)
        with self._presence.typed("cannot be read"):
            return await self._in_thread(
                lambda: self._reader.beside.bytes_at(digest, offset, limit), self._reading
            )

    async def _check(self, digest: str) -> None:
        """Compare bytes that a former run stored with their digest, once.

        If they are damaged, they are not there from now on.
        """
        unchecked, found, offset = self._contents.unchecked, BytesDigest(), 0
        if digest not in unchecked:
            return

        def read() -> int:
            piece = self._reader.beside.bytes_at(digest, offset, BLOCK)
            found.update(piece)
            return len(piece)

        with self._presence.typed("cannot be read"), suppress(BytesLost):
            while size := await self._in_thread(read, self._reading):
                offset += size
        if digest not in unchecked:  # somebody else has read them meanwhile
            return
        unchecked.remove(digest)
        if found.hexdigest() != digest:
            await self._write_apart(lambda: self._contents.drop(digest))

    async def _write_apart(self, do: Callable[[], T]) -> T:
        """Call `do` between two batches, in a transaction of its own."""
        with self._committer.logged(), self._presence.typed("cannot write", self._connection):
            return await self._in_thread(lambda: self._writer.apart(do), self._writing)
