"""Tracks how far an instance's spilled envelopes were loaded, and which rooms are behind. Sans-I/O.

Envelopes that keep their room's order enter memory strictly by position. So a room with spilled
envelopes is *behind*: envelopes that are accepted for it meanwhile are spilled as well. Envelopes
that stand alone have a cursor for each class, so that they need not wait until a backlog of other
classes has been read. For ordered envelopes of the higher classes, a cursor looks ahead to find
their rooms.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence

import attrs

from gateway_core.outboxes.records import ALONE, ORDERED, Stream
from gateway_core.scheduling.classes import BULK, RANKS, URGENT

MOST_BEHIND = 10_000
"""The most rooms that a cursor remembers as behind; beyond, all of the cursor's envelopes wait."""


@attrs.define(eq=False)
class Cursor:
    """How far some stored envelopes were loaded.

    loaded  the position up to which nothing has to be loaded any more
    passed  one below the position of the first envelope that was spilled since the last look back:
            a page that was requested before may reach beyond that envelope without showing it
    """

    loaded: int
    passed: float = attrs.field(default=math.inf, init=False)

    def note_passed(self, position: int) -> None:
        """Note that the page that is being read may lack the envelope at `position`."""
        self.passed = min(self.passed, position - 1)

    def look_back(self) -> None:
        """Go back to the first envelope that was passed over."""
        if self.passed < self.loaded:
            self.loaded = int(self.passed)
        self.passed = math.inf


@attrs.define(eq=False)
class RoomCursor(Cursor):
    """A room that is behind.

    newest   the position of its last spilled envelope
    rank     the class of the next envelope; the highest class while that envelope is not known
    changes  an edit or a delete may be among the spilled envelopes
    """

    newest: int
    rank: int = URGENT
    changes: bool = True


@attrs.define(eq=False)
class StreamCursor(Cursor):
    """How far some streams were loaded. Rooms that are behind have cursors of their own.

    done    no envelope is stored beyond the cursor, except those that are accepted from now on
    grown   an envelope was spilled beyond the cursor since the last page was requested
    behind  the rooms that are behind, by id
    first   the rooms among them that are loaded before the others
    """

    streams: Sequence[Stream] = ORDERED
    loaded: int = -1
    done: bool = False
    grown: bool = False
    behind: OrderedDict[str, RoomCursor] = attrs.field(factory=OrderedDict)
    first: OrderedDict[str, None] = attrs.field(factory=OrderedDict)

    @property
    def idle(self) -> bool:
        """Whether nothing is spilled."""
        return self.done and not self.behind

    @property
    def crowded(self) -> bool:
        """Whether no more rooms can be remembered as behind."""
        return len(self.behind) >= MOST_BEHIND

    def holds(self, room: str) -> bool:
        """Whether an envelope that is accepted for the room now must be spilled."""
        return not self.done or room in self.behind

    def may_hold_change(self, room: str) -> bool:
        """Whether an edit or a delete of the room may be spilled."""
        behind = self.behind.get(room)
        return not self.done or (behind is not None and behind.changes)

    def spill(self, room: str, position: int, rank: int, *, change: bool = True) -> None:
        """Note that the envelope at `position`, of the class `rank`, is spilled.

        `change`: the envelope is an edit or a delete, or may be one.
        """
        behind = self.behind.get(room)
        if behind is not None:
            behind.note_passed(position)
            behind.newest = max(behind.newest, position)
            behind.changes = behind.changes or change
        elif not self.crowded or (position <= self.loaded and not self.done):
            loaded = position - 1 if self.done else min(self.loaded, position - 1)
            cursor = self.behind[room] = RoomCursor(loaded, position)
            if self.done:  # the room has no other spilled envelopes
                cursor.rank, cursor.changes = rank, change
        elif self.done:
            self.done, self.grown, self.loaded = False, True, position - 1
        else:
            self.grown = True
            self.note_passed(position)

    def miss(self, position: int) -> None:
        """Note that the envelope at `position` is spilled, and that no room remembers it."""
        if self.done:
            self.done, self.loaded = False, position - 1
        self.note_passed(position)

    def pass_by(self, room: str, position: int, rank: int) -> None:
        """Let the room be behind from the envelope at `position` on, which finds no slot."""
        self.behind[room] = RoomCursor(position - 1, position, rank)

    def look_ahead(self, room: str, position: int) -> bool:
        """Let the room be behind, so that the envelope at `position` comes in before other rooms'.

        False: no more rooms can be remembered.
        """
        if position <= min(self.loaded, self.passed):
            return True
        behind = self.behind.get(room)
        if behind is not None:
            behind.newest = max(behind.newest, position)
            self.first[room] = None
            return True
        if self.crowded:
            self._forget_loaded()
        if self.crowded:
            return False
        self.first[room] = None
        self.behind[room] = RoomCursor(int(min(self.loaded, self.passed)), position)
        return True

    def ended(self) -> None:
        """The page that was requested last is empty: nothing was stored beyond the cursor."""
        if not self.grown:
            self.done = True
            self._forget_loaded()

    def forget(self, room: str) -> None:
        """The room is no longer behind."""
        del self.behind[room]
        self.first.pop(room, None)

    def serve_later(self, room: str, *, done: bool = False) -> None:
        """Let all other rooms have a turn before this room has its next one.

        done  the room needs no turn for now, and loses its place among the first rooms
        """
        self.behind.move_to_end(room)
        if done:
            self.first.pop(room, None)
        elif room in self.first:
            self.first.move_to_end(room)

    def _forget_loaded(self) -> None:
        for room in [r for r, b in self.behind.items() if min(b.loaded, b.passed) >= b.newest]:
            self.forget(room)


