"""Brings pages into memory, each room in order. This module waits: for the outbox alone."""

from __future__ import annotations

import gc
from collections.abc import Sequence

import attrs

from gateway_core.accounts.instance_state import InstanceState
from gateway_core.backlog.capacity import Capacity
from gateway_core.backlog.cursors import InstanceCursor, RoomCursor
from gateway_core.backlog.intake import Intake
from gateway_core.backlog.spilled import Spilled
from gateway_core.contract.envelopes import CHANGES
from gateway_core.engine.partition import Partition
from gateway_core.outboxes.interface import Outbox, StoredEntry

PAGE = 500
ROOMS_AT_ONCE = 100


class GcFreeze:
    """Spares the garbage collector looking again and again at what a restart brings in.

    A full pass of the collector looks at every object, and one starts whenever there is a quarter
    more of them: with 100,000 envelopes those passes took a fourth of the loading. What comes in
    lives until it is sent, so it goes to the oldest generation at once.

    done  memory was full once, or all is in. Nothing is done either where the application has
          switched the collector off, or has frozen objects of its own, which would be thawed
    """

    def __init__(self) -> None:
        self.done = False

    def came(self) -> None:
        """A page came in."""
        if self.done or not gc.isenabled() or gc.get_freeze_count():
            self.done = True
            return
        gc.freeze()
        gc.unfreeze()


@attrs.define(eq=False)
class Loader:
    """Takes in envelopes that find a slot, and passes by rooms that have none."""

    _outbox: Outbox
    _spilled: Spilled
    _intake: Intake
    _capacity: Capacity
    _partitions: Sequence[Partition]
    gc_freeze: GcFreeze = attrs.field(factory=GcFreeze, init=False)

    async def next_page(self, account: InstanceState, cursor: InstanceCursor) -> bool:
        """Load the next page of an instance; whether anything came in."""
        cursor.look_back()
        cursor.grown = False
        before = cursor.loaded
        page = await self._outbox.page(account.instance.id, after=before, limit=PAGE)
        whole = await self._take_page(page, cursor, account)
        came = cursor.loaded > before
        cursor.look_back()
        if not whole:
            self.gc_freeze.done = True
        elif page:
            self.gc_freeze.came()
        else:
            cursor.ended()
        return came

    async def _take_page(
        self, page: Sequence[StoredEntry], cursor: InstanceCursor, account: InstanceState
    ) -> bool:
        """Take each in its turn; false: one finds no slot at all, and the rest of the page waits.

        Nothing comes in once the account is removed: a new one of its name loads for itself.
        """
        for stored in page:
            envelope = stored.entry.envelope
            instance_id, room = envelope.instance_id, envelope.external_room_id
            partition = self._intake.partition_for(envelope)
            if isinstance(envelope, CHANGES):
                await self._spilled.recall(partition, envelope, stored.entry.id)
            if account.health.removed:
                return False
            behind = cursor.behind.get(room)
            if behind is not None:
                behind.newest = max(behind.newest, stored.position)
            elif (full := partition.admission.full(instance_id, room)) is None:
                self._intake.take(stored, partition, account)
            elif not cursor.crowded and (full.key[0] == "room" or self._has_slot(instance_id)):
                cursor.pass_by(room, stored.position)
            else:
                return False
            cursor.loaded = stored.position
        return True

    def _has_slot(self, instance_id: str) -> bool:
        """Whether any partition has a slot for the instance."""
        return any(part.admission.full(instance_id, "") is None for part in self._partitions)

    async def catch_up(self, account: InstanceState, cursor: InstanceCursor) -> bool:
        """Load the next of some rooms that are behind, the one served longest ago first.

        Returns whether anything came in.
        """
        came, instance_id = False, account.instance.id
        for room in list(cursor.behind)[:ROOMS_AT_ONCE]:
            behind = cursor.behind[room]
            partition = self._intake.partition_of(instance_id, room)
            waits_for_page = behind.loaded >= behind.newest and not cursor.done
            if waits_for_page or partition.admission.full(instance_id, room) is not None:
                cursor.behind.move_to_end(room)
                continue
            behind.look_back()
            newest = behind.newest
            page = await self._outbox.page(instance_id, room=room, after=behind.loaded, limit=PAGE)
            came = await self._take_of_room(page, behind, partition, account) or came
            if not page:
                behind.loaded = max(behind.loaded, newest)
            behind.look_back()
            if behind.loaded >= behind.newest and cursor.done:
                del cursor.behind[room]
            else:
                cursor.behind.move_to_end(room)
            if self._capacity.closed:
                break
        return came

    async def _take_of_room(
        self,
        page: Sequence[StoredEntry],
        behind: RoomCursor,
        partition: Partition,
        account: InstanceState,
    ) -> bool:
        """Take as many as find a slot; whether there were any."""
        came = False
        for stored in page:
            envelope = stored.entry.envelope
            room = (envelope.instance_id, envelope.external_room_id)
            if isinstance(envelope, CHANGES):
                await self._spilled.recall(partition, envelope, stored.entry.id)
            if account.health.removed or partition.admission.full(*room) is not None:
                break
            self._intake.take(stored, partition, account)
            behind.loaded = stored.position
            came = True
        return came
