"""Brings pages of stored envelopes into memory, each room in order. Waits only for the outbox."""

from __future__ import annotations

import gc
import math
from collections.abc import Container, Iterable, Sequence
from itertools import islice

import attrs
import trio

from gateway_core.accounts.instance_state import InstanceState
from gateway_core.backlog.capacity import Capacity
from gateway_core.backlog.cursors import InstanceCursors, RoomCursor, StreamCursor
from gateway_core.backlog.intake import Intake
from gateway_core.backlog.spilled import Spilled
from gateway_core.contract.envelopes import Target
from gateway_core.contract.ids import sequence_of
from gateway_core.engine.partition import Partition
from gateway_core.outboxes.interface import Outbox
from gateway_core.outboxes.records import ORDERED, StoredEntry
from gateway_core.scheduling.classes import RANKS, URGENT

PAGE = 500
ROOMS_AT_ONCE = 100
AT_ONCE = 16
"""Envelopes that are let go before other tasks run again: about a millisecond of work."""


_PYTHONS_OWN = 1_000
"""Objects that Python itself may have frozen: 3.12 begins with 375. `gc.freeze` freezes all."""


class GcFreeze:
    """Keeps the garbage collector from scanning loaded envelopes again and again at a restart.

    A full pass of the collector looks at every object, and a pass starts whenever the number of
    objects has grown by a quarter. With 100,000 envelopes those passes took a fourth of the loading
    time. A loaded envelope lives until it is sent, so its objects go to the oldest generation at
    once.

    done  nothing is left to do: memory was full once, everything is loaded, the application has
          switched the collector off, or it has frozen objects itself, which this would unfreeze
    """

    def __init__(self) -> None:
        self.done = False

    def came(self) -> None:
        """Move the objects of a loaded page to the oldest generation."""
        if self.done or not gc.isenabled() or gc.get_freeze_count() > _PYTHONS_OWN:
            self.done = True
            return
        gc.freeze()
        gc.unfreeze()


