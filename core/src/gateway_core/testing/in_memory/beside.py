"""Stores the groups and the bytes of an outbox in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import islice

import trio

from gateway_core.contract.envelopes import Receipt
from gateway_core.deliveries.remembered import Scope
from gateway_core.outboxes.records import Found, Group, GroupState, Member
from gateway_core.outboxes.stored_bytes import BytesDigest, Content, check_digest, pieces_of
from gateway_core.testing.in_memory.contents import MemoryBytes
from gateway_core.testing.in_memory.groups import MemoryGroups


class Beside:
    """The methods of the outbox in memory that concern groups and bytes."""

    def __init__(self) -> None:
        self._keys: dict[Scope, Found] = {}
        self._groups = MemoryGroups()
        self._bytes = MemoryBytes()

    async def append_group(
        self,
        group: Group,
        members: Iterable[Sequence[Member]],
        on_stored: Callable[[], None],
    ) -> None:
        """Store the group immediately."""
        await trio.lowlevel.checkpoint_if_cancelled()
        self._bytes.check(group.files)
        state = self._groups.add(group, members)
        self._bytes.use(group.id, group.files)
        if group.scope is not None:
            found = Found(envelope_id=group.id, fingerprint=group.fingerprint)
            self._keys[group.scope] = found
        self._see_end(state)
        on_stored()
        await trio.lowlevel.cancel_shielded_checkpoint()

    def _see_end(self, state: GroupState | None) -> None:
        """End the use of bytes of a group that has ended.

        Also free its key if the group was cancelled before any member had a turn.
        """
        if state is None or not state.ended:
            return
        self._bytes.end(state.group.id)
        scope = state.group.scope
        if state.cancelled and not state.taken and scope is not None:
            self._keys.pop(scope, None)

    async def members(
        self, group_id: str, *, after: int = -1, limit: int = 1000
    ) -> Sequence[tuple[int, Member]]:
        """The next members without an entry, by their numbers."""
        every = self._groups.members(group_id)
        return list(islice((each for each in every if each[0] > after), limit))

    def paused(self, group_id: str, paused: bool) -> None:
        """Note whether the group is paused."""
        self._groups.pause(group_id, paused=paused)

    def cancelled(self, group_id: str) -> None:
        """Count the members that still wait as cancelled."""
        self._see_end(self._groups.cancel(group_id))

    async def groups(
        self, instance_id: str, *, after: str = "", limit: int = 1000
    ) -> Sequence[GroupState]:
        """The account's groups, by id; none is forgotten."""
        return [one for one in self._groups.states(instance_id) if one.group.id > after][:limit]

    async def failed(
        self, group_id: str, *, after: str = "", limit: int = 1000
    ) -> Sequence[Receipt]:
        """Receipts of failed members, by their envelopes' ids."""
        every = self._groups.failed(group_id)
        return [receipt for receipt in every if receipt.envelope_id > after][:limit]

    async def store_bytes(self, digest: str, content: Content) -> None:
        """Store the bytes in memory."""
        check_digest(digest)
        await trio.lowlevel.checkpoint()
        if digest in self._bytes:
            self._bytes.pin(digest)
            return
        found, whole = BytesDigest(), bytearray()
        async for piece in pieces_of(content):
            found.update(piece)
            whole += piece
        found.check(digest)
        self._bytes.pin(digest, bytes(whole))

    async def release_bytes(self, digest: str) -> None:
        """End one use that the bytes were kept for."""
        await trio.lowlevel.checkpoint()
        self._bytes.unpin(digest)

    async def read_bytes(self, digest: str, offset: int, limit: int) -> bytes:
        """At most `limit` of the bytes, from the offset on."""
        await trio.lowlevel.checkpoint()
        return self._bytes.get(digest)[offset : offset + limit]
