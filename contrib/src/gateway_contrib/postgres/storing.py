"""The part of an outbox in PostgreSQL that stores groups and bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, TypeAlias, TypeVar
from uuid import uuid4

import psycopg
import trio

from gateway_contrib.durable.group_rows import Claim, place_at, seq_of
from gateway_contrib.durable.recording import Recording
from gateway_contrib.postgres.beside import reading
from gateway_contrib.postgres.beside.adopting import PIECE
from gateway_contrib.postgres.names import name_of
from gateway_contrib.postgres.writes import reopening
from gateway_contrib.postgres.writes.statements import key_row
from gateway_contrib.postgres.writes.writing import Writer
from gateway_core.outboxes import (
    BytesDigest,
    Content,
    Group,
    GroupState,
    Member,
    OutboxError,
    Receipt,
    StoredEntry,
    check_digest,
    pieces_of,
    position_of,
)

T = TypeVar("T")
Connection: TypeAlias = psycopg.Connection[Any]


class Storing(Recording):
    """Stores groups and bytes; it stores messages as `Recording` does."""

    _writer: Writer

    async def _apart(
        self, do: Callable[[Connection], T], account: str | None = None, *, seqs: Sequence[int] = ()
    ) -> T:
        raise NotImplementedError

    async def _read(self, do: Callable[[Connection], T]) -> T:
        raise NotImplementedError

    async def _look(self, do: Callable[[Connection], T]) -> T:
        raise NotImplementedError

    def _check(self, instance_id: str = "") -> None:
        raise NotImplementedError

    # -- groups

    async def append_group(
        self,
        group: Group,
        members: Iterable[Sequence[Member]],
        on_stored: Callable[[], None],
    ) -> None:
        """Store the group's members chunk by chunk, then make all of it visible in one write."""
        self._check(group.instance_id)
        seq, account = position_of(group.id), name_of(group.instance_id)
        groups = self._writer.groups
        await self._apart(partial(groups.begin, group=group), account)
        try:
            await self._add_members(group, members)
            key = None
            if group.scope is not None:
                key = key_row(self._keyring, group.scope, seq)
            claim = Claim(seq, None, group.files)
            await self._committer.stored(None, key, on_stored, claim)
        except BaseException:
            self._committer.batch.drop_group(seq)
            self._committer.wake()
            raise

    async def _add_members(self, group: Group, members: Iterable[Sequence[Member]]) -> None:
        seq, count, name = position_of(group.id), 0, group.instance_id
        add = self._writer.groups.add
        for chunk in members:
            some = partial(add, instance=name, seq=seq, first=count, members=chunk)
            await self._apart(some, name_of(name))
            count += len(chunk)
        if count != group.size:
            raise ValueError(f"group {group.id} has {count} members, not {group.size}")

    async def members(
        self, group_id: str, *, after: int = -1, limit: int = 1000
    ) -> Sequence[tuple[int, Member]]:
        """Members without an entry, by their numbers."""
        return await self._read(
            lambda it: reading.members(it, self._keyring, group_id, after, limit)
        )

    async def groups(
        self, instance_id: str, *, after: str = "", limit: int = 1000
    ) -> Sequence[GroupState]:
        """The account's groups, by their ids."""
        return await self._read(
            lambda it: reading.states(it, self._keyring, instance_id, after, limit)
        )

    async def failed(
        self, group_id: str, *, after: str = "", limit: int = 1000
    ) -> Sequence[Receipt]:
        """How members failed, by the ids of their envelopes."""
        return await self._read(
            lambda it: reading.failed(it, self._keyring, group_id, after, limit)
        )

    async def retry(self, group_id: str) -> int:
        """Mark the group's failed members in one write."""
        if not self._committer.idle:
            await self.flush()
        grp = seq_of(group_id)
        return await self._apart(partial(self._writer.groups.retry, grp=grp), seqs=[grp])

    async def reopen(
        self, group_id: str, *, after: str = "", limit: int = 1000
    ) -> tuple[str, Sequence[StoredEntry]]:
        """Make the next marked members unfinished, all of them in one write."""
        place, wall = seq_of(after) if after else 0, self._wall()
        if not self._committer.idle:
            await self.flush()
        groups = self._writer.groups

        def reopen(connection: Connection) -> tuple[int, list[StoredEntry]]:
            seqs = groups.next_retried(connection, seq_of(group_id), place, limit)
            stored = reopening.reopen(connection, groups, self._keyring, seqs, wall)
            return seqs[-1] if seqs else 0, stored

        last, stored = await self._apart(reopen, seqs=[seq_of(group_id)])
        return place_at(last) if last else "", stored

    # -- bytes

    async def store_bytes(self, digest: str, content: Content) -> None:
        """Store the bytes in pieces; nobody sees any piece before all are there."""
        check_digest(digest)
        self._check()
        contents = self._writer.contents
        if await self._apart(partial(contents.pin_if_there, digest=digest)):
            return
        upload, number, size = uuid4(), 0, 0
        found, rest = BytesDigest(), bytearray()
        try:
            async for piece in pieces_of(content):
                found.update(piece)
                rest += piece
                size += len(piece)
                while len(rest) > PIECE:
                    whole = bytes(memoryview(rest)[:PIECE])
                    del rest[:PIECE]
                    await self._apart(partial(
                        contents.add_piece, digest=digest, upload=upload, number=number, piece=whole
                    ))  # fmt: skip
                    number += 1
            found.check(digest)
            last = partial(
                contents.add_piece, digest=digest, upload=upload, number=number, piece=bytes(rest)
            )
            add = partial(contents.add, digest=digest, size=size, upload=upload)
            await self._apart(lambda it: (last(it), add(it)))
        except BaseException:
            if number:
                with trio.CancelScope(shield=True), suppress(OutboxError):  # else the next opening
                    await self._apart(partial(contents.drop_upload, upload=upload))
            raise

    async def release_bytes(self, digest: str) -> None:
        """End the use, in a transaction of its own that may delete the bytes."""
        await self._apart(partial(self._writer.contents.unpin, digest=digest))

    async def read_bytes(self, digest: str, offset: int, limit: int) -> bytes:
        """Read the bytes from their pieces."""
        return await self._look(
            lambda it: reading.bytes_at(it, self._keyring, digest, offset, limit)
        )