@attrs.define(eq=False)
class Loader:
    """Takes in envelopes for which there is a slot, and passes by rooms without a free slot."""

    _outbox: Outbox
    _spilled: Spilled
    _intake: Intake
    _capacity: Capacity
    _partitions: Sequence[Partition]
    gc_freeze: GcFreeze = attrs.field(factory=GcFreeze, init=False)

    async def load(self, account: InstanceState, cursors: InstanceCursors) -> bool:
        """Load the next page for each cursor of an instance; whether anything came in."""
        came = False
        for ahead in cursors.ahead:
            if not ahead.done:
                await self._look_ahead(account, cursors, ahead)
        for cursor in cursors.all:
            came = await self.next_page(account, cursor) or came
        return came

    async def let_go(self, account: InstanceState) -> None:
        """Let go of all envelopes of a lost account, the newest first; other tasks run between."""
        for partition in self._partitions:
            unfinished = partition.completion.unfinished_of(account.instance.id)
            while unfinished:
                self._intake.pass_to_another(unfinished.pop(), account)
                if len(unfinished) % AT_ONCE == 0:
                    await trio.lowlevel.checkpoint()
            partition.completion.forget_ended([account.instance.id])
            partition.scheduler.forget(account)

    async def next_page(self, account: InstanceState, cursor: StreamCursor) -> bool:
        """Load the next page for a cursor, and for its rooms; whether anything came in."""
        came = False
        if cursor.first:
            came = await self._catch_up(account, cursor, cursor.first)
        if not cursor.done:
            came = await self._next_page(account, cursor) or came
        return await self._catch_up(account, cursor, cursor.behind) or came

    async def _look_ahead(
        self, account: InstanceState, cursors: InstanceCursors, ahead: StreamCursor
    ) -> None:
        """Find the rooms in which envelopes of a class wait after envelopes of a lower class.

        Each of these rooms is then loaded by its own pages. As long as no envelope of a lower class
        is next, the common pages bring these envelopes in, and there is no need to look for them.
        """
        ordered = cursors.ordered
        if ordered.done:
            ahead.done = True
            return
        ahead.look_back()
        ahead.grown = False
        lower = ORDERED[ORDERED.index(ahead.streams[0]) + 1 :]
        lowest = int(min(ordered.loaded, ordered.passed))
        first = await self._outbox.page(account.instance.id, streams=lower, after=lowest, limit=1)
        if not first:
            return
        ahead.loaded = max(ahead.loaded, first[0].position)
        page = await self._outbox.page(
            account.instance.id, streams=ahead.streams, after=ahead.loaded, limit=PAGE
        )
        for stored in page:
            room = stored.entry.envelope.external_room_id
            if not ordered.look_ahead(room, stored.position):
                return
            ahead.loaded = stored.position
        if not page and ahead.passed == math.inf:
            ahead.done = True

    async def _next_page(self, account: InstanceState, cursor: StreamCursor) -> bool:
        """Load the next page; whether anything came in."""
        cursor.look_back()
        cursor.grown = False
        before = cursor.loaded
        page = await self._outbox.page(
            account.instance.id, streams=cursor.streams, after=before, limit=PAGE
        )
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
        self, page: Sequence[StoredEntry], cursor: StreamCursor, account: InstanceState
    ) -> bool:
        """Take each envelope in turn; false: one finds no slot, and the rest of the page waits.

        The page may lack an envelope that is in no room's cursor; then the entries after the gap
        wait too. Nothing comes in once the account is removed: a new account with the same name
        loads for itself.
        """
        taken = await self._take_begun(page, cursor.passed, cursor.behind, account)
        for stored in page:
            if stored.entry.id in taken:
                cursor.loaded = stored.position
                continue
            envelope = stored.entry.envelope
            instance_id, room = envelope.instance_id, envelope.external_room_id
            partition, rank = self._intake.partition_for(envelope), rank_of(stored)
            if envelope.target is not None and room not in cursor.behind:
                await self._bring_message(stored, envelope.target, partition, account)
            if account.health.removed:
                return False
            behind = cursor.behind.get(room)
            if behind is not None:
                behind.newest = max(behind.newest, stored.position)
            elif stored.position > cursor.passed:
                return True
            elif (full := partition.admission.full(instance_id, room, rank)) is None:
                self._intake.take(stored, partition, account)
            elif not cursor.crowded and (
                full.key[0] == "room" or self._has_slot(instance_id, rank)
            ):
                cursor.pass_by(room, stored.position, rank)
            else:
                return False
            cursor.loaded = stored.position
        return True

    async def _take_begun(
        self,
        page: Sequence[StoredEntry],
        passed: float,
        apart: Container[str],
        account: InstanceState,
    ) -> set[str]:
        """Take what a former run began before all else, as far as there are slots; their ids.

        Its position may be a later one: a stream that shows nothing lets others begin, and so does
        a change that waits for its message. Once it has begun, they wait for it.

        passed  positions after this one are not looked at    apart  nor are these rooms
        """
        taken: set[str] = set()
        for stored in page:
            envelope = stored.entry.envelope
            room = (envelope.instance_id, envelope.external_room_id)
            begun = envelope.order != "none" and any(record.number for record in stored.records)
            if not begun or stored.position > passed or envelope.external_room_id in apart:
                continue
            partition = self._intake.partition_for(envelope)
            if envelope.target is not None:
                await self._bring_message(stored, envelope.target, partition, account)
            if account.health.removed:
                break
            if partition.admission.full(*room, rank_of(stored)) is None:
                self._intake.take(stored, partition, account)
                taken.add(stored.entry.id)
        return taken

    async def _bring_message(
        self,
        stored: StoredEntry,
        target: Target,
        partition: Partition,
        account: InstanceState,
    ) -> None:
        """Tell the partition about a message before an envelope that concerns the message comes in.

        If the message is spilled and stands alone, it comes in first, even without a free slot. The
        message may be of a lower class, and would otherwise wait for slots that are taken by the
        envelopes that wait for it.
        """
        sequence = sequence_of(stored.entry.id, stored.sequence)
        await self._spilled.recall(partition, target, sequence)
        message = partition.targets.expected(target)
        if message is None or message.receipt is not None or message.sequence > sequence:
            return
        found = await self._outbox.find(message.id)
        entry = found.stored.entry if found is not None and found.stored is not None else None
        free = entry is not None and entry.stream.alone and entry.due is None
        if found is not None and found.stored is not None and free and not account.health.removed:
            self._intake.take(found.stored, partition, account)

    def _has_slot(self, instance_id: str, rank: int) -> bool:
        """Whether any partition has a slot for the instance and the class."""
        return any(part.admission.full(instance_id, "", rank) is None for part in self._partitions)

    async def _catch_up(
        self, account: InstanceState, cursor: StreamCursor, rooms: Iterable[str]
    ) -> bool:
        """Load the next page of some rooms that are behind, the room served longest ago first.

        Returns whether anything came in.
        """
        came, instance_id = False, account.instance.id
        for room in list(islice(rooms, ROOMS_AT_ONCE)):
            behind = cursor.behind[room]
            behind.look_back()
            partition = self._intake.partition_of(instance_id, room)
            waits_for_page = behind.loaded >= behind.newest and not cursor.done
            full = partition.admission.full(instance_id, room, behind.rank)
            if waits_for_page or full is not None:
                cursor.serve_later(room, done=waits_for_page)
                continue
            newest = behind.newest
            page = await self._outbox.page(
                instance_id, room=room, streams=cursor.streams, after=behind.loaded, limit=PAGE
            )
            came = await self._take_of_room(page, behind, partition, account) or came
            if not page:
                behind.loaded = max(behind.loaded, newest)
            behind.look_back()
            if behind.loaded >= behind.newest and cursor.done:
                cursor.forget(room)
            else:
                cursor.serve_later(room)
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
        """Take envelopes while there are slots; whether any came in.

        It stops before a position at which the page may lack an envelope.
        """
        taken = await self._take_begun(page, behind.passed, (), account)
        came = bool(taken)
        for stored in page:
            if stored.entry.id in taken:
                behind.loaded = stored.position
                continue
            envelope = stored.entry.envelope
            room = (envelope.instance_id, envelope.external_room_id)
            behind.rank = rank_of(stored)
            if envelope.target is not None:
                await self._bring_message(stored, envelope.target, partition, account)
            if account.health.removed or partition.admission.full(*room, behind.rank) is not None:
                break
            if stored.position > behind.passed:
                break
            self._intake.take(stored, partition, account)
            behind.loaded, behind.rank = stored.position, URGENT
            came = True
        return came


def rank_of(stored: StoredEntry) -> int:
    """The rank of the entry's class."""
    entry = stored.entry
    return RANKS[entry.priority or entry.envelope.priority]
