"""Brings pages of what the outbox keeps into memory, each room in the order of its positions.

This module waits: for the outbox alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from gateway_core.accounts.instance_state import InstanceState
from gateway_core.backlog.capacity import Capacity
from gateway_core.backlog.cursors import InstanceCursor
from gateway_core.backlog.gc_freeze import GcFreeze
from gateway_core.backlog.intake import Intake
from gateway_core.backlog.spilled import Spilled
from gateway_core.contract.envelopes import CHANGES
from gateway_core.engine.partition import Partition
from gateway_core.outboxes.interface import Kept, Outbox

PAGE = 500
ROOMS_AT_ONCE = 100


class Loader:
    """Takes in what has a place, and passes by rooms that have none."""

    def __init__(
        self,
        outbox: Outbox,
        spilled: Spilled,
        intake: Intake,
        capacity: Capacity,
        *,
        partitions: Sequence[Partition],
        partition_of: Callable[[str, str], Partition],
    ) -> None:
        self._outbox = outbox
        self._spilled = spilled
        self._intake = intake
        self._capacity = capacity
        self._partitions = partitions
        self._partition_of = partition_of
        self.settling = GcFreeze()

    async def next_page(self, account: InstanceState, stream: InstanceCursor) -> bool:
        """What comes next of an instance; whether anything came in."""
        stream.look_back()
        stream.grown = False
        before = stream.cursor
        page = await self._outbox.page(account.instance.id, after=before, limit=PAGE)
        whole = await self._take_page(page, stream, account)
        came = stream.cursor > before
        stream.look_back()
        if not whole:
            self.settling.over = True
            return came
        if page:
            self.settling.came()
        else:
            stream.ended()
        return bool(page)

    async def _take_page(
        self, page: Sequence[Kept], stream: InstanceCursor, account: InstanceState
    ) -> bool:
        """Each in its turn; whether all had one."""
        for kept in page:
            envelope = kept.entry.envelope
            partition = self._partition_of(envelope.instance_id, envelope.external_room_id)
            if isinstance(envelope, CHANGES):
                await self._spilled.recall(partition, envelope, kept.entry.id)
            if not self._take_in_turn(stream, kept, partition, account):
                return False
            stream.cursor = kept.position
        return True

    def _take_in_turn(
        self, stream: InstanceCursor, kept: Kept, partition: Partition, account: InstanceState
    ) -> bool:
        """Take it in, or leave it to its room; false: no place at all.

        None where the account was taken out meanwhile: whoever has its name now begins anew.
        """
        if account.health.removed:
            return False
        envelope = kept.entry.envelope
        instance_id, room = envelope.instance_id, envelope.external_room_id
        behind = stream.behind.get(room)
        if behind is not None:
            behind.newest = max(behind.newest, kept.position)
            return True
        full = partition.admission.full(instance_id, room)
        if full is None:
            self._intake.take(kept, partition, account)
        elif not stream.crowded and (full.key[0] == "room" or self._has_place(instance_id)):
            stream.pass_by(room, kept.position)
        else:
            return False
        return True

    def _has_place(self, instance_id: str) -> bool:
        """Whether any partition can take something of the instance."""
        return any(part.admission.full(instance_id, "") is None for part in self._partitions)

    async def catch_up(self, account: InstanceState, stream: InstanceCursor) -> bool:
        """The next of rooms that are behind and have places; whether anything came in."""
        came, instance_id = False, account.instance.id
        for room in self._rooms_with_places(instance_id, stream):
            behind = stream.behind[room]
            behind.look_back()
            newest = behind.newest
            page = await self._outbox.page(instance_id, room=room, after=behind.loaded, limit=PAGE)
            came = await self._take_of_room(page, stream, room, account) or came
            if not page:
                behind.loaded = max(behind.loaded, newest)
            behind.look_back()
            if behind.loaded >= behind.newest and stream.done:
                del stream.behind[room]
            else:
                stream.behind.move_to_end(room)
            if self._capacity.closed:
                break
        return came

    async def _take_of_room(
        self, page: Sequence[Kept], stream: InstanceCursor, room: str, account: InstanceState
    ) -> bool:
        """As many as have a place; whether there were any."""
        instance_id = account.instance.id
        partition, came = self._partition_of(instance_id, room), False
        for kept in page:
            envelope = kept.entry.envelope
            if isinstance(envelope, CHANGES):
                await self._spilled.recall(partition, envelope, kept.entry.id)
            if account.health.removed or partition.admission.full(instance_id, room) is not None:
                break
            self._intake.take(kept, partition, account)
            stream.behind[room].loaded = kept.position
            came = True
        return came

    def _rooms_with_places(self, instance_id: str, stream: InstanceCursor) -> Iterator[str]:
        """Some rooms that are behind, the one served longest ago first."""
        for room in list(stream.behind)[:ROOMS_AT_ONCE]:
            behind = stream.behind[room]
            if behind.loaded >= behind.newest and not stream.done:
                stream.behind.move_to_end(room)
                continue
            admission = self._partition_of(instance_id, room).admission
            if admission.full(instance_id, room) is None:
                yield room
            else:
                stream.behind.move_to_end(room)
