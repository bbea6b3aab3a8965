"""How far the spilled envelopes of an instance were loaded, and which rooms are behind. Sans-I/O.

What keeps its room's order enters memory strictly by its position. So a room of which something is
spilled is *behind*: what is accepted for it meanwhile is spilled as well. What stands alone has a
cursor for each class, so that a backlog of other classes is not read before it; and for the higher
classes among the ordered, a cursor looks ahead for the rooms that they are in.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence

import attrs

from gateway_core.outboxes.records import ALONE, ORDERED, Stream
from gateway_core.scheduling.classes import BULK, RANKS, URGENT

MOST_BEHIND = 10_000
"""Rooms of a cursor that are remembered as behind; with more, its envelopes wait as a whole."""


@attrs.define(eq=False)
class Cursor:
    """How far something was loaded.

    loaded  the position up to which nothing has to be loaded any more
    passed  the position below the first envelope that was spilled since the last look back: a
            page that was requested before may reach beyond that envelope without showing it
    """

    loaded: int
    passed: float = attrs.field(default=math.inf, init=False)

    def note_passed(self, position: int) -> None:
        """The page that is being read may miss the envelope at `position`."""
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
    rank     of the envelope that comes next; while that is not known, the highest class's
    changes  an edit or a delete may be among the spilled
    """

    newest: int
    rank: int = URGENT
    changes: bool = True


@attrs.define(eq=False)
class StreamCursor(Cursor):
    """How far some streams were loaded: rooms that are behind are loaded by cursors of their own.

    done    nothing is stored beyond the cursor, except what is accepted from now on
    grown   something was spilled beyond the cursor since the last page was requested
    behind  the rooms that are behind, by id
    first   those of them that come in before others
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
        """Whether what is accepted for the room must be spilled."""
        return not self.done or room in self.behind

    def may_hold_change(self, room: str) -> bool:
        """Whether an edit or a delete of the room may be spilled."""
        behind = self.behind.get(room)
        return not self.done or (behind is not None and behind.changes)

    def spill(self, room: str, position: int, rank: int, *, change: bool = True) -> None:
        """Note that the envelope at `position`, of the class `rank`, is spilled.

        `change`: it is an edit or a delete, or may be.
        """
        behind = self.behind.get(room)
        if behind is not None:
            behind.note_passed(position)
            behind.newest = max(behind.newest, position)
            behind.changes = behind.changes or change
        elif not self.crowded or (position <= self.loaded and not self.done):
            loaded = position - 1 if self.done else min(self.loaded, position - 1)
            cursor = self.behind[room] = RoomCursor(loaded, position)
            if self.done:  # nothing else of the room is spilled
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
        """Let the room be behind from `position` on, which finds no slot; go on with others."""
        self.behind[room] = RoomCursor(position - 1, position, rank)

    def look_ahead(self, room: str, position: int) -> bool:
        """Let the room be behind, as the envelope at `position` is to come in before others.

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
        """The room is behind no more."""
        del self.behind[room]
        self.first.pop(room, None)

    def serve_later(self, room: str, *, done: bool = False) -> None:
        """Other rooms have their turn before this one has another; `done`: for now it needs none.

        It comes in before others no longer then.
        """
        self.behind.move_to_end(room)
        if done:
            self.first.pop(room, None)
        elif room in self.first:
            self.first.move_to_end(room)

    def _forget_loaded(self) -> None:
        for room in [r for r, b in self.behind.items() if b.loaded >= b.newest]:
            self.forget(room)


class InstanceCursors:
    """The cursors of one instance.

    ordered  over what keeps its room's order
    alone    by class: over what stands alone
    ahead    by class but the lowest: how far the ordered ones of that class were looked for
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
        """Whether something urgent is spilled that waits for nothing before it."""
        return not self.alone[URGENT].idle

    def holds(self, room: str, *, change: bool) -> bool:
        """Whether what is accepted for the room must be spilled.

        A change comes in after all that is spilled of its room: its message may be among that.
        """
        return any(cursor.holds(room) for cursor in (self.all if change else (self.ordered,)))

    def may_hold_change(self, room: str) -> bool:
        """Whether an edit or a delete of the room may be spilled."""
        return self.ordered.may_hold_change(room)

    def highest(self) -> int:
        """The highest class of which something is spilled, as far as that is known."""
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
        """A spilled envelope of the room ended: what comes next there may be of any class."""
        behind = self.ordered.behind.get(room)
        if behind is not None:
            behind.rank = URGENT


@attrs.define(eq=False)
class Cursors:
    """Those of all instances of which something is stored alone.

    pressing  one of them may have something urgent that stands alone
    """

    of: dict[str, InstanceCursors] = attrs.field(factory=dict, init=False)
    pressing: bool = attrs.field(default=False, init=False)

    def begin(self, instance_id: str) -> None:
        """Look at all that is stored of it."""
        self.of[instance_id] = InstanceCursors()
        self.pressing = True