class InstanceCursors:
    """The cursors of one instance.

    ordered  how far the envelopes that keep their room's order were loaded
    alone    for each class, how far the envelopes that stand alone were loaded
    ahead    for each class but the lowest, how far its ordered envelopes were looked for
    """

    def __init__(self, *, done: bool = False) -> None:
        self.ordered = StreamCursor(done=done)
        self.alone = tuple(StreamCursor(streams=(stream,), done=done) for stream in ALONE)
        self.ahead = tuple(
            StreamCursor(streams=(stream,), done=done)
            for stream in ORDERED
            if RANKS[stream[0]] != BULK
        )
        self.all = (*self.alone[:BULK], self.ordered, self.alone[BULK])

    @property
    def idle(self) -> bool:
        """Whether nothing is spilled."""
        return all(cursor.idle for cursor in self.all)

    @property
    def pressing(self) -> bool:
        """Whether an urgent envelope that stands alone is spilled."""
        return not self.alone[URGENT].idle

    def holds(self, room: str, *, change: bool) -> bool:
        """Whether an envelope that is accepted for the room now must be spilled.

        A change comes in after all spilled envelopes of its room: its message may be among them.
        """
        return any(cursor.holds(room) for cursor in (self.all if change else (self.ordered,)))

    def may_hold_change(self, room: str) -> bool:
        """Whether an edit or a delete of the room may be spilled."""
        return self.ordered.may_hold_change(room)

    def highest(self) -> int:
        """The highest class that has spilled envelopes, as far as that is known."""
        ranks = [rank for rank, cursor in enumerate(self.alone) if not cursor.idle]
        ranks += [rank for rank, cursor in enumerate(self.ahead) if not cursor.done]
        return min(ranks, default=BULK)

    def spill(self, room: str, position: int, stream: Stream, *, change: bool = True) -> None:
        """Note that the envelope at `position` is spilled; `change` as in `StreamCursor.spill`."""
        rank = RANKS[stream.priority]
        if stream.alone:
            self.alone[rank].spill(room, position, rank)
            return
        self.ordered.spill(room, position, rank, change=change)
        if rank != BULK and room not in self.ordered.behind:
            self.ahead[rank].miss(position)

    def ended(self, room: str) -> None:
        """A spilled envelope of the room ended: the room's next one may be of any class."""
        behind = self.ordered.behind.get(room)
        if behind is not None:
            behind.rank = URGENT


@attrs.define(eq=False)
class Cursors:
    """The cursors of all instances that have spilled envelopes.

    pressing  an instance may have a spilled urgent envelope that stands alone
    """

    of: dict[str, InstanceCursors] = attrs.field(factory=dict, init=False)
    pressing: bool = attrs.field(default=False, init=False)

    def begin(self, instance_id: str) -> None:
        """Load all stored envelopes of the instance, from the first one on."""
        self.of[instance_id] = InstanceCursors()
        self.pressing = True
